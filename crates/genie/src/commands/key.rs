//! `genie key`: API keys.

use anyhow::{Context, bail};
use genie_state::{ApiKey, NewKey, Quotas, Role, Secret, Subject, Timestamp, WorkspaceId};
use serde_json::{Value, json};

use crate::Ended;
use crate::accounts::Accounts;
use crate::cli::{Common, KeyAction, KeyCommand, KeyName};
use crate::remote::Remote;
use crate::table::table;

use super::{confirmed, login, remote, say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: KeyCommand) -> anyhow::Result<Ended> {
    match arguments.action {
        KeyAction::Login => return login::login(common),
        KeyAction::Logout => return login::logout(common),
        _ => {}
    }
    if let Some(service) = Remote::named(common)? {
        return remote::key(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    match arguments.action {
        // Above, for they need no accounts.
        KeyAction::Login | KeyAction::Logout => {}
        KeyAction::List { workspace, json } => {
            if let Some(id) = &workspace {
                accounts.needs(id)?;
            }
            let all = accounts.every(|page| accounts.state.keys(workspace.as_ref(), page))?;
            if json {
                say_json(&all.iter().map(body).collect::<Vec<_>>())?;
            } else {
                say(&listed(&all))?;
            }
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
            let workspace =
                (!operator).then(|| workspace.unwrap_or_else(WorkspaceId::default_workspace));
            if let Some(id) = &workspace {
                accounts.needs(id)?;
            }
            let new = NewKey {
                name,
                workspace,
                role: if operator { Role::Owner } else { role },
                scopes,
                expires: expires.map(|time| Timestamp::now().after(time)),
                quotas: quotas.into(),
                by: Subject::local(),
            };
            let (key, secret) = accounts.wait(accounts.state.create_key(new))?;
            accounts.record("key.create", key.workspace.as_ref(), key.id)?;
            tell(&key, &secret, json)?;
        }
        KeyAction::Rotate { key, json } => {
            let key = chosen(&accounts, &key)?;
            let (key, secret) = accounts
                .wait(accounts.state.rotate_key(&key.id))?
                .with_context(|| format!("the key {} is revoked; make another one", key.prefix))?;
            accounts.record("key.rotate", key.workspace.as_ref(), key.id)?;
            tell(&key, &secret, json)?;
        }
        KeyAction::Revoke { key, yes } => {
            let key = chosen(&accounts, &key)?;
            if key.revoked.is_some() {
                bail!("the key {} is revoked already", key.prefix);
            }
            let question = format!("Revoke {} ({}) for good?", key.prefix, key.name);
            if confirmed(&question, yes)? {
                accounts.wait(accounts.state.revoke_key(&key.id))?;
                accounts.record("key.revoke", key.workspace.as_ref(), key.id)?;
                say(&format!("revoked {}\n", key.prefix))?;
            }
        }
    }
    Ok(Ended::Done)
}

fn chosen(accounts: &Accounts, name: &KeyName) -> anyhow::Result<ApiKey> {
    match name {
        KeyName::Id(id) => accounts
            .wait(accounts.state.key(id))?
            .with_context(|| format!("there is no key {id}; `genie key list` shows them")),
        KeyName::Prefix(prefix) => {
            let all = accounts.every(|page| accounts.state.keys(None, page))?;
            let mut found = all.into_iter().filter(|key| key.prefix == *prefix);
            match (found.next(), found.next()) {
                (Some(key), None) => Ok(key),
                (Some(_), Some(_)) => bail!("several keys begin with {prefix}; give the id"),
                (None, _) => bail!("no key begins with {prefix}; `genie key list` shows them"),
            }
        }
    }
}

/// The secret goes to standard output alone, so that it can be piped to where
/// it is needed.
fn tell(key: &ApiKey, secret: &Secret, json: bool) -> anyhow::Result<()> {
    if json {
        let mut body = body(key);
        body["secret"] = secret.reveal().into();
        return say_json(&body);
    }
    let place = key
        .workspace
        .as_ref()
        .map_or("the installation".to_owned(), |id| {
            format!("workspace {id}")
        });
    eprintln!(
        "key {} for {place}, {}; this is the only time that its secret is shown:",
        key.prefix, key.role
    );
    say(&format!("{}\n", secret.reveal()))
}

fn listed(keys: &[ApiKey]) -> String {
    let now = Timestamp::now();
    let time = |time: Option<Timestamp>| time.map(|at| at.to_string()).unwrap_or_default();
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let state = if key.revoked.is_some() {
                "revoked"
            } else if key.expires.is_some_and(|at| at <= now) {
                "expired"
            } else {
                "works"
            };
            [
                key.prefix.clone(),
                key.name.clone(),
                key.workspace
                    .as_ref()
                    .map_or("(operator)".to_owned(), ToString::to_string),
                key.role.to_string(),
                key.scopes.join(","),
                state.to_owned(),
                time(key.expires),
                time(key.last_used),
                quotas(&key.quotas),
            ]
        })
        .collect();
    table(
        [
            "KEY",
            "NAME",
            "WORKSPACE",
            "ROLE",
            "SCOPES",
            "STATE",
            "EXPIRES",
            "LAST USED",
            "QUOTAS",
        ],
        &rows,
    )
}

/// Those that there are, as in `answers_per_day 500`.
fn quotas(quotas: &Quotas) -> String {
    let all = [
        (
            "requests_per_minute",
            quotas.requests_per_minute.map(u64::from),
        ),
        ("answers_per_day", quotas.answers_per_day),
        ("tokens_per_day", quotas.tokens_per_day),
        ("tokens_per_month", quotas.tokens_per_month),
    ];
    let set = all
        .iter()
        .filter_map(|(name, quota)| Some((name, (*quota)?)));
    let set: Vec<_> = set.map(|(name, quota)| format!("{name} {quota}")).collect();
    set.join(", ")
}

fn body(key: &ApiKey) -> Value {
    let time = |time: Option<Timestamp>| time.map(|at| at.to_string());
    json!({
        "id": key.id.to_string(),
        "prefix": key.prefix,
        "name": key.name,
        "workspace": key.workspace.as_ref().map(ToString::to_string),
        "role": key.role.to_string(),
        "scopes": key.scopes,
        "created": key.created.to_string(),
        "expires": time(key.expires),
        "quotas": key.quotas,
        "last_used": time(key.last_used),
        "revoked": time(key.revoked),
    })
}
