//! What answers and searches look like on the wire.

use std::time::Duration;

use genie_core::{Answer, Boost, Citation, Fusion, HandOver, Passage, Stage, Stages, Usage};
use genie_rag::{ChunkPlace, LeftOut, LeftOutReason, SearchOutcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of `POST /api/v1/answer`, and what `genie ask --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnswerBody {
    /// The text, with `[n]` behind what citation `n` supports.
    pub answer: String,
    /// ISO 639-1 code of the text's language.
    pub language: String,
    /// `false` when the corpus does not say.
    pub answered: bool,
    /// `true` when no language model was at hand.
    pub degraded: bool,
    /// The estimated probability, from 0 to 1, that the text is right and
    /// holds all that was asked for; `null` where nothing was answered or no
    /// language model was at hand.
    #[serde(default)]
    pub confidence: Option<f32>,
    /// Whom to ask instead or besides, where a contact is set and nothing was
    /// answered or confidence is low.
    #[serde(default)]
    pub hand_over: Option<HandOverBody>,
    /// What the text cites.
    pub citations: Vec<CitationBody>,
    /// What was retrieved, best first.
    pub passages: Vec<PassageBody>,
    /// The language model that was asked, if one was.
    pub model: Option<String>,
    /// How long each step took.
    pub timings_ms: AnswerTimingsBody,
    /// Tokens read and written.
    pub usage: UsageBody,
}

/// A question that should go to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandOverBody {
    /// `not_answered` or `low_confidence`.
    pub reason: String,
    /// Where that person is found, as it was set.
    pub contact: String,
}

/// A place in a document that supports part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CitationBody {
    /// The number that stands in the text as `[n]`, from 1.
    pub number: usize,
    /// Path or URI as ingested.
    pub document: String,
    /// The document's title.
    pub title: String,
    /// The page, where the format has pages.
    pub page: Option<u32>,
    /// The section path, empty where there is none.
    pub section: String,
    /// First character of the quote in the document's text, from 0.
    pub start: usize,
    /// The character behind the quote.
    pub end: usize,
    /// The supporting text, verbatim.
    pub quote: String,
}

/// A retrieved passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PassageBody {
    /// Path or URI as ingested.
    pub document: String,
    /// The document's title.
    pub title: String,
    /// The section path, empty where there is none.
    pub section: String,
    /// The page it starts on, where the format has pages.
    pub page: Option<u32>,
    /// What decided its place; comparable within one response only.
    pub score: f32,
    /// Cosine of the query's and the passage's dense vectors.
    pub similarity: f32,
    /// ISO 639-1 code, where the passage is in one of the six languages.
    pub language: Option<String>,
    /// First character of the passage in the document's text, from 0.
    pub start: usize,
    /// The character behind the passage.
    pub end: usize,
    /// The passage, verbatim; where neighbouring chunks were joined, line
    /// breaks stand for the white space between them.
    pub text: String,
    /// How it came to its place; in the results of a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<StagesBody>,
}

/// The place of a passage among the candidates, stage by stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StagesBody {
    /// By the cosine of the whole passage's vector.
    pub dense: StageBody,
    /// By words; `null` where it has none of the query's among the best.
    pub lexical: Option<StageBody>,
    /// By both, fused.
    pub fused: StageBody,
    /// How they were fused, and what each side adds to that score.
    pub fusion: FusionBody,
    /// Token by token; `null` where that was not done.
    pub tokens: Option<StageBody>,
    /// What the match of words adds to the score of that comparison; `null`
    /// where there was none.
    #[serde(default)]
    pub bonus: Option<f32>,
    /// What is added to it for a passage in another language than the
    /// question's; `null` for others.
    #[serde(default)]
    pub foreign: Option<f32>,
    /// What the document adds to the score; `null` where nothing is
    /// preferred.
    pub boost: Option<BoostBody>,
    /// By all of these, among all candidates, before any is left out.
    #[serde(default)]
    pub scored: Option<StageBody>,
    /// By the language model, whose score is the probability of its "yes", of
    /// which 0.25 times are added; `null` where it was not asked.
    pub judged: Option<StageBody>,
}

/// How both sides were fused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FusionBody {
    /// `rrf` by ranks, `dbsf` by scores.
    #[schemars(with = "String")]
    pub method: Fusion,
    /// What meaning adds.
    pub dense: f32,
    /// What words add.
    pub lexical: f32,
}

/// What is added to a score for what is known of a document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoostBody {
    /// For its date.
    pub recency: f32,
    /// For its labels.
    pub authority: f32,
}

/// A place and what gave it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageBody {
    /// From 1.
    pub rank: usize,
    /// Comparable within a stage of one response only.
    pub score: f32,
}

/// Milliseconds of an answer's steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnswerTimingsBody {
    /// The question's vectors.
    pub embed: f64,
    /// The index.
    pub search: f64,
    /// From the question to the model's first token; `null` where no model
    /// was asked.
    pub first_token: Option<f64>,
    /// From the question to the finished answer.
    pub total: f64,
}

/// Tokens, as OpenAI counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageBody {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// Both together.
    pub total_tokens: usize,
}

/// The body of `POST /api/v1/search`, and what `genie search --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchBody {
    /// What was looked for.
    pub query: String,
    /// ISO 639-1 code of the query's language.
    pub language: String,
    /// What was found, best first.
    pub passages: Vec<PassageBody>,
    /// Candidates that are not among them, by their places among all, and why
    /// they are not; where `explain` asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<Vec<LeftOutBody>>,
    /// How long each step took.
    pub timings_ms: SearchTimingsBody,
}

/// A candidate that is not among what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutBody {
    /// Why: `repeats`, `translates` or `joined` another chunk; `threshold`,
    /// `gap` or `top_k` were what cut it off.
    pub reason: String,
    /// The chunk that it repeats or translates, or was joined to.
    pub of: Option<ChunkPlaceBody>,
    /// The score that was needed, with `threshold` and `gap`.
    pub least: Option<f32>,
    /// The candidate.
    pub passage: PassageBody,
}

