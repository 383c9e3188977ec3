//! The caller of a request and the workspace it is about.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use genie_rag::Question;
use genie_state::{ApiKey, NewAudit, Owner, Role, State, Subject, Workspace, WorkspaceId};

use super::permission::Permission;
use crate::app::Service;
use crate::failure::Failure;
use crate::meter::Held;
use crate::workspaces::OpenWorkspace;

/// The correlation id of a request, as it is logged, echoed and audited.
#[derive(Debug, Clone, Default)]
pub(crate) struct Correlation {
    pub(crate) id: String,
    /// Why the caller asks, where a security server passed it on.
    pub(crate) intent: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Caller {
    /// A program on this machine, where the service has no other users.
    Local,
    /// Whoever has this key.
    Key(Box<ApiKey>),
    /// Somebody whom a party that is trusted with it named.
    Person(Box<Person>),
    /// Whoever asked for work that is done now: it was let through when it was
    /// asked for, and nothing more is.
    Later(Subject),
}

/// Somebody known by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Person {
    pub(crate) subject: Subject,
    /// Roles that whoever named the person gave, in the order in which they
    /// count; a place of `None` is every workspace.
    pub(crate) grants: Vec<(Option<WorkspaceId>, Role)>,
    /// The workspaces that list the person as a member, with the role there.
    pub(crate) memberships: Vec<(WorkspaceId, Role)>,
}

impl Person {
    fn role_in(&self, workspace: &WorkspaceId) -> Option<Role> {
        let granted = self
            .grants
            .iter()
            .find(|(place, _)| place.as_ref().is_none_or(|place| place == workspace));
        let member = || {
            self.memberships
                .iter()
                .find(|(place, _)| place == workspace)
        };
        granted
            .map(|(_, role)| *role)
            .or_else(|| member().map(|(_, role)| *role))
    }

    /// The workspaces that the person has a role in; `None` is all of them.
    pub(crate) fn workspaces(&self) -> Option<BTreeSet<&WorkspaceId>> {
        let granted = self.grants.iter().map(|(place, _)| place.as_ref());
        let member = self.memberships.iter().map(|(place, _)| Some(place));
        granted.chain(member).collect()
    }

    /// The one workspace that the person has a role in.
    pub(crate) fn only_workspace(&self) -> Option<&WorkspaceId> {
        let all = self.workspaces()?;
        all.first().copied().filter(|_| all.len() == 1)
    }
}

impl Caller {
    /// As what it is recorded.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Local => Subject::local(),
            Self::Key(key) => Subject::key(&key.id),
            Self::Person(person) => person.subject.clone(),
            Self::Later(subject) => subject.clone(),
        }
    }

    /// Whether it may do what concerns the whole installation.
    pub(crate) fn is_operator(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Key(key) => {
                key.workspace.is_none() && key.role == Role::Owner && key.scopes.is_empty()
            }
            Self::Person(person) => person.grants.contains(&(None, Role::Owner)),
            Self::Later(_) => false,
        }
    }

    /// Its role in a workspace; `None` where it is no member.
    pub(crate) fn role_in(&self, workspace: &WorkspaceId) -> Option<Role> {
        match self {
            Self::Local => Some(Role::Owner),
            Self::Key(key) => match &key.workspace {
                Some(own) => (own == workspace).then_some(key.role),
                None => Some(key.role),
            },
            Self::Person(person) => person.role_in(workspace),
            Self::Later(_) => None,
        }
    }

    /// Whether its role in a workspace is that of the workspace's own list of
    /// members, and ends with it.
    pub(crate) fn is_listed_in(&self, workspace: &WorkspaceId) -> bool {
        match self {
            Self::Person(person) => {
                let grants = |place: &Option<WorkspaceId>| {
                    place.as_ref().is_none_or(|place| place == workspace)
                };
                !person.grants.iter().any(|(place, _)| grants(place))
            }
            Self::Local | Self::Key(_) | Self::Later(_) => false,
        }
    }

    /// Whether its role and its scopes allow this.
    pub(crate) fn may(&self, role: Role, permission: Permission) -> bool {
        let scoped = match self {
            Self::Local | Self::Person(_) => true,
            Self::Key(key) => {
                key.scopes.is_empty() || key.scopes.iter().any(|scope| scope == permission.scope())
            }
            Self::Later(_) => false,
        };
        scoped && permission.is_of(role)
    }
}

