//! Guesses at the next tokens: what followed the last time that the text was
//! at this point (prompt lookup, <https://arxiv.org/abs/2304.04487>).
//!
//! An answer about passages quotes them, so the tokens that come next often
//! stand in the prompt already. The model reads a guess in one pass, which
//! costs little more than one token, and whoever generates takes the part of
//! it that would have come anyway.

/// Tokens that have to be the same before a guess is worth anything.
const LEAST: usize = 2;
/// Matches of this length or longer are trusted alike.
const LONG: usize = 5;
/// Tokens guessed at most.
const MOST: usize = 12;
/// A token is guessed while all before it and it are right with at least this
/// probability: about what a row more costs, as a share of a pass with one.
const WORTH: f32 = 0.35;
/// How much an older guess weighs when the next one is made.
const MEMORY: f32 = 0.9;
/// Occasions without a guess after which one is made all the same: the text
/// may have come to another place.
const PATIENCE: u32 = 12;

/// What guesses have come to so far.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// For each length of a match how many of the guessed tokens were right.
    records: [Record; LONG - LEAST + 1],
}

#[derive(Debug, Clone, Copy)]
struct Record {
    right: f32,
    tried: f32,
    /// Occasions since the last guess.
    idle: u32,
}

/// Tokens that may come next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) tokens: Vec<u32>,
    record: usize,
}

impl Lookup {
    pub(crate) fn new() -> Self {
        // Before anything is known: two in three, the longer the surer.
        let records = std::array::from_fn(|index| Record {
            right: 1.0 + 0.5 * index as f32,
            tried: 2.0 + 0.5 * index as f32,
            idle: 0,
        });
        Self { records }
    }

    /// What may follow `text`, the prompt and the answer so far, at most
    /// `most` tokens.
    pub(crate) fn guess(&mut self, text: &[u32], most: usize) -> Guess {
        let Some((start, length)) = longest_match(text) else {
            return Guess::default();
        };
        let record = length.min(LONG) - LEAST;
        let wanted = self.records[record].length().min(most);
        // A text that repeats itself with a short period goes on so.
        let period = text.len() - start;
        let tokens = (0..wanted)
            .filter_map(|offset| text.get(start + offset % period).copied())
            .collect();
        Guess { tokens, record }
    }

    /// How many tokens of a guess were right.
    pub(crate) fn learn(&mut self, guess: &Guess, right: usize) {
        let record = &mut self.records[guess.record];
        // What stands behind the first wrong token was not put to the test.
        let tried = guess.tokens.len().min(right + 1);
        record.right = record.right * MEMORY + right as f32;
        record.tried = record.tried * MEMORY + tried as f32;
    }
}

impl Record {
    /// How many tokens to guess.
    fn length(&mut self) -> usize {
        let right = (self.right / self.tried).clamp(0.01, 0.98);
        let length = (WORTH.ln() / right.ln()) as usize;
        if length > 0 {
            self.idle = 0;
            return length.min(MOST);
        }
        self.idle += 1;
        if self.idle < PATIENCE {
            return 0;
        }
        self.idle = 0;
        1
    }
}

/// Where the text goes on after the longest earlier occurrence of its end, the
/// latest of equally long ones, and how many tokens were the same.
fn longest_match(text: &[u32]) -> Option<(usize, usize)> {
    let last = *text.last()?;
    let mut best = None;
    let mut longest = LEAST - 1;
    for end in (1..text.len()).rev() {
        if text[end - 1] != last {
            continue;
        }
        let length = text[..end]
            .iter()
            .rev()
            .zip(text.iter().rev())
            .take(LONG)
            .take_while(|(a, b)| a == b)
            .count();
        if length > longest {
            longest = length;
            best = Some((end, length));
            if length == LONG {
                break;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_match_counts_and_then_the_latest() {
        // 1 2 3 stands once, 2 3 twice.
        let text = [1, 2, 3, 7, 9, 2, 3, 8, 1, 2, 3];
        assert_eq!(longest_match(&text), Some((3, 3)));
        let text = [2, 3, 7, 2, 3, 8, 2, 3];
        assert_eq!(longest_match(&text), Some((5, 2)));
        assert_eq!(longest_match(&[1, 2, 3, 4]), None);
        assert_eq!(longest_match(&[4, 1, 4]), None);
        assert_eq!(longest_match(&[]), None);
    }

    #[test]
    fn a_text_that_repeats_itself_goes_on_so() {
        let mut lookup = Lookup::new();
        let text = [5, 6, 7, 5, 6, 7, 5, 6];
        for _ in 0..20 {
            let guess = lookup.guess(&text, 5);
            assert!([7, 5, 6, 7, 5].starts_with(&guess.tokens), "{guess:?}");
            lookup.learn(&guess, guess.tokens.len());
        }
        assert_eq!(lookup.guess(&text, 5).tokens, [7, 5, 6, 7, 5]);
    }

    #[test]
    fn wrong_guesses_become_rare_and_right_ones_long() {
        let text: Vec<u32> = (0..40).chain(0..9).collect();
        let mut lookup = Lookup::new();
        let mut guessed = 0;
        for _ in 0..100 {
            let guess = lookup.guess(&text, 30);
            guessed += usize::from(!guess.tokens.is_empty());
            if !guess.tokens.is_empty() {
                lookup.learn(&guess, 0);
            }
        }
        assert!((5..25).contains(&guessed), "{guessed}");
        for _ in 0..100 {
            let guess = lookup.guess(&text, 30);
            lookup.learn(&guess, guess.tokens.len());
        }
        assert_eq!(lookup.guess(&text, 30).tokens.len(), MOST);
        assert_eq!(lookup.guess(&text, 3).tokens, [9, 10, 11]);
        assert!(lookup.guess(&text, 0).tokens.is_empty());
    }

    proptest! {
        #[test]
        fn a_guess_followed_the_same_tokens_before(
            text in prop::collection::vec(0u32..4, 0..60),
            most in 0usize..9,
        ) {
            let guess = Lookup::new().guess(&text, most);
            prop_assert!(guess.tokens.len() <= most);
            if let Some(first) = guess.tokens.first() {
                let [.., a, b] = text[..] else {
                    return Err(TestCaseError::fail("a guess out of nothing"));
                };
                let stood = text.windows(3).any(|window| window == [a, b, *first]);
                prop_assert!(stood, "{:?} behind {:?}", guess, text);
            }
        }
    }
}
