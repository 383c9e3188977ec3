//! Workspaces, keys and members of a service.

use anyhow::{Context, bail};
use genie_state::{Quotas, Timestamp, WorkspaceId, WorkspaceSettings};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{listed, say, say_json, shown, text, within};
use crate::Ended;
use crate::cli::{
    Deleting, KeyAction, KeyCommand, KeyName, UserAction, UserCommand, WorkspaceAction,
    WorkspaceCommand,
};
use crate::commands::confirmed;
use crate::commands::workspace::{clear, deleted, is_meant, merged};
use crate::remote::{Remote, Sending};

/// `genie workspace` on a service.
pub(crate) fn workspace(remote: &Remote, arguments: WorkspaceCommand) -> anyhow::Result<Ended> {
    const ALL: &str = "/api/v1/workspaces";
    const REMOVED: &str = "/api/v1/removed-workspaces";
    match arguments.action {
        WorkspaceAction::List {
            deleted: true,
            json,
        } => {
            let columns = [
                ("ID", "id"),
                ("NAME", "name"),
                ("ERASED AFTER", "erase_after"),
            ];
            listed(&remote.every(REMOVED)?, json, columns)?;
        }
        WorkspaceAction::List {
            deleted: false,
            json,
        } => {
            let columns = [("ID", "id"), ("NAME", "name"), ("CREATED", "created")];
            listed(&remote.every(ALL)?, json, columns)?;
        }
        WorkspaceAction::Create {
            id,
            name,
            settings,
            json,
        } => {
            let settings = merged(WorkspaceSettings::default(), settings);
            let body = json!({
                "id": id.to_string(),
                "name": name.unwrap_or_else(|| id.to_string()),
                "settings": settings,
            });
            shown(&remote.send(Sending::Post, ALL, &body)?, json)?;
        }
        WorkspaceAction::Show { id, json } => {
            let mut found = remote.get(&within(&id, ""))?;
            if json {
                found["history"] = remote.every(&within(&id, "/settings/history"))?.into();
            }
            shown(&found, json)?;
        }
        WorkspaceAction::Set {
            id,
            name,
            settings,
            unset,
            json,
        } => {
            let before = remote.get(&within(&id, ""))?;
            let before: WorkspaceSettings = serde_json::from_value(before["settings"].clone())
                .context("the service gave settings that this version does not know")?;
            let mut wanted = before.clone();
            unset.into_iter().for_each(|one| clear(&mut wanted, one));
            let wanted = merged(wanted, settings);
            if name.is_none() && wanted == before {
                bail!("nothing is to be changed; `genie workspace set --help` shows what can be");
            }
            let body = json!({
                "name": name,
                "settings": (wanted != before).then_some(wanted),
            });
            shown(&remote.send(Sending::Patch, &within(&id, ""), &body)?, json)?;
        }
        WorkspaceAction::Delete { id, how } => {
            delete(remote, &id, how)?;
        }
        WorkspaceAction::Restore { id, json } => {
            let path = format!("{REMOVED}/{id}/restore");
            shown(&remote.send(Sending::Post, &path, &json!({}))?, json)?;
        }
    }
    Ok(Ended::Done)
}

/// Deletes a workspace there, once its name is confirmed.
pub(crate) fn delete(remote: &Remote, id: &WorkspaceId, how: Deleting) -> anyhow::Result<()> {
    if is_meant(id, how)? {
        remote.remove(&within(id, &how.query()))?;
        deleted(id, how)?;
    }
    Ok(())
}

/// `genie user` on a service.
pub(crate) fn user(remote: &Remote, arguments: UserCommand) -> anyhow::Result<Ended> {
    let path = |workspace: &WorkspaceId, subject: &genie_state::Subject| {
        let subject = subject.to_string();
        let subject = utf8_percent_encode(&subject, NON_ALPHANUMERIC);
        within(workspace, &format!("/members/{subject}"))
    };
    match arguments.action {
        UserAction::List {
            within: place,
            json,
        } => {
            let found = remote.every(&within(&place.workspace, "/members"))?;
            let columns = [("SUBJECT", "subject"), ("ROLE", "role"), ("SINCE", "since")];
            listed(&found, json, columns)?;
        }
        UserAction::Set {
            subject,
            role,
            within: place,
            json,
        } => {
            let body = json!({ "role": role.to_string() });
            let set = remote.send(Sending::Put, &path(&place.workspace, &subject), &body)?;
            if json {
                say_json(&set)?;
            } else {
                say(&format!("{subject} is {role} of {}\n", place.workspace))?;
            }
        }
        UserAction::Remove {
            subject,
            within: place,
        } => {
            remote.remove(&path(&place.workspace, &subject))?;
            let place = &place.workspace;
            say(&format!("{subject} is no member of {place} any more\n"))?;
        }
    }
    Ok(Ended::Done)
}