/// What the layer in front found: a caller who may do what the route does, in
/// this workspace.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) caller: Caller,
    pub(crate) workspace: Workspace,
    pub(crate) correlation: Correlation,
    /// The answer that it was let in for, until that is counted.
    pub(crate) held: Reserved,
}

/// The place among those that quotas count, of all copies of an access.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reserved(Arc<Mutex<Option<Held>>>);

impl Reserved {
    pub(crate) fn put(&self, held: Held) {
        let _earlier = self.lock().replace(held);
    }

    pub(crate) fn take(&self) -> Option<Held> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Access {
    /// As the caller of a request that was let through, for the work that it
    /// asked for.
    pub(crate) fn later(subject: Subject, workspace: Workspace, correlation: Correlation) -> Self {
        Self {
            caller: Caller::Later(subject),
            workspace,
            correlation,
            held: Reserved::default(),
        }
    }

    /// Whose conversations these are.
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            workspace: self.workspace.id.clone(),
            subject: self.caller.subject(),
        }
    }

    /// Whether the caller may do this here, where a route does several things
    /// that need more than the route.
    pub(crate) fn needs(&self, permission: Permission) -> Result<(), Failure> {
        let role = self.caller.role_in(&self.workspace.id);
        match role {
            Some(role) if self.caller.may(role, permission) => Ok(()),
            _ => Err(Failure::forbidden()),
        }
    }

    /// The workspace's index and models. Blocks no runtime thread.
    pub(crate) async fn open(&self, service: &Arc<Service>) -> Result<OpenWorkspace, Failure> {
        service.open(&self.workspace).await
    }

    /// The question with what the workspace sets where it sets nothing itself.
    pub(crate) fn bounded(&self, mut question: Question) -> Question {
        let settings = &self.workspace.settings;
        question.top_k = question
            .top_k
            .or(settings.top_k.map(|top_k| top_k as usize));
        question.max_tokens = question
            .max_tokens
            .or(settings.max_tokens.map(|most| most as usize));
        question
    }

    /// As this access in another workspace, if the caller has one there.
    pub(crate) async fn moved(
        &self,
        service: &Service,
        to: &str,
        permission: Permission,
    ) -> Result<Self, Failure> {
        let id: WorkspaceId = to.parse().map_err(|_| no_such_workspace())?;
        if id == self.workspace.id {
            return Ok(self.clone());
        }
        let workspace = service
            .workspace(&id)
            .await?
            .ok_or_else(no_such_workspace)?;
        let role = self.caller.role_in(&id).ok_or_else(no_such_workspace)?;
        if !self.caller.may(role, permission) {
            return Err(Failure::forbidden());
        }
        Ok(Self {
            workspace,
            ..self.clone()
        })
    }

    /// Records what was done, for good.
    pub(crate) async fn record(&self, state: &State, done: Done<'_>) -> Result<(), Failure> {
        state
            .audit(NewAudit {
                subject: self.caller.subject(),
                workspace: Some(self.workspace.id.clone()),
                action: done.action.to_owned(),
                object: done.object,
                outcome: "ok".to_owned(),
                correlation: self.correlation.id.clone(),
                intent: self.correlation.intent.clone(),
                model: done.model,
                logic: env!("CARGO_PKG_VERSION").to_owned(),
            })
            .await?;
        Ok(())
    }
}

/// Something that goes into the audit trail.
#[derive(Debug, Default)]
pub(crate) struct Done<'a> {
    /// As in `document.add`.
    pub(crate) action: &'a str,
    /// The id of what it was done to, never content.
    pub(crate) object: Option<String>,
    /// The language model that took part.
    pub(crate) model: Option<String>,
}

impl<'a> Done<'a> {
    pub(crate) fn to(action: &'a str, object: impl ToString) -> Self {
        Self {
            action,
            object: Some(object.to_string()),
            model: None,
        }
    }
}

/// A workspace that is not there and one that is somebody else's look alike.
pub(crate) fn no_such_workspace() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "workspace_not_found",
        "there is no workspace with this id",
    )
}

impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        // The layer puts it there for every route that is not public.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(Failure::internal)
    }
}

impl<S: Sync> FromRequestParts<S> for Correlation {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
