//! `genie ingest`: files into the index.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use genie_core::{Config, StoreError};
use genie_ingest::{Limits, Source, media_type_of_name};
use genie_rag::{IndexError, IndexProgress, IndexStatus, Indexed, Indexer};
use genie_server::AddedStatus;
use genie_state::{Originals, StateError};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::cli::{Common, Ingest, Serve};
use crate::interrupt::{self, Interrupted};
use crate::remote::Remote;
use crate::wiring::{Parts, Place, place, place_in};
use crate::{Ended, files, progress, settings};

use super::say;

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Ingest) -> anyhow::Result<Ended> {
    let config = settings::read(common, &Serve::default())?;
    let files = files::expand(&arguments.paths)?;
    let target = match place_in(common, &config, &arguments.place)? {
        (Place::Service(remote), _) => Target::Service(remote),
        (Place::Here, config) => {
            let waiting = progress::waiting("loading the embedding model");
            let parts = Parts::open(common, &config)?;
            waiting.finish_and_clear();
            Target::here(&parts, &config)
        }
    };
    target.begin()?;
    let bar = progress::items("indexing", files.len() as u64);
    let mut tally = Tally::default();
    for file in &files {
        interrupt::check()?;
        let uri = file.to_string_lossy().into_owned();
        bar.set_message(uri.clone());
        let outcome =
            read(file, &Limits::default()).and_then(|bytes| target.add(&uri, &bytes, &bar));
        let line = match outcome {
            Ok(line) => line,
            Err(error) if error.is::<Interrupted>() || is_fatal(&error) => {
                bar.abandon();
                return Err(error);
            }
            Err(error) => Line::skipped(&uri, crate::sentence(&error)),
        };
        tally.count(&line);
        bar.suspend(|| report(&line, arguments.json))?;
        bar.inc(1);
    }
    target.finish()?;
    bar.finish_and_clear();
    if !arguments.json {
        say(&format!("{tally}\n"))?;
    }
    match (tally.skipped, tally.done()) {
        (0, _) => Ok(Ended::Done),
        (skipped, 0) => anyhow::bail!("no file was indexed, {skipped} skipped"),
        _ => Ok(Ended::Partly),
    }
}

/// Where files are indexed.
pub(crate) enum Target {
    Here(Box<Here>),
    Service(Remote),
}

/// The index in this process, with the bytes of its documents.
pub(crate) struct Here {
    indexer: Indexer,
    originals: Originals,
}

impl Target {
    fn here(parts: &Parts, config: &Config) -> Self {
        Self::Here(Box::new(Here {
            indexer: parts.indexer(),
            originals: Originals::at(config.places.originals()),
        }))
    }

    /// To be called before many files are added.
    pub(crate) fn begin(&self) -> anyhow::Result<()> {
        if let Self::Here(here) = self {
            here.indexer.store.begin_bulk_load()?;
        }
        Ok(())
    }

