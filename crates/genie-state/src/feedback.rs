//! What people say of answers.

use crate::{MessageId, Subject, Timestamp};

/// An opinion of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewFeedback {
    /// 1 (bad) to 5 (good).
    pub rating: Option<i32>,
    /// In words.
    pub comment: Option<String>,
    /// The number of a citation that does not support what it stands behind.
    pub wrong_citation: Option<u32>,
}

/// An opinion of an answer, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The answer.
    pub message: MessageId,
    /// Whose opinion.
    pub subject: Subject,
    /// 1 (bad) to 5 (good).
    pub rating: Option<i32>,
    /// In words.
    pub comment: Option<String>,
    /// The number of a citation that does not support what it stands behind.
    pub wrong_citation: Option<u32>,
    /// When it was given.
    pub at: Timestamp,
}
