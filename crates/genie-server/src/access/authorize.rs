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
use tracing::Instrument as _;

use super::caller::{Access, Caller, Correlation, Person, Reserved, no_such_workspace};
use super::permission::Need;
use super::security_server::ClientCertificate;
use crate::app::Service;
use crate::failure::Failure;
use crate::identity::looks_like_token;

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
    let deciding = decide(&service, &mut parts, need).instrument(tracing::info_span!("access"));
    let access = match deciding.await {
        Ok(access) => access,
        Err(failure) => return failure.into_response(),
    };
    let Some(access) = access else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let operation = operation(&parts);
    parts.extensions.insert(access.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    if let Some(operation) = operation
        && let Err(failure) = record_failed(&service, access, operation, response.status()).await
    {
        return failure.into_response();
    }
    response
}

/// What a request would change, by its route; `None` where it only reads.
fn operation(parts: &Parts) -> Option<String> {
    let route = parts.extensions.get::<MatchedPath>()?;
    (!parts.method.is_safe()).then(|| format!("{} {}", parts.method, route.as_str()))
}

/// What was let in and failed is part of the trail, as what succeeded is,
/// which its handler records.
async fn record_failed(
    service: &Service,
    access: Access,
    operation: String,
    status: StatusCode,
) -> Result<(), Failure> {
    let failed = status.is_client_error() || status.is_server_error();
    // Those who sit here ask without a limit, as any page in a browser does in
    // their name; and what was too much must not become more by being kept.
    let is_kept = failed
        && access.caller != Caller::Local
        && !matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
    let Some(accounts) = service.state.accounts.as_ref().filter(|_| is_kept) else {
        return Ok(());
    };
    let failed = NewAudit {
        subject: access.caller.subject(),
        workspace: Some(access.workspace.id.clone()),
        action: "request".to_owned(),
        object: Some(operation),
        outcome: format!("failed {}", status.as_u16()),
        correlation: access.correlation.id,
        intent: access.correlation.intent,
        model: None,
        logic: env!("CARGO_PKG_VERSION").to_owned(),
    };
    accounts.state.audit(failed).await?;
    Ok(())
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
    let caller = identify(service, parts).await.inspect_err(|failure| {
        // By its route: a path may hold anything.
        let route = parts.extensions.get::<MatchedPath>();
        tracing::warn!(
            security = true,
            method = %parts.method,
            route = route.map(MatchedPath::as_str),
            code = failure.code,
            "access denied: no valid credentials"
        );
    })?;
    // Before anything is looked up or written: whoever asks too often costs
    // nothing, and can't fill the trail with refusals.
    let decided = match service.limits.check_caller(&caller) {
        Ok(()) => admit(service, parts, &caller, need, &correlation).await,
        Err(too_many) => Err(too_many),
    };
    let subject = caller.subject();
    let who = subject.for_logs();
    let route = parts.extensions.get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    match &decided {
        Ok(access) => tracing::info!(
            security = true,
            subject = who,
            workspace = %access.workspace.id,
            method = %parts.method,
            route,
            "access allowed"
        ),
        // As often as somebody asks, so not by default.
        Err(failure) if failure.status == StatusCode::TOO_MANY_REQUESTS => tracing::info!(
            security = true,
            subject = who,
            method = %parts.method,
            route,
            code = failure.code,
            "access over a limit"
        ),
        // Not by the workspace that was named: it may be anything.
        Err(failure) => tracing::warn!(
            security = true,
            subject = who,
            method = %parts.method,
            route,
            code = failure.code,
            "access denied"
        ),
    }
    if let (Err(failure), Some(accounts)) = (&decided, &service.state.accounts)
        // Whoever sits here is refused nothing but what is not there, and any
        // page in a browser can ask in that name without a limit.
        && caller != Caller::Local
        && matches!(
            failure.status,
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        )
    {
        // Denied attempts are part of the trail; those without credentials
        // are only in the log, or anybody could fill the disk.
        let denied = NewAudit {
            subject,
            workspace: None,
            action: "access".to_owned(),
            object: route.map(str::to_owned),
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
    let (id, is_named) = wanted(parts, caller).await?;
    let workspace = service
        .workspace(&id)
        .await?
        .ok_or_else(no_such_workspace)?;
    let role = match need {
        // Asks for no right in the workspace; but one that the caller names
        // without being in it must not look other than one that is not there.
        Need::Known | Need::Operator if !is_named => caller.role_in(&id).unwrap_or(Role::Reader),
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
        correlation: correlation.clone(),
        held: Reserved::default(),
    };
    service.limits.check_workspace(&access)?;
    Ok(access)
}

/// The workspace that the request is about: by its path, by a header, else
/// the only one of the caller, else the default one; and whether it was named.
async fn wanted(parts: &mut Parts, caller: &Caller) -> Result<(WorkspaceId, bool), Failure> {
    let path: Path<HashMap<String, String>> =
        parts.extract().await.map_err(|_| no_such_workspace())?;
    if let Some(id) = path.get("workspace") {
        let id = id.parse().map_err(|_| no_such_workspace())?;
        return Ok((id, true));
    }
    if let Some(id) = parts.headers.get(WORKSPACE) {
        let id = id.to_str().ok().and_then(|id| id.parse().ok());
        return Ok((id.ok_or_else(no_such_workspace)?, true));
    }
    let own = match caller {
        Caller::Key(key) => key.workspace.clone(),
        Caller::Person(person) => person.only_workspace().cloned(),
        Caller::Local | Caller::Later(_) => None,
    };
    Ok((own.unwrap_or_else(WorkspaceId::default_workspace), false))
}

/// Who it is, by the credentials that came along. A wrong key or token is
/// never overlooked, not even where none is needed.
async fn identify(service: &Service, parts: &Parts) -> Result<Caller, Failure> {
    let secret = credentials(&parts.headers)?;
    let state = service.state.accounts.as_ref().map(|found| &found.state);
    match (&secret, &service.state.identity) {
        (Some(secret), _) if secret.starts_with(KEY_PREFIX) => {
            let state = state.ok_or_else(Failure::unauthorized)?;
            let key = state.authenticate(secret, Timestamp::now()).await?;
            return key
                .map(|key| Caller::Key(Box::new(key)))
                .ok_or_else(Failure::unauthorized);
        }
        (Some(secret), Some(provider)) if looks_like_token(secret) => {
            let state = state.ok_or_else(Failure::unauthorized)?;
            let found = provider.identify(secret).await?;
            let memberships = state.memberships(&found.subject).await?;
            return Ok(Caller::Person(Box::new(Person {
                subject: found.subject,
                grants: found.grants,
                memberships,
            })));
        }
        (None, _) => {
            // Whatever proves who it is goes before what only comes with a
            // connection.
            let server = service.state.security_server.as_ref();
            let certificate = parts.extensions.get::<ClientCertificate>();
            if let (Some(server), Some(certificate)) = (server, certificate)
                && server.is(certificate)
            {
                let person = server.person(&parts.headers);
                return person
                    .map(|person| Caller::Person(Box::new(person)))
                    .ok_or_else(Failure::unauthorized);
            }
        }
        _ => {}
    }
    // Clients of OpenAI's interface send something, whether it is needed or
    // not; what is neither key nor token says nothing here.
    if is_only_user(service, parts) {
        return Ok(Caller::Local);
    }
    Err(Failure::unauthorized())
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
