//! Between byte offsets, which Rust slices by, and character offsets, which
//! spans are made of.

use std::ops::Range;

use genie_core::Span;

/// One checkpoint every so many bytes; a look-up walks at most as far.
const STEP: usize = 512;

/// Translates positions of one text in both directions without walking the
/// text from its start each time.
pub(crate) struct Positions<'a> {
    text: &'a str,
    /// Characters before byte `i * STEP`, where that byte may stand inside a
    /// character that is then counted.
    chars_before: Vec<usize>,
}

impl<'a> Positions<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut chars_before = Vec::with_capacity(text.len() / STEP + 1);
        let mut count = 0;
        for block in text.as_bytes().chunks(STEP) {
            chars_before.push(count);
            count += block.iter().filter(|&&byte| starts_char(byte)).count();
        }
        if chars_before.is_empty() {
            chars_before.push(0);
        }
        Self { text, chars_before }
    }

    /// The number of characters before a byte offset on a character border.
    pub(crate) fn char_at(&self, byte: usize) -> usize {
        let block = (byte / STEP).min(self.chars_before.len() - 1);
        self.chars_before[block]
            + self.text.as_bytes()[block * STEP..byte]
                .iter()
                .filter(|&&byte| starts_char(byte))
                .count()
    }

    /// The byte offset of a character, or the text's length where the text is
    /// too short.
    pub(crate) fn byte_at(&self, char: usize) -> usize {
        let block = self.chars_before.partition_point(|&before| before <= char) - 1;
        let mut left = char - self.chars_before[block];
        for (offset, &byte) in self.text.as_bytes()[block * STEP..].iter().enumerate() {
            if starts_char(byte) {
                if left == 0 {
                    return block * STEP + offset;
                }
                left -= 1;
            }
        }
        self.text.len()
    }

    pub(crate) fn span(&self, bytes: &Range<usize>) -> Span {
        let start = self.char_at(bytes.start);
        let end = self.char_at(bytes.end);
        Span::new(start, end.max(start)).unwrap_or_else(|| unreachable!("end is not before start"))
    }

    pub(crate) fn bytes(&self, span: Span) -> Range<usize> {
        self.byte_at(span.start())..self.byte_at(span.end())
    }
}

const fn starts_char(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// The range without white space at its ends; empty where it has nothing
/// else.
pub(crate) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let slice = &text[range.clone()];
    let start = range.start + (slice.len() - slice.trim_start().len());
    let length = slice.trim().len();
    start..start + length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_directions_agree_with_the_slow_way(text in "[aé五😀\n]{0,900}") {
            let positions = Positions::new(&text);
            for (chars, (byte, _)) in text.char_indices().enumerate() {
                prop_assert_eq!(positions.char_at(byte), chars);
                prop_assert_eq!(positions.byte_at(chars), byte);
            }
            let chars = text.chars().count();
            prop_assert_eq!(positions.char_at(text.len()), chars);
            prop_assert_eq!(positions.byte_at(chars), text.len());
            prop_assert_eq!(positions.byte_at(chars + 7), text.len());
        }
    }
}
