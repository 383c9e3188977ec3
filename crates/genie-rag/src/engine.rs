//! The answering pipeline, step by step.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use genie_core::{
    Answer, AnswerConfig, AnswerTimings, Citation, Cut, Date, Embed, Formed, Generate,
    HandOverConfig, HybridQuery, Language, LateInteraction, Lexical, Passage, RetrievalConfig,
    SparseVector, Store, TextRole, TokenVectors, Usage,
};
use genie_ingest::LanguageDetector;

use crate::candidates::candidates_of;
use crate::confidence::{confidence, handed_over};
use crate::context::{Comparison, Packed, excerpts, pack};
use crate::draft::{Draft, Drafting};
use crate::formed::Forming;
use crate::left_out::{LeftOut, Sifted};
use crate::phrases;
use crate::question::{AnswerEvent, Question, RagError, SearchRequest};
use crate::quote::quoted_answer;
use crate::rank::Ranking;

/// The longest question, in characters: about four pages.
const LONGEST_QUESTION: usize = 8_000;

/// What the pipeline is made of.
pub struct EngineParts {
    /// Dense vectors of questions and sentences.
    pub embed: Arc<dyn Embed>,
    /// Lexical vectors of questions.
    pub lexical: Arc<dyn Lexical>,
    /// Compares questions with passages token by token; `None` leaves them in
    /// the order of the hybrid query.
    pub tokens: Option<Arc<dyn LateInteraction>>,
    /// The index.
    pub store: Arc<dyn Store>,
    /// The language model; without one answers are quoted passages.
    pub generate: Option<Arc<dyn Generate>>,
    /// How passages are found.
    pub retrieval: RetrievalConfig,
    /// How answers are made.
    pub answer: AnswerConfig,
}

/// Answers questions from an index. Every call blocks until it is done.
pub struct Engine {
    parts: EngineParts,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchOutcome {
    /// The query's language.
    pub language: Language,
    /// Best first.
    pub passages: Vec<Passage>,
    /// The other candidates, by their places among all, and why they are not
    /// among the passages.
    pub left_out: Vec<LeftOut>,
    /// The best cosine of any candidate's dense vector; `None` where nothing
    /// was found.
    pub best_similarity: Option<f32>,
    /// Time for the query's vectors.
    pub embed: Duration,
    /// Time in the index and for the final order.
    pub search: Duration,
}

impl Engine {
    /// An engine of these parts.
    #[must_use]
    pub const fn new(parts: EngineParts) -> Self {
        Self { parts }
    }

    /// How passages are found.
    pub(crate) const fn retrieval(&self) -> &RetrievalConfig {
        &self.parts.retrieval
    }

    /// The index.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    /// The embedding model.
    #[must_use]
    pub fn embed(&self) -> &dyn Embed {
        &*self.parts.embed
    }

    /// What compares questions with passages token by token, if anything.
    pub(crate) fn late(&self) -> Option<&dyn LateInteraction> {
        self.parts.tokens.as_deref()
    }

    /// The language model, if there is one.
    #[must_use]
    pub fn generate(&self) -> Option<&dyn Generate> {
        self.parts.generate.as_deref()
    }

    /// The passages closest to a query.
    ///
    /// # Errors
    ///
    /// Fails when the query is empty or too long, and when the embedding
    /// model or the index does.
    #[tracing::instrument(skip_all)]
    pub fn search(&self, request: SearchRequest) -> Result<SearchOutcome, RagError> {
        self.search_with(request, &self.parts.retrieval)
    }

    /// Whether a search for `more` passages begins with those that one for
    /// `fewer` gives. It does where each passage is judged by itself, which
    /// cuts, the language model and the joining of neighbours don't.
    #[must_use]
    pub fn begins_alike(&self, fewer: usize, more: usize) -> bool {
        let retrieval = &self.parts.retrieval;
        let rerank = &retrieval.rerank;
        fewer.max(more) <= retrieval.candidates
            && rerank.cut == Cut::Fixed
            && !rerank.merge_neighbours
            && rerank.judged == 0
    }

    /// The same with another configuration of retrieval than the engine's,
    /// for comparing them. What the index was made with stays as it is.
    ///
    /// # Errors
    ///
    /// As [`Self::search`].
    pub fn search_with(
        &self,
        request: SearchRequest,
        retrieval: &RetrievalConfig,
    ) -> Result<SearchOutcome, RagError> {
        let query = checked(&request.query)?;
        let understood = Understood {
            language: self.language_of(query, request.language),
            asked_in: request.language.or_else(|| self.detect(query)),
            search_text: query.to_owned(),
            filter: request.filter,
        };
        let limit = request.limit.unwrap_or(retrieval.top_k);
        self.retrieve(understood, limit, retrieval)
    }

    /// Tokens that an answer has at most, unless its question says otherwise.
    #[must_use]
    pub fn most_tokens(&self) -> usize {
        self.parts.answer.max_tokens
    }

