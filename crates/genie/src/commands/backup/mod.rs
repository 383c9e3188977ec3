//! `genie backup`: an installation in one file.
//!
//! The file is a tar archive of the home folder's layout: `config.toml`,
//! `state/genie.db`, `state/uploads/`, `index/` and `originals/`, both also of
//! each of `workspaces/`, and at its end `manifest.json` with the length and SHA-256 of every file. An
//! archive that was cut off has no manifest and is refused.
//!
//! The state and each index are copied with their own snapshots. An index in
//! process belongs to one process: where a service has it, the service makes
//! the archive and this command takes it from there. The state comes first, so
//! that a document is never missing: a job that was still to be done in the
//! copy of the state may be done already in that of the index, and does nothing
//! when it is done again.

mod archive;
mod manifest;
mod served;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use genie_core::{Config, Store};
use genie_state::{AuditVerdict, Database};
use genie_store::{EdgeStore, HolderNote, read_holder};
use tempfile::TempDir;

use self::archive::{Reader, Writer};
use self::manifest::{Manifest, STATE};
use crate::accounts::{Accounts, database};
use crate::cli::{BackupAction, BackupCommand, Common, Serve};
use crate::wiring::{Place, place};
use crate::{Ended, interrupt, settings};

pub(crate) use self::served::Live;

use super::{say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &BackupCommand) -> anyhow::Result<Ended> {
    match &arguments.action {
        BackupAction::Create { file, json } => {
            let config = settings::read(common, &Serve::default())?;
            let manifest = match place(common, &config)? {
                Place::Service(remote) => served::fetch(&remote, file)?,
                Place::Here => create(&config, file)?,
            };
            told("written", file, &manifest, *json)?;
        }
        BackupAction::Verify { file, json } => {
            let manifest = verify(file)?;
            told("whole", file, &manifest, *json)?;
        }
        BackupAction::Restore { file } => {
            let home = settings::places(common)?.home;
            let manifest = restore(file, &home)?;
            told("restored", file, &manifest, false)?;
            for note in &manifest.notes {
                eprintln!("note: {note}");
            }
        }
    }
    Ok(Ended::Done)
}

fn told(what: &str, file: &Path, manifest: &Manifest, json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(manifest);
    }
    say(&format!(
        "{what}: {}, {} files with {} bytes, made {} by genie {}\n",
        file.display(),
        manifest.files.len(),
        manifest.files.iter().map(|file| file.bytes).sum::<u64>(),
        manifest.made,
        manifest.program,
    ))
}

fn create(config: &Config, file: &Path) -> anyhow::Result<Manifest> {
    is_new(file)?;
    let home = &config.places.home;
    if !home.exists() {
        bail!("there is nothing at {} to back up", home.display());
    }
    // Held to the end: no document comes or goes between the copies.
    let open = open_indexes(config)?;
    write(config, file, &mut |copy| {
        open.iter().try_for_each(|(name, store)| copy(name, store))
    })
}

fn is_new(file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        bail!("{} exists; a backup is a new file", file.display());
    }
    Ok(())
}

/// Calls a function with each index and its name below the home.
type EachIndex<'e> =
    dyn FnMut(&mut dyn FnMut(&str, &dyn Store) -> anyhow::Result<()>) -> anyhow::Result<()> + 'e;