/// `genie key` on a service.
pub(crate) fn key(remote: &Remote, arguments: KeyCommand) -> anyhow::Result<Ended> {
    match arguments.action {
        // Not sent to the service.
        KeyAction::Login | KeyAction::Logout => {}
        KeyAction::List { workspace, json } => {
            let found = match workspace {
                Some(workspace) => remote.every(&within(&workspace, "/keys"))?,
                None => keys(remote)?,
            };
            let columns = [
                ("PREFIX", "prefix"),
                ("NAME", "name"),
                ("WORKSPACE", "workspace"),
                ("ROLE", "role"),
                ("SCOPES", "scopes"),
                ("EXPIRES", "expires"),
                ("LAST USED", "last_used"),
                ("REVOKED", "revoked"),
                ("QUOTAS", "quotas"),
            ];
            listed(&found, json, columns)?;
        }
        KeyAction::Create {
            name,
            workspace,
            operator,
            role,
            scopes,
            expires,
            quotas,
            json,
        } => {
            let workspace = workspace.unwrap_or_else(WorkspaceId::default_workspace);
            let (path, role) = match operator {
                true => ("/api/v1/keys".to_owned(), "owner".to_owned()),
                false => (within(&workspace, "/keys"), role.to_string()),
            };
            let expires = expires.map(|time| Timestamp::now().after(time).to_string());
            let body = json!({
                "name": name,
                "role": role,
                "scopes": scopes,
                "expires": expires,
                "quotas": Quotas::from(quotas),
            });
            tell(&remote.send(Sending::Post, &path, &body)?, json)?;
        }
        KeyAction::Rotate { key, json } => {
            let key = chosen(remote, &key)?;
            let Some(workspace) = key["workspace"].as_str() else {
                bail!("a key of the installation is not rotated there; make another one");
            };
            let id = text(&key, "id")?;
            let path = format!("/api/v1/workspaces/{workspace}/keys/{id}/rotate");
            tell(&remote.send(Sending::Post, &path, &json!({}))?, json)?;
        }
        KeyAction::Revoke { key, yes } => {
            let key = chosen(remote, &key)?;
            let (id, prefix) = (text(&key, "id")?, text(&key, "prefix")?);
            let question = format!("Revoke {prefix} ({}) for good?", text(&key, "name")?);
            if confirmed(&question, yes)? {
                let path = match key["workspace"].as_str() {
                    Some(workspace) => format!("/api/v1/workspaces/{workspace}/keys/{id}"),
                    None => format!("/api/v1/keys/{id}"),
                };
                remote.remove(&path)?;
                say(&format!("revoked {prefix}\n"))?;
            }
        }
    }
    Ok(Ended::Done)
}

/// The keys that the caller may see: an operator all, others those of their
/// workspace.
fn keys(remote: &Remote) -> anyhow::Result<Vec<Value>> {
    let me = remote.get("/api/v1/me")?;
    if me["operator"] == true {
        return remote.every("/api/v1/keys");
    }
    let workspace = text(&me, "workspace")?;
    remote.every(&format!("/api/v1/workspaces/{workspace}/keys"))
}

fn chosen(remote: &Remote, name: &KeyName) -> anyhow::Result<Value> {
    let (field, wanted) = match name {
        KeyName::Id(id) => ("id", id.to_string()),
        KeyName::Prefix(prefix) => ("prefix", prefix.clone()),
    };
    let mut found = keys(remote)?
        .into_iter()
        .filter(|key| key[field] == wanted.as_str());
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => bail!("several keys begin with {wanted}; give the id"),
        (None, _) => bail!("there is no key {wanted}; `genie key list` shows them"),
    }
}

/// The secret goes to standard output alone, so that it can be piped to where
/// it is needed.
fn tell(key: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(key);
    }
    let place = match key["workspace"].as_str() {
        Some(id) => format!("workspace {id}"),
        None => "the installation".to_owned(),
    };
    eprintln!(
        "key {} for {place}, {}; this is the only time that its secret is shown:",
        text(key, "prefix")?,
        text(key, "role")?,
    );
    say(&format!("{}\n", text(key, "secret")?))
}
