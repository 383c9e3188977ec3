//! `genie conversation` and `genie job`: what people asked and what is being
//! done.

use anyhow::{Context, bail};
use genie_state::{
    Conversation, ConversationId, Feedback, Job, JobState, Message, Owner, RemovedConversation,
    Timestamp, UsageRow,
};
use serde_json::{Value, json};

use crate::Ended;
use crate::accounts::Accounts;
use crate::cli::{
    Common, ConversationAction, ConversationCommand, Deleting, JobAction, JobCommand, Whose,
};
use crate::remote::Remote;
use crate::render::plain;
use crate::table::table;

use super::{confirmed, remote, say, say_json};

/// Runs `genie conversation`.
pub(crate) fn run(common: &Common, arguments: ConversationCommand) -> anyhow::Result<Ended> {
    if let Some(service) = Remote::named(common)? {
        return remote::conversation(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    match arguments.action {
        ConversationAction::List {
            whose,
            deleted: true,
            json,
        } => {
            let owner = owner(&accounts, whose)?;
            let all = accounts.every(|page| accounts.state.removed_conversations(&owner, page))?;
            if json {
                say_json(&all.iter().map(removed).collect::<Vec<_>>())?;
            } else {
                let rows: Vec<_> = all
                    .iter()
                    .map(|one| {
                        [
                            one.conversation.id.to_string(),
                            one.erase_after.to_string(),
                            one.conversation.messages.to_string(),
                            one.conversation.title.clone(),
                        ]
                    })
                    .collect();
                say(&table(["ID", "ERASED AFTER", "MESSAGES", "TITLE"], &rows))?;
            }
        }
        ConversationAction::List {
            whose,
            deleted: false,
            json,
        } => {
            let owner = owner(&accounts, whose)?;
            let all = accounts.every(|page| accounts.state.conversations(&owner, page))?;
            if json {
                say_json(&all.iter().map(conversation).collect::<Vec<_>>())?;
            } else {
                let rows: Vec<_> = all
                    .iter()
                    .map(|c| {
                        [
                            c.id.to_string(),
                            c.changed.to_string(),
                            c.messages.to_string(),
                            c.title.clone(),
                        ]
                    })
                    .collect();
                say(&table(["ID", "CHANGED", "MESSAGES", "TITLE"], &rows))?;
            }
        }
        ConversationAction::Show { id, whose, json } => {
            let owner = owner(&accounts, whose)?;
            let found = found(&accounts, &owner, &id)?;
            let messages = messages(&accounts, &owner, &id)?;
            if json {
                let mut body = conversation(&found);
                body["messages"] = messages.iter().map(message).collect();
                say_json(&body)?;
            } else {
                say(&format!("{}\n", plain(&found.title)))?;
                for message in &messages {
                    let text = plain(&message.text);
                    say(&format!("\n{} ({}):\n{text}\n", message.author, message.at))?;
                }
            }
        }
        ConversationAction::Delete { id, whose, how } => {
            let owner = owner(&accounts, whose)?;
            delete(&accounts, &owner, &id, how)?;
        }
        ConversationAction::Restore { id, whose } => {
            let owner = owner(&accounts, whose)?;
            let now = Timestamp::now();
            accounts
                .wait(accounts.state.restore_conversation(&owner, &id, now))?
                .with_context(|| {
                    format!(
                        "no deleted conversation {id} of {} can be restored; `genie conversation \
                         list --deleted` shows them",
                        owner.subject
                    )
                })?;
            accounts.record("conversation.restore", Some(&owner.workspace), id)?;
            say(&format!("restored {id}\n"))?;
        }
        ConversationAction::Erase { whose, yes } => {
            let question = erasing(&whose);
            let owner = owner(&accounts, whose)?;
            if confirmed(&question, yes)? {
                let erased = accounts.wait(
                    accounts
                        .state
                        .erase_subject(&owner.workspace, &owner.subject),
                )?;
                accounts.record("person.erase", Some(&owner.workspace), &owner.subject)?;
                say(&format!("erased {erased} conversations\n"))?;
            }
        }
        ConversationAction::Export { whose } => {
            let owner = owner(&accounts, whose)?;
            let data = accounts.wait(
                accounts
                    .state
                    .export_subject(&owner.workspace, &owner.subject),
            )?;
            accounts.record("person.export", Some(&owner.workspace), &owner.subject)?;
            let conversations: Vec<_> = data
                .conversations
                .iter()
                .map(|(one, messages)| {
                    let mut body = conversation(one);
                    body["messages"] = messages.iter().map(message).collect();
                    body
                })
                .collect();
            say_json(&json!({
                "workspace": owner.workspace.to_string(),
                "subject": owner.subject.to_string(),
                "conversations": conversations,
                "feedback": data.feedback.iter().map(feedback).collect::<Vec<_>>(),
                "usage": data.usage.iter().map(usage).collect::<Vec<_>>(),
            }))?;
        }
    }
    Ok(Ended::Done)
}

/// Asks whether everything of somebody is to be erased.
pub(super) fn erasing(whose: &Whose) -> String {
    format!(
        "Erase all conversations, feedback, usage and jobs of {} in {}?",
        whose.subject, whose.within.workspace
    )
}

fn delete(
    accounts: &Accounts,
    owner: &Owner,
    id: &ConversationId,
    how: Deleting,
) -> anyhow::Result<()> {
    let found = found(accounts, owner, id)?;
    let question = format!(
        "Delete the conversation {id} with its {} messages?",
        found.messages
    );
    if !how.is_meant(&question)? {
        return Ok(());
    }
    let state = &accounts.state;
    let (deleted, action) = match how.erase_after() {
        Some(until) => (
            accounts.wait(state.remove_conversation(owner, id, until))?,
            "conversation.remove",
        ),
        None => (
            accounts.wait(state.delete_conversation(owner, id))?,
            "conversation.delete",
        ),
    };
    if !deleted {
        bail!("the conversation {id} was deleted meanwhile");
    }
    accounts.record(action, Some(&owner.workspace), id)?;
    how.done(id, &format!("genie conversation restore {id}"))
}

fn owner(accounts: &Accounts, whose: Whose) -> anyhow::Result<Owner> {
    accounts.needs(&whose.within.workspace)?;
    Ok(Owner {
        workspace: whose.within.workspace,
        subject: whose.subject,
    })
}

fn found(accounts: &Accounts, owner: &Owner, id: &ConversationId) -> anyhow::Result<Conversation> {
    accounts
        .wait(accounts.state.conversation(owner, id))?
        .with_context(|| {
            format!(
                "{} has no conversation {id} in {}; `genie conversation list` shows them",
                owner.subject, owner.workspace
            )
        })
}

fn messages(
    accounts: &Accounts,
    owner: &Owner,
    id: &ConversationId,
) -> anyhow::Result<Vec<Message>> {
    // It was there a moment ago; gone meanwhile it has no messages.
    let last = accounts.wait(accounts.state.last_messages(owner, id, u32::MAX))?;
    Ok(last.unwrap_or_default())
}

fn conversation(conversation: &Conversation) -> Value {
    json!({
        "id": conversation.id.to_string(),
        "title": conversation.title,
        "created": conversation.created.to_string(),
        "changed": conversation.changed.to_string(),
        "message_count": conversation.messages,
    })
}

fn removed(removed: &RemovedConversation) -> Value {
    let mut body = conversation(&removed.conversation);
    body["erase_after"] = removed.erase_after.to_string().into();
    body
}

fn message(message: &Message) -> Value {
    let answer = message.answer.as_deref().map(|text| {
        // What is no JSON is given as the text that it is.
        serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into())
    });
    json!({
        "id": message.id.to_string(),
        "author": message.author.to_string(),
        "text": message.text,
        "language": message.language,
        "answer": answer,
        "at": message.at.to_string(),
    })
}

fn feedback(feedback: &Feedback) -> Value {
    json!({
        "message": feedback.message.to_string(),
        "rating": feedback.rating,
        "comment": feedback.comment,
        "wrong_citation": feedback.wrong_citation,
        "at": feedback.at.to_string(),
    })
}

fn usage(day: &UsageRow) -> Value {
    json!({
        "day": day.day,
        "searches": day.searches,
        "answers": day.answers,
        "prompt_tokens": day.prompt_tokens,
        "completion_tokens": day.completion_tokens,
        "documents": day.documents,
    })
}

/// Runs `genie job`.
pub(crate) fn run_job(common: &Common, arguments: JobCommand) -> anyhow::Result<Ended> {
    if let Some(service) = Remote::named(common)? {
        return remote::job(&service, arguments);
    }
    let accounts = Accounts::open(common)?;
    match arguments.action {
        JobAction::List { within, json } => {
            accounts.needs(&within.workspace)?;
            let all = accounts.every(|page| accounts.state.jobs(&within.workspace, page))?;
            if json {
                say_json(&all.iter().map(job).collect::<Vec<_>>())?;
            } else {
                let rows: Vec<_> = all
                    .iter()
                    .map(|j| {
                        [
                            j.id.to_string(),
                            j.kind.clone(),
                            j.state.to_string(),
                            format!("{}/{}", j.done, j.total),
                            j.changed.to_string(),
                            j.reason.clone().unwrap_or_default(),
                        ]
                    })
                    .collect();
                say(&table(
                    ["ID", "KIND", "STATE", "DONE", "CHANGED", "REASON"],
                    &rows,
                ))?;
            }
        }
        JobAction::Show { id, within, json } => {
            let found = accounts.wait(accounts.state.job(&within.workspace, &id))?;
            let found = found.with_context(|| {
                format!(
                    "{} has no job {id}; `genie job list` shows them",
                    within.workspace
                )
            })?;
            let body = job(&found);
            if json {
                say_json(&body)?;
            } else {
                let rows: Vec<_> = body
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| {
                        let value = value.as_str().map(str::to_owned);
                        [key.clone(), value.unwrap_or_else(|| body[key].to_string())]
                    })
                    .collect();
                say(&table(["FIELD", "VALUE"], &rows))?;
            }
        }
        JobAction::Cancel { id, within } => {
            let workspace = &within.workspace;
            let cancelled = accounts.wait(accounts.state.cancel_job(workspace, &id))?;
            let job = cancelled.with_context(|| {
                format!("{workspace} has no job {id}; `genie job list` shows them")
            })?;
            if job.state != JobState::Cancelled {
                bail!("the job {id} is {} already", job.state);
            }
            accounts.record("job.cancel", Some(workspace), id)?;
            say(&format!("cancelled {id}\n"))?;
        }
    }
    Ok(Ended::Done)
}

fn job(job: &Job) -> Value {
    json!({
        "id": job.id.to_string(),
        "kind": job.kind,
        "subject": job.subject.to_string(),
        "state": job.state.to_string(),
        "attempts": job.attempts,
        "done": job.done,
        "total": job.total,
        "result": job.result,
        "reason": job.reason,
        "created": job.created.to_string(),
        "changed": job.changed.to_string(),
    })
}
