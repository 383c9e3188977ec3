//! Snapshots come over HTTP: the gRPC interface only makes them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use genie_core::StoreError;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::ServerOptions;
use super::address::Addresses;
use crate::snapshots::free_name;

/// How long the server may take to begin with its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a name that a server says is one segment of an address as it is.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_graphic() && !"/\\?#%".contains(c);
    !name.starts_with('.') && name.chars().all(is_part)
}

/// Downloads a snapshot into `folder` and returns its path. The file's name
/// is ours: a server's has the second it was made in and nothing that tells
/// two of one second apart.
pub(crate) fn download(
    options: &ServerOptions,
    name: &str,
    folder: &Path,
) -> Result<PathBuf, StoreError> {
    let http = Addresses::of(&options.url)?.http;
    if !is_name(name) {
        return Err(StoreError::Backend {
            location: http,
            source: format!("`{name}` is no name of a snapshot").into(),
        });
    }
    let url = format!("{http}/collections/{}/snapshots/{name}", options.collection);
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::PlatformVerifier)
                .build(),
        )
        .build()
        .into();
    let mut request = agent.get(&url);
    if let Some(key) = &options.api_key {
        request = request.header("api-key", key);
    }
    let response = request.call().map_err(|error| StoreError::Unreachable {
        url: http,
        source: Box::new(error),
    })?;

    let failed = |path: &Path, source: io::Error| {
        let location = path.display().to_string();
        if source.kind() == io::ErrorKind::StorageFull {
            StoreError::DiskFull { location }
        } else {
            StoreError::Io { location, source }
        }
    };
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let target = free_name(folder, ".snapshot");
    let partial = target.with_extension("partial");
    let copied = File::create(&partial).and_then(|mut file| {
        io::copy(&mut response.into_body().into_reader(), &mut file)?;
        file.flush()?;
        file.sync_all()
    });
    copied
        .and_then(|()| fs::rename(&partial, &target))
        .map_err(|source| {
            let _ = fs::remove_file(&partial);
            failed(&target, source)
        })?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_is_no_path() {
        assert!(is_name(
            "genie-7-5721221267948786-2026-11-26-14-51-22.snapshot"
        ));
        for wrong in ["../x.snapshot", "a/b", "..", "a?b", "a b", "\u{e9}"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
