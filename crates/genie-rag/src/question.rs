//! What goes into the answering pipeline and what comes out while it works.

use genie_core::{
    ChatMessage, ChatRole, Constraint, EmbedError, Filter, GenerateError, Language, Passage,
    Sampling, StoreError,
};

/// A question with everything that shapes its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// Earlier turns of the conversation, oldest first; system messages are
    /// ignored.
    pub history: Vec<ChatMessage>,
    /// The language to answer in; `None` answers in the question's.
    pub language: Option<Language>,
    /// Restricts which passages may be used.
    pub filter: Filter,
    /// Passages put before the model; `None` takes the configured number.
    pub top_k: Option<usize>,
    /// Tokens of the answer at most; `None` takes the configured number.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The form that the verified answer is to be written in.
    pub form: Option<Constraint>,
}

impl Question {
    /// A question by itself, answered greedily with the configured settings.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            history: Vec::new(),
            language: None,
            filter: Filter::default(),
            top_k: None,
            max_tokens: None,
            sampling: Sampling::greedy(),
            form: None,
        }
    }

    /// What is looked for: a follow-up together with the question before it,
    /// without which "and in 2024?" finds nothing.
    #[must_use]
    pub fn search_text(&self) -> String {
        let before = self
            .history
            .iter()
            .rev()
            .find(|message| message.role == ChatRole::User);
        before.map_or_else(
            || self.text.trim().to_owned(),
            |before| format!("{} {}", before.content.trim(), self.text.trim()),
        )
    }
}

/// A search without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// What is looked for.
    pub query: String,
    /// The query's language; `None` detects it.
    pub language: Option<Language>,
    /// Restricts the passages.
    pub filter: Filter,
    /// Passages wanted; `None` takes the configured number.
    pub limit: Option<usize>,
}

/// What happens while an answer is made, in this order: sources once, then
/// pieces of text, each already verified.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AnswerEvent<'a> {
    /// The passages that the answer will be made from.
    Sources(&'a [Passage]),
    /// The next piece of the answer's text. The pieces together are the text;
    /// an empty one only asks whether anybody still listens.
    Delta(&'a str),
}

/// A question could not be worked on. That the corpus does not say is not an
/// error but an answer with `answered` false.
#[derive(Debug, thiserror::Error)]
pub enum RagError {
    /// Nothing is asked.
    #[error("the question is empty")]
    EmptyQuestion,
    /// The question is too long to be one.
    #[error("the question has {length} characters; {limit} are accepted")]
    QuestionTooLong {
        /// Its length in characters.
        length: usize,
        /// The most accepted.
        limit: usize,
    },
    /// The question's vectors could not be made.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The index could not be searched.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The language model failed.
    #[error(transparent)]
    Generate(GenerateError),
    /// Only a language model writes into a form.
    #[error("an answer in a form of the caller's needs a language model, and there is none")]
    FormWithoutModel,
    /// The receiver left while the answer was being made.
    #[error("the receiver left before the answer was finished")]
    Cancelled,
}

impl From<GenerateError> for RagError {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Cancelled => Self::Cancelled,
            other => Self::Generate(other),
        }
    }
}
