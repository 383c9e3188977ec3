//! Follow-up questions that the documents answer.
//!
//! Nothing is made up: what is suggested are sections of the documents that a
//! conversation has been at, asked about by their headings, and only those
//! that retrieval finds when it is asked so.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use genie_core::{Chunk, DocumentRecord, Filter, Language, RerankConfig, RetrievalConfig, Span};
use genie_ingest::parts;

use crate::engine::Engine;
use crate::phrases;
use crate::question::{RagError, SearchRequest};

/// Documents that are looked into, those of the best passages first.
const MOST_DOCUMENTS: usize = 3;
/// Questions that are tried.
const MOST_TRIES: usize = 12;
/// After this time what is there is what there is: people wait for it.
const LONGEST: Duration = Duration::from_millis(1500);
/// Characters of a heading that still is one.
const HEADING: std::ops::RangeInclusive<usize> = 2..=120;
/// What the chunker puts between sections that share a passage and nothing
/// else.
const JOINT: &str = " / ";
/// Passages looked at to see whether a question is answered.
const LOOKED_AT: usize = 3;

/// Where a conversation has been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPlace {
    /// The document, as it was ingested.
    pub uri: String,
    /// The place in its text.
    pub span: Span,
    /// Whether an answer was taken from there.
    pub cited: bool,
}

/// What suggestions are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestRequest {
    /// The language of the conversation.
    pub language: Language,
    /// Where it has been, the most important place first.
    pub seen: Vec<SeenPlace>,
    /// What was asked before.
    pub asked: Vec<String>,
    /// Suggestions wanted at most.
    pub limit: usize,
}

/// A question that the documents answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// The question.
    pub question: String,
    /// The document that answers it.
    pub document: DocumentRecord,
    /// The section that does.
    pub section: Vec<String>,
    /// Its page, where the format has pages.
    pub page: Option<u32>,
    /// Cosine of the question and the passage that was found.
    pub similarity: f32,
}

impl Engine {
    /// Questions to go on with. None where no section fits; that is no
    /// failure.
    ///
    /// # Errors
    ///
    /// Fails when the embedding model or the index does.
    #[tracing::instrument(skip_all)]
    pub fn suggest(&self, request: &SuggestRequest) -> Result<Vec<Suggestion>, RagError> {
        let until = Instant::now() + LONGEST;
        let mut asked: HashSet<String> = request.asked.iter().map(|text| plain(text)).collect();
        let retrieval = RetrievalConfig {
            rerank: RerankConfig {
                // The language model has better things to do.
                judged: 0,
                ..self.retrieval().rerank.clone()
            },
            ..self.retrieval().clone()
        };
        let mut suggestions = Vec::new();
        for topic in self.topics(request)?.into_iter().take(MOST_TRIES) {
            if suggestions.len() >= request.limit || Instant::now() >= until {
                break;
            }
            let question = topic.question(request.language);
            if !asked.insert(plain(&question)) {
                continue;
            }
            let found = self.search_with(
                SearchRequest {
                    query: question.clone(),
                    language: Some(request.language),
                    filter: Filter::default(),
                    limit: Some(LOOKED_AT),
                },
                &retrieval,
            )?;
            let Some(best) = found.passages.first() else {
                continue;
            };
            let is_covered = best.hit.similarity >= retrieval.min_similarity;
            if is_covered && topic.is_answered_by(&best.hit.chunk) {
                suggestions.push(Suggestion {
                    question,
                    similarity: best.hit.similarity,
                    document: topic.document,
                    section: topic.section,
                    page: topic.page,
                });
            }
        }
        Ok(suggestions)
    }

    /// Sections that were not answered from, those next to where the
    /// conversation has been first, and of those that share a passage one
    /// before the others.
    fn topics(&self, request: &SuggestRequest) -> Result<Vec<Topic>, RagError> {
        let mut uris: Vec<&str> = Vec::new();
        for place in &request.seen {
            if !uris.contains(&place.uri.as_str()) {
                uris.push(&place.uri);
            }
        }
        let mut topics = Vec::new();
        for (rank, uri) in uris.into_iter().take(MOST_DOCUMENTS).enumerate() {
            // Gone since, or replaced: then its places are not these.
            let Some(document) = self.store().documents_from(uri)?.pop() else {
                continue;
            };
            let chunks = self.store().chunks(&document.id)?;
            let seen = request.seen.iter().filter(|place| place.uri == uri);
            topics.extend(sections(&document, &chunks, seen, request.language, rank));
        }
        // A document's own order among those that are as near.
        topics.sort_by_key(|topic: &Topic| (topic.turn, topic.distance, topic.rank));
        Ok(topics)
    }
}

