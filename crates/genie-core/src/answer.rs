//! What a person gets back.

use std::time::Duration;

use crate::{Chunk, Fusion, Hit, Language, Shares, Span};

/// Tokens read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
}

/// A place in a document that supports part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The number that stands in the answer's text as `[n]`, from 1.
    pub number: usize,
    /// Path or URI as ingested.
    pub document: String,
    /// The document's title.
    pub title: String,
    /// The page, where the format has pages.
    pub page: Option<u32>,
    /// The section path, empty where there is none.
    pub section: String,
    /// Where the quote stands in the document's text.
    pub span: Span,
    /// The supporting text, verbatim.
    pub quote: String,
}

/// A retrieved passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// The hit that it comes from; its score is the final one.
    pub hit: Hit,
    /// The neighbouring chunks that it was joined of, in their order; empty
    /// where it is one chunk. The hit's chunk then spans them all, with line
    /// breaks for the white space between them.
    pub parts: Vec<Chunk>,
    /// How it came to its place.
    pub stages: Stages,
}

/// The place of a passage among the candidates of a query, stage by stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stages {
    /// By the cosine of the whole passage's vector.
    pub dense: Stage,
    /// By words; `None` where it has none of the query's among the best.
    pub lexical: Option<Stage>,
    /// By both, fused.
    pub fused: Stage,
    /// How they were fused.
    pub fusion: Fusion,
    /// What each side adds to the fused score.
    pub shares: Shares,
    /// Token by token; `None` where that was not done.
    pub tokens: Option<Stage>,
    /// What the match of words adds to the score of that comparison; `None`
    /// where there was none.
    pub bonus: Option<f32>,
    /// What is added to it for a passage in another language than the
    /// question's; `None` for others, and where there was no comparison.
    pub foreign: Option<f32>,
    /// What its document adds to its score; `None` where nothing is
    /// preferred.
    pub boost: Option<Boost>,
    /// By all of these, among all candidates, before any is left out.
    pub scored: Stage,
    /// By the language model, whose score is the probability that it says
    /// yes; `None` where it was not asked.
    pub judged: Option<Stage>,
}

/// What is added to a score for what is known of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Boost {
    /// For its date.
    pub recency: f32,
    /// For its labels.
    pub authority: f32,
}

/// A place and what gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// From 1.
    pub rank: usize,
    /// Comparable within a stage of one query only.
    pub score: f32,
}

/// A verified answer's content in a form of the caller's, written by the
/// language model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formed {
    /// A text of that form.
    pub text: String,
    /// `false` where it was cut by the number of tokens.
    pub complete: bool,
    /// What was found out about its values: those of JSON that are neither
    /// null nor empty, or else the text as one.
    pub values: Vec<FormedValue>,
}

/// One value of a formed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormedValue {
    /// A JSON Pointer (RFC 6901).
    pub path: String,
    /// Where it stands.
    pub support: ValueSupport,
}

/// Where a value stands word for word, or a number as any way of writing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueSupport {
    /// In the quote of this citation, or in a sentence that it verified.
    Cited(usize),
    /// In the question.
    Asked,
    /// Nowhere, since it is true or false: the model judged.
    Judged,
    /// Nowhere: it is the model's own.
    Missing,
}

/// How long each step took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerTimings {
    /// The question's vectors.
    pub embed: Duration,
    /// The index.
    pub search: Duration,
    /// From the question to the model's first token; `None` where no model
    /// was asked.
    pub first_token: Option<Duration>,
    /// From the question to the finished answer.
    pub total: Duration,
}

/// Why a question should go to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOverReason {
    /// The corpus does not say.
    NotAnswered,
    /// The answer's confidence is under the mark that was set.
    LowConfidence,
}

impl HandOverReason {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnswered => "not_answered",
            Self::LowConfidence => "low_confidence",
        }
    }
}

/// A question that should go to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// Why.
    pub reason: HandOverReason,
    /// Where that person is found, as the installation or the workspace has
    /// it: an address, a page, a telephone number.
    pub contact: String,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text, with `[n]` behind what citation `n` supports.
    pub text: String,
    /// The language of the text.
    pub language: Language,
    /// `false` when the corpus does not say; the text then says so.
    pub answered: bool,
    /// `true` when no language model was at hand and the text is quoted
    /// passages.
    pub degraded: bool,
    /// The estimated probability that the text is right and holds all that
    /// was asked for, from 0 to 1, rounded to hundredths. `None` where nothing
    /// was answered or no language model was at hand.
    pub confidence: Option<f32>,
    /// Whom to ask instead or besides; `None` where there is no need, or
    /// where nobody is named.
    pub hand_over: Option<HandOver>,
    /// What the text cites.
    pub citations: Vec<Citation>,
    /// What was retrieved, best first.
    pub passages: Vec<Passage>,
    /// The registry name of the language model, if one was asked.
    pub model: Option<String>,
    /// How long it took.
    pub timings: AnswerTimings,
    /// What the language model read and wrote.
    pub usage: Usage,
    /// The same in the form that was asked for; `None` where none was, or
    /// where nothing was answered.
    pub formed: Option<Formed>,
}
