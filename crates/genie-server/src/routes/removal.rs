//! Routes that remove and restore: documents and conversations, each there
//! twice as those of [`super::workspace`] are, and workspaces.

use super::declare::{Doc, Route, both};
use crate::access::{Need, Permission};
use crate::paging::PageBody;
use crate::removal::{Keep, conversations, documents, workspaces};
use crate::{conversations as talk, jobs};

/// The list.
pub(super) fn routes() -> Vec<Route> {
    [
        both!(
            delete,
            "/documents/{id}",
            WriteDocuments,
            documents::remove,
            Doc::new(
                "Erases a document with all that was made of it, at once or after some days in \
                 which it can be restored."
            )
            .asks::<Keep>()
            .gives_nothing(204)
        ),
        both!(
            get,
            "/removed-documents",
            WriteDocuments,
            documents::list,
            Doc::paged("The documents that were removed and can be restored.")
                .gives::<PageBody<documents::RemovedDocumentBody>>(200)
        ),
        both!(
            post,
            "/removed-documents/{id}/restore",
            WriteDocuments,
            documents::restore,
            Doc::new("Takes the removal of a document back, as a job that indexes it.")
                .gives::<jobs::JobBody>(202)
        ),
        both!(
            delete,
            "/conversations/{id}",
            Answer,
            conversations::remove,
            Doc::new(
                "Erases a conversation with its messages, at once or after some days in which \
                 it can be restored."
            )
            .asks::<Keep>()
            .gives_nothing(204)
        ),
        both!(
            get,
            "/removed-conversations",
            Answer,
            conversations::list,
            Doc::paged("The caller's conversations that were removed and can be restored.")
                .gives::<PageBody<conversations::RemovedConversationBody>>(200)
        ),
        both!(
            post,
            "/removed-conversations/{id}/restore",
            Answer,
            conversations::restore,
            Doc::new("Takes the removal of a conversation back.")
                .gives::<talk::ConversationBody>(200)
        ),
        vec![
            Route::delete(
                "/api/v1/workspaces/{workspace}",
                Need::Operator,
                workspaces::remove,
                Doc::new("Erases a workspace with all that is in it, at once or after some days.")
                    .asks::<Keep>()
                    .gives_nothing(204),
            ),
            Route::get(
                "/api/v1/removed-workspaces",
                Need::Operator,
                workspaces::list,
                Doc::paged("The workspaces that were removed and can be restored.")
                    .gives::<PageBody<workspaces::RemovedBody>>(200),
            ),
            Route::post(
                "/api/v1/removed-workspaces/{id}/restore",
                Need::Operator,
                workspaces::restore,
                Doc::new("Takes the removal of a workspace back.")
                    .gives::<crate::workspaces::WorkspaceBody>(200),
            ),
        ],
    ]
    .into_iter()
    .flatten()
    .collect()
}
