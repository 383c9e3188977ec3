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

/// How long the server may take to begin with its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Downloads a snapshot into `folder` and returns its path.
pub(crate) fn download(
    options: &ServerOptions,
    name: &str,
    folder: &Path,
) -> Result<PathBuf, StoreError> {
    let http = Addresses::of(&options.url)?.http;
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
    let target = folder.join(name);
    let partial = folder.join(format!("{name}.partial"));
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
