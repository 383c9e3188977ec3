//! API keys of a workspace and of the installation.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_state::{ApiKey, KeyId, NewKey, Quotas, Role, Secret, Timestamp, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Access, Caller, Done, Permission};
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::{LINE, Scope, Time};
use crate::failure::{Failure, Field};
use crate::paging::{PageBody, Paging};

const LONGEST_NAME: usize = 200;

/// A role, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleBody {
    /// Everything in the workspace.
    Owner,
    /// Asks, and changes documents.
    Editor,
    /// Asks.
    Reader,
    /// Asks, and reads feedback and usage.
    Evaluator,
    /// Reads the audit trail and usage, and no content.
    Auditor,
}

/// What may be done with a key at most; `null` is no limit. Days and months are
/// those of UTC.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QuotasBody {
    /// Requests a minute, where the installation does not allow fewer.
    #[schemars(range(min = 1))]
    requests_per_minute: Option<u32>,
    /// Answers a day.
    #[schemars(range(min = 1))]
    answers_per_day: Option<u64>,
    /// Tokens of the language model a day, read and written.
    #[schemars(range(min = 1))]
    tokens_per_day: Option<u64>,
    /// Tokens of the language model a month, read and written.
    #[schemars(range(min = 1))]
    tokens_per_month: Option<u64>,
}

/// What is known of a key; never its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeyBody {
    id: String,
    /// The beginning of the secret, by which people tell keys apart.
    prefix: String,
    name: String,
    /// `null` is a key of the installation.
    workspace: Option<String>,
    role: RoleBody,
    /// Empty: all that the role allows.
    scopes: Vec<String>,
    created: String,
    expires: Option<String>,
    quotas: QuotasBody,
    last_used: Option<String>,
    revoked: Option<String>,
}

/// A key with its secret, which is told this once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SecretBody {
    /// To be sent as `Authorization: Bearer …`.
    secret: String,
    #[serde(flatten)]
    key: KeyBody,
}

/// The body that makes a key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKeyBody {
    /// What it is for.
    #[schemars(length(min = 1, max = 200), regex(path = "LINE"))]
    name: String,
    role: RoleBody,
    /// Empty: all that the role allows.
    #[serde(default)]
    #[schemars(with = "Vec<Scope>")]
    scopes: Vec<String>,
    /// RFC 3339, in the future.
    #[serde(default)]
    #[schemars(with = "Option<Time>")]
    expires: Option<String>,
    /// What may be done with it at most.
    #[serde(default)]
    quotas: QuotasBody,
}

/// The part of a path that names a key.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyPath {
    id: String,
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<KeyBody>>, Failure> {
    let only = Some(&access.workspace.id);
    let keys = service.accounts()?.keys(only, paging.page()?).await?;
    Ok(Json(paging.body(keys)))
}

pub(crate) async fn list_all(
    State(service): State<Arc<Service>>,
    _access: Access,
    paging: Paging,
) -> Result<Json<PageBody<KeyBody>>, Failure> {
    let keys = service.accounts()?.keys(None, paging.page()?).await?;
    Ok(Json(paging.body(keys)))
}

pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(body): ApiJson<NewKeyBody>,
) -> Result<(StatusCode, Json<SecretBody>), Failure> {
    let workspace = Some(access.workspace.id.clone());
    made(&service, &access, body, workspace).await
}

pub(crate) async fn create_operator(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(body): ApiJson<NewKeyBody>,
) -> Result<(StatusCode, Json<SecretBody>), Failure> {
    made(&service, &access, body, None).await
}

async fn made(
    service: &Service,
    access: &Access,
    body: NewKeyBody,
    workspace: Option<WorkspaceId>,
) -> Result<(StatusCode, Json<SecretBody>), Failure> {
    let state = service.accounts()?;
    let new = body.checked(&access.caller, workspace)?;
    let made = state.create_key(new).await?;
    access
        .record(state, Done::to("key.create", made.0.id))
        .await?;
    Ok((StatusCode::CREATED, Json(SecretBody::from(made))))
}

pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<KeyPath>,
) -> Result<Json<KeyBody>, Failure> {
    Ok(Json(KeyBody::from(own(&service, &access, &path).await?)))
}

pub(crate) async fn rotate(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<KeyPath>,
) -> Result<Json<SecretBody>, Failure> {
    let key = own(&service, &access, &path).await?;
    within_caller(&access.caller, key.role, &key.scopes)?;
    let state = service.accounts()?;
    let rotated = state.rotate_key(&key.id).await?.ok_or_else(no_such_key)?;
    access.record(state, Done::to("key.rotate", key.id)).await?;
    Ok(Json(SecretBody::from(rotated)))
}

pub(crate) async fn revoke(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<KeyPath>,
) -> Result<StatusCode, Failure> {
    let key = own(&service, &access, &path).await?;
    revoked(&service, &access, &key.id).await
}

pub(crate) async fn revoke_any(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<KeyPath>,
) -> Result<StatusCode, Failure> {
    let id: KeyId = path.id.parse().map_err(|_| no_such_key())?;
    revoked(&service, &access, &id).await
}

