//! Sentences: of passages, with their places, and of an answer while it is
//! being written.

use std::sync::LazyLock;

use genie_core::Span;
use regex::Regex;
use unicode_segmentation::UnicodeSegmentation;

/// A sentence of a passage and where it stands in it, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PassageSentence {
    pub(crate) span: Span,
    pub(crate) text: String,
}

/// The sentences of a passage (UAX #29), without the white space around them.
/// A line is never joined with the next one unless the sentence runs on.
pub(crate) fn sentences(passage: &str) -> Vec<PassageSentence> {
    let mut found = Vec::new();
    let mut position = 0;
    for raw in passage.split_sentence_bounds() {
        let text = raw.trim();
        let length = raw.chars().count();
        // Pieces without a letter or digit (rules, table borders) say nothing.
        if text.chars().any(char::is_alphanumeric) {
            let lead = raw.chars().count() - raw.trim_start().chars().count();
            let start = position + lead;
            if let Some(span) = Span::new(start, start + text.chars().count()) {
                found.push(PassageSentence {
                    span,
                    text: text.to_owned(),
                });
            }
        }
        position += length;
    }
    found
}

/// A sentence of an answer: its text without markers, the passages that its
/// markers name, where they stood, and the white space behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftSentence {
    pub(crate) text: String,
    pub(crate) cited: Vec<usize>,
    pub(crate) places: Vec<Place>,
    pub(crate) space: String,
}

/// Where a marker in square brackets stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What is before it, without markers.
    pub(crate) before: String,
    /// What is behind it, from the next thing on that is no marker.
    pub(crate) behind: String,
}

static MARKER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // [1], [1, 2], [1][2], 【1】, and what small models make of it: [Passage 1],
    // and a digit alone in round brackets, (1) or （1）.
    Regex::new(
        r"(?xi) \s* [\[【] \s* (?: passages? | source | document )? \s*
        ( [0-9]{1,3} (?: \s* [,;،、] \s* [0-9]{1,3} )* ) \s* [\]】]
        | \s* [(（] \s* (?: passages? \s* )? ( [1-9] ) \s* [)）]",
    )
    .ok()
});

/// Cuts a stream of text into sentences. A sentence is handed out once the
/// next one has begun, since markers may stand behind its full stop.
#[derive(Debug, Default)]
pub(crate) struct SentenceStream {
    pending: String,
}

impl SentenceStream {
    /// Takes the next piece and returns the sentences that are complete now.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<DraftSentence> {
        self.pending.push_str(piece);
        let segments = segments(&self.pending);
        let Some((last, complete)) = segments.split_last() else {
            return Vec::new();
        };
        let sentences = complete.iter().flat_map(|raw| drafts(raw)).collect();
        let rest = last.clone();
        self.pending = rest;
        sentences
    }

    /// The last sentence, if any text is left.
    pub(crate) fn finish(self) -> Vec<DraftSentence> {
        segments(&self.pending)
            .iter()
            .flat_map(|raw| drafts(raw))
            .collect()
    }
}

/// Sentences with the markers behind them.
fn segments(text: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for raw in pieces(text) {
        let markers = leading_markers(&raw);
        let (marked, rest) = raw.split_at(markers);
        match segments.last_mut() {
            // Markers, and pieces too small to be a sentence such as a list's
            // "1." or an initial, belong to what is before them. An opened
            // bracket may become a marker with the next piece.
            Some(previous) if rest.is_empty() || is_fragment(previous) || is_opened(rest) => {
                previous.push_str(&raw);
            }
            Some(previous) if markers > 0 => {
                previous.push_str(marked);
                segments.push(rest.to_owned());
            }
            _ => segments.push(raw),
        }
    }
    segments
}

