//! All routes: what each does, what it needs of its caller, and what goes in
//! and out. The router, the layer that lets requests through, and the
//! description of the interface are made from this one list.

use std::collections::HashMap;
use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::Schema;

use crate::access::{Need, Permission};
use crate::app::Service;
use crate::{
    answer, conversations, documents, health, jobs, keys, members, openai, openapi, page, paging,
    person, question, trail, wire, workspaces,
};

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

const JSON: &[&str] = &["application/json"];
const JSON_OR_EVENTS: &[&str] = &["application/json", "text/event-stream"];
const DOCUMENT: &[&str] = &[
    "application/octet-stream",
    "multipart/form-data",
    "application/json",
];

/// The list.
pub(crate) fn routes() -> Vec<Route> {
    let mut all = pages();
    all.extend(operations());
    all.extend(openai_routes());
    all.extend(installation());
    for route in workspace_routes() {
        all.extend(route);
    }
    all
}

fn pages() -> Vec<Route> {
    let html = |summary| Doc::new(summary).gives_plain(200, &["text/html"]);
    vec![
        Route::get("/", Need::Public, page::index, html("The page.")),
        Route::get(
            "/app.js",
            Need::Public,
            page::script,
            Doc::new("The page's script.").gives_plain(200, &["text/javascript"]),
        ),
        Route::get(
            "/style.css",
            Need::Public,
            page::style,
            Doc::new("The page's style.").gives_plain(200, &["text/css"]),
        ),
        Route::get(
            "/icon.svg",
            Need::Public,
            page::icon,
            Doc::new("The page's icon.").gives_plain(200, &["image/svg+xml"]),
        ),
    ]
}

fn operations() -> Vec<Route> {
    let free = |summary| Doc::new(summary).gives_value(200);
    vec![
        Route::get(
            "/healthcheck",
            Need::Public,
            health::healthcheck,
            free("How each part is."),
        ),
        Route::get(
            "/actuator/health",
            Need::Public,
            health::readiness,
            free("Whether questions can be answered."),
        ),
        Route::get(
            "/actuator/health/liveness",
            Need::Public,
            health::liveness,
            free("Whether the process answers."),
        ),
        Route::get(
            "/actuator/health/readiness",
            Need::Public,
            health::readiness,
            free("Whether questions can be answered."),
        ),
        Route::get(
            "/metrics",
            Need::Public,
            health::metrics,
            Doc::new("Measurements, for Prometheus.").gives_plain(200, &["text/plain"]),
        ),
        Route::get(
            "/v3/api-docs",
            Need::Public,
            openapi::json,
            free("This description."),
        ),
        Route::get(
            "/v3/api-docs.yaml",
            Need::Public,
            openapi::yaml,
            Doc::new("This description, as YAML.").gives_plain(200, &["application/yaml"]),
        ),
    ]
}

fn openai_routes() -> Vec<Route> {
    let search = Need::May(Permission::Search);
    vec![
        Route::post(
            "/v1/chat/completions",
            Need::May(Permission::Answer),
            openai::chat_completions,
            Doc::new("Answers the last message, as OpenAI's interface does; the model `genie/<workspace>` asks that workspace.")
                .takes::<openai::ChatRequest>()
                .gives_values(200, JSON_OR_EVENTS),
        ),
        Route::post(
            "/v1/embeddings",
            search,
            openai::embeddings,
            Doc::new("Vectors of texts.").takes::<openai::EmbeddingsRequest>().gives_value(200),
        ),
        Route::post(
            "/v1/rerank",
            search,
            openai::rerank,
            Doc::new("Texts in the order of a query.").takes::<openai::RerankRequest>().gives_value(200),
        ),
        Route::get(
            "/v1/models",
            Need::Known,
            openai::models,
            Doc::new("The models, and the workspaces as models.").gives_value(200),
        ),
        Route::get(
            "/v1/models/{*model}",
            Need::Known,
            openai::model,
            Doc::new("One of the models.").gives_value(200),
        ),
    ]
}

