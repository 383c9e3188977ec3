//! The Model Context Protocol (<https://modelcontextprotocol.io>): programs
//! that talk to language models search the documents, ask, and read.
//!
//! Over HTTP it is a route like any other: the layer in front finds the caller
//! and the workspace, and each request stands for itself, so no session has to
//! be kept or guessed. On standard streams there is one caller, who is at this
//! machine.
//!
//! What documents say is data. Every tool says so beside it, quotes it line by
//! line, and never puts it where a tool or this service speaks for itself.
//!
//! What must not happen: a tool or a resource that tells of another workspace;
//! a tool that a caller's role or scopes don't allow; text of a document that
//! looks as if this service had said it.

mod http;
mod resources;
mod server;
mod stdio;
mod text;
mod tools;

pub(crate) use self::http::handle;
pub use self::stdio::{McpError, serve_mcp};
