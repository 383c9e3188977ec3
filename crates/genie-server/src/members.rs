//! The members of a workspace: people, by the subject that an identity
//! provider names them with.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_state::{Member, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Access, Done};
use crate::app::Service;
use crate::body::ApiJson;
use crate::failure::Failure;
use crate::keys::RoleBody;
use crate::paging::{PageBody, Paging};

/// A member.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MemberBody {
    subject: String,
    role: RoleBody,
    since: String,
}

/// The body that makes somebody a member.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MembershipBody {
    role: RoleBody,
}

/// The part of a path that names a member.
#[derive(Debug, Deserialize)]
pub(crate) struct MemberPath {
    subject: String,
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<MemberBody>>, Failure> {
    let id = &access.workspace.id;
    let members = service.accounts()?.members(id, paging.page()?).await?;
    Ok(Json(paging.body(members)))
}

pub(crate) async fn set(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<MemberPath>,
    ApiJson(body): ApiJson<MembershipBody>,
) -> Result<Json<MemberBody>, Failure> {
    let state = service.accounts()?;
    let subject: Subject = path
        .subject
        .parse()
        .map_err(|error: genie_state::ParseError| Failure::invalid("subject", error.to_string()))?;
    let id = &access.workspace.id;
    let member = state.set_member(id, &subject, body.role.into()).await?;
    access
        .record(state, Done::to("member.set", &subject))
        .await?;
    Ok(Json(member.into()))
}

pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<MemberPath>,
) -> Result<StatusCode, Failure> {
    let state = service.accounts()?;
    let no_such_member = || {
        Failure::new(
            StatusCode::NOT_FOUND,
            "member_not_found",
            "the workspace has no such member",
        )
    };
    let subject: Subject = path.subject.parse().map_err(|_| no_such_member())?;
    if !state.remove_member(&access.workspace.id, &subject).await? {
        return Err(no_such_member());
    }
    access
        .record(state, Done::to("member.remove", &subject))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Member> for MemberBody {
    fn from(member: Member) -> Self {
        Self {
            subject: member.subject.to_string(),
            role: member.role.into(),
            since: member.since.to_string(),
        }
    }
}
