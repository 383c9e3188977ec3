//! Conversations and their messages.

use crate::{ConversationId, MessageId, Owner, Timestamp};

/// A conversation to be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConversation {
    /// Whose it is.
    pub owner: Owner,
    /// What it is about.
    pub title: String,
}

/// A conversation of one subject in one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its identity.
    pub id: ConversationId,
    /// What it is about.
    pub title: String,
    /// When it began.
    pub created: Timestamp,
    /// When it was renamed or continued last.
    pub changed: Timestamp,
    /// How many messages it has.
    pub messages: u32,
}

/// A message to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// What is said.
    pub text: String,
    /// In which language, as a two-letter code.
    pub language: Option<String>,
    /// The body of the answer, as JSON.
    pub answer: Option<String>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Author {
    /// The one who asks.
    Person,
    /// The one who answers.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its identity.
    pub id: MessageId,
    /// Where it stands.
    pub conversation: ConversationId,
    /// Who says it.
    pub author: Author,
    /// What is said.
    pub text: String,
    /// In which language, as a two-letter code.
    pub language: Option<String>,
    /// The body of the answer, as JSON.
    pub answer: Option<String>,
    /// When it was added.
    pub at: Timestamp,
}