/// A section that could be asked about.
struct Topic {
    document: DocumentRecord,
    section: Vec<String>,
    heading: String,
    page: Option<u32>,
    /// Where it is, in the document's text, if it shares its passage with
    /// others.
    place: Option<Span>,
    /// How many of those that share its passage come before it.
    turn: usize,
    /// Passages between it and the nearest place that was seen.
    distance: usize,
    /// The place of its document.
    rank: usize,
}

impl Topic {
    fn question(&self, language: Language) -> String {
        if self.heading.ends_with(['?', '？', '؟']) {
            return self.heading.clone();
        }
        phrases::about(language, self.document.title.trim(), &self.heading)
    }

    fn is_answered_by(&self, chunk: &Chunk) -> bool {
        let is_its_own = match &self.place {
            Some(place) => chunk.span.start() <= place.start() && place.start() < chunk.span.end(),
            None => chunk.section == self.section,
        };
        chunk.document == self.document.id && is_its_own
    }
}

fn sections<'a>(
    document: &DocumentRecord,
    chunks: &[Chunk],
    seen: impl Iterator<Item = &'a SeenPlace>,
    language: Language,
    rank: usize,
) -> Vec<Topic> {
    let seen: Vec<&SeenPlace> = seen.collect();
    let mut places = Vec::new();
    let mut cited: HashSet<&[String]> = HashSet::new();
    for place in &seen {
        for (at, chunk) in chunks.iter().enumerate() {
            if overlap(&chunk.span, &place.span) {
                places.push(at);
                if place.cited {
                    cited.insert(&chunk.section);
                }
            }
        }
    }
    let mut known: HashSet<Vec<String>> = HashSet::new();
    let mut topics = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        if chunk.language != Some(language) {
            continue;
        }
        let distance = places.iter().map(|place| place.abs_diff(at)).min();
        let mut turn = 0;
        let mut add = |section: Vec<String>, place: Option<Span>| {
            let Some(heading) = section.last().and_then(|text| heading(text)) else {
                return;
            };
            // A document that is one section has nothing else to ask about.
            if plain(heading) == plain(&document.title) || !known.insert(section.clone()) {
                return;
            }
            topics.push(Topic {
                document: document.clone(),
                heading: heading.to_owned(),
                section,
                page: chunk.page,
                place,
                turn,
                distance: distance.unwrap_or(chunks.len()),
                rank,
            });
            turn += 1;
        };
        let inside = parts(document.media_type, &chunk.text);
        let is_joint = is_joint(
            chunk,
            inside.iter().filter_map(|part| part.headings.first()),
        );
        if !is_joint && !cited.contains(chunk.section.as_slice()) {
            add(chunk.section.clone(), None);
        }
        for part in inside {
            let place = part.span.shift(chunk.span.start());
            let is_cited = |seen: &&SeenPlace| seen.cited && overlap(&seen.span, &place);
            if seen.iter().any(is_cited) {
                continue;
            }
            let above: &[String] = if is_joint { &[] } else { &chunk.section };
            add([above, part.headings.as_slice()].concat(), Some(place));
        }
    }
    topics
}

fn overlap(one: &Span, other: &Span) -> bool {
    one.start() < other.end() && other.start() < one.end()
}

/// Whether the section of a passage is only a list of these headings in it,
/// which nothing stands above.
fn is_joint<'a>(chunk: &Chunk, mut headings: impl Iterator<Item = &'a String>) -> bool {
    match chunk.section.as_slice() {
        [joint] if joint.contains(JOINT) => {
            headings.any(|heading| joint.split(JOINT).any(|name| name == heading))
        }
        _ => false,
    }
}

/// The heading, if it says anything.
fn heading(text: &str) -> Option<&str> {
    let text = text.trim().trim_end_matches([':', '.', '：', '。']).trim();
    let says_something = text.chars().any(char::is_alphabetic);
    (HEADING.contains(&text.chars().count()) && says_something).then_some(text)
}

/// For comparing: letters and digits in lower case.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
#[path = "suggest_tests.rs"]
mod tests;
