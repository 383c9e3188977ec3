//! Bringing an index up to date whose words were analysed in another way.
//!
//! Texts, vectors and codes of an index stay what they are when the analysis
//! of words changes, so nobody has to ingest again: an index with all of it
//! and new terms is made beside the old one, and takes its place.
//!
//! It is made in `renewing`, and gets the name `renewed` when it is whole and
//! while the old one is still locked. Whoever opens the index next moves its
//! files, one after the other, to where the old ones are; cut off, the next
//! goes on with those that are left.

use std::fs;
use std::path::Path;

use genie_core::{Chunk, DocumentRecord, IndexIdentity, Point, SparseVector, StoreError};

use super::lock::{HolderNote, Lock};
use super::parts::Sort;
use super::{EdgeStore, IDENTITY, SHARD, disk};

/// The new index while it is made.
const RENEWING: &str = "renewing";
/// The new index when it is whole.
const RENEWED: &str = "renewed";
/// Chunks that are written with one flush.
const TOGETHER: usize = 2_000;

impl EdgeStore {
    /// Brings the index in `folder` up to date where it differs from
    /// `identity` in the analysis of words only; `terms` gives the lexical
    /// vector of each chunk. `false` where there is nothing to do, or nothing
    /// that could be done.
    ///
    /// It takes about as long as writing the index took without the embedding
    /// model, and as much room again. What was there stays until the new index
    /// is whole.
    ///
    /// # Errors
    ///
    /// Those of [`EdgeStore::open`], and [`StoreError::DiskFull`] where there
    /// is no room for the new index; the old one is as it was then.
    pub fn renew(
        folder: &Path,
        identity: &IndexIdentity,
        terms: &dyn Fn(&DocumentRecord, &Chunk) -> SparseVector,
    ) -> Result<bool, StoreError> {
        if folder.join(RENEWED).exists() {
            let _lock = Lock::take(folder, &HolderNote::default())?;
            settle(folder)?;
        }
        let Some(stored) = Self::stored_identity_json(folder)? else {
            return Ok(false);
        };
        let location = folder.display().to_string();
        let old_identity = IndexIdentity {
            lexical_version: stored.identity(&location)?.lexical_version,
            ..identity.clone()
        };
        if old_identity == *identity || stored.check(&old_identity, &location).is_err() {
            return Ok(false);
        }
        let old = match Self::open(folder, old_identity, HolderNote::default()) {
            // Another process has done it in between.
            Err(StoreError::IdentityMismatch { .. }) => return Ok(false),
            opened => opened?,
        };
        tracing::warn!(
            index = %location,
            "words are analysed in another way now: the index is brought up to date, which takes minutes where it is large"
        );
        let renewing = folder.join(RENEWING);
        disk::remove_folder(&renewing)?;
        let made = old.write_into(&renewing, identity, terms).and_then(|()| {
            let renewed = folder.join(RENEWED);
            fs::rename(&renewing, &renewed).map_err(|source| disk::error(&renewed, source))?;
            disk::sync_folder(folder)
        });
        if made.is_err() {
            // Half an index helps nobody, least of all on a full disk.
            let _ = fs::remove_dir_all(&renewing);
        }
        made?;
        drop(old);
        tracing::warn!(index = %location, "the index is up to date");
        Ok(true)
    }

    /// Writes all documents with new terms into a new index.
    fn write_into(
        &self,
        folder: &Path,
        identity: &IndexIdentity,
        terms: &dyn Fn(&DocumentRecord, &Chunk) -> SparseVector,
    ) -> Result<(), StoreError> {
        let new = Self::open(folder, identity.clone(), HolderNote::default())?;
        let mut waiting: Vec<(DocumentRecord, Vec<Point>)> = Vec::new();
        let mut chunks = 0;
        for commit in self.documents.commits()? {
            let mut points = self.documents.points(&commit)?;
            for point in &mut points {
                point.lexical = terms(&commit.record, &point.chunk);
            }
            chunks += points.len();
            waiting.push((commit.record, points));
            if chunks >= TOGETHER {
                new.documents.put_all(std::mem::take(&mut waiting))?;
                chunks = 0;
            }
        }
        new.documents.put_all(waiting)
    }
}

/// Puts an index that was renewed to where the old one is, under the lock.
pub(super) fn settle(folder: &Path) -> Result<(), StoreError> {
    disk::remove_folder(&folder.join(RENEWING))?;
    let renewed = folder.join(RENEWED);
    if !renewed.exists() {
        return Ok(());
    }
    // The identity last: until then the next who opens the index comes here.
    let names = [SHARD].into_iter().chain(Sort::ALL.map(Sort::folder));
    for name in names.chain([IDENTITY]) {
        let (new, old) = (renewed.join(name), folder.join(name));
        if new.exists() {
            if new.is_dir() {
                disk::remove_folder(&old)?;
            }
            fs::rename(&new, &old).map_err(|source| disk::error(&old, source))?;
            disk::sync_folder(folder)?;
        }
    }
    disk::remove_folder(&renewed)
}
