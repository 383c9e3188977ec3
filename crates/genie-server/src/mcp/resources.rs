//! Documents as resources: listed in pages, read as text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use genie_core::{DocumentId, DocumentRecord};
use rmcp::ErrorData;
use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate,
};

use super::server::{Asked, refused};
use super::text::one_line;
use crate::access::Permission;
use crate::failure::Failure;
use crate::reading::{Place, stretch};
use crate::work::with_engine;

const SCHEME: &str = "genie://documents/";
const PAGE: usize = 100;
/// Characters of a resource at most: about a hundred pages. Longer documents
/// are read in stretches, by the tool for it.
const LONGEST: usize = 200_000;

/// The address of a document.
pub(super) fn uri(id: &DocumentId) -> String {
    format!("{SCHEME}{id}")
}

pub(super) fn templates() -> ListResourceTemplatesResult {
    let template = ResourceTemplate::new(format!("{SCHEME}{{id}}"), "document")
        .with_title("Document")
        .with_description("The text that the index holds of a document, by its id.")
        .with_mime_type("text/plain");
    ListResourceTemplatesResult::with_all_items(vec![template])
}

pub(super) async fn list(
    asked: Asked,
    cursor: Option<String>,
) -> Result<ListResourcesResult, ErrorData> {
    let after = cursor.as_deref().map(position).transpose()?;
    let mut documents = documents(&asked)
        .await
        .map_err(|failure| refused(&failure))?;
    if let Some(after) = &after {
        documents.retain(|record| place(record) > *after);
    }
    let has_more = documents.len() > PAGE;
    documents.truncate(PAGE);
    let next_cursor = documents.last().filter(|_| has_more).map(|last| {
        let (uri, id) = place(last);
        URL_SAFE_NO_PAD.encode(format!("{id}{uri}"))
    });
    let resources = documents.iter().map(resource).collect();
    Ok(ListResourcesResult {
        next_cursor,
        ..ListResourcesResult::with_all_items(resources)
    })
}

pub(super) async fn read(asked: Asked, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let unknown = || ErrorData::resource_not_found("there is no document at this address", None);
    let id: DocumentId = uri
        .strip_prefix(SCHEME)
        .and_then(|id| id.parse().ok())
        .ok_or_else(unknown)?;
    let failed = |failure: Failure| refused(&failure);
    asked
        .access
        .needs(Permission::ReadDocuments)
        .map_err(failed)?;
    let chunks = with_engine(&asked.service, &asked.access, move |engine| {
        let known = engine.store().document(&id)?.is_some();
        known.then(|| engine.store().chunks(&id)).transpose()
    })
    .await
    .and_then(|read| read.map_err(Failure::from))
    .map_err(failed)?
    .ok_or_else(unknown)?;
    let (text, next) = match stretch(&chunks, Place::Character(0), LONGEST) {
        Some(stretch) => (stretch.text, stretch.next),
        None => (String::new(), None),
    };
    let mut contents = vec![ResourceContents::text(text, uri)];
    if let Some(next) = next {
        let more =
            format!("[The document goes on; read_document with the offset {next} reads further.]");
        contents.push(ResourceContents::text(more, uri));
    }
    Ok(ReadResourceResult::new(contents))
}

async fn documents(asked: &Asked) -> Result<Vec<DocumentRecord>, Failure> {
    asked.access.needs(Permission::ReadDocuments)?;
    let mut held = with_engine(&asked.service, &asked.access, |engine| {
        engine.store().documents()
    })
    .await??;
    // By address alone two versions of a document have no order.
    held.sort_by_key(place);
    Ok(held)
}

/// Where a document stands in the list. Documents that come or go between two
/// pages move no other one.
fn place(record: &DocumentRecord) -> (String, DocumentId) {
    (record.uri.clone(), record.id)
}

fn position(cursor: &str) -> Result<(String, DocumentId), ErrorData> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        // The id has always as many digits.
        let (id, uri) = text.split_at_checked(64)?;
        Some((uri.to_owned(), id.parse().ok()?))
    };
    read().ok_or_else(|| ErrorData::invalid_params("the cursor is none of this server's", None))
}

fn resource(record: &DocumentRecord) -> Resource {
    let mut described = format!("{} passages", record.chunks);
    if let Some(language) = record.language {
        described.push_str(&format!(", language {}", language.code()));
    }
    if let Some(date) = record.date {
        described.push_str(&format!(", of {date}"));
    }
    Resource::new(uri(&record.id), one_line(&record.uri))
        .with_title(one_line(&record.title))
        .with_description(described)
        .with_mime_type("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_is_refused() {
        let id = DocumentId::of(b"a");
        let cursor = URL_SAFE_NO_PAD.encode(format!("{id}fr/câble.md"));
        assert_eq!(
            position(&cursor).expect("a cursor"),
            ("fr/câble.md".to_owned(), id)
        );
        for foreign in ["", "1", "é", "%%%", &URL_SAFE_NO_PAD.encode("short")] {
            assert!(position(foreign).is_err(), "{foreign:?}");
        }
    }
}
