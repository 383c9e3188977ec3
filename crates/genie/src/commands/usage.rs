//! `genie usage` and `genie feedback`: how much was asked and what was thought
//! of the answers.

use std::time::Duration;

use anyhow::Context;
use genie_core::Date;
use genie_state::{Feedback, NewFeedback, Owner, Timestamp, UsageRow, WorkspaceId};
use serde_json::{Value, json};

use crate::Ended;
use crate::accounts::Accounts;
use crate::cli::{Common, FeedbackAction, FeedbackCommand, Opinion, UsageCommand};
use crate::remote::Remote;
use crate::render::plain;
use crate::table::table;

use super::{remote, say, say_json};

const THIRTY_DAYS: Duration = Duration::from_secs(30 * 24 * 3600);

/// Runs `genie usage`.
pub(crate) fn run(common: &Common, arguments: &UsageCommand) -> anyhow::Result<Ended> {
    if let Some(service) = Remote::named(common)? {
        return remote::usage(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    let workspaces = match &arguments.workspace {
        Some(id) => {
            accounts.needs(id)?;
            vec![id.clone()]
        }
        None => {
            let all = accounts.every(|page| accounts.state.workspaces(page))?;
            all.into_iter().map(|workspace| workspace.id).collect()
        }
    };
    let (from, to) = days(arguments.from, arguments.to);
    let mut found = Vec::new();
    for id in &workspaces {
        let rows = accounts.wait(accounts.state.usage(id, &from, &to))?;
        found.extend(rows.iter().map(|row| used(id, row)));
    }
    told(found, arguments.json)?;
    Ok(Ended::Done)
}

/// The first and the last day, both included.
pub(super) fn days(from: Option<Date>, to: Option<Date>) -> (String, String) {
    let now = Timestamp::now();
    let day = |given: Option<Date>, usual: Timestamp| {
        given.map_or_else(|| usual.day(), |date| date.to_string())
    };
    (day(from, now.before(THIRTY_DAYS)), day(to, now))
}

/// Prints rows of all workspaces, by day.
pub(super) fn told(mut found: Vec<Value>, json: bool) -> anyhow::Result<()> {
    // Stable: within a day, workspaces and callers keep their order.
    found.sort_by(|one, other| one["day"].as_str().cmp(&other["day"].as_str()));
    if json {
        return say_json(&found);
    }
    let columns = [
        ("DAY", "day"),
        ("WORKSPACE", "workspace"),
        ("SUBJECT", "subject"),
        ("SEARCHES", "searches"),
        ("ANSWERS", "answers"),
        ("TOKENS READ", "prompt_tokens"),
        ("WRITTEN", "completion_tokens"),
        ("DOCUMENTS", "documents"),
    ];
    remote::listed(&found, false, columns)
}

fn used(workspace: &WorkspaceId, row: &UsageRow) -> Value {
    json!({
        "day": row.day,
        "workspace": workspace.to_string(),
        "subject": row.subject.to_string(),
        "searches": row.searches,
        "answers": row.answers,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "documents": row.documents,
    })
}

/// Runs `genie feedback`.
pub(crate) fn run_feedback(common: &Common, arguments: FeedbackCommand) -> anyhow::Result<Ended> {
    if let Some(service) = Remote::named(common)? {
        return remote::feedback(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    match arguments.action {
        FeedbackAction::List { within, json } => {
            let id = &within.workspace;
            accounts.needs(id)?;
            let all = accounts.every(|page| accounts.state.feedback(id, page))?;
            let all: Vec<_> = all.iter().map(body).collect();
            opinions(&all, json)?;
        }
        FeedbackAction::Give {
            message,
            opinion,
            whose,
            json,
        } => {
            accounts.needs(&whose.within.workspace)?;
            let owner = Owner {
                workspace: whose.within.workspace,
                subject: whose.subject,
            };
            let new = NewFeedback::from(opinion);
            let given = accounts.wait(accounts.state.give_feedback(&owner, &message, new))?;
            let given = given.with_context(|| {
                let subject = &owner.subject;
                format!("no conversation of {subject} has an answer {message}")
            })?;
            kept(&body(&given), json)?;
        }
    }
    Ok(Ended::Done)
}

/// Prints a list of opinions.
pub(super) fn opinions(all: &[Value], json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(&all);
    }
    let cell = |of: &Value, field: &str| match &of[field] {
        Value::Null => String::new(),
        // Written by people: a terminal must not obey it.
        Value::String(text) => plain(text).replace('\n', " "),
        other => other.to_string(),
    };
    let fields = [
        "at",
        "message",
        "subject",
        "rating",
        "wrong_citation",
        "comment",
    ];
    let rows: Vec<_> = all
        .iter()
        .map(|one| fields.map(|field| cell(one, field)))
        .collect();
    let heads = [
        "AT",
        "ANSWER",
        "SUBJECT",
        "RATING",
        "WRONG CITATION",
        "COMMENT",
    ];
    say(&table(heads, &rows))
}

/// Says that an opinion is kept.
pub(super) fn kept(feedback: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(feedback);
    }
    let message = feedback["message"].as_str().unwrap_or_default();
    say(&format!("kept what you think of {message}\n"))
}

impl From<Opinion> for NewFeedback {
    fn from(opinion: Opinion) -> Self {
        Self {
            rating: opinion.rating,
            comment: opinion.comment,
            wrong_citation: opinion.wrong_citation,
        }
    }
}

fn body(feedback: &Feedback) -> Value {
    json!({
        "message": feedback.message.to_string(),
        "subject": feedback.subject.to_string(),
        "rating": feedback.rating,
        "comment": feedback.comment,
        "wrong_citation": feedback.wrong_citation,
        "at": feedback.at.to_string(),
    })
}
