//! One file over HTTP, taken up where an earlier run stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use genie_core::ContentHash;
use serde::{Deserialize, Serialize};
use ureq::Body;
use ureq::http::{HeaderMap, Response};
use url::Url;

use super::http::{Client, Request};
use crate::digest;
use crate::error::{Action, FatalError, SourceError, Stop, on_disk};
use crate::progress::Watch;
use crate::settings::public;

/// Broken connections in a row, without a byte between, before giving up.
const TRIES: u32 = 5;
/// Waited before the first try again; doubled each time.
const PAUSE: Duration = Duration::from_millis(200);

/// A file to fetch.
pub(crate) struct Download<'a> {
    pub(crate) url: &'a Url,
    /// What it is, in words, for messages.
    pub(crate) what: &'a str,
    /// Credentials and the like.
    pub(crate) headers: &'a [(&'static str, String)],
    /// Checked where known.
    pub(crate) sha256: Option<ContentHash>,
    /// Where it goes. While it is on its way it is called `….part`.
    pub(crate) to: &'a Path,
}

/// What tells whether the rest of a file is still of the same file.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Resume {
    /// A strong entity tag or a modification date.
    validator: Option<String>,
    /// Bytes in all.
    total: Option<u64>,
}

/// Fetches a file, unless it is already there whole.
///
/// # Errors
///
/// A source error where the server or the connection is at fault; what came
/// so far then stays as `….part` for the next run.
pub(crate) fn download(
    client: &Client,
    download: &Download<'_>,
    watch: &Watch<'_>,
) -> Result<(), Stop> {
    if download.to.exists() {
        return Ok(());
    }
    let part = beside(download.to, "part");
    let notes = beside(download.to, "part.json");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&part)
        .map_err(on_disk(&part, Action::Write))?;
    let mut transfer = Transfer {
        download,
        watch,
        at: file.metadata().map_or(0, |metadata| metadata.len()),
        resume: fs::read(&notes)
            .ok()
            .and_then(|notes| serde_json::from_slice(&notes).ok())
            .unwrap_or_default(),
        part: &part,
        notes: &notes,
    };
    watch.advance(transfer.at);
    let outcome = transfer.run(client, &mut file);
    if outcome.is_err() && transfer.at == 0 {
        let _ = fs::remove_file(&part);
        let _ = fs::remove_file(&notes);
    }
    outcome?;
    file.sync_all().map_err(on_disk(&part, Action::Write))?;
    drop(file);
    if let Some(expected) = download.sha256 {
        let found = digest::of_file(&part, &mut |_| watch.check())?;
        if found != expected {
            let _ = fs::remove_file(&part);
            let _ = fs::remove_file(&notes);
            watch.retract(transfer.at);
            return Err(SourceError::WrongHash {
                what: download.what.to_owned(),
                expected,
                found,
            }
            .into());
        }
    }
    fs::rename(&part, download.to).map_err(on_disk(download.to, Action::Write))?;
    let _ = fs::remove_file(&notes);
    Ok(())
}

struct Transfer<'a> {
    download: &'a Download<'a>,
    watch: &'a Watch<'a>,
    /// Bytes that the part holds.
    at: u64,
    resume: Resume,
    part: &'a Path,
    notes: &'a Path,
}

