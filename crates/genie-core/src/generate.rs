//! Tokens from a language model.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::{BackendError, Constraint, ContentHash, TokenWeight, Tool, ToolCall, Usage, WatchWork};

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatRole {
    /// The frame set by the service.
    System,
    /// The person asking.
    User,
    /// The model.
    Assistant,
    /// What a tool that the model called has to say.
    Tool,
}

impl ChatRole {
    /// The name that chat templates use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who says it.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
    /// Tools that the model called with it.
    pub calls: Vec<ToolCall>,
}

impl ChatMessage {
    /// A message of this role.
    pub fn new(role: ChatRole, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            calls: Vec::new(),
        }
    }
}

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep the smallest set of tokens of this probability mass; 1 keeps all.
    pub top_p: f32,
    /// Keep this many most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep tokens of at least this share of the best one's probability; 0
    /// keeps all.
    pub min_p: f32,
    /// Divides the logits of tokens seen lately; 1 leaves them.
    pub repetition_penalty: f32,
    /// The same seed gives the same tokens.
    pub seed: u64,
}

impl Sampling {
    /// The most probable token, always.
    #[must_use]
    pub const fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// Whose request it is: a workspace, an account, whatever the caller keeps
/// apart. What a model has read for one is reused for the same one only, so
/// that not even the time of an answer tells what others have asked. Requests
/// that name nobody belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tenant(Option<Arc<str>>);

impl Tenant {
    /// The one with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(Some(name.into()))
    }
}

/// What to generate from.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// The conversation, rendered with the model's chat template.
    pub messages: Vec<ChatMessage>,
    /// Text that the answer is made to begin with; it is not part of the
    /// returned text.
    pub prefill: String,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens at most.
    pub max_tokens: usize,
    /// Strings that end the generation; they are not part of the text.
    pub stop: Vec<String>,
    /// Whose request it is.
    pub tenant: Tenant,
    /// Let the model check several tokens at a time where the prompt or the
    /// answer has been at this point before. The tokens are the same.
    pub lookup: bool,
    /// What the text has to look like.
    pub constraint: Option<Constraint>,
    /// Tells how probable each token was, and this many others at its place.
    pub weights: Option<usize>,
    /// What the model may call, told to it by its chat template.
    pub tools: Vec<Tool>,
}

impl GenerateRequest {
    /// The most probable answer of at most `max_tokens` to a conversation.
    #[must_use]
    pub const fn new(messages: Vec<ChatMessage>, max_tokens: usize) -> Self {
        Self {
            messages,
            prefill: String::new(),
            sampling: Sampling::greedy(),
            max_tokens,
            stop: Vec::new(),
            tenant: Tenant(None),
            lookup: true,
            constraint: None,
            weights: None,
            tools: Vec::new(),
        }
    }
}

/// What to choose from.
#[derive(Debug, Clone, PartialEq)]
pub struct ChoiceRequest {
    /// The conversation, rendered with the model's chat template.
    pub messages: Vec<ChatMessage>,
    /// Possible beginnings of the answer, told apart by their first token.
    pub choices: Vec<String>,
    /// It belongs to an answer that is already being written, and goes before
    /// requests that have not begun.
    pub first: bool,
    /// Whose request it is.
    pub tenant: Tenant,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model said so, or a stop string came.
    Stop,
    /// `max_tokens` or the context was used up.
    Length,
    /// The receiver left.
    Cancelled,
}

/// What came of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The whole text.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens read and written.
    pub usage: Usage,
    /// From the request to its first token, time in the queue included.
    pub first_token: Duration,
    /// Each token's, where that was asked for; otherwise empty.
    pub weights: Vec<TokenWeight>,
    /// Spent on holding the text to a form.
    pub ruling: Duration,
}

/// What is known of a loaded language model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The registry name.
    pub name: String,
    /// SHA-256 of the file.
    pub hash: ContentHash,
    /// Tokens of prompt and answer together at most.
    pub context_length: usize,
}

/// A generation failed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// More requests wait than the queue holds.
    #[error("the model's queue is full; try again in {} s", .retry_after.as_secs().max(1))]
    Busy {
        /// When there should be a place, by the speed at which those who
        /// wait went on lately.
        retry_after: Duration,
    },
    /// The worker has ended.
    #[error("the model's worker has stopped")]
    Stopped,
    /// Prompt and answer don't fit.
    #[error(
        "the prompt has {prompt} tokens and {max_tokens} more were asked for, but the model \
         reads {limit} in all; ask for less or shorten the prompt"
    )]
    ContextOverflow {
        /// Tokens of the rendered prompt.
        prompt: usize,
        /// Tokens asked for.
        max_tokens: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// The text can't be held to the form that was asked for.
    #[error("the text can't be held to the form that was asked for: {reason}")]
    Constraint {
        /// What is wrong with it, and which limit counts.
        reason: String,
    },
    /// The model was not trained to call tools.
    #[error("the chat template of {model} does not know tools; use a model that does")]
    NoTools {
        /// The registry name.
        model: String,
    },
    /// Whoever asked did not wait for it.
    #[error("nobody waits for the language model's choice any more")]
    Cancelled,
    /// The model, its tokenizer or its template failed.
    #[error("the language model failed")]
    Backend(#[source] BackendError),
}

/// A language model.
pub trait Generate: Send + Sync {
    /// What is known of it.
    fn model(&self) -> &ModelInfo;

    /// Whether it can still be asked; once it can't, it never can again.
    fn is_running(&self) -> bool {
        true
    }

    /// Tokens of this text alone, without template and special tokens.
    fn count_tokens(&self, text: &str) -> usize;

    /// Whether a text can be held to this form, without generating one.
    ///
    /// # Errors
    ///
    /// [`GenerateError::Constraint`] says what is wrong with the form.
    fn check(&self, form: &Constraint) -> Result<(), GenerateError>;

    /// Tells `watcher` of the work from now on; where somebody is told
    /// already, or the model tells nothing, this does nothing.
    fn watch(&self, _watcher: Arc<dyn WatchWork>) {}

    /// Generates, handing each piece of text on as it comes; the pieces
    /// together are the text. [`ControlFlow::Break`] cancels.
    ///
    /// # Errors
    ///
    /// Fails when the queue is full, the prompt does not fit, the form that
    /// was asked for can't be kept to, or the model fails.
    fn generate(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError>;

    /// As [`Generate::generate`], and hands on with each piece how probable
    /// the tokens were that it came of, where the request asks for it. A model
    /// that can't do that tells all of them behind the text.
    ///
    /// # Errors
    ///
    /// As [`Generate::generate`].
    fn generate_weighed(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str, &[TokenWeight]) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        let mut generation = self.generate(request, &mut |piece| on_piece(piece, &[]))?;
        if !generation.weights.is_empty() && on_piece("", &generation.weights).is_break() {
            generation.finish = FinishReason::Cancelled;
        }
        Ok(generation)
    }

    /// The natural logarithm of the probability of each choice's first token,
    /// in the order of the choices.
    ///
    /// # Errors
    ///
    /// As [`Generate::generate`].
    fn choose(&self, request: ChoiceRequest) -> Result<Vec<f32>, GenerateError> {
        self.choose_while(request, &mut || ControlFlow::Continue(()))
    }

    /// As [`Generate::choose`]. Where it takes long, `on_wait` is called now and
    /// then; [`ControlFlow::Break`] cancels.
    ///
    /// # Errors
    ///
    /// As [`Generate::generate`], and [`GenerateError::Cancelled`].
    fn choose_while(
        &self,
        request: ChoiceRequest,
        on_wait: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f32>, GenerateError>;
}
