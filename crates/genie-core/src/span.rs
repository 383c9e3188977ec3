//! Positions in a document's text.

/// A range of a document's text, in Unicode scalar values (what Python calls
/// characters), start included and end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The span from `start` to `end`, or `None` where `start > end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Option<Self> {
        if start <= end {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// The first position inside.
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start
    }

    /// The first position behind.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.end
    }

    /// The number of characters inside.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is inside.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The same span, `by` characters further on.
    #[must_use]
    pub const fn shift(&self, by: usize) -> Self {
        Self {
            start: self.start + by,
            end: self.end + by,
        }
    }

    /// The part of `text` that the span covers, or `None` where the text is
    /// too short.
    #[must_use]
    pub fn slice<'a>(&self, text: &'a str) -> Option<&'a str> {
        let byte = |position: usize| {
            text.char_indices()
                .map(|(byte, _)| byte)
                .chain(std::iter::once(text.len()))
                .nth(position)
        };
        text.get(byte(self.start)?..byte(self.end)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_characters_and_not_bytes() {
        let span = Span::new(1, 3).expect("a span");
        assert_eq!(span.slice("été"), Some("té"));
        assert_eq!(span.slice("五六七八"), Some("六七"));
        assert_eq!(span.slice("ab"), None);
        assert_eq!(Span::new(2, 1), None);
    }
}
