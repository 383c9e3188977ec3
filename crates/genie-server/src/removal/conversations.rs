//! Removing conversations, at once or with time to think better of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_state::{RemovedConversation, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Keep, record_erasure};
use crate::access::{Access, Done};
use crate::app::Service;
use crate::conversations::{ConversationBody, IdPath, conversation_id, no_such_conversation};
use crate::documents::ApiQuery;
use crate::failure::Failure;
use crate::paging::{PageBody, Paging};

/// A conversation that was removed and is not erased yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RemovedConversationBody {
    #[serde(flatten)]
    conversation: ConversationBody,
    /// Until then it can be restored; then it is erased.
    erase_after: String,
}

/// Hides the conversation, or erases it where it is not to be kept; one that
/// is hidden already is erased then too.
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiQuery(keep): ApiQuery<Keep>,
) -> Result<StatusCode, Failure> {
    let erase_after = keep.until(Timestamp::now())?;
    let id = conversation_id(&path)?;
    let state = service.accounts()?;
    let owner = access.owner();
    let (removed, action) = match erase_after {
        Some(until) => (
            state.remove_conversation(&owner, &id, until).await?,
            "conversation.remove",
        ),
        None => (
            state.delete_conversation(&owner, &id).await?,
            "conversation.delete",
        ),
    };
    if !removed {
        return Err(no_such_conversation());
    }
    access.record(state, Done::to(action, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<RemovedConversationBody>>, Failure> {
    let state = service.accounts()?;
    let page = state
        .removed_conversations(&access.owner(), paging.page()?)
        .await?;
    Ok(Json(paging.body(page)))
}

pub(crate) async fn restore(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<ConversationBody>, Failure> {
    let id = conversation_id(&path)?;
    let state = service.accounts()?;
    let restored = state
        .restore_conversation(&access.owner(), &id, Timestamp::now())
        .await?
        .ok_or_else(no_such_conversation)?;
    access
        .record(state, Done::to("conversation.restore", id))
        .await?;
    Ok(Json(restored.into()))
}

/// Erases the removed conversations whose time has come.
pub(crate) async fn erase_due(service: &Service) -> Result<(), Failure> {
    let state = service.accounts()?;
    for (workspace, id) in state.erase_conversations_due(Timestamp::now()).await? {
        record_erasure(state, &workspace, "conversation.erase", &id).await?;
        tracing::info!(%workspace, conversation = %id, "erased a removed conversation");
    }
    Ok(())
}

impl From<RemovedConversation> for RemovedConversationBody {
    fn from(removed: RemovedConversation) -> Self {
        Self {
            conversation: removed.conversation.into(),
            erase_after: removed.erase_after.to_string(),
        }
    }
}
