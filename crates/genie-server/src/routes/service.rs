//! Routes that are about no single workspace, and OpenAI's.

use super::declare::{Doc, Route};
use crate::access::{Need, Permission};
use crate::{backup, health, keys, openai, openapi, page, paging, person, trail, workspaces};

const JSON_OR_EVENTS: &[&str] = &["application/json", "text/event-stream"];

/// The list.
pub(super) fn routes() -> Vec<Route> {
    let mut all = pages();
    all.extend(operations());
    all.extend(openai_routes());
    all.extend(installation());
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
            free("Whether questions can be answered, and how each part is."),
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
            free("Whether questions can be answered, and how each part is."),
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
        Route::post(
            "/api/v1/backup",
            operator,
            backup::create,
            Doc::new("Makes a backup of the installation while it runs.")
                .gives_plain(200, &[backup::TAR]),
        ),
        Route::get(
            "/api/v1/audit/all",
            operator,
            trail::all,
            Doc::paged("The audit trail of all workspaces, with what was refused; newest first.")
                .gives::<paging::PageBody<trail::AuditBody>>(200),
        ),
        Route::get(
            "/api/v1/audit/verify",
            operator,
            trail::verify,
            Doc::new("Checks the chain of the audit trail.").gives::<trail::VerdictBody>(200),
        ),
    ]
}