fn installation() -> Vec<Route> {
    let operator = Need::Operator;
    vec![
        Route::get(
            "/api/v1/me",
            Need::Known,
            person::me,
            Doc::new("Who the caller is, and what may be done.").gives::<person::MeBody>(200),
        ),
        Route::get(
            "/api/v1/workspaces",
            Need::Known,
            workspaces::list,
            Doc::paged("The workspaces of the caller.")
                .gives::<paging::PageBody<workspaces::WorkspaceBody>>(200),
        ),
        Route::post(
            "/api/v1/workspaces",
            operator,
            workspaces::create,
            Doc::new("Makes a workspace.")
                .takes::<workspaces::NewWorkspaceBody>()
                .gives::<workspaces::WorkspaceBody>(201),
        ),
        Route::get(
            "/api/v1/keys",
            operator,
            keys::list_all,
            Doc::paged("All keys of the installation.")
                .gives::<paging::PageBody<keys::KeyBody>>(200),
        ),
        Route::post(
            "/api/v1/keys",
            operator,
            keys::create_operator,
            Doc::new("Makes a key for the whole installation.")
                .takes::<keys::NewKeyBody>()
                .gives::<keys::SecretBody>(201),
        ),
        Route::delete(
            "/api/v1/keys/{id}",
            operator,
            keys::revoke_any,
            Doc::new("Revokes any key.").gives_nothing(204),
        ),
        Route::get(
            "/api/v1/audit/verify",
            operator,
            trail::verify,
            Doc::new("Checks the chain of the audit trail.").gives::<trail::VerdictBody>(200),
        ),
    ]
}

