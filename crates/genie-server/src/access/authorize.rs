//! The layer that lets a request through, or not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::RequestPartsExt;
use axum::extract::{ConnectInfo, MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use genie_core::Authentication;
use genie_state::{NewAudit, Role, Timestamp, WorkspaceId};

use super::caller::{Access, Caller, Correlation, no_such_workspace};
use super::permission::Need;
use crate::app::Service;
use crate::failure::Failure;

/// Names the workspace where the path does not.
const WORKSPACE: HeaderName = HeaderName::from_static("x-genie-workspace");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// How keys begin.
const KEY_PREFIX: &str = "gk_";
/// What proxies add: whoever sent these is not on this machine.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// Lets a request through whose caller may do what its route does.
pub(crate) async fn authorize(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(need) = need(&service, &request) else {
        // No route, or one that does not take the method: the router says so.
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    match decide(&service, &mut parts, need).await {
        Ok(Some(access)) => {
            parts.extensions.insert(access);
        }
        Ok(None) => {}
        Err(failure) => return failure.into_response(),
    }
    next.run(Request::from_parts(parts, body)).await
}

fn need(service: &Service, request: &Request) -> Option<Need> {
    let path = request.extensions().get::<MatchedPath>()?;
    service.needs.of_request(request.method(), path.as_str())
}

async fn decide(
    service: &Service,
    parts: &mut Parts,
    need: Need,
) -> Result<Option<Access>, Failure> {
    if need == Need::Public {
        return Ok(None);
    }
    let correlation: Correlation = parts.extensions.get().cloned().unwrap_or_default();
    let caller = identify(service, parts).await.inspect_err(|_| {
        tracing::info!(
            path = parts.uri.path(),
            "access denied: no valid credentials"
        );
    })?;
    let decided = admit(service, parts, &caller, need, &correlation).await;
    let outcome = if decided.is_ok() { "allowed" } else { "denied" };
    tracing::info!(subject = %caller.subject(), outcome, "access decided");
    if let (Err(failure), Some(accounts)) = (&decided, &service.state.accounts)
        && matches!(
            failure.status,
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        )
    {
        // Denied attempts are part of the trail; those without credentials
        // are only in the log, or anybody could fill the disk.
        let denied = NewAudit {
            subject: caller.subject(),
            workspace: None,
            action: "access".to_owned(),
            object: parts
                .extensions
                .get::<MatchedPath>()
                .map(|path| path.as_str().to_owned()),
            outcome: "denied".to_owned(),
            correlation: correlation.id.clone(),
            intent: correlation.intent.clone(),
            model: None,
            logic: env!("CARGO_PKG_VERSION").to_owned(),
        };
        accounts.state.audit(denied).await?;
    }
    decided.map(Some)
}

async fn admit(
    service: &Service,
    parts: &mut Parts,
    caller: &Caller,
    need: Need,
    correlation: &Correlation,
) -> Result<Access, Failure> {
    if need == Need::Operator && !caller.is_operator() {
        return Err(Failure::forbidden());
    }
    let id = wanted(parts, caller).await?;
    let workspace = service
        .workspace(&id)
        .await?
        .ok_or_else(no_such_workspace)?;
    let role = match need {
        // Asks for no right in the workspace.
        Need::Known | Need::Operator => caller.role_in(&id).unwrap_or(Role::Reader),
        _ => caller.role_in(&id).ok_or_else(no_such_workspace)?,
    };
    if let Need::May(permission) = need
        && !caller.may(role, permission)
    {
        return Err(Failure::forbidden());
    }
    let access = Access {
        caller: caller.clone(),
        workspace,
        role,
        correlation: correlation.clone(),
    };
    service.limits.check(&access)?;
    Ok(access)
}

/// The workspace that the request is about: by its path, by a header, else
/// the only one of a key, else the default one.
async fn wanted(parts: &mut Parts, caller: &Caller) -> Result<WorkspaceId, Failure> {
    let path: Path<HashMap<String, String>> =
        parts.extract().await.map_err(|_| no_such_workspace())?;
    if let Some(id) = path.get("workspace") {
        return id.parse().map_err(|_| no_such_workspace());
    }
    if let Some(id) = parts.headers.get(WORKSPACE) {
        return id
            .to_str()
            .ok()
            .and_then(|id| id.parse().ok())
            .ok_or_else(no_such_workspace);
    }
    if let Caller::Key(key) = caller
        && let Some(own) = &key.workspace
    {
        return Ok(own.clone());
    }
    Ok(WorkspaceId::default_workspace())
}

/// Who it is, by the credentials that came along. A wrong key is never
/// overlooked, not even where none is needed.
async fn identify(service: &Service, parts: &Parts) -> Result<Caller, Failure> {
    let secret = credentials(&parts.headers)?;
    let is_key = secret
        .as_deref()
        .is_some_and(|secret| secret.starts_with(KEY_PREFIX));
    // Clients of OpenAI's interface send something, whether it is needed or
    // not; what is no key says nothing here.
    if !is_key && is_only_user(service, parts) {
        return Ok(Caller::Local);
    }
    let (Some(secret), Some(accounts)) = (secret, &service.state.accounts) else {
        return Err(Failure::unauthorized());
    };
    let key = accounts
        .state
        .authenticate(&secret, Timestamp::now())
        .await?;
    key.map(|key| Caller::Key(Box::new(key)))
        .ok_or_else(Failure::unauthorized)
}

/// Whether the request is from this machine, and this machine is the service's
/// only user.
fn is_only_user(service: &Service, parts: &Parts) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    service.state.server.authentication == Authentication::SingleUser
        && peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
        && !FORWARDED
            .iter()
            .any(|name| parts.headers.contains_key(*name))
}

/// The one secret in the headers.
fn credentials(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut found = None;
    let bearer = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let text = value.to_str().ok()?;
        let (scheme, secret) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    let key = headers
        .get_all(API_KEY)
        .iter()
        .map(|value| value.to_str().ok());
    for secret in bearer.chain(key) {
        let secret = secret.filter(|secret| !secret.is_empty());
        // Two that differ are two callers; which one is meant is a guess.
        match (secret, &found) {
            (Some(secret), None) => found = Some(secret.to_owned()),
            (Some(secret), Some(other)) if secret == other => {}
            _ => return Err(Failure::unauthorized()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn found(headers: &[(&'static str, &'static str)]) -> Result<Option<String>, u16> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        credentials(&headers).map_err(|failure| failure.status.as_u16())
    }

    #[test]
    fn one_secret_is_read_and_two_are_refused() {
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(
            found(&[("authorization", "bearer a")]),
            Ok(Some("a".to_owned()))
        );
        assert_eq!(found(&[("x-api-key", "a")]), Ok(Some("a".to_owned())));
        let same = [("authorization", "Bearer a"), ("x-api-key", "a")];
        assert_eq!(found(&same), Ok(Some("a".to_owned())));
        let other = [("authorization", "Bearer a"), ("x-api-key", "b")];
        assert_eq!(found(&other), Err(401));
        assert_eq!(found(&[("authorization", "Basic YTpi")]), Err(401));
        assert_eq!(found(&[("authorization", "Bearer ")]), Err(401));
    }
}
