//! Everything of one person.

use crate::{Conversation, Feedback, Message, UsageRow};

/// What a workspace holds of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectData {
    /// Its conversations with their messages, oldest first.
    pub conversations: Vec<(Conversation, Vec<Message>)>,
    /// Its opinions, oldest first.
    pub feedback: Vec<Feedback>,
    /// What it used, by day.
    pub usage: Vec<UsageRow>,
}
