//! A backup of an installation that is being served.

use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use genie_core::Config;
use genie_server::Backups;

use super::manifest::Manifest;
use super::{archive, folder_of, is_new, verify, write};
use crate::remote::Remote;
use crate::tenants::Tenants;
use crate::{interrupt, progress};

/// How the folders of unfinished backups begin.
const UNFINISHED: &str = ".backup-";

/// The side of the service.
pub(crate) struct Live {
    config: Config,
    tenants: Arc<Tenants>,
}

impl Live {
    /// Backups of these workspaces. What an earlier service left unfinished
    /// is removed.
    pub(crate) fn new(config: Config, tenants: Arc<Tenants>) -> anyhow::Result<Self> {
        let home = &config.places.home;
        let unreadable = || format!("{} can't be read", home.display());
        for entry in fs::read_dir(home).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let path = entry.path();
                fs::remove_dir_all(&path)
                    .with_context(|| format!("{} can't be removed", path.display()))?;
            }
        }
        Ok(Self { config, tenants })
    }
}

impl Backups for Live {
    fn write(&self, path: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        write(&self.config, path, &mut |copy| {
            self.tenants.each_index(copy)
        })?;
        Ok(())
    }

    fn folder(&self) -> &Path {
        &self.config.places.home
    }
}

/// Has the service make a backup and takes it into a new file, which appears
/// once it is whole.
pub(super) fn fetch(remote: &Remote, file: &Path) -> anyhow::Result<Manifest> {
    is_new(file)?;
    let waiting = progress::waiting("the service makes a backup");
    let mut archive = remote.backup()?;
    waiting.finish_and_clear();
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = Part(PathBuf::from(name));
    let unwritable = || format!("{} can't be written", file.display());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // It holds what the state and config.toml hold.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = BufWriter::new(options.open(&part.0).with_context(unwritable)?);
    let mut piece = vec![0; 1 << 18];
    loop {
        interrupt::check()?;
        let count = archive
            .read(&mut piece)
            .context("the service broke off its backup")?;
        if count == 0 {
            break;
        }
        out.write_all(&piece[..count]).with_context(unwritable)?;
    }
    let open = out.into_inner().map_err(|error| error.into_error());
    open.and_then(|open| open.sync_all())
        .with_context(unwritable)?;
    let manifest = verify(&part.0)?;
    // Unlike a rename, this fails where the name was taken meanwhile.
    fs::hard_link(&part.0, file).with_context(unwritable)?;
    archive::sync(folder_of(file)).with_context(unwritable)?;
    Ok(manifest)
}

/// A file that is not whole, removed in the end.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, "the part of a backup could not be removed");
        }
    }
}
