//! Documents of an index of this machine.

use anyhow::{Context, bail};
use genie_core::{Config, DocumentId, DocumentRecord};
use genie_rag::{IndexError, IndexProgress, Indexed};
use genie_state::{Database, Originals, RemovedDocument, Subject, Timestamp, WorkspaceId};

use super::Change;
use crate::accounts::{self, Accounts};
use crate::cli::Deleting;
use crate::wiring::Parts;
use crate::{interrupt, progress};

/// Hears how far it is, and says whether to go on.
type OnProgress<'a> = &'a mut dyn FnMut(IndexProgress) -> bool;

/// An index of this machine.
pub(super) struct Here {
    pub(super) parts: Parts,
    pub(super) originals: Originals,
    /// That of the installation.
    pub(super) config: Config,
    pub(super) workspace: WorkspaceId,
}

impl Here {
    pub(super) fn delete(&self, id: &str, how: Deleting) -> anyhow::Result<()> {
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
            // Where another one has its name, kept answers may be of that.
            if let Some(uri) = uri
                && store.documents_from(&uri)?.iter().all(|one| one.id == id)
            {
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
        accounts
            .wait(accounts.state.forget_document(&self.workspace, uri))
            .context("the answers that quote the document could not be changed")?;
        Ok(())
    }

    pub(super) fn restore(&self, id: &str) -> anyhow::Result<()> {
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
        self.watched(&record.uri, &mut |on_progress| {
            self.parts.indexer().reindex(&bytes, record, on_progress)
        })?;
        staged.keep()?;
        self.originals.erase_removed(&id)?;
        Ok(())
    }

    fn record(&self, id: &DocumentId) -> anyhow::Result<DocumentRecord> {
        let found = self.parts.store.document(id)?;
        found.context("the document was deleted meanwhile")
    }

    /// Its passages, in their order.
    pub(super) fn passages(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let chunks = self.parts.store.chunks(&id.parse()?)?;
        Ok(chunks.into_iter().map(|chunk| chunk.text).collect())
    }

    pub(super) fn original(&self, id: &str) -> anyhow::Result<Vec<u8>> {
        let record = self.record(&id.parse()?)?;
        self.originals.read(&record.id)?.with_context(|| {
            format!(
                "the bytes of {} are not kept here: ingest it once more",
                record.uri
            )
        })
    }

    pub(super) fn change(&self, id: &str, change: &Change) -> anyhow::Result<()> {
        let before = self.record(&id.parse()?)?;
        let after = DocumentRecord {
            title: change.title.clone().unwrap_or_else(|| before.title.clone()),
            labels: change
                .labels
                .clone()
                .unwrap_or_else(|| before.labels.clone()),
            ..before.clone()
        };
        if after == before {
            return Ok(());
        }
        self.watched(&after.uri, &mut |on_progress| {
            let revised = self.parts.indexer().revise(&after, on_progress);
            revised.transpose().unwrap_or(Err(IndexError::Cancelled))
        })
    }

    pub(super) fn reindex(&self, id: &str) -> anyhow::Result<()> {
        let bytes = self.original(id)?;
        let record = self.record(&id.parse()?)?;
        self.watched(&record.uri, &mut |on_progress| {
            self.parts.indexer().reindex(&bytes, &record, on_progress)
        })
    }

    /// Indexes with a sign of how far it is.
    fn watched(
        &self,
        uri: &str,
        index: &mut dyn FnMut(OnProgress<'_>) -> Result<Indexed, IndexError>,
    ) -> anyhow::Result<()> {
        let bar = progress::waiting(uri);
        let indexed = index(&mut |IndexProgress { done, total }| {
            bar.set_message(format!("{uri} ({done}/{total} chunks)"));
            !interrupt::requested()
        });
        bar.finish_and_clear();
        interrupt::check()?;
        indexed?;
        // Earlier versions of its passages leave the disk.
        self.parts.store.purge()?;
        Ok(())
    }
}
