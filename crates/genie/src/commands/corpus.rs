//! `genie corpus`: public documents by URL, and the starter articles.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use ureq::Agent;

use crate::cli::{Common, Corpus, CorpusAction};
use crate::{Ended, interrupt, progress, starter};

use super::{ingest, say, say_json};

/// The largest document that is fetched.
const LARGEST: u64 = 64 << 20;

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: Corpus) -> anyhow::Result<Ended> {
    match arguments.action {
        CorpusAction::List { json } => {
            let documents = manifest()?;
            if json {
                say_json(&documents)?;
            } else {
                for document in documents {
                    say(&format!(
                        "{}\n    {} ({}, {})\n    {}\n    {}\n",
                        document.id,
                        document.title,
                        document.publisher,
                        document.year,
                        document.url,
                        document.licence
                    ))?;
                }
            }
            Ok(Ended::Done)
        }
        CorpusAction::Pull { ids, into } => pull(&ids, &into),
        CorpusAction::Starter => {
            say(&format!("{}\n", ingest::starter(&ingest::target(common)?)?))?;
            Ok(Ended::Done)
        }
    }
}

/// An entry of the manifest.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PublicDocument {
    id: String,
    title: String,
    publisher: String,
    year: u16,
    language: String,
    url: String,
    format: String,
    licence: String,
}

fn manifest() -> anyhow::Result<Vec<PublicDocument>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Manifest {
        document: Vec<PublicDocument>,
    }
    let manifest: Manifest =
        toml::from_str(starter::MANIFEST).context("the built-in manifest is malformed")?;
    Ok(manifest.document)
}

fn pull(ids: &[String], into: &Path) -> anyhow::Result<Ended> {
    let documents = manifest()?;
    let known: BTreeSet<_> = documents
        .iter()
        .map(|document| document.id.as_str())
        .collect();
    if let Some(unknown) = ids.iter().find(|id| !known.contains(id.as_str())) {
        bail!(
            "the manifest has no document {unknown}; `genie corpus list` shows those that it has"
        );
    }
    fs::create_dir_all(into).with_context(|| format!("{} can't be made", into.display()))?;
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(Duration::from_secs(300)))
        .https_only(true)
        .tls_config(
            ureq::tls::TlsConfig::builder()
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        )
        .build()
        .into();
    let mut failed = 0;
    let mut done = 0;
    for document in documents {
        if !ids.is_empty() && !ids.contains(&document.id) {
            continue;
        }
        interrupt::check()?;
        match fetch(&agent, &document, into) {
            Ok(path) => {
                done += 1;
                say(&format!("{}  ({})\n", path.display(), document.licence))?;
            }
            Err(error) if error.is::<interrupt::Interrupted>() => return Err(error),
            Err(error) => {
                failed += 1;
                eprintln!("skipped: {}: {}", document.id, crate::sentence(&error));
            }
        }
    }
    match (done, failed) {
        (0, 1..) => bail!("none of {failed} documents could be fetched; is the network there?"),
        (_, 0) => Ok(Ended::Done),
        _ => Ok(Ended::Partly),
    }
}

/// Downloads next to the final name and renames, so that a file that is there
/// is whole.
fn fetch(agent: &Agent, document: &PublicDocument, into: &Path) -> anyhow::Result<PathBuf> {
    let path = into.join(format!(
        "{}.{}",
        file_name(&document.id)?,
        file_name(&document.format)?
    ));
    if path.exists() {
        return Ok(path);
    }
    let response = agent
        .get(&document.url)
        .call()
        .with_context(|| format!("{} can't be fetched", document.url))?;
    let total = response
        .headers()
        .get("content-length")
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    let bar = progress::bytes(&document.id, total);
    let mut file = tempfile::NamedTempFile::new_in(into)?;
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        interrupt::check()?;
        let read = body.read(&mut buffer).context("the connection broke")?;
        if read == 0 {
            break;
        }
        length += read as u64;
        ensure!(
            length <= LARGEST,
            "{} is larger than {LARGEST} bytes",
            document.url
        );
        file.write_all(&buffer[..read])?;
        bar.inc(read as u64);
    }
    bar.finish_and_clear();
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(path)
}

/// A name that stays in its folder.
fn file_name(text: &str) -> anyhow::Result<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ensure!(
        !text.is_empty() && text.bytes().all(plain),
        "{text:?} can't be part of a file name"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_sound() {
        let documents = manifest().unwrap();
        assert!(documents.len() >= 10);
        let ids: BTreeSet<_> = documents.iter().map(|document| &document.id).collect();
        assert_eq!(ids.len(), documents.len(), "an id stands twice");
        for document in &documents {
            assert!(document.url.starts_with("https://"), "{}", document.url);
            assert!(
                !document.licence.is_empty(),
                "{} has no licence note",
                document.id
            );
            file_name(&document.id).unwrap();
            file_name(&document.format).unwrap();
        }
    }
}
