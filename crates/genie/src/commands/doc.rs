//! `genie doc`: documents of the index.

use std::time::Duration;

use anyhow::{Context, bail};
use genie_core::{Config, DocumentId};
use genie_rag::IndexProgress;
use genie_server::DocumentBody;
use genie_state::{Database, Originals, RemovedDocument, Subject, Timestamp, WorkspaceId};
use serde_json::{Value, json};

use crate::accounts::{self, Accounts};
use crate::cli::{Common, Deleting, Doc, DocAction, Serve};
use crate::remote::{Remote, Sending};
use crate::table::table;
use crate::wiring::{Parts, Place, place};
use crate::{Ended, interrupt, progress, settings};

use super::{say, say_json};

/// How often it is asked how far a service is.
const LOOK: Duration = Duration::from_millis(300);

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: Doc) -> anyhow::Result<Ended> {
    let config = settings::read(common, &Serve::default())?;
    let index = match place(common, &config)? {
        Place::Service(remote) => Index::Service(remote),
        Place::Here => Index::Here(Box::new(Here {
            parts: Parts::open(common, &config)?,
            originals: Originals::at(config.places.originals()),
            config: config.clone(),
        })),
    };
    match arguments.action {
        DocAction::List {
            deleted: false,
            json,
        } => {
            let documents = index.documents()?;
            if json {
                say_json(&documents)?;
            } else {
                for document in &documents {
                    say(&line(document))?;
                }
                say(&format!("{} documents\n", documents.len()))?;
            }
        }
        DocAction::List {
            deleted: true,
            json,
        } => list_removed(&index.removed()?, json)?,
        DocAction::Delete { id, how } => delete(&index, &id, how)?,
        DocAction::Restore { id } => {
            let removed = index.removed()?;
            let listed = removed.iter().map(|one| (named(one, "id"), one));
            let document = chosen(listed, &id, "genie doc list --deleted")?;
            index.restore(named(document, "id"))?;
            say(&format!("restored {}\n", named(document, "uri")))?;
        }
    }
    Ok(Ended::Done)
}

fn delete(index: &Index, id: &str, how: Deleting) -> anyhow::Result<()> {
    let documents = index.documents()?;
    let listed = documents.iter().map(|one| (one.id.as_str(), one));
    let found = match chosen(listed, id, "genie doc list") {
        Ok(document) => document,
        Err(error) => {
            // One that was deleted before can still be erased.
            let removed = index.removed()?;
            let listed = removed.iter().map(|one| (named(one, "id"), one));
            let Ok(before) = chosen(listed, id, "genie doc list --deleted") else {
                return Err(error);
            };
            let uri = named(before, "uri");
            if how.keep_days.is_some() {
                bail!(
                    "{uri} is deleted already and can be restored; without --keep-days it is erased"
                );
            }
            if how.is_meant(&format!("Erase what is kept of {uri}?"))? {
                index.delete(named(before, "id"), how)?;
                say(&format!("erased {uri}\n"))?;
            }
            return Ok(());
        }
    };
    let question = format!("Delete {} with its {} chunks?", found.uri, found.chunks);
    if how.is_meant(&question)? {
        index.delete(&found.id, how)?;
        let short = short(&found.id);
        how.done(&found.uri, &format!("genie doc restore {short}"))?;
    }
    Ok(())
}

enum Index {
    Here(Box<Here>),
    Service(Remote),
}

/// The index of this machine.
struct Here {
    parts: Parts,
    originals: Originals,
    config: Config,
}

impl Index {
    fn documents(&self) -> anyhow::Result<Vec<DocumentBody>> {
        match self {
            Self::Service(remote) => remote.documents(),
            Self::Here(here) => Ok(here
                .parts
                .store
                .documents()?
                .iter()
                .map(DocumentBody::from)
                .collect()),
        }
    }

    /// What was deleted and can be restored, as the service describes it.
    fn removed(&self) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Service(remote) => remote.every("/api/v1/removed-documents"),
            Self::Here(here) => here.originals.removed()?.iter().map(described).collect(),
        }
    }

    fn delete(&self, id: &str, how: Deleting) -> anyhow::Result<()> {
        match self {
            Self::Service(remote) => remote.delete(id, &how.query()),
            Self::Here(here) => here.delete(id, how),
        }
    }

    fn restore(&self, id: &str) -> anyhow::Result<()> {
        match self {
            Self::Service(remote) => restore_there(remote, id),
            Self::Here(here) => here.restore(id),
        }
    }
}

