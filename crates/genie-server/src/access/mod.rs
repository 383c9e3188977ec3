//! Who asks, and what they may: one layer in front of every route.
//!
//! A route says in [`crate::routes`] what it needs, [`authorize`] checks it,
//! and handlers get the outcome as [`Access`]. Nothing else decides: a handler
//! that takes no [`Access`] serves a public route.
//!
//! What must not happen: a route without a need; an object of a workspace that
//! the caller is no member of, be it by its id, by a header or by the name of
//! a model. Such ids answer as unknown ones do.

mod authorize;
mod caller;
mod permission;
mod security_server;

pub(crate) use self::authorize::authorize;
pub(crate) use self::caller::{Access, Caller, Correlation, Done, Reserved, no_such_workspace};
pub use self::permission::scopes;
pub(crate) use self::permission::{Need, Permission};
pub(crate) use self::security_server::ClientCertificate;
pub use self::security_server::{
    CertificateNameError, RoadClient, SecurityServer, TrustedCertificate,
};
