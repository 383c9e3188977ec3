//! What people use, by day.

use crate::Subject;

/// What came on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDelta {
    /// Searches.
    pub searches: u64,
    /// Answers.
    pub answers: u64,
    /// Tokens that the language model read.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
    /// Documents that were added.
    pub documents: u64,
}

/// What one subject used on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The day in UTC, written `2026-05-17`.
    pub day: String,
    /// Who.
    pub subject: Subject,
    /// Searches.
    pub searches: u64,
    /// Answers.
    pub answers: u64,
    /// Tokens that the language model read.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
    /// Documents that were added.
    pub documents: u64,
}
