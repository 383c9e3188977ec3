//! `genie workspace` and `genie user`: workspaces and their members.

use anyhow::{Context, bail};
use genie_core::Config;
use genie_state::{
    Member, NewWorkspace, StateError, Subject, Timestamp, Workspace, WorkspaceChange, WorkspaceId,
    WorkspaceSettings,
};
use genie_store::ServerStore;
use serde_json::{Value, json};

use crate::accounts::Accounts;
use crate::cli::{
    Common, Deleting, Serve, Setting, Settings, UserAction, UserCommand, WorkspaceAction,
    WorkspaceCommand,
};
use crate::remote::Remote;
use crate::table::table;
use crate::wiring::{Place, place};
use crate::{Ended, settings, tenants};

use super::{remote, say, say_json};

/// Runs `genie workspace`.
pub(crate) fn run(common: &Common, arguments: WorkspaceCommand) -> anyhow::Result<Ended> {
    if let Some(service) = Remote::named(common)? {
        return remote::workspace(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    match arguments.action {
        WorkspaceAction::List {
            deleted: true,
            json,
        } => list_removed(&accounts, json)?,
        WorkspaceAction::List {
            deleted: false,
            json,
        } => {
            let all = accounts.every(|page| accounts.state.workspaces(page))?;
            if json {
                say_json(&all.iter().map(body).collect::<Vec<_>>())?;
            } else {
                let rows: Vec<_> = all
                    .iter()
                    .map(|w| [w.id.to_string(), w.name.clone(), w.created.to_string()])
                    .collect();
                say(&table(["ID", "NAME", "CREATED"], &rows))?;
            }
        }
        WorkspaceAction::Create {
            id,
            name,
            settings,
            json,
        } => {
            let new = NewWorkspace {
                name: name.unwrap_or_else(|| id.to_string()),
                id,
                settings: merged(WorkspaceSettings::default(), offered(common, settings)?),
                by: Subject::local(),
            };
            let made = create(&accounts, new)?;
            accounts.record("workspace.create", Some(&made.id), &made.id)?;
            show(&accounts, &made, json)?;
        }
        WorkspaceAction::Show { id, json } => {
            show(&accounts, &found(&accounts, &id)?, json)?;
        }
        WorkspaceAction::Set {
            id,
            name,
            settings,
            unset,
            json,
        } => {
            let before = found(&accounts, &id)?;
            let mut wanted = before.settings.clone();
            unset.into_iter().for_each(|one| clear(&mut wanted, one));
            let wanted = merged(wanted, offered(common, settings)?);
            if name.is_none() && wanted == before.settings {
                bail!("nothing is to be changed; `genie workspace set --help` shows what can be");
            }
            let change = WorkspaceChange {
                name,
                settings: (wanted != before.settings).then_some(wanted),
            };
            let local = Subject::local();
            let changed = accounts
                .wait(accounts.state.change_workspace(&id, change, &local))?
                .with_context(|| format!("the workspace {id} was deleted meanwhile"))?;
            accounts.record("workspace.change", Some(&id), &id)?;
            show(&accounts, &changed, json)?;
        }
        WorkspaceAction::Delete { id, how } => {
            delete(common, &accounts, &id, how)?;
        }
        WorkspaceAction::Restore { id, json } => {
            let restored = accounts
                .wait(accounts.state.restore_workspace(&id, Timestamp::now()))?
                .with_context(|| {
                    format!(
                        "no deleted workspace {id} can be restored; `genie workspace list \
                         --deleted` shows them"
                    )
                })?;
            accounts.record("workspace.restore", Some(&id), &id)?;
            show(&accounts, &restored, json)?;
        }
    }
    Ok(Ended::Done)
}

fn create(accounts: &Accounts, new: NewWorkspace) -> anyhow::Result<Workspace> {
    let id = new.id.clone();
    accounts
        .wait(accounts.state.create_workspace(new))
        .map_err(|error| match error.downcast_ref() {
            Some(StateError::Exists) => anyhow::anyhow!(
                "the name {id} is taken, or was: names of deleted workspaces are not used again"
            ),
            _ => error,
        })
}

fn list_removed(accounts: &Accounts, json: bool) -> anyhow::Result<()> {
    let all = accounts.every(|page| accounts.state.removed_workspaces(page))?;
    if json {
        let bodies = all.iter().map(|removed| {
            json!({
                "id": removed.workspace.id.to_string(),
                "name": removed.workspace.name,
                "erase_after": removed.erase_after.to_string(),
            })
        });
        return say_json(&bodies.collect::<Vec<_>>());
    }
    let rows: Vec<_> = all
        .iter()
        .map(|removed| {
            [
                removed.workspace.id.to_string(),
                removed.workspace.name.clone(),
                removed.erase_after.to_string(),
            ]
        })
        .collect();
    say(&table(["ID", "NAME", "ERASED AFTER"], &rows))
}

/// Asks whether a workspace is to be deleted.
pub(crate) fn is_meant(id: &WorkspaceId, how: Deleting) -> anyhow::Result<bool> {
    how.is_meant(&format!(
        "Delete the workspace {id} with its documents and conversations?"
    ))
}

/// That a workspace is deleted.
pub(crate) fn deleted(id: &WorkspaceId, how: Deleting) -> anyhow::Result<()> {
    how.done(id, &format!("genie workspace restore {id}"))
}

fn delete(
    common: &Common,
    accounts: &Accounts,
    id: &WorkspaceId,
    how: Deleting,
) -> anyhow::Result<()> {
    let config = settings::read(common, &Serve::default())?;
    let workspace = found(accounts, id)?;
    // A running service has the documents of the workspaces open.
    if let Place::Service(service) = place(common, &config)? {
        return remote::delete(&service, id, how);
    }
    if !is_meant(id, how)? {
        return Ok(());
    }
    let erase_after = how.erase_after().unwrap_or_else(Timestamp::now);
    if !accounts.wait(accounts.state.remove_workspace(id, erase_after))? {
        bail!("the workspace {id} was deleted meanwhile");
    }
    if how.keep_days.is_none() {
        erase(&config, &workspace)?;
        accounts.wait(accounts.state.delete_workspace(id))?;
    }
    accounts.record("workspace.delete", Some(id), id)?;
    deleted(id, how)
}

/// Its files go first: what is cut off here, a service that starts does again.
fn erase(config: &Config, workspace: &Workspace) -> anyhow::Result<()> {
    let id = &workspace.id;
    if let Some(collection) = tenants::collection(config, workspace) {
        ServerStore::remove_collection(&collection)
            .with_context(|| format!("the documents of {id} could not be removed"))?;
    }
    for folder in [
        config.places.workspaces().join(tenants::name(workspace)),
        config.places.uploads().join(id.as_str()),
    ] {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("{} could not be removed", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn found(accounts: &Accounts, id: &WorkspaceId) -> anyhow::Result<Workspace> {
    accounts
        .wait(accounts.state.workspace(id))?
        .with_context(|| format!("there is no workspace {id}; `genie workspace list` shows them"))
}

fn show(accounts: &Accounts, workspace: &Workspace, json: bool) -> anyhow::Result<()> {
    let history = accounts.every(|page| accounts.state.settings_history(&workspace.id, page))?;
    if json {
        let mut body = body(workspace);
        body["history"] = history
            .iter()
            .map(|version| {
                json!({
                    "version": version.version,
                    "name": version.name,
                    "settings": version.settings,
                    "by": version.by.to_string(),
                    "at": version.at.to_string(),
                })
            })
            .collect();
        return say_json(&body);
    }
    let settings = serde_json::to_value(&workspace.settings)?;
    let mut rows = vec![
        ["id".to_owned(), workspace.id.to_string()],
        ["name".to_owned(), workspace.name.clone()],
        ["created".to_owned(), workspace.created.to_string()],
        ["changed".to_owned(), workspace.changed.to_string()],
        ["version".to_owned(), workspace.version.to_string()],
    ];
    rows.extend(
        settings
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let value = match value {
                    Value::Null => "as installed".to_owned(),
                    Value::String(text) => text.clone(),
                    Value::Array(list) if list.is_empty() => "as installed".to_owned(),
                    Value::Array(list) => {
                        let list: Vec<_> = list.iter().filter_map(Value::as_str).collect();
                        list.join(", ")
                    }
                    other => other.to_string(),
                };
                [key.clone(), value]
            }),
    );
    say(&table(["SETTING", "VALUE"], &rows))?;
    let rows: Vec<_> = history
        .iter()
        .map(|v| [v.version.to_string(), v.at.to_string(), v.by.to_string()])
        .collect();
    say(&format!("\n{}", table(["VERSION", "AT", "BY"], &rows)))
}

fn body(workspace: &Workspace) -> Value {
    json!({
        "id": workspace.id.to_string(),
        "name": workspace.name,
        "settings": workspace.settings,
        "created": workspace.created.to_string(),
        "changed": workspace.changed.to_string(),
        "version": workspace.version,
    })
}

/// What is to be set, if the installation offers the model that it names.
fn offered(common: &Common, given: Settings) -> anyhow::Result<Settings> {
    let Some(name) = &given.model else {
        return Ok(given);
    };
    let config = settings::read(common, &Serve::default())?;
    let offered: Vec<&str> = config.offered_models().collect();
    if !offered.contains(&name.as_str()) {
        bail!(
            "this installation does not offer the model {name}; what it offers ({}) is named by \
             chat_model and chat_models in config.toml",
            offered.join(", ")
        );
    }
    Ok(given)
}

pub(super) fn merged(mut before: WorkspaceSettings, given: Settings) -> WorkspaceSettings {
    if !given.languages.is_empty() {
        before.languages = given
            .languages
            .iter()
            .map(|language| language.code().to_owned())
            .collect();
    }
    WorkspaceSettings {
        languages: before.languages,
        top_k: given.top_k.or(before.top_k),
        min_similarity: given.min_similarity.or(before.min_similarity),
        max_tokens: given.max_tokens.or(before.max_tokens),
        retention_days: given.retention_days.or(before.retention_days),
        max_documents: given.max_documents.or(before.max_documents),
        max_bytes: given.max_bytes.or(before.max_bytes),
        requests_per_minute: given.requests_per_minute.or(before.requests_per_minute),
        answers_per_day: given.answers_per_day.or(before.answers_per_day),
        tokens_per_day: given.tokens_per_day.or(before.tokens_per_day),
        tokens_per_month: given.tokens_per_month.or(before.tokens_per_month),
        answers: given.answers.or(before.answers),
        model: given.model.or(before.model),
        style: given.style.or(before.style),
        contact: given.contact.or(before.contact),
        hand_over_below: given.hand_over_below.or(before.hand_over_below),
    }
}

pub(super) fn clear(settings: &mut WorkspaceSettings, setting: Setting) {
    match setting {
        Setting::Language => settings.languages.clear(),
        Setting::TopK => settings.top_k = None,
        Setting::MinSimilarity => settings.min_similarity = None,
        Setting::MaxTokens => settings.max_tokens = None,
        Setting::RetentionDays => settings.retention_days = None,
        Setting::MaxDocuments => settings.max_documents = None,
        Setting::MaxBytes => settings.max_bytes = None,
        Setting::RequestsPerMinute => settings.requests_per_minute = None,
        Setting::AnswersPerDay => settings.answers_per_day = None,
        Setting::TokensPerDay => settings.tokens_per_day = None,
        Setting::TokensPerMonth => settings.tokens_per_month = None,
        Setting::Answers => settings.answers = None,
        Setting::Model => settings.model = None,
        Setting::Style => settings.style = None,
        Setting::Contact => settings.contact = None,
        Setting::HandOverBelow => settings.hand_over_below = None,
    }
}

/// Runs `genie user`.
pub(crate) fn run_user(common: &Common, arguments: UserCommand) -> anyhow::Result<Ended> {
    if let Some(service) = Remote::named(common)? {
        return remote::user(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    match arguments.action {
        UserAction::List { within, json } => {
            accounts.needs(&within.workspace)?;
            let all = accounts.every(|page| accounts.state.members(&within.workspace, page))?;
            if json {
                say_json(&all.iter().map(member).collect::<Vec<_>>())?;
            } else {
                let rows: Vec<_> = all
                    .iter()
                    .map(|m| {
                        [
                            m.subject.to_string(),
                            m.role.to_string(),
                            m.since.to_string(),
                        ]
                    })
                    .collect();
                say(&table(["SUBJECT", "ROLE", "SINCE"], &rows))?;
            }
        }
        UserAction::Set {
            subject,
            role,
            within,
            json,
        } => {
            let id = &within.workspace;
            accounts.needs(id)?;
            let set = accounts.wait(accounts.state.set_member(id, &subject, role))?;
            accounts.record("member.set", Some(id), &subject)?;
            if json {
                say_json(&member(&set))?;
            } else {
                say(&format!("{subject} is {role} of {id}\n"))?;
            }
        }
        UserAction::Remove { subject, within } => {
            let id = &within.workspace;
            if !accounts.wait(accounts.state.remove_member(id, &subject))? {
                bail!("{subject} is no member of {id}; `genie user list` shows them");
            }
            accounts.record("member.remove", Some(id), &subject)?;
            say(&format!("{subject} is no member of {id} any more\n"))?;
        }
    }
    Ok(Ended::Done)
}

fn member(member: &Member) -> Value {
    json!({
        "subject": member.subject.to_string(),
        "role": member.role.to_string(),
        "since": member.since.to_string(),
    })
}
