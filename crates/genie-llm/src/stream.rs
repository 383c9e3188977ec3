//! From the bytes of tokens to text that can be shown at once.

/// Puts bytes together to characters and looks for stop strings. Nothing is
/// handed out that may still turn out to be part of a stop string, or half a
/// character.
#[derive(Debug)]
pub(crate) struct TextStream {
    stops: Vec<String>,
    /// The beginning of a character whose end has not come yet.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

/// What can be shown after another token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// A stop string came; `text` ends before it.
    pub(crate) stopped: bool,
}

impl TextStream {
    pub(crate) fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self {
            stops,
            bytes: Vec::new(),
            held: String::new(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Shown {
        self.bytes.extend_from_slice(bytes);
        self.take_characters();
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(position) = found {
            self.held.truncate(position);
            self.bytes.clear();
            return Shown {
                text: std::mem::take(&mut self.held),
                stopped: true,
            };
        }
        let keep = self
            .stops
            .iter()
            .filter_map(|stop| beginning_at_end(&self.held, stop))
            .max()
            .unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - keep);
        Shown {
            text: std::mem::replace(&mut self.held, kept),
            stopped: false,
        }
    }

    /// What was held back, when nothing more comes.
    pub(crate) fn finish(mut self) -> String {
        self.held.push_str(&String::from_utf8_lossy(&self.bytes));
        self.held
    }

    fn take_characters(&mut self) {
        let mut rest = self.bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.held.push_str(text);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, behind) = rest.split_at(error.valid_up_to());
                    self.held.push_str(&String::from_utf8_lossy(valid));
                    let Some(wrong) = error.error_len() else {
                        rest = behind;
                        break;
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    rest = &behind[wrong..];
                }
            }
        }
        self.bytes = rest.to_vec();
    }
}

/// The length of the longest end of `text` that is a proper beginning of
/// `stop`.
fn beginning_at_end(text: &str, stop: &str) -> Option<usize> {
    let most = text.len().min(stop.len() - 1);
    (1..=most).rev().find(|length| {
        stop.is_char_boundary(*length) && text.as_bytes().ends_with(&stop.as_bytes()[..*length])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(stops: &[&str]) -> TextStream {
        TextStream::new(stops.iter().map(|&stop| stop.to_owned()).collect())
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        let mut stream = stream(&[]);
        assert_eq!(stream.push(&[0xE4, 0xBD]).text, "");
        assert_eq!(stream.push(&[0xA0, b'!']).text, "你!");
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let mut stream = stream(&[]);
        assert_eq!(stream.push(&[b'a', 0xFF, b'b', 0xE4]).text, "a\u{FFFD}b");
        assert_eq!(stream.finish(), "\u{FFFD}");
    }

    #[test]
    fn a_stop_string_may_straddle_pieces() {
        let mut stream = stream(&["\n\nQ:", "END"]);
        assert_eq!(stream.push(b"yes\n").text, "yes");
        assert_eq!(stream.push(b"\nno").text, "\n\nno");
        assert_eq!(stream.push(b"\n\n").text, "");
        let last = stream.push(b"Q: next");
        assert_eq!((last.text.as_str(), last.stopped), ("", true));
    }

    #[test]
    fn the_earliest_stop_string_counts() {
        let mut stream = stream(&["world", "lo"]);
        let shown = stream.push(b"hello world");
        assert_eq!((shown.text.as_str(), shown.stopped), ("hel", true));
    }

    #[test]
    fn what_only_began_like_a_stop_string_comes_at_the_end() {
        let mut stream = stream(&["stop"]);
        assert_eq!(stream.push(b"don't st").text, "don't ");
        assert_eq!(stream.finish(), "st");
    }

    proptest! {
        #[test]
        fn pieces_are_the_text_up_to_the_stop(
            text in "[abé中 ]{0,40}",
            stop in "[abé]{1,3}",
            cuts in prop::collection::vec(1usize..5, 1..20),
        ) {
            let mut stream = TextStream::new(vec![stop.clone()]);
            let (mut out, mut stopped) = (String::new(), false);
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || stopped {
                    break;
                }
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                let shown = stream.push(piece);
                out.push_str(&shown.text);
                stopped = shown.stopped;
                rest = behind;
            }
            if !stopped {
                out.push_str(&stream.finish());
            }
            let expected = text.split(&stop).next().unwrap_or_default();
            prop_assert_eq!(out, expected);
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
