//! Where a quote stands in a text, whatever its white space and quotation
//! marks look like.

use genie_core::Span;

/// A text in which quotes are looked for.
pub(crate) struct Searchable {
    normal: String,
    /// Of every character of `normal`: its byte there and its position among
    /// the characters of the text.
    places: Vec<(usize, usize)>,
    /// Characters of the text.
    length: usize,
}

impl Searchable {
    pub(crate) fn new(text: &str) -> Self {
        let mut searchable = Self {
            normal: String::with_capacity(text.len()),
            places: Vec::with_capacity(text.len()),
            length: 0,
        };
        let mut space = false;
        for (position, character) in text.chars().enumerate() {
            searchable.length = position + 1;
            let character = normal(character);
            if character == ' ' && space {
                continue;
            }
            space = character == ' ';
            searchable.places.push((searchable.normal.len(), position));
            searchable.normal.push(character);
        }
        searchable
    }

    /// Every place of the quote, in characters of the text.
    pub(crate) fn find(&self, quote: &str) -> Vec<Span> {
        let quote = Self::new(quote.trim());
        let quote = quote.normal.trim();
        if quote.is_empty() {
            return Vec::new();
        }
        self.normal
            .match_indices(quote)
            .filter_map(|(byte, found)| {
                let start = self.position(byte)?;
                let last = byte + found.char_indices().next_back().map_or(0, |(at, _)| at);
                Span::new(start, self.position(last)? + 1)
            })
            .collect()
    }

    fn position(&self, byte: usize) -> Option<usize> {
        let at = self
            .places
            .binary_search_by_key(&byte, |(byte, _)| *byte)
            .ok()?;
        self.places.get(at).map(|(_, position)| *position)
    }
}

/// The text as quotes and answers are compared.
pub(crate) fn normalized(text: &str) -> String {
    Searchable::new(text).normal
}

fn normal(character: char) -> char {
    match character {
        // Zero-width spaces and marks of direction are no white space to
        // Unicode, but nobody sees them either.
        '\u{200b}' | '\u{feff}' => ' ',
        c if c.is_whitespace() => ' ',
        '‘' | '’' | '‚' | '‛' | '′' | '`' => '\'',
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' => '"',
        c => c,
    }
}

/// Ranges of characters, joined and in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cover(Vec<(usize, usize)>);

impl Cover {
    pub(crate) fn of(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut ranges: Vec<(usize, usize)> = spans
            .into_iter()
            .filter(|span| !span.is_empty())
            .map(|span| (span.start(), span.end()))
            .collect();
        ranges.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        Self(joined)
    }

    pub(crate) fn add(&mut self, span: Span) {
        let spans = self
            .0
            .iter()
            .filter_map(|&(start, end)| Span::new(start, end))
            .chain([span]);
        *self = Self::of(spans);
    }

    /// The parts of `span` that are in it.
    pub(crate) fn within(&self, span: Span) -> Vec<Span> {
        self.0
            .iter()
            .filter_map(|&(start, end)| {
                let (start, end) = (start.max(span.start()), end.min(span.end()));
                if start < end {
                    Span::new(start, end)
                } else {
                    None
                }
            })
            .collect()
    }

    pub(crate) fn holds(&self, span: Span) -> bool {
        self.0
            .iter()
            .any(|&(start, end)| start <= span.start() && span.end() <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, end: usize) -> Span {
        Span::new(start, end).unwrap()
    }

    #[test]
    fn white_space_and_quotation_marks_do_not_count() {
        let text = "L’UIT a\n\n  lancé «\u{a0}l'édition\u{202f}2025\u{a0}» hier.";
        let found = Searchable::new(text).find(" l'édition 2025 \" hier");
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].slice(text),
            Some("l'édition\u{202f}2025\u{a0}» hier")
        );
        let found = Searchable::new(text).find("L'UIT a lancé");
        assert_eq!(found[0].slice(text), Some("L’UIT a\n\n  lancé"));
        assert!(Searchable::new(text).find("l'UIT a lancé hier").is_empty());
        assert!(Searchable::new(text).find(" ").is_empty());
    }

    #[test]
    fn every_place_is_found() {
        let found = Searchable::new("五六 五六").find("五六");
        assert_eq!(found, [span(0, 2), span(3, 5)]);
    }

    #[test]
    fn covers_join_what_touches() {
        let mut cover = Cover::of([span(5, 9), span(0, 3)]);
        assert!(!cover.holds(span(1, 8)));
        assert_eq!(cover.within(span(2, 6)), [span(2, 3), span(5, 6)]);
        cover.add(span(3, 5));
        assert!(cover.holds(span(1, 8)));
        assert_eq!(cover, Cover::of([span(0, 9)]));
    }
}
