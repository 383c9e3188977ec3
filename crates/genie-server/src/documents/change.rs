//! What is said of a document, changed; the document, indexed anew.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_core::DocumentRecord;
use schemars::JsonSchema;
use serde::Deserialize;

use super::content::not_kept;
use super::jobs::Again;
use super::{DocumentBody, DocumentPath, known_form, no_indexer, no_such_document};
use crate::access::{Access, Done};
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::{LINE, Label};
use crate::failure::Failure;
use crate::jobs::{DOCUMENT_REINDEX, JobBody, Lane, Wanted, as_payload, enqueue};
use crate::watch::Watch;
use crate::work::blocking;

const LONGEST_TITLE: usize = 300;
const MOST_LABELS: usize = 32;
const LONGEST_LABEL: usize = 100;

/// What is said of a document; what is missing stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeBody {
    #[serde(default)]
    #[schemars(length(min = 1, max = 300), regex(path = "LINE"))]
    title: Option<String>,
    /// All labels, such as `infrastructure/fibre`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Label>>", length(max = 32))]
    labels: Option<Vec<String>>,
}

/// Titles are embedded with every passage, so this takes as long as indexing
/// the document did.
pub(crate) async fn change(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
    ApiJson(body): ApiJson<ChangeBody>,
) -> Result<Json<DocumentBody>, Failure> {
    let id = known_form(&path.id)?;
    let change = body.checked()?;
    let permit = service.admit_document()?;
    let opened = access.open(&service).await?;
    let sink = opened.indexer.clone().ok_or_else(no_indexer)?;
    let changed = blocking(&service, permit, move |_| {
        let store = opened.engine.store();
        let before = store.document(&id)?.ok_or_else(no_such_document)?;
        let after = change.applied_to(&before);
        if after != before {
            sink.revise(&after, &Watch::default())
                .map_err(Failure::from)?
                .ok_or_else(no_such_document)?;
        }
        Ok::<_, Failure>(after)
    })
    .await??;
    if let Some(accounts) = &service.state.accounts {
        access
            .record(&accounts.state, Done::to("document.change", id))
            .await?;
    }
    Ok(Json(DocumentBody::from(&changed)))
}

/// Queues the indexing of what is kept of a document.
pub(crate) async fn reindex(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
) -> Result<(StatusCode, Json<JobBody>), Failure> {
    let id = known_form(&path.id)?;
    let state = service.accounts()?;
    let opened = access.open(&service).await?;
    if opened.indexer.is_none() {
        return Err(no_indexer());
    }
    tokio::task::spawn_blocking(move || {
        let known = opened.engine.store().document(&id)?;
        known.ok_or_else(no_such_document)?;
        let kept = match &opened.originals {
            Some(originals) => originals.has(&id)?,
            None => false,
        };
        if kept { Ok(()) } else { Err(not_kept()) }
    })
    .await
    .map_err(|_| Failure::internal())??;
    let wanted = Wanted {
        kind: DOCUMENT_REINDEX,
        lane: Lane::Documents,
        content: id.to_string(),
        payload: as_payload(&Again {
            document: id.to_string(),
        })?,
    };
    let job = enqueue(&service, &access, wanted).await?;
    access
        .record(state, Done::to("document.reindex", id))
        .await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// A change that can be made.
struct Change {
    title: Option<String>,
    labels: Option<Vec<String>>,
}

impl Change {
    fn applied_to(self, record: &DocumentRecord) -> DocumentRecord {
        DocumentRecord {
            title: self.title.unwrap_or_else(|| record.title.clone()),
            labels: self.labels.unwrap_or_else(|| record.labels.clone()),
            ..record.clone()
        }
    }
}

impl ChangeBody {
    fn checked(self) -> Result<Change, Failure> {
        if self.title.is_none() && self.labels.is_none() {
            return Err(Failure::senseless(
                "title",
                "has to be given where there are no labels",
            ));
        }
        let title = self.title.map(|title| title.trim().to_owned());
        if title
            .as_ref()
            .is_some_and(|title| !is_sound(title, LONGEST_TITLE))
        {
            return Err(Failure::invalid(
                "title",
                format!(
                    "has to have from 1 to {LONGEST_TITLE} characters, none of them a control \
                     character"
                ),
            ));
        }
        let labels = self.labels.map(checked_labels).transpose()?;
        Ok(Change { title, labels })
    }
}

/// Each once, in the order in which they are given.
fn checked_labels(given: Vec<String>) -> Result<Vec<String>, Failure> {
    if given.len() > MOST_LABELS {
        return Err(Failure::invalid(
            "labels",
            format!(
                "has {} entries, but at most {MOST_LABELS} are accepted",
                given.len()
            ),
        ));
    }
    let mut labels: Vec<String> = Vec::with_capacity(given.len());
    for label in given {
        let is_whole = label.split('/').all(|part| !part.trim().is_empty());
        if !is_sound(&label, LONGEST_LABEL) || !is_whole {
            return Err(Failure::invalid(
                "labels",
                format!(
                    "each has to have from 1 to {LONGEST_LABEL} characters without control \
                     characters, and something on both sides of each `/`"
                ),
            ));
        }
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    Ok(labels)
}

fn is_sound(text: &str, longest: usize) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= longest
        && !text.chars().any(char::is_control)
}
