//! Commands about what is kept, done by a service that was named with
//! `--server` instead of on this machine's own state.
//!
//! The service prints what the API gives; `--json` prints it as it came.

mod accounts;
mod records;

use anyhow::bail;
use genie_state::WorkspaceId;
use serde_json::Value;

pub(crate) use self::accounts::{delete, key, user, workspace};
pub(crate) use self::records::{audit, conversation, feedback, job, usage};

use super::{say, say_json};
use crate::table::table;

/// The path of a workspace's things.
fn within(workspace: &WorkspaceId, rest: &str) -> String {
    format!("/api/v1/workspaces/{workspace}{rest}")
}

/// Prints a list: as JSON, or these fields as columns; a field of a field is
/// named by its path, as in `/progress/done`.
pub(super) fn listed<const N: usize>(
    found: &[Value],
    json: bool,
    columns: [(&str, &str); N],
) -> anyhow::Result<()> {
    if json {
        return say_json(&found);
    }
    let rows: Vec<_> = found
        .iter()
        .map(|one| columns.map(|(_, field)| column(one, field)))
        .collect();
    say(&table(columns.map(|(heading, _)| heading), &rows))
}

/// Prints one thing: as JSON, or its fields below each other. Fields of fields
/// are named by their path.
fn shown(found: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(found);
    }
    let mut rows = Vec::new();
    fields("", found, &mut rows);
    say(&table(["FIELD", "VALUE"], &rows))
}

fn fields(path: &str, value: &Value, rows: &mut Vec<[String; 2]>) {
    match value {
        Value::Object(inner) => {
            for (key, value) in inner {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                fields(&path, value, rows);
            }
        }
        value => rows.push([path.to_owned(), cell(value)]),
    }
}

fn column(of: &Value, field: &str) -> String {
    let value = match field.starts_with('/') {
        true => of.pointer(field),
        false => of.get(field),
    };
    value.map(cell).unwrap_or_default()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let set = fields.iter().filter(|(_, value)| !value.is_null());
            let set: Vec<_> = set
                .map(|(key, value)| format!("{key} {}", cell(value)))
                .collect();
            set.join(", ")
        }
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The text of a field that the API promises.
fn text<'v>(value: &'v Value, field: &str) -> anyhow::Result<&'v str> {
    match value[field].as_str() {
        Some(text) => Ok(text),
        None => bail!("the service gave no {field}; is it of another version?"),
    }
}