/// Routes about one workspace. Each is there twice: under the workspace's
/// path, and alone for the workspace of the key or of `X-Genie-Workspace`.
fn workspace_routes() -> Vec<Vec<Route>> {
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
    use conversations as talk;
    use paging::PageBody;
    vec![
        both!(
            post,
            "/answer",
            Answer,
            answer::answer,
            Doc::new("Answers a question with citations.")
                .takes::<question::AnswerRequest>()
                .gives_as::<wire::AnswerBody>(200, JSON_OR_EVENTS)
        ),
        both!(
            post,
            "/search",
            Search,
            answer::search,
            Doc::new("Finds passages.")
                .takes::<question::SearchRequestBody>()
                .gives::<wire::SearchBody>(200)
        ),
        both!(
            get,
            "/documents",
            ReadDocuments,
            documents::list,
            Doc::paged("The documents.").gives::<documents::DocumentsBody>(200)
        ),
        both!(
            post,
            "/documents",
            WriteDocuments,
            documents::add,
            Doc::new("Indexes a document; with `Prefer: respond-async` as a job.")
                .asks::<documents::Label>()
                .takes_plain(DOCUMENT)
                .gives::<documents::AddedBody>(201)
                .gives::<documents::AddedBody>(200)
                .gives::<jobs::JobBody>(202)
        ),
        both!(
            get,
            "/documents/{id}",
            ReadDocuments,
            documents::read,
            Doc::new("What the index knows of a document.").gives::<documents::DocumentBody>(200)
        ),
        both!(
            delete,
            "/documents/{id}",
            WriteDocuments,
            documents::remove,
            Doc::new("Removes a document with all that was made of it.").gives_nothing(204)
        ),
        both!(
            get,
            "/jobs",
            ReadDocuments,
            jobs::list,
            Doc::paged("The jobs, newest first.").gives::<PageBody<jobs::JobBody>>(200)
        ),
        both!(
            get,
            "/jobs/{id}",
            ReadDocuments,
            jobs::show,
            Doc::new("How far a job is.").gives::<jobs::JobBody>(200)
        ),
        both!(
            delete,
            "/jobs/{id}",
            WriteDocuments,
            jobs::cancel,
            Doc::new("Calls a job off.").gives::<jobs::JobBody>(200)
        ),
        both!(
            get,
            "/conversations",
            Answer,
            talk::list,
            Doc::paged("The caller's conversations, latest first.")
                .gives::<PageBody<talk::ConversationBody>>(200)
        ),
        both!(
            post,
            "/conversations",
            Answer,
            talk::create,
            Doc::new("Opens a conversation.")
                .takes::<talk::TitleBody>()
                .gives::<talk::ConversationBody>(201)
        ),
        both!(
            get,
            "/conversations/{id}",
            Answer,
            talk::show,
            Doc::new("A conversation.").gives::<talk::ConversationBody>(200)
        ),
        both!(
            patch,
            "/conversations/{id}",
            Answer,
            talk::rename,
            Doc::new("Renames a conversation.")
                .takes::<talk::TitleBody>()
                .gives::<talk::ConversationBody>(200)
        ),
        both!(
            delete,
            "/conversations/{id}",
            Answer,
            talk::remove,
            Doc::new("Erases a conversation with its messages.").gives_nothing(204)
        ),
        both!(
            get,
            "/conversations/{id}/messages",
            Answer,
            talk::messages,
            Doc::paged("The messages, oldest first.").gives::<PageBody<talk::MessageBody>>(200)
        ),
        both!(
            post,
            "/conversations/{id}/messages",
            Answer,
            talk::ask,
            Doc::new("Asks in a conversation; question and answer are kept.")
                .takes::<question::AnswerRequest>()
                .gives_as::<talk::ExchangeBody>(201, JSON)
                .gives_plain(200, &["text/event-stream"])
        ),
        both!(
            put,
            "/messages/{id}/feedback",
            Answer,
            talk::give_feedback,
            Doc::new("Says what the caller thinks of an answer.")
                .takes::<talk::FeedbackRequest>()
                .gives::<talk::FeedbackBody>(200)
        ),
        both!(
            get,
            "/feedback",
            ReadFeedback,
            talk::feedback,
            Doc::paged("What was said of answers, newest first.")
                .gives::<PageBody<talk::FeedbackBody>>(200)
        ),
        both!(
            get,
            "/usage",
            ReadUsage,
            trail::usage,
            Doc::new("What was used, by day and caller.")
                .asks::<trail::Days>()
                .gives::<trail::UsageReport>(200)
        ),
        both!(
            get,
            "/audit",
            ReadAudit,
            trail::audit,
            Doc::paged("The audit trail, newest first.").gives::<PageBody<trail::AuditBody>>(200)
        ),
        both!(
            get,
            "/me/data",
            Answer,
            person::export,
            Doc::new("All that is kept of the caller.").gives::<person::ExportBody>(200)
        ),
        both!(
            delete,
            "/me/data",
            Answer,
            person::erase,
            Doc::new("Erases the caller's conversations and feedback.")
                .gives::<person::ErasedBody>(200)
        ),
        under!(
            get,
            "",
            ReadDocuments,
            workspaces::show,
            Doc::new("A workspace.").gives::<workspaces::WorkspaceBody>(200)
        ),
        under!(
            patch,
            "",
            Manage,
            workspaces::change,
            Doc::new("Changes name or settings.")
                .takes::<workspaces::WorkspaceChangeBody>()
                .gives::<workspaces::WorkspaceBody>(200)
        ),
        vec![Route::delete(
            "/api/v1/workspaces/{workspace}",
            Need::Operator,
            workspaces::remove,
            Doc::new("Erases a workspace with all that is in it.").gives_nothing(204),
        )],
        under!(
            get,
            "/settings/history",
            Manage,
            workspaces::history,
            Doc::paged("Earlier names and settings, newest first.")
                .gives::<PageBody<workspaces::VersionBody>>(200)
        ),
        under!(
            get,
            "/members",
            Manage,
            members::list,
            Doc::paged("The members.").gives::<PageBody<members::MemberBody>>(200)
        ),
        under!(
            put,
            "/members/{subject}",
            Manage,
            members::set,
            Doc::new("Makes somebody a member, or changes the role.")
                .takes::<members::MembershipBody>()
                .gives::<members::MemberBody>(200)
        ),
        under!(
            delete,
            "/members/{subject}",
            Manage,
            members::remove,
            Doc::new("Ends a membership.").gives_nothing(204)
        ),
        under!(
            get,
            "/keys",
            Manage,
            keys::list,
            Doc::paged("The workspace's keys.").gives::<PageBody<keys::KeyBody>>(200)
        ),
        under!(
            post,
            "/keys",
            Manage,
            keys::create,
            Doc::new("Makes a key; its secret is told this once.")
                .takes::<keys::NewKeyBody>()
                .gives::<keys::SecretBody>(201)
        ),
        under!(
            get,
            "/keys/{id}",
            Manage,
            keys::show,
            Doc::new("A key, without its secret.").gives::<keys::KeyBody>(200)
        ),
        under!(
            post,
            "/keys/{id}/rotate",
            Manage,
            keys::rotate,
            Doc::new("Gives a key a new secret; the old one ends at once.")
                .gives::<keys::SecretBody>(200)
        ),
        under!(
            delete,
            "/keys/{id}",
            Manage,
            keys::revoke,
            Doc::new("Revokes a key at once.").gives_nothing(204)
        ),
    ]
}

