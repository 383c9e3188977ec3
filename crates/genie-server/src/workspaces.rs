//! Workspaces: tenants with their own documents, members, settings and trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genie_core::{HandOverConfig, StoreError};
use genie_rag::Engine;
use genie_state::{
    NewWorkspace, Originals, SettingsVersion, StateError, Workspace, WorkspaceChange, WorkspaceId,
    WorkspaceSettings,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Access, Caller, Done};
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::{LINE, LanguageCode};
use crate::chosen::ChosenModel;
use crate::documents::DocumentSink;
use crate::failure::{Failure, Field};
use crate::paging::{PageBody, Paging};

const LONGEST_NAME: usize = 200;

/// Opens the indexes of workspaces; the program that runs the service brings
/// one, for it knows the folders and the models.
pub trait Workspaces: Send + Sync {
    /// The workspace's index with its settings, made if there is none. Blocks.
    ///
    /// # Errors
    ///
    /// Fails when the index can't be opened.
    fn open(&self, workspace: &Workspace) -> Result<OpenWorkspace, StoreError>;

    /// The language models that a workspace may choose.
    fn chat_models(&self) -> Vec<String> {
        Vec::new()
    }

    /// How a language model is that a workspace has chosen, without loading
    /// it. Blocks no longer than a look at the disk.
    fn chosen_model(&self, _name: &str) -> ChosenModel {
        ChosenModel::Missing
    }

    /// Where the bytes of a workspace's documents are kept; `None` where they
    /// are not. The default workspace has its own.
    fn originals(&self, workspace: &Workspace) -> Option<Originals>;

    /// Removes the index and the files of a workspace for good. Blocks.
    ///
    /// # Errors
    ///
    /// Fails when something of it is still there.
    fn erase(&self, workspace: &Workspace) -> Result<(), StoreError>;

    /// Takes what was deleted from any of the indexes off the disk; `false`
    /// where nothing was. Blocks, and holds up writes but no searches.
    ///
    /// # Errors
    ///
    /// Fails when something of it is still there; the next call tries again.
    fn purge(&self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// A workspace that can be asked.
#[derive(Clone)]
pub struct OpenWorkspace {
    /// Answers and searches.
    pub engine: Arc<Engine>,
    /// Takes documents; without one the workspace takes none.
    pub indexer: Option<Arc<dyn DocumentSink>>,
    /// Where the bytes of its documents are kept; without it they are not.
    pub originals: Option<Originals>,
}

/// What can be set for a workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettingsBody {
    /// Languages that its people use, as ISO 639-1 codes, the usual one
    /// first. A question that does not show its language is taken to be in
    /// one of them.
    #[schemars(with = "Vec<LanguageCode>", length(max = 6))]
    languages: Vec<String>,
    /// Passages put before the model.
    #[schemars(range(min = 1, max = 50))]
    top_k: Option<u32>,
    /// Below this cosine of the best passage the documents don't cover a
    /// question.
    #[schemars(range(min = 0.0, max = 1.0))]
    min_similarity: Option<f32>,
    /// Tokens of an answer at most.
    #[schemars(range(min = 1, max = 8192))]
    max_tokens: Option<u32>,
    /// Days after which conversations are erased.
    #[schemars(range(min = 1, max = 36500))]
    retention_days: Option<u32>,
    /// Documents it may hold.
    max_documents: Option<u64>,
    /// Bytes of documents that it may keep as they were sent.
    max_bytes: Option<u64>,
    /// Requests a minute of all of its callers together.
    #[schemars(range(min = 1))]
    requests_per_minute: Option<u32>,
    /// Answers a day, in UTC, of all of its callers together.
    #[schemars(range(min = 1))]
    answers_per_day: Option<u64>,
    /// Tokens of the language model a day, read and written.
    #[schemars(range(min = 1))]
    tokens_per_day: Option<u64>,
    /// Tokens of the language model a month, read and written.
    #[schemars(range(min = 1))]
    tokens_per_month: Option<u64>,
    /// `generated`, or `quoted` for passages only.
    answers: Option<AnswersBody>,
    /// The language model, of those that the installation offers.
    model: Option<String>,
    /// How answers are worded.
    style: Option<StyleBody>,
    /// Where a person is found who can be asked what is not answered here: an
    /// address, a page, a telephone number, in one line of at most 200
    /// characters.
    #[schemars(length(min = 1, max = 200), regex(path = "LINE"))]
    contact: Option<String>,
    /// Confidence of an answer under which that person is named.
    #[schemars(range(min = 0.0, max = 1.0))]
    hand_over_below: Option<f32>,
}

/// How answers are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StyleBody {
    /// In one or two complete sentences.
    Usual,
    /// In one short sentence.
    Brief,
    /// In points.
    List,
}