/// Sentences (UAX #29), where a bracket that is opened right behind a full
/// stop, as in "。[1]", goes to what follows it.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut opened = None;
    for raw in text.split_sentence_bounds() {
        let mut piece: String = opened.take().into_iter().collect();
        piece.push_str(raw);
        if piece.ends_with(BRACKETS) {
            opened = piece.pop();
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    pieces.extend(opened.map(String::from));
    pieces
}

const BRACKETS: [char; 2] = ['[', '【'];

fn is_opened(text: &str) -> bool {
    text.trim_start().starts_with(BRACKETS) && !text.contains([']', '】'])
}

fn is_fragment(text: &str) -> bool {
    let text = text.trim();
    !text.ends_with('\n')
        && text.chars().filter(|c| c.is_alphanumeric()).count() <= 2
        && text.is_ascii()
}

fn leading_markers(text: &str) -> usize {
    let Some(pattern) = MARKER.as_ref() else {
        return 0;
    };
    let mut end = 0;
    while let Some(found) = pattern.find_at(text, end) {
        if found.start() != end {
            break;
        }
        end = found.end();
    }
    // The stop of "… . [1]." belongs to the marker.
    if end > 0 {
        let rest = &text[end..];
        let stop = rest.len() - rest.trim_start_matches(['.', '。', ' ']).len();
        end += stop;
    }
    end
}

/// Marks of a list's points.
const POINTS: [char; 4] = ['-', '•', '*', '·'];

/// Whether a line is a point of a list, in plain text as in Markdown.
pub(crate) fn is_point(text: &str) -> bool {
    let mut characters = text.chars();
    let mark = characters.next();
    mark.is_some_and(|mark| mark == '+' || POINTS.contains(&mark))
        && characters.next().is_some_and(char::is_whitespace)
}

/// The sentences of a piece: one, or the points of a list that stands in one
/// line, each to be verified and cited by itself. Markers behind the last point
/// are those of all that have none.
fn drafts(raw: &str) -> Vec<DraftSentence> {
    let starts = points(raw);
    let mut ends = starts.iter().skip(1).copied().chain([raw.len()]);
    let lead = starts.first().map_or(raw.len(), |first| *first);
    let pieces = starts
        .iter()
        .filter_map(|start| Some(&raw[*start..ends.next()?]));
    let mut found: Vec<DraftSentence> = std::iter::once(&raw[..lead])
        .chain(pieces)
        .filter_map(draft)
        .collect();
    if let Some((last, before)) = found.split_last_mut() {
        for sentence in before {
            sentence.space = "\n".to_owned();
            if sentence.cited.is_empty() {
                sentence.cited.clone_from(&last.cited);
            }
        }
    }
    found
}

/// Where the points of a list begin that was written into one line: two or
/// more of the same mark, each between blanks and with a capital, or a letter
/// that has none, behind it. A dash in a sentence is not one.
fn points(raw: &str) -> Vec<usize> {
    let starts = |mark: char| {
        let marks = raw.match_indices(mark).filter(|(at, _)| {
            let behind = &raw[at + mark.len_utf8()..];
            let mut next = behind.trim_start().chars();
            (raw[..*at].is_empty() || raw[..*at].ends_with(char::is_whitespace))
                && behind.starts_with(char::is_whitespace)
                && next
                    .next()
                    .is_some_and(|first| first.is_alphabetic() && !first.is_lowercase())
        });
        marks.map(|(at, _)| at).collect::<Vec<usize>>()
    };
    let found = POINTS.into_iter().map(starts);
    found
        .max_by_key(Vec::len)
        .filter(|found| found.len() > 1)
        .unwrap_or_default()
}

fn draft(raw: &str) -> Option<DraftSentence> {
    let (mut cited, mut places) = (Vec::new(), Vec::new());
    let mut text = String::with_capacity(raw.len());
    let mut end = 0;
    if let Some(pattern) = MARKER.as_ref() {
        for found in pattern.captures_iter(raw) {
            let numbers = found.get(1).or_else(|| found.get(2));
            let (Some(whole), Some(numbers)) = (found.get(0), numbers) else {
                continue;
            };
            text.push_str(&raw[end..whole.start()]);
            end = whole.end();
            if found.get(1).is_some() {
                let behind = &raw[end..];
                places.push(Place {
                    before: text.clone(),
                    behind: behind[leading_markers(behind)..].trim_start().to_owned(),
                });
            }
            for number in numbers.as_str().split(|c: char| !c.is_ascii_digit()) {
                if let Ok(number) = number.parse()
                    && !cited.contains(&number)
                {
                    cited.push(number);
                }
            }
        }
    }
    text.push_str(&raw[end..]);
    let kept = text.trim_end();
    if !kept.chars().any(char::is_alphanumeric) {
        return None;
    }
    let space = if raw[raw.trim_end().len()..].contains('\n') {
        "\n"
    } else {
        " "
    };
    let kept = kept.trim_start_matches([' ', '\n']);
    Some(DraftSentence {
        text: without_double_stop(kept),
        cited,
        places,
        space: space.to_owned(),
    })
}

/// "… text. ." after a marker was taken out between two stops.
fn without_double_stop(text: &str) -> String {
    let mut text = text.to_owned();
    for stop in ['.', '。'] {
        loop {
            let trimmed = text.strip_suffix(stop).map(str::trim_end);
            match trimmed {
                Some(shorter) if shorter.ends_with(['.', '。', '!', '?', '！', '？', '؟']) => {
                    text = shorter.to_owned();
                }
                _ => break,
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(answer: &str, expect: &[(&str, &[usize])]) {
        // Whatever the pieces, the sentences are the same.
        for size in [1, 3, 1000] {
            let mut stream = SentenceStream::default();
            let mut found = Vec::new();
            let characters: Vec<char> = answer.chars().collect();
            for piece in characters.chunks(size) {
                found.extend(stream.push(&piece.iter().collect::<String>()));
            }
            found.extend(stream.finish());
            let found: Vec<_> = found
                .iter()
                .map(|sentence| (sentence.text.as_str(), sentence.cited.as_slice()))
                .collect();
            assert_eq!(found, expect, "pieces of {size}");
        }
    }

    #[test]
    fn markers_are_found_before_and_behind_the_stop() {
        check(
            "The report counts 729 projects [1]. It counted 406 before. [2] More follow.",
            &[
                ("The report counts 729 projects.", &[1]),
                ("It counted 406 before.", &[2]),
                ("More follow.", &[]),
            ],
        );
    }

    #[test]
    fn several_markers_and_other_brackets() {
        check("Both say so [1, 3][2].", &[("Both say so.", &[1, 3, 2])]);
        check(
            "两者都这样说【2】。下一句。",
            &[("两者都这样说。", &[2]), ("下一句。", &[])],
        );
        check("So it is [Passage 2].", &[("So it is.", &[2])]);
        check(
            "It lists 729 projects in 2025 (1), and 406 in 2024 (2).",
            &[("It lists 729 projects in 2025, and 406 in 2024.", &[1, 2])],
        );
        check(
            "The year (2024) and the band (3.5 GHz) stay.",
            &[("The year (2024) and the band (3.5 GHz) stay.", &[])],
        );
    }

    #[test]
    fn where_markers_stood_is_kept() {
        let places = |text: &str| {
            let sentence = drafts(text).pop().expect("a sentence");
            let places = sentence.places.into_iter();
            let places = places.map(|place| (place.before, place.behind));
            places.collect::<Vec<(String, String)>>()
        };
        let place = |before: &str, behind: &str| (before.to_owned(), behind.to_owned());
        assert_eq!(
            places("It says [1][2] so [3]."),
            [
                place("It says", "so [3]."),
                place("It says", "so [3]."),
                place("It says so", "."),
            ]
        );
        assert_eq!(places("The aims are (1) this and (2) that."), []);
    }

    #[test]
    fn decimals_do_not_end_a_sentence() {
        check(
            "It grew by 3.5 % in a year. Good.",
            &[("It grew by 3.5 % in a year.", &[]), ("Good.", &[])],
        );
    }

    #[test]
    fn markers_are_found_right_behind_a_chinese_stop() {
        check(
            "国际电联与IEEE合作。[1][2]第二句话在这里。【3】",
            &[
                ("国际电联与IEEE合作。", &[1, 2]),
                ("第二句话在这里。", &[3]),
            ],
        );
    }

    #[test]
    fn list_items_stay_apart() {
        check(
            "The pillars are:\n- fibre [1]\n- spectrum [2]\n",
            &[
                ("The pillars are:", &[]),
                ("- fibre", &[1]),
                ("- spectrum", &[2]),
            ],
        );
    }

    #[test]
    fn points_in_one_line_are_sentences() {
        check(
            "The benefits are: - Lower latency [1] - Better resilience - Lower cost [2]. More.",
            &[
                ("The benefits are:", &[2]),
                ("- Lower latency", &[1]),
                ("- Better resilience", &[2]),
                ("- Lower cost.", &[2]),
                ("More.", &[]),
            ],
        );
        check(
            "好处 • 延迟更低 • 成本更低。[1]",
            &[("好处", &[1]), ("• 延迟更低", &[1]), ("• 成本更低。", &[1])],
        );
        let dashes = "An exchange - a place where networks meet - saves money.";
        check(dashes, &[(dashes, &[])]);
        let one = "An exchange - IXP - saves money.";
        check(one, &[(one, &[])]);
    }

    proptest! {
        #[test]
        fn a_passage_sentence_is_where_it_says(passage in "(\\PC|\n){0,200}") {
            for sentence in sentences(&passage) {
                prop_assert_eq!(sentence.span.slice(&passage), Some(sentence.text.as_str()));
            }
        }

        #[test]
        fn no_letter_of_an_answer_is_lost(answer in "[a-z .!?\n\\[\\]0-9]{0,120}") {
            let mut stream = SentenceStream::default();
            let mut found = Vec::new();
            for piece in answer.split_inclusive(' ') {
                found.extend(stream.push(piece));
            }
            found.extend(stream.finish());
            let letters = |text: &str| text.chars().filter(char::is_ascii_alphabetic).count();
            let kept: usize = found.iter().map(|sentence| letters(&sentence.text)).sum();
            prop_assert_eq!(kept, letters(&answer));
        }
    }
}
