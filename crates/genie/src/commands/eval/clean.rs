//! `genie eval clean`: indexes that were kept for suites.

use std::path::{Path, PathBuf};

use anyhow::Context;
use genie_store::read_holder;
use serde::Serialize;

use crate::cli::{Common, EvalClean};
use crate::{render, settings};

use super::super::{say, say_json};
use super::world;

#[derive(Debug, Serialize)]
struct Kept {
    folder: PathBuf,
    bytes: u64,
    /// Who has it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_use_by: Option<String>,
    removed: bool,
}

/// Runs the command.
pub(super) fn run(common: &Common, arguments: &EvalClean) -> anyhow::Result<()> {
    let mut all = kept(&world::kept(&settings::places(common)?))?;
    for index in &mut all {
        if arguments.yes && index.in_use_by.is_none() {
            world::remove(&index.folder)?;
            index.removed = true;
        }
    }
    if arguments.json {
        return say_json(&all);
    }
    say(&render::plain(&shown(&all, arguments.yes)))
}

fn kept(root: &Path) -> anyhow::Result<Vec<Kept>> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("{} can't be read", root.display()));
        }
    };
    let mut all = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        if folder.is_dir() {
            all.push(Kept {
                bytes: size(&folder)?,
                in_use_by: read_holder(&folder).map(|holder| holder.to_string()),
                removed: false,
                folder,
            });
        }
    }
    all.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(all)
}

/// Bytes of the files below a folder.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let unreadable = || format!("{} can't be read", folder.display());
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let metadata = entry.metadata().with_context(unreadable)?;
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

fn shown(all: &[Kept], removing: bool) -> String {
    if all.is_empty() {
        return "No indexes are kept.\n".to_owned();
    }
    let mut text = String::new();
    for index in all {
        let name = index.folder.file_name().unwrap_or_default();
        let what = match (&index.in_use_by, index.removed) {
            (Some(holder), _) => format!("in use by {holder}"),
            (None, true) => "removed".to_owned(),
            (None, false) => String::new(),
        };
        let line = format!(
            "{}  {:>9}  {what}",
            name.to_string_lossy(),
            megabytes(index.bytes)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let total: u64 = all.iter().map(|index| index.bytes).sum();
    text.push_str(&format!("{} in all", megabytes(total)));
    if !removing {
        text.push_str("; --yes removes them, and the next run makes those that it needs again");
    }
    text.push('\n');
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
