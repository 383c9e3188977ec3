//! A resolver that hands out only addresses that may be connected to.

use std::io;

use genie_core::Reachable;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Says no in the middle of a request.
#[derive(Debug, thiserror::Error)]
#[error("none of its addresses may be reached")]
struct Refused;

/// Looks names up and keeps what may be reached.
#[derive(Debug)]
pub(super) struct Guarded {
    reachable: Reachable,
    names: DefaultResolver,
}

impl Guarded {
    pub(super) fn new(reachable: Reachable) -> Self {
        Self {
            reachable,
            names: DefaultResolver::default(),
        }
    }
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let encrypted = uri.scheme_str() == Some("https");
        let mut kept = self.empty();
        for address in &*self.names.resolve(uri, config, timeout)? {
            if self.reachable.allows_address(address.ip(), encrypted) {
                kept.push(*address);
            }
        }
        if kept.is_empty() {
            return Err(ureq::Error::Io(io::Error::new(
                io::ErrorKind::PermissionDenied,
                Refused,
            )));
        }
        Ok(kept)
    }
}

/// Whether a request ended here.
pub(super) fn was_refused(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error)
        if error.get_ref().is_some_and(|inner| inner.is::<Refused>()))
}