impl Route {
    fn get<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new((Method::GET, MethodFilter::GET), path, need, handler, doc)
    }

    fn post<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new((Method::POST, MethodFilter::POST), path, need, handler, doc)
    }

    fn put<H: Handler<T, Arc<Service>>, T: 'static>(
        path: &'static str,
        need: Need,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self::new((Method::PUT, MethodFilter::PUT), path, need, handler, doc)
    }

    fn patch<H: Handler<T, Arc<Service>>, T: 'static>(
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

    fn delete<H: Handler<T, Arc<Service>>, T: 'static>(
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
    fn new(summary: &'static str) -> Self {
        Self {
            summary,
            query: None,
            request: None,
            responses: Vec::new(),
        }
    }

    /// As [`Self::new`] of a list in pages.
    fn paged(summary: &'static str) -> Self {
        Self::new(summary).asks::<paging::PageQuery>()
    }

    fn asks<T: JsonSchema>(self) -> Self {
        Self {
            query: Some(|generator| T::json_schema(generator)),
            ..self
        }
    }

    fn takes<T: JsonSchema>(self) -> Self {
        Self {
            request: Some(Content {
                types: JSON,
                schema: Some(SchemaGenerator::subschema_for::<T>),
            }),
            ..self
        }
    }

    fn takes_plain(self, types: &'static [&'static str]) -> Self {
        Self {
            request: Some(Content {
                types,
                schema: None,
            }),
            ..self
        }
    }

    fn gives<T: JsonSchema>(self, status: u16) -> Self {
        self.gives_as::<T>(status, JSON)
    }

    fn gives_as<T: JsonSchema>(self, status: u16, types: &'static [&'static str]) -> Self {
        self.with(
            status,
            Some(Content {
                types,
                schema: Some(SchemaGenerator::subschema_for::<T>),
            }),
        )
    }

    /// JSON whose members are told by OpenAI's or by a probe's documentation.
    fn gives_value(self, status: u16) -> Self {
        self.gives_values(status, JSON)
    }

    fn gives_values(self, status: u16, types: &'static [&'static str]) -> Self {
        self.gives_as::<serde_json::Map<String, serde_json::Value>>(status, types)
    }

    fn gives_plain(self, status: u16, types: &'static [&'static str]) -> Self {
        self.with(
            status,
            Some(Content {
                types,
                schema: None,
            }),
        )
    }

    fn gives_nothing(self, status: u16) -> Self {
        self.with(status, None)
    }

    fn with(mut self, status: u16, content: Option<Content>) -> Self {
        self.responses.push((status, content));
        self
    }
}
