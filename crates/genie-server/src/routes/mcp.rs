//! The route of the Model Context Protocol, for the workspace of the key or of
//! `X-Genie-Workspace`, and under the workspace's path.

use super::declare::{Doc, JSON, Route};
use crate::access::{Need, Permission};
use crate::mcp;

/// The list.
pub(super) fn routes() -> Vec<Route> {
    // The least that its tools need; each of them checks its own.
    let need = Need::May(Permission::Search);
    let doc = || {
        Doc::new("A message of the Model Context Protocol: tools to search, ask and read.")
            .takes::<serde_json::Map<String, serde_json::Value>>()
            .gives_values(200, JSON)
            .gives_nothing(202)
            .gives_value(400)
            .gives_value(406)
    };
    vec![
        Route::post("/mcp", need, mcp::handle, doc()),
        Route::post(
            "/api/v1/workspaces/{workspace}/mcp",
            need,
            mcp::handle,
            doc(),
        ),
    ]
}
