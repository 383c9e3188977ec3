//! `genie doc`: documents of the index.

use anyhow::{Context, bail};
use genie_core::DocumentId;
use genie_server::DocumentBody;

use crate::cli::{Common, Doc, DocAction, Serve};
use crate::remote::Remote;
use crate::wiring::{Parts, Place, place};
use crate::{Ended, settings};

use super::{confirmed, say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: Doc) -> anyhow::Result<Ended> {
    let config = settings::read(common, &Serve::default())?;
    let index = match place(common, &config)? {
        Place::Service(remote) => Index::Service(remote),
        Place::Here => Index::Here(Box::new(Parts::open(common, &config)?)),
    };
    match arguments.action {
        DocAction::List { json } => {
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
        DocAction::Delete { id, yes } => {
            let document = chosen(index.documents()?, &id)?;
            let question = format!(
                "Remove {} with its {} chunks?",
                document.uri, document.chunks
            );
            if confirmed(&question, yes)? {
                index.delete(&document.id)?;
                say(&format!("removed {}\n", document.uri))?;
            }
        }
    }
    Ok(Ended::Done)
}

enum Index {
    Here(Box<Parts>),
    Service(Remote),
}

impl Index {
    fn documents(&self) -> anyhow::Result<Vec<DocumentBody>> {
        match self {
            Self::Service(remote) => remote.documents(),
            Self::Here(parts) => Ok(parts
                .store
                .documents()?
                .iter()
                .map(DocumentBody::from)
                .collect()),
        }
    }

    fn delete(&self, id: &str) -> anyhow::Result<()> {
        match self {
            Self::Service(remote) => remote.delete(id),
            Self::Here(parts) => {
                let id: DocumentId = id.parse().context("the index lists an unreadable id")?;
                parts.store.delete(&id)?;
                parts.store.purge().context(
                    "the document is removed, but the files of the index still hold its text; \
                     the next deletion or `genie serve` tries again",
                )?;
                Ok(())
            }
        }
    }
}

/// The one document whose id begins so.
fn chosen(documents: Vec<DocumentBody>, id: &str) -> anyhow::Result<DocumentBody> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{id:?} is no document id; `genie doc list` shows them");
    }
    let id = id.to_ascii_lowercase();
    let mut found = documents
        .into_iter()
        .filter(|document| document.id.starts_with(&id));
    match (found.next(), found.next()) {
        (Some(document), None) => Ok(document),
        (Some(_), Some(_)) => {
            bail!("several documents have ids that begin with {id}; give more of it")
        }
        (None, _) => {
            bail!("no document has an id that begins with {id}; `genie doc list` shows them")
        }
    }
}

fn line(document: &DocumentBody) -> String {
    format!(
        "{}  {:>5} chunks  {:2}  {}  {}\n",
        document.id.get(..12).unwrap_or(&document.id),
        document.chunks,
        document.language.as_deref().unwrap_or("–"),
        document.uri,
        document.title,
    )
}
