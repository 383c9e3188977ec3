//! `genie audit`: the trail of who did what.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use genie_state::{AuditRecord, AuditVerdict, Page, Timestamp};
use serde_json::{Value, json};

use crate::Ended;
use crate::accounts::Accounts;
use crate::cli::{AuditAction, AuditCommand, Common};
use crate::remote::Remote;
use crate::table::table;

use super::{remote, say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: AuditCommand) -> anyhow::Result<Ended> {
    if let Some(service) = Remote::named(common)? {
        return remote::audit(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    match arguments.action {
        AuditAction::List {
            workspace,
            limit,
            json,
        } => {
            let page = Page::new(1, limit)?;
            let found = accounts.wait(accounts.state.audit_page(workspace.as_ref(), page))?;
            if json {
                say_json(&found.results.iter().map(body).collect::<Vec<_>>())?;
            } else {
                say(&listed(&found.results))?;
            }
            Ok(Ended::Done)
        }
        AuditAction::Verify { json, anchor } => verify(&accounts, json, &anchor),
        AuditAction::Export { out } => {
            let count = match out {
                Some(file) => export_into(&accounts, &file)?,
                None => {
                    let mut out = BufWriter::new(std::io::stdout().lock());
                    let count = export(&accounts, &mut out)?;
                    out.flush()?;
                    count
                }
            };
            accounts.record("audit.export", None, count)?;
            Ok(Ended::Done)
        }
        AuditAction::Anchor => anchor(&accounts),
    }
}

fn verify(accounts: &Accounts, json: bool, anchors: &[String]) -> anyhow::Result<Ended> {
    let verdict = accounts.wait(accounts.state.verify_audit())?;
    let missing = match &verdict {
        AuditVerdict::Whole { .. } => missing(accounts, anchors)?,
        AuditVerdict::Broken { .. } => None,
    };
    let verdict = match (verdict, missing) {
        (AuditVerdict::Whole { records, head }, None) => {
            if json {
                say_json(&json!({ "whole": true, "records": records, "head": head }))?;
            } else {
                say(&format!(
                    "whole: {records} records, the last one is {head}\n"
                ))?;
            }
            return Ok(Ended::Done);
        }
        (AuditVerdict::Whole { .. }, Some(anchor)) => {
            if json {
                say_json(&json!({ "whole": false, "missing_anchor": anchor }))?;
            } else {
                say(&format!(
                    "changed: no record has the published hash {anchor}; the trail was written anew\n"
                ))?;
            }
            return Ok(Ended::Partly);
        }
        (broken, _) => broken,
    };
    if let AuditVerdict::Broken { sequence, reason } = verdict {
        if json {
            say_json(&json!({ "whole": false, "broken_at": sequence, "reason": reason }))?;
        } else {
            say(&format!("changed: record {sequence}: {reason}\n"))?;
        }
    }
    Ok(Ended::Partly)
}

/// The first of these hashes that no record has.
fn missing(accounts: &Accounts, anchors: &[String]) -> anyhow::Result<Option<String>> {
    let mut open: Vec<&String> = anchors.iter().collect();
    for anchor in anchors {
        if anchor.len() != 64 || !anchor.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("{anchor:?} is no anchor: those have 64 hexadecimal digits");
        }
    }
    if !open.is_empty() {
        accounts.wait(accounts.state.export_audit(&mut |record| {
            open.retain(|anchor| !anchor.eq_ignore_ascii_case(&record.hash));
            Ok(())
        }))?;
    }
    Ok(open.first().map(|anchor| (*anchor).clone()))
}

fn anchor(accounts: &Accounts) -> anyhow::Result<Ended> {
    match accounts.wait(accounts.state.verify_audit())? {
        AuditVerdict::Whole { records, head } => {
            let at = Timestamp::now().to_string();
            say(&format!(
                "{}\n",
                json!({ "at": at, "records": records, "head": head })
            ))?;
            Ok(Ended::Done)
        }
        AuditVerdict::Broken { sequence, reason } => {
            eprintln!(
                "the trail was changed, there is nothing to publish: record {sequence}: {reason}"
            );
            Ok(Ended::Partly)
        }
    }
}

fn export_into(accounts: &Accounts, file: &Path) -> anyhow::Result<u64> {
    let shown = file.display();
    let open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .with_context(|| format!("{shown} can't be made"))?;
    let mut out = BufWriter::new(open);
    let count = export(accounts, &mut out)?;
    out.into_inner()
        .map_err(|error| error.into_error())
        .and_then(|open| open.sync_all())
        .with_context(|| format!("{shown} can't be written"))?;
    eprintln!("{count} records in {shown}");
    Ok(count)
}

fn export(accounts: &Accounts, out: &mut dyn Write) -> anyhow::Result<u64> {
    accounts.wait(
        accounts
            .state
            .export_audit(&mut |record| writeln!(out, "{}", body(record))),
    )
}

fn listed(records: &[AuditRecord]) -> String {
    let rows: Vec<_> = records
        .iter()
        .map(|r| {
            [
                r.sequence.to_string(),
                r.at.to_string(),
                r.subject.to_string(),
                r.workspace
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                r.action.clone(),
                r.object.clone().unwrap_or_default(),
                r.outcome.clone(),
            ]
        })
        .collect();
    table(
        [
            "NUMBER",
            "AT",
            "SUBJECT",
            "WORKSPACE",
            "ACTION",
            "OBJECT",
            "OUTCOME",
        ],
        &rows,
    )
}

fn body(record: &AuditRecord) -> Value {
    json!({
        "sequence": record.sequence,
        "at": record.at.to_string(),
        "at_microseconds": record.at.as_micros(),
        "subject": record.subject.to_string(),
        "workspace": record.workspace.as_ref().map(ToString::to_string),
        "action": record.action,
        "object": record.object,
        "outcome": record.outcome,
        "correlation": record.correlation,
        "intent": record.intent,
        "model": record.model,
        "logic": record.logic,
        "previous": record.previous,
        "hash": record.hash,
    })
}
