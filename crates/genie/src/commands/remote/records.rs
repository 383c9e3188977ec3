//! Conversations, jobs and the trail of a service.

use std::io::Write;

use anyhow::{Context, bail};
use genie_state::{Subject, Timestamp};
use serde_json::{Value, json};

use super::{listed, say, say_json, shown, text, within};
use crate::Ended;
use crate::cli::{
    AuditAction, AuditCommand, ConversationAction, ConversationCommand, FeedbackAction,
    FeedbackCommand, JobAction, JobCommand, UsageCommand, Whose,
};
use crate::commands::confirmed;
use crate::commands::conversation::erasing;
use crate::commands::usage::{days, kept, opinions, told};
use crate::remote::{Remote, Sending};
use crate::render::plain;

/// `genie conversation` on a service. Conversations there are shown to those
/// whose they are, and nobody else.
pub(crate) fn conversation(
    remote: &Remote,
    arguments: ConversationCommand,
) -> anyhow::Result<Ended> {
    match arguments.action {
        ConversationAction::List {
            whose,
            deleted: true,
            json,
        } => {
            let found = remote.every(&own(remote, &whose, "/removed-conversations")?)?;
            let columns = [
                ("ID", "id"),
                ("ERASED AFTER", "erase_after"),
                ("MESSAGES", "messages"),
                ("TITLE", "title"),
            ];
            listed(&found, json, columns)?;
        }
        ConversationAction::List {
            whose,
            deleted: false,
            json,
        } => {
            let found = remote.every(&own(remote, &whose, "/conversations")?)?;
            let columns = [
                ("ID", "id"),
                ("CHANGED", "changed"),
                ("MESSAGES", "messages"),
                ("TITLE", "title"),
            ];
            listed(&found, json, columns)?;
        }
        ConversationAction::Show { id, whose, json } => {
            let path = own(remote, &whose, &format!("/conversations/{id}"))?;
            let mut found = remote.get(&path)?;
            let messages = remote.every(&format!("{path}/messages"))?;
            if json {
                found["messages"] = messages.into();
                say_json(&found)?;
            } else {
                say(&format!("{}\n", plain(text(&found, "title")?)))?;
                for message in &messages {
                    let (author, at) = (text(message, "author")?, text(message, "at")?);
                    let text = plain(text(message, "text")?);
                    say(&format!("\n{author} ({at}):\n{text}\n"))?;
                }
            }
        }
        ConversationAction::Delete { id, whose, how } => {
            let path = own(remote, &whose, &format!("/conversations/{id}"))?;
            let found = remote.get(&path)?;
            let count = &found["messages"];
            let question = format!("Delete the conversation {id} with its {count} messages?");
            if how.is_meant(&question)? {
                remote.remove(&format!("{path}{}", how.query()))?;
                how.done(id, &format!("genie conversation restore {id}"))?;
            }
        }
        ConversationAction::Restore { id, whose } => {
            let path = format!("/removed-conversations/{id}/restore");
            let path = own(remote, &whose, &path)?;
            remote.send(Sending::Post, &path, &json!({}))?;
            say(&format!("restored {id}\n"))?;
        }
        ConversationAction::Erase { whose, yes } => {
            let path = own(remote, &whose, "/me/data")?;
            if confirmed(&erasing(&whose), yes)? {
                let erased = remote.remove(&path)?.unwrap_or_default();
                say(&format!(
                    "erased {} conversations\n",
                    erased["conversations"]
                ))?;
            }
        }
        ConversationAction::Export { whose } => {
            say_json(&remote.get(&own(remote, &whose, "/me/data")?)?)?;
        }
    }
    Ok(Ended::Done)
}

/// The path of the caller's own things; those of somebody else are not shown
/// to anybody there.
fn own(remote: &Remote, whose: &Whose, rest: &str) -> anyhow::Result<String> {
    let me = remote.get("/api/v1/me")?;
    let subject = text(&me, "subject")?;
    // The default of the option is the single user of this machine.
    if whose.subject != Subject::local() && whose.subject.to_string() != subject {
        bail!(
            "a service shows conversations only to those whose they are: {subject} here; \
             on its own machine, `genie conversation` without --server shows all"
        );
    }
    Ok(within(&whose.within.workspace, rest))
}

/// `genie usage` on a service.
pub(crate) fn usage(remote: &Remote, arguments: &UsageCommand) -> anyhow::Result<Ended> {
    let workspaces = match &arguments.workspace {
        Some(id) => vec![id.to_string()],
        None => {
            let all = remote.every("/api/v1/workspaces")?;
            let ids = all.iter().map(|one| Ok(text(one, "id")?.to_owned()));
            ids.collect::<anyhow::Result<_>>()?
        }
    };
    let (from, to) = days(arguments.from, arguments.to);
    let mut found = Vec::new();
    for id in &workspaces {
        let path = format!("/api/v1/workspaces/{id}/usage?from={from}&to={to}");
        let mut report = remote.get(&path)?;
        let rows: Vec<Value> = serde_json::from_value(report["results"].take())
            .context("the service gave no list; is it of another version?")?;
        found.extend(rows.into_iter().map(|mut row| {
            row["workspace"] = id.as_str().into();
            row
        }));
    }
    told(found, arguments.json)?;
    Ok(Ended::Done)
}