    /// Tokens of passages in the prompt of an answer at most.
    #[must_use]
    pub fn context_tokens(&self) -> usize {
        self.parts.answer.context_tokens
    }

    /// Answers a question, telling on the way which passages are used and
    /// each verified sentence as it is written.
    ///
    /// # Errors
    ///
    /// Fails when the question is empty or too long, when a model or the
    /// index fails, and with [`RagError::Cancelled`] when `on_event` breaks.
    #[tracing::instrument(skip_all)]
    pub fn answer(
        &self,
        question: Question,
        on_event: &mut dyn FnMut(AnswerEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Answer, RagError> {
        let started = Instant::now();
        let text = checked(&question.text)?.to_owned();
        if let Some(form) = &question.form {
            // Said before anything is looked for.
            match self.generate() {
                Some(generate) => generate.check(form)?,
                None => return Err(RagError::FormWithoutModel),
            }
        }
        let language = self.language_of(&text, question.language);
        let search_text = question.search_text();
        let understood = Understood {
            language,
            // The answer may be wanted in another one.
            asked_in: self.detect(&search_text),
            search_text,
            filter: question.filter.clone(),
        };
        let limit = question.top_k.unwrap_or(self.parts.retrieval.top_k);
        let retrieved = self.retrieve(understood, limit, &self.parts.retrieval)?;
        tell(on_event, AnswerEvent::Sources(&retrieved.passages))?;

        let mut finish = Finish {
            started,
            retrieved: &retrieved,
            language,
            hand_over: &self.parts.answer.hand_over,
            model: None,
            first_token: None,
            usage: Usage::default(),
        };
        let Some(best) = retrieved.best_similarity else {
            return finish.abstain(phrases::nothing_indexed(language), on_event);
        };
        if best < self.parts.retrieval.min_similarity {
            tracing::debug!(best, "no passage is close enough to the question");
            return finish.abstain(phrases::not_covered(language), on_event);
        }
        let Some(generate) = self.parts.generate.as_deref() else {
            let (text, citations) =
                quoted_answer(&text, language, &retrieved.passages, self.embed())?;
            tell(on_event, AnswerEvent::Delta(&text))?;
            return Ok(finish.answer(Outcome {
                text,
                citations,
                answered: true,
                degraded: true,
                confidence: None,
                formed: None,
            }));
        };
        let comparison = Comparison {
            late: self.parts.tokens.as_deref(),
            embed: self.embed(),
        };
        let AnswerConfig {
            context_tokens: budget,
            sentences,
            style,
            ..
        } = self.parts.answer;
        let passages = &retrieved.passages;
        let packed = match sentences {
            0 => pack(passages, budget, generate, comparison)?,
            count => {
                let asked = &question.search_text();
                excerpts(passages, asked, count, budget, generate, comparison)?
            }
        };
        finish.model = Some(generate.model().name.clone());
        let max_tokens = question.max_tokens.unwrap_or(self.parts.answer.max_tokens);
        let drafting = Drafting {
            question: &question,
            text: &text,
            language,
            packed,
            generate,
            embed: self.embed(),
            comparison,
            max_tokens,
            style,
        };
        let asked = Instant::now();
        let Draft {
            text,
            citations,
            usage,
            first_token,
            least_odds,
            ..
        } = match question.form {
            None => drafting.write(&mut |piece| on_event(AnswerEvent::Delta(piece)))?,
            // Nothing of it is shown, but whoever left is noticed.
            Some(_) => drafting.write(&mut |_| on_event(AnswerEvent::Delta("")))?,
        };
        finish.usage = usage;
        finish.first_token = first_token.map(|wait| (asked - started) + wait);
        if citations.is_empty() {
            return finish.abstain(phrases::not_covered(language), on_event);
        }
        let mut formed = None;
        if let Some(form) = &question.form {
            let forming = Forming {
                question: &question,
                form,
                answer: &text,
                citations: &citations,
                generate,
                max_tokens,
            };
            let (written, usage) =
                forming.write(&mut |piece| on_event(AnswerEvent::Delta(piece)))?;
            finish.usage.prompt_tokens += usage.prompt_tokens;
            finish.usage.completion_tokens += usage.completion_tokens;
            tell(on_event, AnswerEvent::Delta(&written.text))?;
            formed = Some(written);
        }
        Ok(finish.answer(Outcome {
            text,
            citations,
            answered: true,
            degraded: false,
            confidence: Some(confidence(least_odds)),
            formed,
        }))
    }

    #[tracing::instrument(skip_all)]
    fn retrieve(
        &self,
        understood: Understood,
        limit: usize,
        retrieval: &RetrievalConfig,
    ) -> Result<SearchOutcome, RagError> {
        let started = Instant::now();
        let Understood {
            language,
            asked_in,
            search_text,
            filter,
        } = understood;
        let late = self
            .parts
            .tokens
            .as_deref()
            .filter(|_| retrieval.rerank.tokens);
        let (dense, tokens) = self.vectors(&search_text, late)?;
        let lexical = if retrieval.weights.lexical > 0.0 {
            let role = TextRole::Query;
            self.parts
                .lexical
                .lexical(role, &search_text, Some(language))
        } else {
            SparseVector::default()
        };
        let embed = started.elapsed();
        let candidates = retrieval.candidates.max(limit);
        let query = HybridQuery {
            dense,
            lexical,
            filter,
            fusion: retrieval.fusion,
            weights: retrieval.weights,
            candidates,
            // All of them: the final order is made here.
            limit: candidates,
            with_tokens: late.is_some(),
        };
        let find = || candidates_of(self.parts.store.as_ref(), &query, asked_in);
        let hits = tracing::info_span!("find").in_scope(find)?;
        let best_similarity = hits.iter().map(|hit| hit.similarity).reduce(f32::max);
        let ranking = Ranking {
            query: &search_text,
            language,
            asked_in,
            today: Date::of(SystemTime::now()),
            fusion: retrieval.fusion,
            comparison: late.zip(tokens.as_ref()),
            generate: self.generate(),
            config: &retrieval.rerank,
            limit,
        };
        let Sifted { kept, left_out } = tracing::info_span!("rank").in_scope(|| ranking.of(hits));
        Ok(SearchOutcome {
            language,
            passages: kept,
            left_out,
            best_similarity,
            embed,
            search: started.elapsed() - embed,
        })
    }

    fn language_of(&self, text: &str, wanted: Option<Language>) -> Language {
        wanted
            .or_else(|| self.detect(text))
            .unwrap_or(Language::English)
    }

    fn detect(&self, text: &str) -> Option<Language> {
        LanguageDetector.detect_among(text, &self.parts.answer.languages)
    }

    #[tracing::instrument(name = "embed", skip_all)]
    pub(crate) fn vectors(
        &self,
        text: &str,
        late: Option<&dyn LateInteraction>,
    ) -> Result<(Vec<f32>, Option<TokenVectors>), RagError> {
        if let Some(late) = late {
            let (whole, tokens) = late.query(text)?;
            return Ok((whole.vector, Some(tokens)));
        }
        let texts = [text.to_owned()];
        let mut embeddings = self.parts.embed.embed(TextRole::Query, &texts)?;
        let whole = embeddings.pop().map(|embedding| embedding.vector);
        Ok((whole.unwrap_or_default(), None))
    }
}

/// A question ready for retrieval.
struct Understood {
    /// The one to answer in.
    language: Language,
    /// The one that it is asked in, where that is known.
    asked_in: Option<Language>,
    search_text: String,
    filter: genie_core::Filter,
}

struct Outcome {
    text: String,
    citations: Vec<Citation>,
    answered: bool,
    degraded: bool,
    confidence: Option<f32>,
    formed: Option<Formed>,
}

/// What every answer has, whichever way it ends.
struct Finish<'a> {
    started: Instant,
    retrieved: &'a SearchOutcome,
    language: Language,
    hand_over: &'a HandOverConfig,
    model: Option<String>,
    first_token: Option<Duration>,
    usage: Usage,
}

impl Finish<'_> {
    fn abstain(
        self,
        text: &str,
        on_event: &mut dyn FnMut(AnswerEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Answer, RagError> {
        tell(on_event, AnswerEvent::Delta(text))?;
        Ok(self.answer(Outcome {
            text: text.to_owned(),
            citations: Vec::new(),
            answered: false,
            degraded: false,
            confidence: None,
            formed: None,
        }))
    }

    fn answer(self, outcome: Outcome) -> Answer {
        let Outcome {
            answered,
            confidence,
            ..
        } = outcome;
        Answer {
            text: outcome.text,
            language: self.language,
            answered,
            degraded: outcome.degraded,
            confidence,
            hand_over: handed_over(self.hand_over, answered, confidence),
            citations: outcome.citations,
            passages: self.retrieved.passages.clone(),
            model: self.model,
            timings: AnswerTimings {
                embed: self.retrieved.embed,
                search: self.retrieved.search,
                first_token: self.first_token,
                total: self.started.elapsed(),
            },
            usage: self.usage,
            formed: outcome.formed,
        }
    }
}

pub(crate) fn checked(text: &str) -> Result<&str, RagError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(RagError::EmptyQuestion);
    }
    let length = text.chars().count();
    if length > LONGEST_QUESTION {
        return Err(RagError::QuestionTooLong {
            length,
            limit: LONGEST_QUESTION,
        });
    }
    Ok(text)
}

fn tell(
    on_event: &mut dyn FnMut(AnswerEvent<'_>) -> ControlFlow<()>,
    event: AnswerEvent<'_>,
) -> Result<(), RagError> {
    match on_event(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(RagError::Cancelled),
    }
}

/// Used by the steps that only know pieces of text.
pub(crate) type OnText<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;

/// The packed context travels between the steps by value.
pub(crate) type Context<'a> = Packed<'a>;
