//! Indexes that are made for an evaluation, and kept for the next one.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use genie_core::{ContentHash, Document, DocumentId, MediaType, Store};
use genie_ingest::{IngestError, Source, parse};
use genie_rag::{Engine, IndexError, IndexProgress, Indexer};

use crate::evaluate::Step;
use crate::suite::{Collection, Text};

/// Texts that are written together: making a write durable takes longer than
/// embedding a short text.
const TOGETHER: usize = 64;

/// An index with what works on it.
pub struct Opened {
    /// Searches and answers.
    pub engine: Engine,
    /// Adds documents.
    pub indexer: Indexer,
}

/// Which index is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The one that is kept for documents with this digest, empty where there
    /// is none.
    Kept(&'a ContentHash),
    /// That of the installation.
    Installed,
}

/// Opens indexes.
pub trait Indexes {
    /// Opens an index.
    ///
    /// # Errors
    ///
    /// Fails where a model or an index can't be opened.
    fn open(&self, wanted: Wanted<'_>) -> anyhow::Result<Opened>;
}

/// A folder of documents.
#[derive(Debug, Clone)]
pub struct Documents {
    files: Vec<File>,
    hash: ContentHash,
}

#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    /// Relative to the folder, with `/`.
    uri: String,
    id: DocumentId,
}

impl Documents {
    /// These files below `folder`.
    ///
    /// # Errors
    ///
    /// Fails where a file can't be read.
    pub fn read(folder: &Path, files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut documents = Self {
            files: Vec::with_capacity(files.len()),
            hash: ContentHash::of(b""),
        };
        let folder = plain(folder);
        for path in files {
            let bytes = read(path)?;
            let below = plain(path);
            let parts: Vec<_> = below
                .strip_prefix(&folder)
                .unwrap_or(&below)
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            documents.files.push(File {
                path: path.clone(),
                uri: parts.join("/"),
                id: DocumentId::of(&bytes),
            });
        }
        documents.files.sort_by(|a, b| a.uri.cmp(&b.uri));
        documents.hash = digest(
            documents
                .files
                .iter()
                .map(|file| (file.uri.as_str(), file.id)),
        );
        Ok(documents)
    }

    /// The digest of names and contents.
    #[must_use]
    pub const fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts into the index what it lacks. Files that are no documents are
    /// left out, as `genie ingest` leaves them out.
    pub(crate) fn fill(
        &self,
        indexer: &Indexer,
        watch: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> anyhow::Result<ControlFlow<()>> {
        for (done, file) in self.files.iter().enumerate() {
            let step = Step::Indexing {
                name: &file.uri,
                done,
                total: self.files.len(),
            };
            if watch(step).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if indexer.store.document(&file.id)?.is_some() {
                continue;
            }
            let bytes = read(&file.path)?;
            let source = Source {
                bytes: &bytes,
                uri: &file.uri,
                media_type: None,
            };
            match indexer.index(&source, &mut listener(watch)) {
                Ok(_) => {}
                Err(IndexError::Cancelled) => return Ok(ControlFlow::Break(())),
                Err(IndexError::Ingest(error)) => {
                    tracing::warn!(%error, "a file is left out");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The document of this name as it was indexed.
    pub(crate) fn parsed(&self, name: &str, indexer: &Indexer) -> anyhow::Result<Option<Document>> {
        let Some(file) = self.files.iter().find(|file| file.uri == name) else {
            return Ok(None);
        };
        let bytes = read(&file.path)?;
        let source = Source {
            bytes: &bytes,
            uri: &file.uri,
            media_type: None,
        };
        Ok(Some(parse(&source, &indexer.limits)?))
    }
}

/// The digest that an index of these texts is kept under.
pub(crate) fn digest_of_texts(collection: &Collection) -> ContentHash {
    digest(
        collection
            .texts
            .iter()
            .map(|text| (text.name.as_str(), text.id())),
    )
}

fn digest<'a>(documents: impl Iterator<Item = (&'a str, DocumentId)>) -> ContentHash {
    let mut all = String::new();
    for (name, id) in documents {
        all.push_str(&format!("{id} {name}\n"));
    }
    ContentHash::of(all.as_bytes())
}

/// Puts the texts of a collection into the index, as far as it lacks them.
pub(crate) fn fill_with_texts(
    collection: &Collection,
    indexer: &Indexer,
    watch: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
) -> anyhow::Result<ControlFlow<()>> {
    for (batch, texts) in collection.texts.chunks(TOGETHER).enumerate() {
        let step = Step::Indexing {
            name: &collection.name,
            done: batch * TOGETHER,
            total: collection.texts.len(),
        };
        if watch(step).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let mut documents = Vec::with_capacity(texts.len());
        for text in texts {
            let id = text.id();
            let known = |document: &Document| document.id == id;
            if documents.iter().any(known) || indexer.store.document(&id)?.is_some() {
                continue;
            }
            match document(text, indexer) {
                Ok(document) => documents.push(document),
                // Corpora of others have empty texts, which nobody can find.
                Err(IngestError::Empty { .. } | IngestError::NoText { .. }) => {
                    tracing::warn!(text = text.name, "a text without words is left out");
                }
                Err(error) => return Err(error).with_context(|| text.name.clone()),
            }
        }
        if documents.is_empty() {
            continue;
        }
        match indexer.index_documents(&documents, &mut listener(watch)) {
            Ok(()) => {}
            Err(IndexError::Cancelled) => return Ok(ControlFlow::Break(())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn document(text: &Text, indexer: &Indexer) -> Result<Document, IngestError> {
    let source = Source {
        bytes: text.text.as_bytes(),
        uri: &text.name,
        media_type: Some(MediaType::Text),
    };
    let mut document = parse(&source, &indexer.limits)?;
    // Else a part of the name or of the text would be the title, which is
    // put in front of every chunk.
    document.title.clone_from(&text.title);
    document.id = text.id();
    Ok(document)
}

fn listener<'a>(
    watch: &'a mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
) -> impl FnMut(IndexProgress) -> bool + 'a {
    |_| watch(Step::Working).is_continue()
}

/// The document of an installed index that a suite calls `name`.
pub(crate) fn installed(
    store: &dyn Store,
    name: &str,
) -> anyhow::Result<Option<(DocumentId, String)>> {
    let below = format!("/{name}");
    let mut found: Vec<_> = store
        .documents()?
        .into_iter()
        .filter(|document| document.uri == name || document.uri.ends_with(&below))
        .collect();
    if found.len() > 1 {
        bail!(
            "the index has {} documents whose names end with {name}; pass --documents",
            found.len()
        );
    }
    Ok(found.pop().map(|document| (document.id, document.uri)))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}

/// The path without `.` in front, as files below it are listed.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_named_below_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        let file = folder.path().join("deep/a.md");
        std::fs::write(&file, "text").unwrap();
        let documents = Documents::read(folder.path(), std::slice::from_ref(&file)).unwrap();
        assert_eq!(documents.files[0].uri, "deep/a.md");
        let before = *documents.hash();
        std::fs::write(&file, "other text").unwrap();
        let after = Documents::read(folder.path(), &[file]).unwrap();
        assert_ne!(before, *after.hash());
    }
}
