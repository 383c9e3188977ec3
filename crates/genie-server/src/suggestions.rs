//! Questions that a conversation could go on with.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use genie_core::{Language, Span};
use genie_rag::{SeenPlace, SuggestRequest, Suggestion};
use genie_state::{Author, Message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::app::Service;
use crate::conversations::{IdPath, known};
use crate::documents::ApiQuery;
use crate::failure::Failure;
use crate::wire::AnswerBody;
use crate::work::with_engine;

const USUAL: usize = 3;
const MOST: usize = 10;
/// Messages that are looked at for what was asked before.
const LOOKED_AT: u32 = 20;

/// How many suggestions.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct HowMany {
    /// At most; 3 unless said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10))]
    limit: Option<usize>,
}

/// Questions that the documents answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SuggestionsBody {
    /// ISO 639-1 code of the conversation's language; `null` before the first
    /// answer.
    language: Option<String>,
    /// None where no section of the documents fits.
    results: Vec<SuggestionBody>,
}

/// A question that the documents answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SuggestionBody {
    question: String,
    /// Path or URI of the document that answers it.
    document: String,
    title: String,
    /// The section that does.
    section: String,
    /// Its page, where the format has pages.
    page: Option<u32>,
    /// Cosine of the question and the passage that was found.
    similarity: f32,
}

pub(crate) async fn suggest(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiQuery(query): ApiQuery<HowMany>,
) -> Result<Json<SuggestionsBody>, Failure> {
    let limit = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Failure::invalid(
            "limit",
            format!("is {limit}, but has to be from 1 to {MOST}"),
        ));
    }
    let owner = access.owner();
    let conversation = known(&service, &owner, &path).await?;
    let state = service.accounts()?;
    let messages = state
        .last_messages(&owner, &conversation.id, LOOKED_AT)
        .await?
        .unwrap_or_default();
    let Some(request) = request(&messages, limit) else {
        return Ok(Json(SuggestionsBody {
            language: None,
            results: Vec::new(),
        }));
    };
    let language = request.language.code().to_owned();
    let suggested = with_engine(&service, &access, move |engine| engine.suggest(&request))
        .await?
        .map_err(|error| Failure::of_engine(error, "conversation"))?;
    Ok(Json(SuggestionsBody {
        language: Some(language),
        results: suggested.into_iter().map(SuggestionBody::from).collect(),
    }))
}

/// What the latest answer says of where the conversation has been; `None`
/// before the first one.
fn request(messages: &[Message], limit: usize) -> Option<SuggestRequest> {
    let answer = messages.iter().rev().find_map(|message| {
        let body = message.answer.as_ref()?;
        // Kept by another version, perhaps: then there is nothing to go by.
        serde_json::from_str::<AnswerBody>(body).ok()
    })?;
    let cited = answer.citations.iter().map(|citation| {
        let place = (citation.document.as_str(), citation.start, citation.end);
        (place, true)
    });
    let found = answer.passages.iter().map(|passage| {
        let place = (passage.document.as_str(), passage.start, passage.end);
        (place, false)
    });
    let seen = cited.chain(found).filter_map(|((uri, start, end), cited)| {
        Some(SeenPlace {
            uri: uri.to_owned(),
            span: Span::new(start, end)?,
            cited,
        })
    });
    let asked = messages
        .iter()
        .filter(|message| message.author == Author::Person);
    Some(SuggestRequest {
        language: answer.language.parse::<Language>().ok()?,
        seen: seen.collect(),
        asked: asked.map(|message| message.text.clone()).collect(),
        limit,
    })
}

impl From<Suggestion> for SuggestionBody {
    fn from(suggestion: Suggestion) -> Self {
        Self {
            question: suggestion.question,
            document: suggestion.document.uri,
            title: suggestion.document.title,
            section: suggestion.section.join(" › "),
            page: suggestion.page,
            similarity: suggestion.similarity,
        }
    }
}
