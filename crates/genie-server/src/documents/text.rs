//! The text of a document as the index holds it: what answers quote from.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_core::Chunk;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::content::encoded;
use super::{ApiQuery, DocumentPath, known_form, no_such_document};
use crate::access::Access;
use crate::app::Service;
use crate::failure::Failure;
use crate::paging::{PageBody, Paging};
use crate::work::with_engine;

/// A piece of a document's text.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PassageTextBody {
    /// The page it begins on, where the format has pages.
    page: Option<u32>,
    /// Headings above it, outermost first.
    section: Vec<String>,
    /// ISO 639-1 code, where it is in one of the six languages.
    language: Option<String>,
    /// First character of it in the document's text, from 0.
    start: usize,
    /// The character behind it.
    end: usize,
    /// Verbatim.
    text: String,
}

/// A page of a document.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PageTextBody {
    page: u32,
    /// The last page that text begins on.
    pages: u32,
    /// What begins on the page, in order.
    passages: Vec<PassageTextBody>,
}

/// Which part of a document.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct TextQuery {
    /// Counted from 1.
    #[serde(default, rename = "page")]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    _page: Option<u64>,
    /// Passages on a page, 50 unless said.
    #[serde(default, rename = "pageSize")]
    #[schemars(range(min = 1, max = 1000))]
    _page_size: Option<u64>,
    /// Only below this heading, written as in citations: `A › B`.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    section: Option<String>,
}

/// The part of a path that names a page of a document.
#[derive(Debug, Deserialize)]
pub(crate) struct PagePath {
    id: String,
    page: String,
}

/// All of it, or a section, in pieces.
pub(crate) async fn text(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
    ApiQuery(query): ApiQuery<TextQuery>,
    paging: Paging,
) -> Result<Json<PageBody<PassageTextBody>>, Failure> {
    let chunks = chunks(&service, &access, &path.id).await?;
    let wanted = |chunk: &&Chunk| {
        query.section.as_ref().is_none_or(|section| {
            let rest = chunk.section_path();
            let rest = rest.strip_prefix(section.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" › "))
        })
    };
    let chosen: Vec<&Chunk> = chunks.iter().filter(wanted).collect();
    if chosen.is_empty() && query.section.is_some() {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            "section_not_found",
            "the document has no section with this heading; its text without `section` names them",
        ));
    }
    let paging = match &query.section {
        Some(section) => paging.keeping("section", &encoded(section)),
        None => paging,
    };
    let (before, size) = paging.window();
    let shown = chosen.iter().skip(before).take(size);
    let shown = shown.map(|chunk| PassageTextBody::from(*chunk)).collect();
    Ok(Json(paging.body_of(chosen.len() as u64, shown)))
}

/// One page of it.
pub(crate) async fn page(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<PagePath>,
) -> Result<Json<PageTextBody>, Failure> {
    let chunks = chunks(&service, &access, &path.id).await?;
    let pages = chunks.iter().filter_map(|chunk| chunk.page).max();
    let Some(pages) = pages else {
        return Err(no_such_page(
            "the document's format has no pages; its text is at `/text`".to_owned(),
        ));
    };
    let wanted = path.page.parse::<u32>().ok();
    let wanted = wanted.filter(|page| (1..=pages).contains(page));
    let Some(page) = wanted else {
        return Err(no_such_page(format!(
            "the document has pages from 1 to {pages}"
        )));
    };
    let on_it = chunks.iter().filter(|chunk| chunk.page == Some(page));
    Ok(Json(PageTextBody {
        page,
        pages,
        passages: on_it.map(PassageTextBody::from).collect(),
    }))
}

/// The passages of a document that is there.
async fn chunks(service: &Arc<Service>, access: &Access, id: &str) -> Result<Vec<Chunk>, Failure> {
    let id = known_form(id)?;
    with_engine(service, access, move |engine| {
        let store = engine.store();
        match store.document(&id)? {
            Some(_) => store.chunks(&id).map(Some),
            None => Ok(None),
        }
    })
    .await??
    .ok_or_else(no_such_document)
}

fn no_such_page(message: String) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "page_not_found", message)
}

impl From<&Chunk> for PassageTextBody {
    fn from(chunk: &Chunk) -> Self {
        Self {
            page: chunk.page,
            section: chunk.section.clone(),
            language: chunk.language.map(|language| language.code().to_owned()),
            start: chunk.span.start(),
            end: chunk.span.end(),
            text: chunk.text.clone(),
        }
    }
}
