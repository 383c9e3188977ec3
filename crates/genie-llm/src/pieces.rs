//! SentencePiece's byte-pair encoding (Kudo and Richardson 2018,
//! <https://arxiv.org/abs/1808.06226>), as llama.cpp reads it from a file: no
//! list of merges but a score for each token.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::{FileProblem, LlmError};

/// What a blank is written as.
pub(crate) const BLANK: &str = "\u{2581}";

/// Runs of white space that are tokens: gemma has about sixty. All are tried
/// wherever white space begins.
const MOST_SPACES: usize = 1000;

/// From text to the numbers of tokens: of all neighbours that make a token
/// together, those with the best score become one, again and again. What no
/// token is left of is written byte by byte.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// Tokens of text with their scores.
    tokens: HashMap<Box<str>, Token>,
    /// White space that is a token wherever it stands, by its length in bytes,
    /// the longest first.
    spaces: Vec<(String, u32)>,
    /// The token of each byte.
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    /// Whether a text begins with a blank that nobody wrote.
    prefix: bool,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    id: u32,
    score: f32,
}

/// A part of a text that is a token, or may become part of one.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    /// In bytes; nothing where it has become part of the one before.
    length: usize,
    before: Option<usize>,
    behind: Option<usize>,
}

/// Two neighbours that make a token.
#[derive(Debug, Clone, Copy)]
struct Merge {
    score: f32,
    left: usize,
    right: usize,
    /// Of both together: another length says that one of them has changed.
    length: usize,
}

impl Ord for Merge {
    /// The better score, then the one further left.
    fn cmp(&self, other: &Self) -> Ordering {
        let score = self.score.total_cmp(&other.score);
        score.then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Merge {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Merge {}

impl Pieces {
    pub(crate) fn new(unknown: Option<u32>, prefix: bool) -> Self {
        Self {
            tokens: HashMap::new(),
            spaces: Vec::new(),
            bytes: Box::new([None; 256]),
            unknown,
            prefix,
        }
    }

    /// A token of text, with blanks as [`BLANK`].
    pub(crate) fn add(&mut self, text: &str, id: u32, score: f32) {
        // NaN would be better than every number.
        let score = if score.is_nan() { f32::MIN } else { score };
        self.tokens.insert(text.into(), Token { id, score });
    }

    /// White space that no merge takes apart or makes longer.
    pub(crate) fn add_space(&mut self, text: String, id: u32) -> Result<(), FileProblem> {
        if self.spaces.len() == MOST_SPACES {
            let reason = format!("more than {MOST_SPACES} of its tokens are white space");
            return Err(FileProblem::TokenizerTables(reason));
        }
        let place = self
            .spaces
            .partition_point(|(other, _)| other.len() >= text.len());
        self.spaces.insert(place, (text, id));
        Ok(())
    }

    /// The token of a byte, named like `<0x0A>`.
    pub(crate) fn add_byte(&mut self, name: &str, id: u32) -> Result<u8, FileProblem> {
        let byte = name
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'))
            .filter(|digits| digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            FileProblem::TokenizerTables(format!("{name:?} is no byte"))
        })?;
        self.bytes[usize::from(byte)] = Some(id);
        Ok(byte)
    }

    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, LlmError> {
        let mut ids = Vec::new();
        let mut rest = text;
        while let Some((before, id, after)) = self.split(rest) {
            self.merge(before, &mut ids)?;
            ids.push(id);
            rest = after;
        }
        self.merge(rest, &mut ids)?;
        Ok(ids)
    }

    /// The first run of white space that is a token, the longest there.
    fn split<'t>(&self, text: &'t str) -> Option<(&'t str, u32, &'t str)> {
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(start, byte)| byte.is_ascii_whitespace() && text.is_char_boundary(*start));
        for (start, _) in starts {
            let behind = &text[start..];
            let found = self
                .spaces
                .iter()
                .find(|(space, _)| behind.starts_with(space));
            if let Some((space, id)) = found {
                return Some((&text[..start], *id, &behind[space.len()..]));
            }
        }
        None
    }

