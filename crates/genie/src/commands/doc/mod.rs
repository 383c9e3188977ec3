//! `genie doc`: documents of an index.

mod here;
mod there;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};
use genie_server::DocumentBody;
use genie_state::{Originals, RemovedDocument, WorkspaceId};
use serde_json::Value;

use self::here::Here;
use crate::cli::{Common, Deleting, Doc, DocAction, Serve};
use crate::remote::Remote;
use crate::table::table;
use crate::wiring::{Parts, Place, place_in};
use crate::{Ended, render, settings};

use super::{say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: Doc) -> anyhow::Result<Ended> {
    let config = settings::read(common, &Serve::default())?;
    let index = match place_in(common, &config, &arguments.place)? {
        (Place::Service(remote), _) => Index::Service(remote),
        (Place::Here, within) => Index::Here(Box::new(Here {
            parts: Parts::open(common, &within)?,
            originals: Originals::at(within.places.originals()),
            config,
            workspace: arguments
                .place
                .workspace
                .unwrap_or_else(WorkspaceId::default_workspace),
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
        DocAction::Show { id, json } => show(&index.chosen(&id)?, json)?,
        DocAction::Text { id } => {
            let document = index.chosen(&id)?;
            for passage in index.passages(&document.id)? {
                say(&format!("{}\n\n", render::plain(&passage)))?;
            }
        }
        DocAction::Download { id, file } => {
            let document = index.chosen(&id)?;
            index.download(&document.id, &file)?;
            eprintln!("{} is in {}", document.uri, file.display());
        }
        DocAction::Set {
            id,
            title,
            labels,
            no_labels,
        } => {
            let change = Change {
                title,
                labels: (no_labels || !labels.is_empty()).then_some(labels),
            };
            if change.title.is_none() && change.labels.is_none() {
                bail!("nothing is to be changed; `genie doc set --help` shows what can be");
            }
            let document = index.chosen(&id)?;
            index.change(&document.id, &change)?;
            show(&index.chosen(&document.id)?, false)?;
        }
        DocAction::Reindex { id } => {
            let document = index.chosen(&id)?;
            index.reindex(&document.id)?;
            show(&index.chosen(&document.id)?, false)?;
        }
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

/// What is said of a document, changed; what is missing stays.
struct Change {
    title: Option<String>,
    labels: Option<Vec<String>>,
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

    /// The one document whose id begins so.
    fn chosen(&self, id: &str) -> anyhow::Result<DocumentBody> {
        let documents = self.documents()?.into_iter();
        let listed = documents.map(|one| (one.id.clone(), one));
        chosen(listed, id, "genie doc list")
    }

    fn passages(&self, id: &str) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Service(remote) => there::passages(remote, id),
            Self::Here(here) => here.passages(id),
        }
    }

    /// Writes the bytes into a new file, which is whole or not there.
    fn download(&self, id: &str, file: &Path) -> anyhow::Result<()> {
        let mut bytes: Box<dyn Read> = match self {
            Self::Service(remote) => remote.download(id)?,
            Self::Here(here) => Box::new(io::Cursor::new(here.original(id)?)),
        };
        let shown = file.display();
        let mut open = File::create_new(file).with_context(|| format!("{shown} can't be made"))?;
        let written = io::copy(&mut bytes, &mut open).and_then(|_| open.sync_all());
        if written.is_err() {
            // What went wrong is worth more than whether the rest could go.
            let _ = std::fs::remove_file(file);
        }
        written.with_context(|| format!("{shown} can't be written"))
    }

    fn change(&self, id: &str, change: &Change) -> anyhow::Result<()> {
        match self {
            Self::Service(remote) => there::change(remote, id, change),
            Self::Here(here) => here.change(id, change),
        }
    }

    fn reindex(&self, id: &str) -> anyhow::Result<()> {
        match self {
            Self::Service(remote) => there::work(remote, &format!("/documents/{id}/reindex")),
            Self::Here(here) => here.reindex(id),
        }
    }

    /// What was deleted and can be restored, as the service describes it.
    fn removed(&self) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Service(remote) => remote.every(&remote.path("/removed-documents")),
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
            Self::Service(remote) => {
                there::work(remote, &format!("/removed-documents/{id}/restore"))
            }
            Self::Here(here) => here.restore(id),
        }
    }
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
fn chosen<I: AsRef<str>, T>(
    documents: impl Iterator<Item = (I, T)>,
    id: &str,
    list: &str,
) -> anyhow::Result<T> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{id:?} is no document id; `{list}` shows them");
    }
    let id = id.to_ascii_lowercase();
    let mut found = documents.filter(|(whole, _)| whole.as_ref().starts_with(&id));
    match (found.next(), found.next()) {
        (Some((_, document)), None) => Ok(document),
        (Some(_), Some(_)) => {
            bail!("several documents have ids that begin with {id}; give more of it")
        }
        (None, _) => bail!("no document has an id that begins with {id}; `{list}` shows them"),
    }
}

fn show(document: &DocumentBody, json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(document);
    }
    let rows = [
        ["id", &document.id],
        ["uri", &document.uri],
        ["title", &document.title],
        ["media type", &document.media_type],
        ["language", document.language.as_deref().unwrap_or("–")],
        ["labels", &document.labels.join(", ")],
        ["date", document.date.as_deref().unwrap_or("–")],
        ["chunks", &document.chunks.to_string()],
        ["bytes", &document.bytes.to_string()],
    ]
    .map(|row| row.map(str::to_owned));
    say(&table(["FIELD", "VALUE"], &rows))
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