/// `genie feedback` on a service.
pub(crate) fn feedback(remote: &Remote, arguments: FeedbackCommand) -> anyhow::Result<Ended> {
    match arguments.action {
        FeedbackAction::List {
            within: place,
            json,
        } => opinions(&remote.every(&within(&place.workspace, "/feedback"))?, json)?,
        FeedbackAction::Give {
            message,
            opinion,
            whose,
            json,
        } => {
            let path = own(remote, &whose, &format!("/messages/{message}/feedback"))?;
            let body = json!({
                "rating": opinion.rating,
                "comment": opinion.comment,
                "wrong_citation": opinion.wrong_citation,
            });
            kept(&remote.send(Sending::Put, &path, &body)?, json)?;
        }
    }
    Ok(Ended::Done)
}

/// The trail that the caller may read: an operator the whole of it.
fn trail(remote: &Remote) -> anyhow::Result<&'static str> {
    let me = remote.get("/api/v1/me")?;
    if me["operator"] == true {
        return Ok("/api/v1/audit/all");
    }
    eprintln!(
        "note: these are the records of the workspace {} alone; the chain can be checked with an \
         operator's key",
        text(&me, "workspace")?
    );
    Ok("/api/v1/audit")
}

/// `genie job` on a service.
pub(crate) fn job(remote: &Remote, arguments: JobCommand) -> anyhow::Result<Ended> {
    match arguments.action {
        JobAction::List {
            within: place,
            json,
        } => {
            let found = remote.every(&within(&place.workspace, "/jobs"))?;
            let columns = [
                ("ID", "id"),
                ("KIND", "kind"),
                ("STATE", "state"),
                ("DONE", "/progress/done"),
                ("TOTAL", "/progress/total"),
                ("CHANGED", "changed"),
                ("REASON", "reason"),
            ];
            listed(&found, json, columns)?;
        }
        JobAction::Show {
            id,
            within: place,
            json,
        } => {
            let path = within(&place.workspace, &format!("/jobs/{id}"));
            shown(&remote.get(&path)?, json)?;
        }
        JobAction::Cancel { id, within: place } => {
            let path = within(&place.workspace, &format!("/jobs/{id}"));
            let job = remote.remove(&path)?.unwrap_or_default();
            match job["state"].as_str() {
                Some("cancelled") => say(&format!("cancelled {id}\n"))?,
                state => bail!("the job {id} is {} already", state.unwrap_or("gone")),
            }
        }
    }
    Ok(Ended::Done)
}

/// `genie audit` on a service.
pub(crate) fn audit(remote: &Remote, arguments: AuditCommand) -> anyhow::Result<Ended> {
    match arguments.action {
        AuditAction::List {
            workspace,
            limit,
            json,
        } => {
            let path = match &workspace {
                Some(workspace) => within(workspace, "/audit"),
                None => trail(remote)?.to_owned(),
            };
            let mut page = remote.get(&format!("{path}?pageSize={}", limit.min(500)))?;
            let found: Vec<Value> = serde_json::from_value(page["results"].take())
                .context("the service gave no list; is it of another version?")?;
            let columns = [
                ("NUMBER", "sequence"),
                ("AT", "at"),
                ("SUBJECT", "subject"),
                ("WORKSPACE", "workspace"),
                ("ACTION", "action"),
                ("OBJECT", "object"),
                ("OUTCOME", "outcome"),
            ];
            listed(&found, json, columns)?;
            Ok(Ended::Done)
        }
        AuditAction::Verify { json, anchor } if anchor.is_empty() => {
            let verdict = remote.get("/api/v1/audit/verify")?;
            let whole = verdict["whole"] == true;
            if json {
                say_json(&verdict)?;
            } else if whole {
                let records = &verdict["records"];
                let head = text(&verdict, "head")?;
                say(&format!(
                    "whole: {records} records, the last one is {head}\n"
                ))?;
            } else {
                let at = &verdict["broken_at"];
                say(&format!(
                    "changed: record {at}: {}\n",
                    text(&verdict, "reason")?
                ))?;
            }
            Ok(if whole { Ended::Done } else { Ended::Partly })
        }
        AuditAction::Anchor => {
            let verdict = remote.get("/api/v1/audit/verify")?;
            if verdict["whole"] != true {
                eprintln!("the trail was changed, there is nothing to publish");
                return Ok(Ended::Partly);
            }
            let at = Timestamp::now().to_string();
            let (records, head) = (&verdict["records"], text(&verdict, "head")?);
            let anchor = json!({ "at": at, "records": records, "head": head });
            say(&format!("{anchor}\n"))?;
            Ok(Ended::Done)
        }
        AuditAction::Export { out } => {
            let mut records = remote.every(trail(remote)?)?;
            // The service gives the newest first, and pages move while others
            // are added.
            let number = |record: &Value| record["sequence"].as_u64();
            records.sort_by_key(number);
            records.dedup_by_key(|record| number(record));
            let mut lines = String::new();
            for record in &records {
                lines.push_str(&format!("{record}\n"));
            }
            match out {
                Some(file) => {
                    let shown = file.display();
                    let mut open = std::fs::File::create_new(&file)
                        .with_context(|| format!("{shown} can't be made"))?;
                    open.write_all(lines.as_bytes())
                        .and_then(|()| open.sync_all())
                        .with_context(|| format!("{shown} can't be written"))?;
                    eprintln!("{} records in {shown}", records.len());
                }
                None => say(&lines)?,
            }
            Ok(Ended::Done)
        }
        AuditAction::Verify { .. } => bail!(
            "anchors are looked for on the machine of the service: `genie audit verify --anchor …` \
             without --server"
        ),
    }
}
