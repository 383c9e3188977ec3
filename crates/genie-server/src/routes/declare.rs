//! How a route is declared.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::Schema;

use crate::access::Need;
use crate::app::Service;
use crate::paging;

pub(super) const JSON: &[&str] = &["application/json"];

/// A route that is there twice: under the workspace's path, and alone for the
/// workspace of the key or of `X-Genie-Workspace`.
macro_rules! both {
    ($method:ident, $path:literal, $permission:ident, $handler:expr, $doc:expr) => {
        vec![
            Route::$method(
                concat!("/api/v1", $path),
                Need::May(Permission::$permission),
                $handler,
                $doc,
            ),
            Route::$method(
                concat!("/api/v1/workspaces/{workspace}", $path),
                Need::May(Permission::$permission),
                $handler,
                $doc,
            ),
        ]
    };
}
pub(super) use both;

/// One that is only there under the workspace's path.
macro_rules! under {
    ($method:ident, $path:literal, $permission:ident, $handler:expr, $doc:expr) => {
        vec![Route::$method(
            concat!("/api/v1/workspaces/{workspace}", $path),
            Need::May(Permission::$permission),
            $handler,
            $doc,
        )]
    };
}
pub(super) use under;

/// A route with its description.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) need: Need,
    pub(crate) handler: MethodRouter<Arc<Service>>,
    pub(crate) doc: Doc,
}

/// What a reader of the description learns of a route.
#[derive(Clone)]
pub(crate) struct Doc {
    pub(crate) summary: &'static str,
    /// The properties of its query string.
    pub(crate) query: Option<SchemaOf>,
    pub(crate) request: Option<Content>,
    /// The status of success with its body.
    pub(crate) responses: Vec<(u16, Option<Content>)>,
}

/// A body.
#[derive(Clone)]
pub(crate) struct Content {
    /// Media types that it comes in.
    pub(crate) types: &'static [&'static str],
    /// `None` is bytes or text without a structure.
    pub(crate) schema: Option<SchemaOf>,
}

/// Gives the schema of a type and adds its parts to those that are shared.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

impl Route {
    pub(super) fn get<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new((Method::GET, MethodFilter::GET), path, need, handler, doc)
    }

    pub(super) fn post<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new((Method::POST, MethodFilter::POST), path, need, handler, doc)
    }

    pub(super) fn put<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new((Method::PUT, MethodFilter::PUT), path, need, handler, doc)
    }

    pub(super) fn patch<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new(
            (Method::PATCH, MethodFilter::PATCH),
            path,
            need,
            handler,
            doc,
        )
    }

    pub(super) fn delete<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new(
            (Method::DELETE, MethodFilter::DELETE),
            path,
            need,
            handler,
            doc,
        )
    }

    fn new<H: Handler<T, Arc<Service>>, T: 'static>(
        (method, filter): (Method, MethodFilter),
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self {
            method,
            path,
            need,
            handler: on(filter, handler),
            doc,
        }
    }
}

impl Doc {
    pub(super) fn new(summary: &'static str) -> Self {
        Self {
            summary,
            query: None,
            request: None,
            responses: Vec::new(),
        }
    }

    /// As [`Self::new`] of a list in pages.
    pub(super) fn paged(summary: &'static str) -> Self {
        Self::new(summary).asks::<paging::PageQuery>()
    }

    pub(super) fn asks<T: JsonSchema>(self) -> Self {
        Self {
            query: Some(|generator| T::json_schema(generator)),
            ..self
        }
    }

    pub(super) fn takes<T: JsonSchema>(self) -> Self {
        self.takes_as::<T>(JSON)
    }

    pub(super) fn takes_as<T: JsonSchema>(self, types: &'static [&'static str]) -> Self {
        Self {
            request: Some(Content {
                types,
                schema: Some(SchemaGenerator::subschema_for::<T>),
            }),
            ..self
        }
    }

    pub(super) fn takes_plain(self, types: &'static [&'static str]) -> Self {
        Self {
            request: Some(Content {
                types,
                schema: None,
            }),
            ..self
        }
    }

    pub(super) fn gives<T: JsonSchema>(self, status: u16) -> Self {
        self.gives_as::<T>(status, JSON)
    }

    pub(super) fn gives_as<T: JsonSchema>(
        self,
        status: u16,
        types: &'static [&'static str],
    ) -> Self {
        self.with(
            status,
            Some(Content {
                types,
                schema: Some(SchemaGenerator::subschema_for::<T>),
            }),
        )
    }

    /// JSON whose members are told by OpenAI's or by a probe's documentation.
    pub(super) fn gives_value(self, status: u16) -> Self {
        self.gives_values(status, JSON)
    }

    pub(super) fn gives_values(self, status: u16, types: &'static [&'static str]) -> Self {
        self.gives_as::<serde_json::Map<String, serde_json::Value>>(status, types)
    }

    pub(super) fn gives_plain(self, status: u16, types: &'static [&'static str]) -> Self {
        self.with(
            status,
            Some(Content {
                types,
                schema: None,
            }),
        )
    }

    pub(super) fn gives_nothing(self, status: u16) -> Self {
        self.with(status, None)
    }

    fn with(mut self, status: u16, content: Option<Content>) -> Self {
        self.responses.push((status, content));
        self
    }
}