impl Transfer<'_> {
    fn run(&mut self, client: &Client, file: &mut File) -> Result<(), Stop> {
        let mut failures = 0;
        let mut answered = false;
        loop {
            self.watch.check()?;
            let before = self.at;
            let broken = match self.ask(client, answered) {
                Ok(response) => {
                    answered = true;
                    match self.receive(response, file)? {
                        Received::All => return Ok(()),
                        Received::Some(error) => error,
                    }
                }
                // A server that never answered is out of reach; one that did
                // may come back.
                Err(SourceError::Unreachable { reason, .. })
                    if answered || client.has_answered(self.download.url) =>
                {
                    io::Error::new(io::ErrorKind::NotConnected, reason)
                }
                Err(error) => return Err(error.into()),
            };
            failures = if self.at > before { 1 } else { failures + 1 };
            if failures >= TRIES {
                return Err(SourceError::Interrupted {
                    host: public(self.download.url),
                    what: self.download.what.to_owned(),
                    source: broken,
                }
                .into());
            }
            tracing::debug!(what = self.download.what, at = self.at, "connection broke");
            thread::sleep(PAUSE * (1 << (failures - 1)));
        }
    }

    fn ask(&self, client: &Client, answered: bool) -> Result<Response<Body>, SourceError> {
        let mut headers = self.download.headers.to_vec();
        // Offsets count bytes as stored, not as compressed on the way.
        headers.push(("accept-encoding", "identity".to_owned()));
        if self.at > 0 {
            headers.push(("range", format!("bytes={}-", self.at)));
            if let Some(validator) = &self.resume.validator {
                headers.push(("if-range", validator.clone()));
            }
        }
        let request = Request {
            url: self.download.url,
            what: self.download.what,
            headers: &headers,
        };
        if answered {
            client.get_again(request)
        } else {
            client.get(request)
        }
    }

    fn receive(&mut self, response: Response<Body>, file: &mut File) -> Result<Received, Stop> {
        let status = response.status().as_u16();
        let headers = response.headers();
        let total = match status {
            206 => match content_range(headers) {
                Some((start, total)) if start == self.at && self.agrees(total) => Some(total),
                // Another part than the one asked for, or of another file.
                _ => return self.restart(file),
            },
            416 if self.at > 0 && self.resume.total == Some(self.at) => {
                return Ok(Received::All);
            }
            416 => return self.restart(file),
            _ => {
                if self.at > 0 {
                    self.clear(file)?;
                }
                number(headers, "content-length")
            }
        };
        self.resume = Resume {
            validator: validator(headers),
            total,
        };
        let notes = serde_json::to_vec(&self.resume).unwrap_or_default();
        fs::write(self.notes, notes).map_err(on_disk(self.notes, Action::Write))?;
        file.seek(SeekFrom::Start(self.at))
            .map_err(on_disk(self.part, Action::Write))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.watch.check()?;
            match body.read(&mut buffer) {
                Ok(0) if total.is_none_or(|total| total == self.at) => return Ok(Received::All),
                Ok(0) => return Ok(Received::Some(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    file.write_all(&buffer[..count])
                        .map_err(|error| self.not_written(error))?;
                    self.at += count as u64;
                    self.watch.advance(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Received::Some(error)),
            }
        }
    }

    fn agrees(&self, total: u64) -> bool {
        self.resume.total.is_none_or(|known| known == total)
    }

    fn not_written(&self, error: io::Error) -> FatalError {
        match on_disk(self.part, Action::Write)(error) {
            FatalError::DiskFull { .. } => FatalError::DiskFull {
                needed: self.resume.total.unwrap_or(0).saturating_sub(self.at),
            },
            other => other,
        }
    }

    fn restart(&mut self, file: &mut File) -> Result<Received, Stop> {
        self.clear(file)?;
        Ok(Received::Some(io::Error::other(
            "the server's file changed in between",
        )))
    }

    fn clear(&mut self, file: &mut File) -> Result<(), Stop> {
        file.set_len(0).map_err(on_disk(self.part, Action::Write))?;
        self.watch.retract(self.at);
        self.at = 0;
        self.resume = Resume::default();
        Ok(())
    }
}

enum Received {
    All,
    /// The connection broke; the bytes so far are kept.
    Some(io::Error),
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// RFC 9110, section 14.4: `bytes START-END/TOTAL`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = text(headers, "content-range")?.strip_prefix("bytes ")?;
    let (range, total) = range.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()?))
}

/// RFC 9110, section 13.1.5: `If-Range` takes a strong tag or a date.
fn validator(headers: &HeaderMap) -> Option<String> {
    text(headers, "etag")
        .filter(|tag| !tag.starts_with("W/"))
        .or_else(|| text(headers, "last-modified"))
        .map(str::to_owned)
}
