//! What is kept of the caller: shown, exported, erased.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::{Access, Done, Permission};
use crate::app::Service;
use crate::conversations::{ConversationBody, FeedbackBody, MessageBody};
use crate::failure::Failure;
use crate::jobs::JobBody;
use crate::keys::RoleBody;
use crate::trail::UsageDay;
use crate::uploads;

/// Who the caller is to this service.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MeBody {
    subject: String,
    /// The workspace that requests without one are about.
    workspace: String,
    /// `null` where the caller is no member of it.
    role: Option<RoleBody>,
    /// What may be done there.
    scopes: Vec<&'static str>,
    /// Whether the caller runs the installation.
    operator: bool,
}

/// All that is kept of a caller in a workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExportBody {
    subject: String,
    workspace: String,
    conversations: Vec<ExportedConversation>,
    feedback: Vec<FeedbackBody>,
    usage: Vec<UsageDay>,
    /// Answers that were given after their request, and deliveries of them.
    answers: Vec<JobBody>,
}

/// A conversation with all of its messages.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExportedConversation {
    #[serde(flatten)]
    conversation: ConversationBody,
    history: Vec<MessageBody>,
}

/// What was erased.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErasedBody {
    /// Conversations, with their messages and what was said of them.
    conversations: u64,
}

pub(crate) async fn me(access: Access) -> Json<MeBody> {
    let role = access.caller.role_in(&access.workspace.id);
    let may =
        |permission: &Permission| role.is_some_and(|role| access.caller.may(role, *permission));
    Json(MeBody {
        subject: access.caller.subject().to_string(),
        workspace: access.workspace.id.to_string(),
        role: role.map(RoleBody::from),
        scopes: Permission::ALL
            .iter()
            .filter(|p| may(p))
            .map(|p| p.scope())
            .collect(),
        operator: access.caller.is_operator(),
    })
}

pub(crate) async fn export(
    State(service): State<Arc<Service>>,
    access: Access,
) -> Result<Json<ExportBody>, Failure> {
    let state = service.accounts()?;
    let subject = access.caller.subject();
    let data = state.export_subject(&access.workspace.id, &subject).await?;
    access
        .record(state, Done::to("person.export", &subject))
        .await?;
    Ok(Json(ExportBody {
        subject: subject.to_string(),
        workspace: access.workspace.id.to_string(),
        conversations: data
            .conversations
            .into_iter()
            .map(|(conversation, messages)| ExportedConversation {
                conversation: conversation.into(),
                history: messages.into_iter().map(MessageBody::from).collect(),
            })
            .collect(),
        feedback: data.feedback.into_iter().map(FeedbackBody::from).collect(),
        usage: data.usage.into_iter().map(UsageDay::from).collect(),
        answers: data.answers.into_iter().map(JobBody::from).collect(),
    }))
}

pub(crate) async fn erase(
    State(service): State<Arc<Service>>,
    access: Access,
) -> Result<Json<ErasedBody>, Failure> {
    let state = service.accounts()?;
    let subject = access.caller.subject();
    let workspace = &access.workspace.id;
    // What is only counted yet would be written down as theirs afterwards.
    let flushing = {
        let (service, workspace, subject) =
            (Arc::clone(&service), workspace.clone(), subject.clone());
        async move {
            let state = service.accounts()?;
            let flushed = service.meter.flush_of(state, &workspace, &subject).await;
            flushed.map_err(Failure::from)
        }
    };
    // Also where the caller leaves meanwhile.
    tokio::spawn(flushing)
        .await
        .map_err(|_| Failure::internal())??;
    let conversations = state.erase_subject(workspace, &subject).await?;
    // With its unfinished jobs went what named the files that they waited
    // with.
    uploads::sweep_workspace(&service, workspace, Duration::ZERO).await?;
    access
        .record(state, Done::to("person.erase", &subject))
        .await?;
    Ok(Json(ErasedBody { conversations }))
}
