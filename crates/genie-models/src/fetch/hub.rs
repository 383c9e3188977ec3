//! Files of a model hub.
//!
//! `hf-hub` knows how the hub addresses a file of a revision, at the public
//! endpoint or a mirror. Its own transfer is not used: it takes neither
//! certificates nor a connect timeout, can't be cancelled, and goes on with a
//! broken file without looking at what the server answers. The bytes come
//! through the same transfer as packages.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};
use url::Url;

use super::Work;
use super::download::{Download, download};
use crate::error::{SourceError, Stop};
use crate::registry::{FileName, HubFile};

/// Files fetched at a time.
const PARALLEL: usize = 4;

pub(super) fn fetch(files: &[HubFile], work: &Work<'_>) -> Result<Vec<(FileName, PathBuf)>, Stop> {
    let settings = &work.client.settings;
    let endpoint = settings.hub.as_str().trim_end_matches('/').to_owned();
    let broken = || SourceError::Unreachable {
        host: crate::settings::public(&settings.hub),
        reason: "its address can't be used".to_owned(),
    };
    // Nothing is ever written to this cache; without it the crate would look
    // for a home folder and panic where there is none.
    let api = ApiBuilder::from_cache(Cache::new(work.folder.join("cache")))
        .with_endpoint(endpoint)
        .with_token(None)
        .with_progress(false)
        .build()
        .map_err(|_| broken())?;
    let headers: Vec<_> = settings
        .hub_token
        .iter()
        .map(|token| ("authorization", format!("Bearer {token}")))
        .collect();
    work.watch.start(0, work.entry.size());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..PARALLEL.min(files.len()) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(stop) = fetch_file(&api, file, &headers, work) {
                        // No further file is begun; those on their way end.
                        next.store(files.len(), Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock() {
                            failed.get_or_insert(stop);
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        Ok(Some(stop)) => Err(stop),
        _ => Ok(files
            .iter()
            .map(|file| (file.file, work.folder.join(file.file.as_str())))
            .collect()),
    }
}

fn fetch_file(
    api: &Api,
    file: &HubFile,
    headers: &[(&'static str, String)],
    work: &Work<'_>,
) -> Result<(), Stop> {
    let repo = Repo::with_revision(
        file.repository.clone(),
        RepoType::Model,
        file.revision.clone(),
    );
    let what = format!("{}/{}", file.repository, file.path);
    let url =
        Url::parse(&api.repo(repo).url(&file.path)).map_err(|_| SourceError::Unreachable {
            host: crate::settings::public(&work.client.settings.hub),
            reason: format!("{what} makes no URL"),
        })?;
    let to = work.folder.join(file.file.as_str());
    download(
        work.client,
        &Download {
            url: &url,
            what: &what,
            headers,
            sha256: None,
            to: &to,
        },
        work.watch,
    )
}