/// How answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnswersBody {
    /// Written by the language model and verified.
    Generated,
    /// Passages, quoted.
    Quoted,
}

/// A workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorkspaceBody {
    id: String,
    name: String,
    settings: SettingsBody,
    /// Counts changes of name and settings.
    version: u32,
    created: String,
    changed: String,
}

/// An earlier name and settings of a workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionBody {
    version: u32,
    name: String,
    settings: SettingsBody,
    /// Who set them.
    by: String,
    at: String,
}

/// The body that makes a workspace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWorkspaceBody {
    /// Small letters, digits and hyphens.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9][a-z0-9-]*$"))]
    id: String,
    #[schemars(length(min = 1, max = 200), regex(path = "LINE"))]
    name: Option<String>,
    #[serde(default)]
    settings: SettingsBody,
}

/// The body that changes a workspace; what is missing stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceChangeBody {
    #[schemars(length(min = 1, max = 200), regex(path = "LINE"))]
    name: Option<String>,
    /// All settings: one that is left out is back at its default.
    settings: Option<SettingsBody>,
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<WorkspaceBody>>, Failure> {
    let state = service.accounts()?;
    // The ids of the caller's own, which are few; `None` is all there are.
    let only: Option<Vec<WorkspaceId>> = match &access.caller {
        Caller::Key(key) => key.workspace.clone().map(|id| vec![id]),
        Caller::Person(person) => person
            .workspaces()
            .map(|ids| ids.into_iter().cloned().collect()),
        Caller::Local | Caller::Later(_) => None,
    };
    if let Some(ids) = only {
        let mut own = Vec::with_capacity(ids.len());
        for id in &ids {
            own.extend(state.workspace(id).await?);
        }
        let shown = own.iter().map(WorkspaceBody::from).collect::<Vec<_>>();
        let (before, size) = paging.window();
        let shown: Vec<_> = shown.into_iter().skip(before).take(size).collect();
        return Ok(Json(paging.body_of(own.len() as u64, shown)));
    }
    let page = state.workspaces(paging.page()?).await?;
    let results = page.results.iter().map(WorkspaceBody::from).collect();
    Ok(Json(paging.body_of(page.count, results)))
}

pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(body): ApiJson<NewWorkspaceBody>,
) -> Result<Response, Failure> {
    let state = service.accounts()?;
    let id: WorkspaceId = body
        .id
        .parse()
        .map_err(|error: genie_state::ParseError| Failure::invalid("id", error.to_string()))?;
    let name = body.name.unwrap_or_else(|| id.to_string());
    check_name(&name)?;
    let new = NewWorkspace {
        id,
        name,
        settings: body.settings.checked(&service.chat_models())?,
        by: access.caller.subject(),
    };
    let made = state
        .create_workspace(new)
        .await
        .map_err(|error| match error {
            StateError::Exists => Failure::new(
                StatusCode::CONFLICT,
                "workspace_exists",
                "there is a workspace with this id",
            ),
            error => error.into(),
        })?;
    let done = Done::to("workspace.create", &made.id);
    access.record(state, done).await?;
    let mut response = (StatusCode::CREATED, Json(WorkspaceBody::from(&made))).into_response();
    // The id is of characters that a path takes as they are.
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/workspaces/{}", made.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

pub(crate) async fn show(access: Access) -> Json<WorkspaceBody> {
    Json(WorkspaceBody::from(&access.workspace))
}

pub(crate) async fn change(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(body): ApiJson<WorkspaceChangeBody>,
) -> Result<Json<WorkspaceBody>, Failure> {
    let state = service.accounts()?;
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    let models = service.chat_models();
    let settings = body.settings.map(|settings| settings.checked(&models));
    let change = WorkspaceChange {
        name: body.name,
        settings: settings.transpose()?,
    };
    let id = &access.workspace.id;
    let changed = state
        .change_workspace(id, change, &access.caller.subject())
        .await?
        .ok_or_else(crate::access::no_such_workspace)?;
    access
        .record(state, Done::to("workspace.change", id))
        .await?;
    Ok(Json(WorkspaceBody::from(&changed)))
}

pub(crate) async fn history(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<VersionBody>>, Failure> {
    let id = &access.workspace.id;
    let versions = service
        .accounts()?
        .settings_history(id, paging.page()?)
        .await?;
    Ok(Json(paging.body(versions)))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Failure::invalid(
            "name",
            format!(
                "has to have from 1 to {LONGEST_NAME} characters, none of them a control character"
            ),
        ));
    }
    Ok(())
}