impl Here {
    fn delete(&self, id: &str, how: Deleting) -> anyhow::Result<()> {
        let id: DocumentId = id.parse().context("the index lists an unreadable id")?;
        let store = &self.parts.store;
        if let Some(erase_after) = how.erase_after() {
            let removed = RemovedDocument {
                record: store
                    .document(&id)?
                    .context("the document was deleted meanwhile")?,
                by: Subject::local(),
                at: Timestamp::now(),
                erase_after,
            };
            if !self.originals.set_aside(&removed)? {
                bail!(
                    "the bytes of {} are not kept here, so it could not be restored: ingest it \
                     once more, or delete it without --keep-days",
                    removed.record.uri
                );
            }
        } else {
            let uri = match store.document(&id)? {
                Some(record) => Some(record.uri),
                None => {
                    let removed = self.originals.removed_document(&id)?;
                    removed.map(|removed| removed.record.uri)
                }
            };
            if let Some(uri) = uri {
                self.forget(&uri)?;
            }
            self.originals.erase_removed(&id)?;
        }
        store.delete(&id)?;
        store.purge().context(
            "the document is deleted, but the files of the index still hold its text; the next \
             deletion or `genie serve` tries again",
        )?;
        Ok(())
    }

    /// Takes a document out of the answers that are kept of it.
    fn forget(&self, uri: &str) -> anyhow::Result<()> {
        let database = accounts::database(&self.config);
        if matches!(&database, Database::Sqlite(file) if !file.exists()) {
            return Ok(());
        }
        let accounts = Accounts::at(&database)?;
        let workspace = WorkspaceId::default_workspace();
        accounts
            .wait(accounts.state.forget_document(&workspace, uri))
            .context("the answers that quote the document could not be changed")?;
        Ok(())
    }

    fn restore(&self, id: &str) -> anyhow::Result<()> {
        let id: DocumentId = id.parse().context("the list has an unreadable id")?;
        let (removed, bytes) = self
            .originals
            .read_removed(&id)?
            .context("the document was erased meanwhile")?;
        let record = &removed.record;
        let named_so = self.parts.store.documents_from(&record.uri)?;
        if named_so.iter().any(|other| other.id != id) {
            bail!(
                "another document is called {} by now; delete that one first",
                record.uri
            );
        }
        let staged = self.originals.stage(&bytes)?;
        let bar = progress::waiting(&record.uri);
        let mut on_progress = |IndexProgress { done, total }| {
            bar.set_message(format!("{} ({done}/{total} chunks)", record.uri));
            !interrupt::requested()
        };
        let indexed = self
            .parts
            .indexer()
            .reindex(&bytes, record, &mut on_progress);
        bar.finish_and_clear();
        interrupt::check()?;
        indexed?;
        staged.keep()?;
        self.originals.erase_removed(&id)?;
        Ok(())
    }
}

/// Has a service restore a document, and waits for it.
fn restore_there(remote: &Remote, id: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/removed-documents/{id}/restore");
    let mut job = remote.send(Sending::Post, &path, &json!({}))?;
    let path = format!("/api/v1/jobs/{}", named(&job, "id"));
    let bar = progress::waiting("indexing");
    while matches!(named(&job, "state"), "queued" | "running") {
        bar.set_message(format!(
            "{} of {} chunks",
            job["progress"]["done"], job["progress"]["total"]
        ));
        interrupt::check()?;
        std::thread::sleep(LOOK);
        job = remote.get(&path)?;
    }
    bar.finish_and_clear();
    if named(&job, "state") != "done" {
        bail!(
            "the service could not restore it: {}",
            named(&job, "reason")
        );
    }
    Ok(())
}

fn described(removed: &RemovedDocument) -> anyhow::Result<Value> {
    let mut body = serde_json::to_value(DocumentBody::from(&removed.record))?;
    body["removed_by"] = removed.by.to_string().into();
    body["removed_at"] = removed.at.to_string().into();
    body["erase_after"] = removed.erase_after.to_string().into();
    Ok(body)
}

fn list_removed(removed: &[Value], json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(&removed);
    }
    let rows: Vec<_> = removed
        .iter()
        .map(|one| {
            [
                short(named(one, "id")).to_owned(),
                named(one, "erase_after").to_owned(),
                named(one, "uri").to_owned(),
                named(one, "title").to_owned(),
            ]
        })
        .collect();
    say(&table(["ID", "ERASED AFTER", "DOCUMENT", "TITLE"], &rows))
}

/// A text of what the service describes.
fn named<'v>(body: &'v Value, field: &str) -> &'v str {
    body[field].as_str().unwrap_or_default()
}

/// The one document whose id begins so.
fn chosen<'d, T>(
    documents: impl Iterator<Item = (&'d str, T)>,
    id: &str,
    list: &str,
) -> anyhow::Result<T> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{id:?} is no document id; `{list}` shows them");
    }
    let id = id.to_ascii_lowercase();
    let mut found = documents.filter(|(whole, _)| whole.starts_with(&id));
    match (found.next(), found.next()) {
        (Some((_, document)), None) => Ok(document),
        (Some(_), Some(_)) => {
            bail!("several documents have ids that begin with {id}; give more of it")
        }
        (None, _) => bail!("no document has an id that begins with {id}; `{list}` shows them"),
    }
}

fn line(document: &DocumentBody) -> String {
    format!(
        "{}  {:>5} chunks  {:2}  {}  {}\n",
        short(&document.id),
        document.chunks,
        document.language.as_deref().unwrap_or("–"),
        document.uri,
        document.title,
    )
}

/// As much of an id as tells documents apart.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
