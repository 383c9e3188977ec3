//! The protocol on a pair of streams, for a program that starts this one.

use rmcp::ServiceExt as _;
use rmcp::service::ServerInitializeError;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};

use super::server::Server;
use crate::access::{Access, Caller, Correlation, Reserved};
use crate::app::{AppState, Service};

/// The protocol could not be spoken.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// The other side did not begin as the protocol does, or a stream failed.
    #[error("the other side does not speak the Model Context Protocol")]
    Initialize(#[source] Box<ServerInitializeError>),
    /// The work ended by a mistake of ours.
    #[error("the protocol's work ended by itself")]
    Ended(#[source] tokio::task::JoinError),
}

/// Speaks the protocol on these streams until the one that is read ends or
/// `until` is done. The caller is whoever sits at this machine, in the default
/// workspace.
///
/// # Errors
///
/// Fails when the other side does not speak it.
pub async fn serve_mcp<R, W>(
    state: AppState,
    read: R,
    write: W,
    until: impl Future<Output = ()>,
) -> Result<(), McpError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let longest = state.server.max_body_bytes;
    let service = Service::of(state, &[]);
    let access = Access {
        caller: Caller::Local,
        workspace: genie_state::Workspace::alone(),
        correlation: Correlation::default(),
        held: Reserved::default(),
    };
    let transport = AsyncRwTransport::new_server(read, write).with_max_line_length(longest);
    let serving = async {
        let server = Server::for_one(service, access);
        match server.serve(transport).await {
            Ok(running) => match running.waiting().await {
                Ok(reason) => {
                    tracing::debug!(?reason, "the other side left");
                    Ok(())
                }
                Err(error) => Err(McpError::Ended(error)),
            },
            // Somebody who looked whether it is there.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(McpError::Initialize(Box::new(error))),
        }
    };
    tokio::select! {
        ended = serving => ended,
        () = until => Ok(()),
    }
}