    /// To be called once all files are added: what waited for that is done,
    /// and versions that were replaced leave the disk.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        if let Self::Here(here) = self {
            here.indexer.store.end_bulk_load()?;
            here.indexer.store.purge().context(
                "the files are indexed, but the index still holds the texts of earlier versions",
            )?;
        }
        Ok(())
    }

    pub(crate) fn add(&self, uri: &str, bytes: &[u8], bar: &ProgressBar) -> anyhow::Result<Line> {
        match self {
            Self::Service(remote) => {
                let added = remote.add(uri, bytes)?;
                Ok(Line {
                    document: added.uri,
                    status: match added.status {
                        AddedStatus::Indexed => "indexed",
                        AddedStatus::Unchanged => "unchanged",
                        AddedStatus::Replaced => "replaced",
                    },
                    id: Some(added.id),
                    chunks: Some(added.chunks),
                    truncated: 0,
                    reason: None,
                })
            }
            Self::Here(here) => {
                let source = Source {
                    bytes,
                    uri,
                    media_type: None,
                };
                let staged = here.originals.stage(bytes)?;
                let mut on_progress = |IndexProgress { done, total }| {
                    bar.set_message(format!("{uri} ({done}/{total} chunks)"));
                    !interrupt::requested()
                };
                match here.indexer.index(&source, &mut on_progress) {
                    Ok(indexed) => {
                        staged.keep()?;
                        Ok(Line::indexed(&indexed))
                    }
                    Err(IndexError::Cancelled) => Err(Interrupted.into()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

/// What became of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    document: String,
    status: &'static str,
    id: Option<String>,
    chunks: Option<u32>,
    truncated: usize,
    reason: Option<String>,
}

impl Line {
    fn indexed(indexed: &Indexed) -> Self {
        Self {
            document: indexed.document.uri.clone(),
            status: match indexed.status {
                IndexStatus::Indexed => "indexed",
                IndexStatus::Unchanged => "unchanged",
                IndexStatus::Replaced => "replaced",
            },
            id: Some(indexed.document.id.to_string()),
            chunks: Some(indexed.document.chunks),
            truncated: indexed.truncated,
            reason: None,
        }
    }

    fn skipped(uri: &str, reason: String) -> Self {
        Self {
            document: uri.to_owned(),
            status: "skipped",
            id: None,
            chunks: None,
            truncated: 0,
            reason: Some(reason),
        }
    }
}

/// How many files ended how.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    indexed: usize,
    unchanged: usize,
    pub(crate) skipped: usize,
    chunks: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, line: &Line) {
        match line.status {
            "skipped" => self.skipped += 1,
            "unchanged" => self.unchanged += 1,
            _ => {
                self.indexed += 1;
                self.chunks += u64::from(line.chunks.unwrap_or(0));
            }
        }
    }

    const fn done(&self) -> usize {
        self.indexed + self.unchanged
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} indexed ({} chunks), {} unchanged, {} skipped",
            self.indexed, self.chunks, self.unchanged, self.skipped
        )
    }
}

fn report(line: &Line, json: bool) -> anyhow::Result<()> {
    if json {
        return say(&format!("{}\n", serde_json::to_string(line)?));
    }
    if let Some(reason) = &line.reason {
        eprintln!("skipped: {reason}");
    }
    if line.truncated > 0 {
        eprintln!(
            "note: {} chunks of {} are longer than the embedding model reads",
            line.truncated, line.document
        );
    }
    Ok(())
}

/// Reads a file that is not too large to be read.
fn read(file: &Path, limits: &Limits) -> anyhow::Result<Vec<u8>> {
    let uri = file.to_string_lossy();
    let unreadable = || format!("{uri} can't be read");
    let opened = fs::File::open(file).with_context(unreadable)?;
    let size = opened.metadata().with_context(unreadable)?.len();
    let media_type = media_type_of_name(&uri).unwrap_or(genie_core::MediaType::Text);
    limits.check_size(&uri, media_type, size)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // A file may grow while it is read.
    opened
        .take(limits.max_bytes(media_type) + 1)
        .read_to_end(&mut bytes)
        .with_context(unreadable)?;
    Ok(bytes)
}

/// The next file would fail in the same way.
fn is_fatal(error: &anyhow::Error) -> bool {
    // The bytes of the document could not be kept.
    error.is::<StateError>()
        || matches!(
            error.downcast_ref::<IndexError>(),
            Some(IndexError::Embed(_))
                | Some(IndexError::Store(
                    StoreError::DiskFull { .. }
                        | StoreError::Unreachable { .. }
                        | StoreError::Locked { .. }
                        | StoreError::Backend { .. }
                        | StoreError::Io { .. }
                ))
        )
}

/// Indexes the articles that come with the program; they are cited as
/// `starter/<language>/<name>.md`.
pub(crate) fn starter(target: &Target) -> anyhow::Result<Tally> {
    let articles = crate::starter::articles();
    let bar = progress::items("indexing the starter corpus", articles.len() as u64);
    let mut tally = Tally::default();
    for (uri, bytes) in articles {
        interrupt::check()?;
        let line = target.add(&uri, bytes, &bar)?;
        tally.count(&line);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(tally)
}

/// Where this configuration indexes.
pub(crate) fn target(common: &Common) -> anyhow::Result<Target> {
    let config = settings::read(common, &Serve::default())?;
    Ok(match place(common, &config)? {
        Place::Service(remote) => Target::Service(remote),
        Place::Here => Target::here(&Parts::open(common, &config)?, &config),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.txt");
        // Sparse: it takes no space, and reading it would take a while.
        fs::File::create(&path).unwrap().set_len(200 << 20).unwrap();
        let error = read(&path, &Limits::default()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("large.txt") && text.contains("67108864"),
            "{text}"
        );
    }
}