/// Where a chunk stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChunkPlaceBody {
    /// Path or URI as ingested.
    pub document: String,
    /// First character of the chunk in the document's text, from 0.
    pub start: usize,
    /// The character behind the chunk.
    pub end: usize,
}

/// Milliseconds of a search's steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchTimingsBody {
    /// The query's vectors.
    pub embed: f64,
    /// The index.
    pub search: f64,
}

impl From<&Answer> for AnswerBody {
    fn from(answer: &Answer) -> Self {
        Self {
            answer: answer.text.clone(),
            language: answer.language.code().to_owned(),
            answered: answer.answered,
            degraded: answer.degraded,
            confidence: answer.confidence,
            hand_over: answer.hand_over.as_ref().map(HandOverBody::from),
            citations: answer.citations.iter().map(CitationBody::from).collect(),
            passages: answer.passages.iter().map(PassageBody::from).collect(),
            model: answer.model.clone(),
            timings_ms: AnswerTimingsBody {
                embed: milliseconds(answer.timings.embed),
                search: milliseconds(answer.timings.search),
                first_token: answer.timings.first_token.map(milliseconds),
                total: milliseconds(answer.timings.total),
            },
            usage: answer.usage.into(),
        }
    }
}

impl From<&HandOver> for HandOverBody {
    fn from(HandOver { reason, contact }: &HandOver) -> Self {
        Self {
            reason: reason.as_str().to_owned(),
            contact: contact.clone(),
        }
    }
}

impl From<&Citation> for CitationBody {
    fn from(citation: &Citation) -> Self {
        Self {
            number: citation.number,
            document: citation.document.clone(),
            title: citation.title.clone(),
            page: citation.page,
            section: citation.section.clone(),
            start: citation.span.start(),
            end: citation.span.end(),
            quote: citation.quote.clone(),
        }
    }
}

impl From<&Passage> for PassageBody {
    fn from(passage: &Passage) -> Self {
        let chunk = &passage.hit.chunk;
        Self {
            document: passage.hit.document.uri.clone(),
            title: passage.hit.document.title.clone(),
            section: chunk.section_path(),
            page: chunk.page,
            score: passage.hit.score,
            similarity: passage.hit.similarity,
            language: chunk.language.map(|language| language.code().to_owned()),
            start: chunk.span.start(),
            end: chunk.span.end(),
            text: chunk.text.clone(),
            stages: None,
        }
    }
}

impl From<Stages> for StagesBody {
    fn from(stages: Stages) -> Self {
        Self {
            dense: stages.dense.into(),
            lexical: stages.lexical.map(StageBody::from),
            fused: stages.fused.into(),
            fusion: FusionBody {
                method: stages.fusion,
                dense: stages.shares.dense,
                lexical: stages.shares.lexical,
            },
            tokens: stages.tokens.map(StageBody::from),
            bonus: stages.bonus,
            foreign: stages.foreign,
            boost: stages
                .boost
                .map(|Boost { recency, authority }| BoostBody { recency, authority }),
            scored: Some(stages.scored.into()),
            judged: stages.judged.map(StageBody::from),
        }
    }
}

impl From<Stage> for StageBody {
    fn from(Stage { rank, score }: Stage) -> Self {
        Self { rank, score }
    }
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
        }
    }
}

impl SearchBody {
    /// The body for what `query` found.
    #[must_use]
    pub fn new(query: &str, outcome: &SearchOutcome) -> Self {
        Self {
            query: query.to_owned(),
            language: outcome.language.code().to_owned(),
            passages: outcome.passages.iter().map(with_stages).collect(),
            left_out: None,
            timings_ms: SearchTimingsBody {
                embed: milliseconds(outcome.embed),
                search: milliseconds(outcome.search),
            },
        }
    }

    /// The same with what was left out.
    #[must_use]
    pub fn explained(mut self, outcome: &SearchOutcome) -> Self {
        self.left_out = Some(outcome.left_out.iter().map(LeftOutBody::from).collect());
        self
    }
}

impl From<&LeftOut> for LeftOutBody {
    fn from(LeftOut { passage, reason }: &LeftOut) -> Self {
        let (of, least) = match reason {
            LeftOutReason::Repeats(place)
            | LeftOutReason::Translates(place)
            | LeftOutReason::Joined(place) => (Some(place.into()), None),
            LeftOutReason::Threshold(least) | LeftOutReason::Gap(least) => (None, Some(*least)),
            LeftOutReason::TopK => (None, None),
        };
        Self {
            reason: reason.as_str().to_owned(),
            of,
            least,
            passage: with_stages(passage),
        }
    }
}

impl From<&ChunkPlace> for ChunkPlaceBody {
    fn from(ChunkPlace { document, span }: &ChunkPlace) -> Self {
        Self {
            document: document.clone(),
            start: span.start(),
            end: span.end(),
        }
    }
}

fn with_stages(passage: &Passage) -> PassageBody {
    PassageBody {
        stages: Some(passage.stages.into()),
        ..PassageBody::from(passage)
    }
}

/// Rounded to microseconds: more digits say nothing and are hard to read.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_to_microseconds() {
        let body = milliseconds(Duration::from_nanos(12_345_678));
        assert_eq!(serde_json::json!(body).to_string(), "12.346");
    }
}
