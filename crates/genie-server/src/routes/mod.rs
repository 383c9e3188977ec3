//! All routes: what each does, what it needs of its caller, and what goes in
//! and out. The router, the layer that lets requests through, and the
//! description of the interface are made from this one list.

mod content;
mod declare;
mod mcp;
mod openai;
mod removal;
mod service;
mod workspace;

use std::collections::HashMap;

use axum::http::Method;

use crate::access::Need;

pub(crate) use self::declare::{Content, Route};

/// What each route needs.
pub(crate) struct Needs(HashMap<(Method, &'static str), Need>);

impl Needs {
    pub(crate) fn of(routes: &[Route]) -> Self {
        let needs = routes
            .iter()
            .map(|route| ((route.method.clone(), route.path), route.need));
        Self(needs.collect())
    }

    /// What is needed for a method at a path as it was declared; `None` where
    /// there is no such route.
    pub(crate) fn of_request(&self, method: &Method, path: &str) -> Option<Need> {
        // The router answers HEAD as GET without a body.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        self.0
            .iter()
            .find(|((known, at), _)| known == method && *at == path)
            .map(|(_, need)| *need)
    }
}

/// The list.
pub(crate) fn routes() -> Vec<Route> {
    let mut all = service::routes();
    all.extend(workspace::routes());
    all.extend(openai::routes());
    all.extend(mcp::routes());
    all.extend(content::routes());
    all.extend(removal::routes());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routes_are_the_same() {
        let all = routes();
        let needs = Needs::of(&all);
        assert_eq!(needs.0.len(), all.len());
    }

    #[test]
    fn only_the_page_probes_and_the_description_are_public() {
        for route in routes() {
            let is_interface = ["/api/", "/v1/", "/mcp"]
                .iter()
                .any(|interface| route.path.starts_with(interface));
            assert_eq!(route.need == Need::Public, !is_interface, "{}", route.path);
        }
    }

    #[test]
    fn head_needs_what_get_needs() {
        let needs = Needs::of(&routes());
        assert_eq!(
            needs.of_request(&Method::HEAD, "/v1/models"),
            Some(Need::Known)
        );
        assert_eq!(needs.of_request(&Method::PUT, "/v1/models"), None);
    }
}