/// Writes the archive of an installation.
fn write(config: &Config, file: &Path, each: &mut EachIndex<'_>) -> anyhow::Result<Manifest> {
    // Beside the file: there is room for a copy of everything.
    let beside = folder_of(file);
    let scratch = TempDir::with_prefix_in(".genie-backup-", beside)
        .with_context(|| format!("{} can't be written", beside.display()))?;
    let mut manifest = Manifest::new();
    if config.qdrant_url.is_some() {
        manifest.note(
            "the documents are on a Qdrant server and not in this backup; make a snapshot there",
        );
    }
    let mut writer = Writer::create(file)?;
    let file_of_settings = config.places.config_file();
    if file_of_settings.exists() {
        writer.add(&file_of_settings, "config.toml", &mut manifest)?;
    }
    match database(config) {
        Database::Postgres(_) => manifest
            .note("the state is in PostgreSQL and not in this backup; make one with pg_dump"),
        state @ Database::Sqlite(_) => {
            let copy = scratch.path().join("genie.db");
            let accounts = Accounts::at(&state)?;
            accounts.wait(accounts.state.backup_to(&copy))?;
            drop(accounts);
            writer.add(&copy, STATE, &mut manifest)?;
        }
    }
    writer.add_folder(&config.places.uploads(), "state/uploads", &mut manifest)?;
    each(&mut |name, store| {
        interrupt::check()?;
        let copy = store
            .snapshot(&scratch.path().join("index"))
            .with_context(|| format!("the index {name} can't be copied"))?;
        writer.add_folder(&copy, name, &mut manifest)?;
        std::fs::remove_dir_all(&copy)
            .with_context(|| format!("{} can't be removed", copy.display()))
    })?;
    // After the indexes: what came meanwhile is bytes without a document, and
    // not a document without its bytes.
    writer.add_folder(&config.places.originals(), "originals", &mut manifest)?;
    for name in workspaces(config)? {
        let name = format!("workspaces/{name}/originals");
        writer.add_folder(&config.places.home.join(&name), &name, &mut manifest)?;
    }
    writer.finish(&manifest)?;
    Ok(manifest)
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The folders of workspaces other than the default one, by name.
fn workspaces(config: &Config) -> anyhow::Result<Vec<String>> {
    let folder = config.places.workspaces();
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let unreadable = || format!("{} can't be read", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(unreadable)? {
        let name = entry.with_context(unreadable)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// All indexes in process, held by this process from here on, with their names
/// below the home.
fn open_indexes(config: &Config) -> anyhow::Result<Vec<(String, EdgeStore)>> {
    let mut folders = vec![("index".to_owned(), config.places.index())];
    for name in workspaces(config)? {
        let folder = config.places.workspaces().join(&name).join("index");
        folders.push((format!("workspaces/{name}/index"), folder));
    }
    folders.sort();
    let mut open = Vec::new();
    for (name, folder) in folders {
        if let Some(holder) = read_holder(&folder) {
            bail!(
                "{holder} has the index {} to itself; stop it for the moment of the backup",
                folder.display()
            );
        }
        let Some(identity) = EdgeStore::stored_identity(&folder)? else {
            continue;
        };
        let store = EdgeStore::open(&folder, identity, HolderNote::default())?;
        open.push((name, store));
    }
    Ok(open)
}

/// Reads all of an archive, compares every file with the manifest, and looks
/// whether the copy of the state is sound.
fn verify(file: &Path) -> anyhow::Result<Manifest> {
    let scratch = TempDir::with_prefix("genie-backup-").context("no temporary folder")?;
    let copy = scratch.path().join("genie.db");
    let manifest = Reader::open(file)?.read(&mut |path| (path == STATE).then(|| copy.clone()))?;
    if manifest.has(STATE) {
        sound(&copy)?;
    }
    Ok(manifest)
}

/// Opens a copy of the state and looks over its audit trail.
fn sound(copy: &Path) -> anyhow::Result<()> {
    let accounts = Accounts::at(&Database::Sqlite(copy.to_owned()))?;
    match accounts.wait(accounts.state.verify_audit())? {
        AuditVerdict::Whole { .. } => Ok(()),
        AuditVerdict::Broken { sequence, reason } => {
            bail!("the audit trail in the backup was changed: record {sequence}: {reason}")
        }
    }
}

fn restore(file: &Path, home: &Path) -> anyhow::Result<Manifest> {
    if !is_empty(home)? {
        bail!(
            "{} is not empty; a backup is restored into an empty home, so that nothing of two \
             installations is mixed",
            home.display()
        );
    }
    // First all of it is read, so that a bad archive leaves nothing behind.
    verify(file)?;
    let unwritable = || format!("{} can't be written", home.display());
    std::fs::create_dir_all(home).with_context(unwritable)?;
    let part = TempDir::with_prefix_in(".restore-", home).with_context(unwritable)?;
    let into = part.path().to_owned();
    let manifest = Reader::open(file)?.read(&mut |path| Some(into.join(path)))?;
    let names = std::fs::read_dir(&into)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<Result<Vec<_>, _>>()
        })
        .with_context(unwritable)?;
    for name in names {
        std::fs::rename(into.join(&name), home.join(&name)).with_context(unwritable)?;
    }
    archive::sync(home).with_context(unwritable)?;
    Ok(manifest)
}

fn is_empty(folder: &Path) -> anyhow::Result<bool> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", folder.display())),
    }
}

/// Where a file of an archive goes, where it is to be kept.
type Placing<'p> = dyn FnMut(&str) -> Option<PathBuf> + 'p;