async fn revoked(service: &Service, access: &Access, id: &KeyId) -> Result<StatusCode, Failure> {
    let state = service.accounts()?;
    if !state.revoke_key(id).await? {
        return Err(no_such_key());
    }
    access.record(state, Done::to("key.revoke", id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The workspace's key of this id; another workspace's is as unknown as one
/// that never was.
async fn own(service: &Service, access: &Access, path: &KeyPath) -> Result<ApiKey, Failure> {
    let id: KeyId = path.id.parse().map_err(|_| no_such_key())?;
    let key = service.accounts()?.key(&id).await?;
    key.filter(|key| key.workspace.as_ref() == Some(&access.workspace.id))
        .ok_or_else(no_such_key)
}

fn no_such_key() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "key_not_found",
        "the workspace has no key with this id",
    )
}

/// Nobody hands out more than they have. Two keys may use twice as much as one,
/// so whoever has quotas makes none.
fn within_caller(caller: &Caller, role: Role, scopes: &[String]) -> Result<(), Failure> {
    let Caller::Key(own) = caller else {
        return Ok(());
    };
    if own.quotas != Quotas::default() {
        return Err(Failure::forbidden());
    }
    if own.scopes.is_empty() {
        return Ok(());
    }
    let allowed =
        |permission: Permission| own.scopes.iter().any(|scope| scope == permission.scope());
    let wanted = Permission::ALL.into_iter().filter(|permission| {
        permission.is_of(role)
            && (scopes.is_empty() || scopes.iter().any(|scope| scope == permission.scope()))
    });
    if wanted.into_iter().all(allowed) {
        Ok(())
    } else {
        Err(Failure::forbidden())
    }
}

impl NewKeyBody {
    fn checked(self, caller: &Caller, workspace: Option<WorkspaceId>) -> Result<NewKey, Failure> {
        let (mut problems, mut senseless) = (Vec::new(), Vec::new());
        let mut problem =
            |field: &'static str, reason: String| problems.push(Field { field, reason });
        let length = self.name.chars().count();
        if self.name.trim().is_empty()
            || length > LONGEST_NAME
            || self.name.chars().any(char::is_control)
        {
            problem(
                "name",
                format!(
                    "has to have from 1 to {LONGEST_NAME} characters, none of them a control character"
                ),
            );
        }
        let role = Role::from(self.role);
        for scope in &self.scopes {
            match Permission::of_scope(scope) {
                None => problem(
                    "scopes",
                    format!(
                        "knows {}",
                        Permission::ALL.map(Permission::scope).join(", ")
                    ),
                ),
                Some(permission) if !permission.is_of(role) => {
                    senseless.push(Field {
                        field: "scopes",
                        reason: format!("{role} has no scope {}", permission.scope()),
                    });
                }
                Some(_) => {}
            }
        }
        let expires = match self.expires.as_deref().map(str::parse::<Timestamp>) {
            None => None,
            Some(Ok(expires)) if expires > Timestamp::now() => Some(expires),
            Some(Ok(_)) => {
                senseless.push(Field {
                    field: "expires",
                    reason: "has passed already".to_owned(),
                });
                None
            }
            Some(Err(_)) => {
                problem(
                    "expires",
                    "has to be a time such as 2030-01-31T00:00:00Z".to_owned(),
                );
                None
            }
        };
        let quotas = Quotas::from(self.quotas);
        for (field, is_none) in [
            (
                "quotas.requests_per_minute",
                quotas.requests_per_minute == Some(0),
            ),
            ("quotas.answers_per_day", quotas.answers_per_day == Some(0)),
            ("quotas.tokens_per_day", quotas.tokens_per_day == Some(0)),
            (
                "quotas.tokens_per_month",
                quotas.tokens_per_month == Some(0),
            ),
        ] {
            if is_none {
                problem(field, "has to be at least 1".to_owned());
            }
        }
        Failure::none_or(problems, senseless)?;
        within_caller(caller, role, &self.scopes)?;
        Ok(NewKey {
            name: self.name,
            workspace,
            role,
            scopes: self.scopes,
            expires,
            quotas,
            by: caller.subject(),
        })
    }
}

impl From<ApiKey> for KeyBody {
    fn from(key: ApiKey) -> Self {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: key.id.to_string(),
            prefix: key.prefix,
            name: key.name,
            workspace: key.workspace.map(|id| id.to_string()),
            role: key.role.into(),
            scopes: key.scopes,
            created: key.created.to_string(),
            expires: time(key.expires),
            quotas: key.quotas.into(),
            last_used: time(key.last_used),
            revoked: time(key.revoked),
        }
    }
}

impl From<(ApiKey, Secret)> for SecretBody {
    fn from((key, secret): (ApiKey, Secret)) -> Self {
        Self {
            secret: secret.reveal().to_owned(),
            key: key.into(),
        }
    }
}

impl From<QuotasBody> for Quotas {
    fn from(quotas: QuotasBody) -> Self {
        Self {
            requests_per_minute: quotas.requests_per_minute,
            answers_per_day: quotas.answers_per_day,
            tokens_per_day: quotas.tokens_per_day,
            tokens_per_month: quotas.tokens_per_month,
        }
    }
}

impl From<Quotas> for QuotasBody {
    fn from(quotas: Quotas) -> Self {
        Self {
            requests_per_minute: quotas.requests_per_minute,
            answers_per_day: quotas.answers_per_day,
            tokens_per_day: quotas.tokens_per_day,
            tokens_per_month: quotas.tokens_per_month,
        }
    }
}

impl From<RoleBody> for Role {
    fn from(role: RoleBody) -> Self {
        match role {
            RoleBody::Owner => Self::Owner,
            RoleBody::Editor => Self::Editor,
            RoleBody::Reader => Self::Reader,
            RoleBody::Evaluator => Self::Evaluator,
            RoleBody::Auditor => Self::Auditor,
        }
    }
}

impl From<Role> for RoleBody {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Editor => Self::Editor,
            Role::Reader => Self::Reader,
            Role::Evaluator => Self::Evaluator,
            Role::Auditor => Self::Auditor,
        }
    }
}