    fn merge(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), LlmError> {
        if text.is_empty() {
            return Ok(());
        }
        let prefix = if self.prefix { BLANK } else { "" };
        let text = format!("{prefix}{}", text.replace(' ', BLANK));
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, char))| Symbol {
                start,
                length: char.len_utf8(),
                before: index.checked_sub(1),
                behind: Some(index + 1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.behind = None;
        }
        let mut merges: BinaryHeap<Merge> = (1..symbols.len())
            .filter_map(|right| self.merged(&text, &symbols, Some(right - 1), Some(right)))
            .collect();
        while let Some(Merge {
            left,
            right,
            length,
            ..
        }) = merges.pop()
        {
            let taken = symbols[right];
            let own = symbols[left];
            if own.length == 0 || taken.length == 0 || own.length + taken.length != length {
                continue;
            }
            symbols[left].length = length;
            symbols[left].behind = taken.behind;
            symbols[right].length = 0;
            if let Some(behind) = taken.behind {
                symbols[behind].before = Some(left);
            }
            merges.extend(self.merged(&text, &symbols, own.before, Some(left)));
            merges.extend(self.merged(&text, &symbols, Some(left), taken.behind));
        }
        let left = symbols.iter().filter(|symbol| symbol.length > 0);
        for symbol in left {
            self.write(&text[symbol.start..][..symbol.length], ids)?;
        }
        Ok(())
    }

    fn merged(
        &self,
        text: &str,
        symbols: &[Symbol],
        left: Option<usize>,
        right: Option<usize>,
    ) -> Option<Merge> {
        let (left, right) = (left?, right?);
        let start = symbols[left].start;
        let length = symbols[left].length + symbols[right].length;
        let token = self.tokens.get(&text[start..start + length])?;
        Some(Merge {
            score: token.score,
            left,
            right,
            length,
        })
    }

    fn write(&self, part: &str, ids: &mut Vec<u32>) -> Result<(), LlmError> {
        if let Some(token) = self.tokens.get(part) {
            ids.push(token.id);
            return Ok(());
        }
        for byte in part.bytes() {
            let id = self.bytes[usize::from(byte)].or(self.unknown);
            ids.push(id.ok_or(LlmError::NoToken { byte })?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two letters and a blank, a few merges, bytes behind them.
    fn pieces(prefix: bool) -> Pieces {
        let mut pieces = Pieces::new(None, prefix);
        let texts = ["a", "b", BLANK, "ab", "ba", "aba", "\u{2581}a", "aa"];
        for (id, text) in (0u32..).zip(texts) {
            pieces.add(text, id, -(id as f32));
        }
        for (space, id) in [("\n\n", 10), ("\n\n\n", 11), ("   ", 12)] {
            assert_eq!(pieces.add_space(space.to_owned(), id), Ok(()));
        }
        for byte in 0..=255u8 {
            let named = pieces.add_byte(&format!("<0x{byte:02X}>"), 100 + u32::from(byte));
            assert_eq!(named, Ok(byte));
        }
        pieces
    }

    #[test]
    fn the_best_score_is_merged_first_and_then_the_leftmost() {
        let encode = |text: &str| pieces(false).encode(text).expect("encoded");
        assert_eq!(encode("ab"), [3]);
        // "ab" is better than "ba", and "aba" comes of it.
        assert_eq!(encode("aba"), [5]);
        assert_eq!(encode("bab"), [1, 3]);
        assert_eq!(encode("aaa"), [7, 0]);
        assert_eq!(encode(" a"), [6]);
        assert_eq!(encode("  a"), [2, 6]);
        assert!(encode("").is_empty());
    }

    #[test]
    fn what_is_no_token_is_bytes_and_white_space_stays_whole() {
        let encode = |text: &str| pieces(false).encode(text).expect("encoded");
        assert_eq!(encode("é"), [100 + 0xC3, 100 + 0xA9]);
        assert_eq!(encode("a\nb"), [0, 110, 1]);
        assert_eq!(encode("a\n\nb"), [0, 10, 1]);
        assert_eq!(encode("\n\n\n\n"), [11, 110]);
        assert_eq!(encode("a    b"), [0, 12, 2, 1]);
        // No text is read as the name of a byte.
        assert_eq!(encode("<0x41>").len(), 6);
    }

    #[test]
    fn a_blank_in_front_is_written_where_the_file_asks_for_it() {
        assert_eq!(pieces(true).encode("ab").expect("encoded"), [2, 3]);
        assert_eq!(pieces(true).encode("a").expect("encoded"), [6]);
        assert!(pieces(true).encode("").expect("encoded").is_empty());
    }

    #[test]
    fn a_byte_without_a_token_is_an_error_or_unknown() {
        let none = Pieces::new(None, false).encode("x");
        assert!(matches!(none, Err(LlmError::NoToken { byte: b'x' })));
        let known = Pieces::new(Some(3), false).encode("é");
        assert_eq!(known.expect("encoded"), [3, 3]);
        assert!(Pieces::new(None, false).add_byte("<0x4>", 1).is_err());
        assert!(Pieces::new(None, false).add_byte("<0x+4>", 1).is_err());
    }

    /// The same by looking at all neighbours each time.
    fn slowly(pieces: &Pieces, text: &str) -> Vec<String> {
        let mut parts: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let best = (1..parts.len())
                .filter_map(|right| {
                    let both = format!("{}{}", parts[right - 1], parts[right]);
                    let token = pieces.tokens.get(both.as_str())?;
                    Some((token.score, std::cmp::Reverse(right)))
                })
                .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let Some((_, std::cmp::Reverse(right))) = best else {
                return parts;
            };
            let taken = parts.remove(right);
            parts[right - 1].push_str(&taken);
        }
    }

    proptest! {
        #[test]
        fn it_merges_as_the_rule_says(text in "[ab]{0,40}") {
            let pieces = pieces(false);
            let ids = pieces.encode(&text).expect("encoded");
            let wanted: Vec<u32> = slowly(&pieces, &text)
                .iter()
                .map(|part| pieces.tokens[part.as_str()].id)
                .collect();
            prop_assert_eq!(ids, wanted);
        }
    }
}