impl SettingsBody {
    /// The settings, if they are in their ranges and name one of these models.
    fn checked(self, models: &[String]) -> Result<WorkspaceSettings, Failure> {
        let mut problems = Vec::new();
        let mut check = |field: &'static str, fits: bool, wanted: &str| {
            if !fits {
                problems.push(Field {
                    field,
                    reason: format!("has to be {wanted}"),
                });
            }
        };
        let known = |code: &String| code.parse::<genie_core::Language>().is_ok();
        check(
            "settings.languages",
            self.languages.len() <= 6 && self.languages.iter().all(known),
            "a list of ar, en, es, fr, ru and zh",
        );
        let within = |value: Option<u32>, low: u32, high: u32| {
            value.is_none_or(|value| (low..=high).contains(&value))
        };
        check("settings.top_k", within(self.top_k, 1, 50), "from 1 to 50");
        check(
            "settings.max_tokens",
            within(self.max_tokens, 1, 8192),
            "from 1 to 8192",
        );
        check(
            "settings.retention_days",
            within(self.retention_days, 1, 36_500),
            "from 1 to 36500",
        );
        check(
            "settings.requests_per_minute",
            within(self.requests_per_minute, 1, u32::MAX),
            "at least 1",
        );
        for (field, quota) in [
            ("settings.answers_per_day", self.answers_per_day),
            ("settings.tokens_per_day", self.tokens_per_day),
            ("settings.tokens_per_month", self.tokens_per_month),
        ] {
            check(field, quota != Some(0), "at least 1");
        }
        check(
            "settings.min_similarity",
            self.min_similarity
                .is_none_or(|value| (0.0..=1.0).contains(&value)),
            "from 0 to 1",
        );
        check(
            "settings.hand_over_below",
            self.hand_over_below
                .is_none_or(|value| (0.0..=1.0).contains(&value)),
            "from 0 to 1",
        );
        check(
            "settings.contact",
            self.contact
                .as_deref()
                .is_none_or(HandOverConfig::is_contact),
            "one line of 1 to 200 characters",
        );
        let is_offered = self.model.as_ref().is_none_or(|name| models.contains(name));
        let senseless = (!is_offered).then(|| Field {
            field: "settings.model",
            reason: format!("has to be one of those offered here: {}", models.join(", ")),
        });
        Failure::none_or(problems, senseless.into_iter().collect())?;
        Ok(WorkspaceSettings {
            languages: self.languages,
            top_k: self.top_k,
            min_similarity: self.min_similarity,
            max_tokens: self.max_tokens,
            retention_days: self.retention_days,
            max_documents: self.max_documents,
            max_bytes: self.max_bytes,
            requests_per_minute: self.requests_per_minute,
            answers_per_day: self.answers_per_day,
            tokens_per_day: self.tokens_per_day,
            tokens_per_month: self.tokens_per_month,
            answers: self.answers.map(|answers| match answers {
                AnswersBody::Generated => "generated".to_owned(),
                AnswersBody::Quoted => "quoted".to_owned(),
            }),
            model: self.model,
            style: self.style.map(|style| match style {
                StyleBody::Usual => "usual".to_owned(),
                StyleBody::Brief => "brief".to_owned(),
                StyleBody::List => "list".to_owned(),
            }),
            contact: self.contact,
            hand_over_below: self.hand_over_below,
        })
    }
}

impl From<&WorkspaceSettings> for SettingsBody {
    fn from(settings: &WorkspaceSettings) -> Self {
        Self {
            languages: settings.languages.clone(),
            top_k: settings.top_k,
            min_similarity: settings.min_similarity,
            max_tokens: settings.max_tokens,
            retention_days: settings.retention_days,
            max_documents: settings.max_documents,
            max_bytes: settings.max_bytes,
            requests_per_minute: settings.requests_per_minute,
            answers_per_day: settings.answers_per_day,
            tokens_per_day: settings.tokens_per_day,
            tokens_per_month: settings.tokens_per_month,
            answers: match settings.answers.as_deref() {
                Some("quoted") => Some(AnswersBody::Quoted),
                Some(_) => Some(AnswersBody::Generated),
                None => None,
            },
            model: settings.model.clone(),
            style: settings.style.as_deref().map(|style| match style {
                "brief" => StyleBody::Brief,
                "list" => StyleBody::List,
                _ => StyleBody::Usual,
            }),
            contact: settings.contact.clone(),
            hand_over_below: settings.hand_over_below,
        }
    }
}

impl From<&Workspace> for WorkspaceBody {
    fn from(workspace: &Workspace) -> Self {
        Self {
            id: workspace.id.to_string(),
            name: workspace.name.clone(),
            settings: SettingsBody::from(&workspace.settings),
            version: workspace.version,
            created: workspace.created.to_string(),
            changed: workspace.changed.to_string(),
        }
    }
}

impl From<SettingsVersion> for VersionBody {
    fn from(version: SettingsVersion) -> Self {
        Self {
            version: version.version,
            name: version.name,
            settings: SettingsBody::from(&version.settings),
            by: version.by.to_string(),
            at: version.at.to_string(),
        }
    }
}
