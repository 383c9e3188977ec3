//! What a language model tells of its work while it works.

use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// A prompt was taken in hand.
    Taken {
        /// Time in the queue.
        waited: Duration,
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of it that were read for an earlier one.
        known: usize,
    },
    /// A prompt in hand took over what was read for others since it was taken.
    TakenOver {
        /// Tokens of it that it need not read any more.
        known: usize,
    },
    /// The weights were read once.
    Pass {
        /// Prompts and answers that had a part in it.
        sequences: usize,
        /// Tokens that were read, guesses included.
        tokens: usize,
        /// Tokens for which keys and values may be held by what is in hand.
        held: usize,
    },
    /// An answer has its first token.
    Begun {
        /// Since it was asked for, time in the queue included.
        waited: Duration,
    },
    /// An answer has ended.
    Written {
        /// Tokens of it.
        tokens: usize,
        /// From the first token to the last.
        took: Duration,
        /// Tokens that were guessed, and how many of them were right.
        guessed: usize,
        /// Of these.
        right: usize,
        /// Spent on holding the text to a form.
        ruling: Duration,
    },
    /// A request was refused because too much waits.
    Refused,
    /// Nothing is in hand and nothing waits.
    Idle,
}

/// Is told of the work of a language model, by its thread: it must not wait
/// for anything.
pub trait WatchWork: Send + Sync {
    /// Something happened.
    fn saw(&self, work: Work);
}
