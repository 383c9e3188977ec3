//! Taking a document in: its bytes are kept where it is indexed, and nowhere
//! else.

use genie_core::DocumentId;
use genie_state::StateError;

use super::{AddedBody, NewDocument, SinkError};
use crate::watch::Watch;
use crate::workspaces::OpenWorkspace;

/// Indexes a document and keeps its bytes. Blocks.
pub(crate) fn take(
    opened: &OpenWorkspace,
    document: NewDocument<'_>,
    watch: &Watch,
) -> Result<AddedBody, SinkError> {
    let Some(sink) = &opened.indexer else {
        return Err(SinkError::Unreadable {
            reason: "this service takes no documents".to_owned(),
        });
    };
    let staged = opened
        .originals
        .as_ref()
        .map(|originals| originals.stage(document.bytes))
        .transpose()
        .map_err(not_kept)?;
    let added = sink.add(document, watch)?;
    if let Some(staged) = staged {
        staged.keep().map_err(not_kept)?;
    }
    // Removed by somebody between the index and the bytes: then those were
    // kept after the removal.
    let id = DocumentId::of(document.bytes);
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
