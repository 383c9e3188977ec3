//! Taking a document in: its bytes are kept where it is indexed, and nowhere
//! else.

use genie_core::{DocumentId, DocumentRecord};
use genie_state::StateError;

use super::{AddedBody, DocumentSink, NewDocument, SinkError};
use crate::watch::Watch;
use crate::workspaces::OpenWorkspace;

/// Indexes a document and keeps its bytes. Blocks.
pub(crate) fn take(
    opened: &OpenWorkspace,
    document: NewDocument<'_>,
    watch: &Watch,
) -> Result<AddedBody, SinkError> {
    keeping(opened, document.bytes, |sink| sink.add(document, watch))
}

/// Indexes the bytes of a document that was removed, with the title, the
/// labels and the date that it had, and keeps them. Blocks.
pub(crate) fn take_back(
    opened: &OpenWorkspace,
    record: &DocumentRecord,
    bytes: &[u8],
    watch: &Watch,
) -> Result<AddedBody, SinkError> {
    keeping(opened, bytes, |sink| sink.reindex(record, bytes, watch))
}

fn keeping(
    opened: &OpenWorkspace,
    bytes: &[u8],
    index: impl FnOnce(&dyn DocumentSink) -> Result<AddedBody, SinkError>,
) -> Result<AddedBody, SinkError> {
    let Some(sink) = &opened.indexer else {
        return Err(SinkError::Unreadable {
            reason: "this service takes no documents".to_owned(),
        });
    };
    let staged = opened
        .originals
        .as_ref()
        .map(|originals| originals.stage(bytes))
        .transpose()
        .map_err(not_kept)?;
    let added = index(&**sink)?;
    if let Some(staged) = staged {
        staged.keep().map_err(not_kept)?;
    }
    // Removed by somebody between the index and the bytes: then those were
    // kept after the removal.
    let id = DocumentId::of(bytes);
    if let Some(originals) = &opened.originals {
        let still = opened.engine.store().document(&id);
        if still
            .map_err(|error| SinkError::Backend(Box::new(error)))?
            .is_none()
        {
            originals.remove(&id).map_err(not_kept)?;
        }
    }
    Ok(added)
}

fn not_kept(error: StateError) -> SinkError {
    match error {
        StateError::DiskFull => SinkError::DiskFull,
        error => SinkError::Backend(Box::new(error)),
    }
}
