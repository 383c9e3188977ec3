//! What can go wrong, each in one sentence that names the way out.

use std::io;
use std::path::{Path, PathBuf};

use genie_core::ContentHash;

use crate::convert::PackedError;
use crate::gguf::GgufError;
use crate::{FileName, ModelName, ParseNameError};

/// A registry file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It can't be read.
    #[error("the model registry {} can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not written as a registry is.
    #[error("the model registry {} is not written as a registry is", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// An entry contradicts itself.
    #[error("the model {name} in the registry {} {what}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        name: ModelName,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two entries have one name.
    #[error("the model registry {} lists {name} twice", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The name.
        name: ModelName,
    },
}

/// Network settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A URL is none.
    #[error("{origin} holds a URL that can't be used: {reason}")]
    Url {
        /// The variable or file that holds it.
        origin: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of the package client's configuration is malformed.
    #[error("the package client's configuration {} is malformed: {reason}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// Certificates can't be read.
    #[error(
        "the certificates in {} can't be read; correct PIP_CERT, SSL_CERT_FILE or the package \
         client's configuration",
        path.display()
    )]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The proxy's address is none.
    #[error("the proxy's address in {origin} can't be used")]
    Proxy {
        /// The variable or file that holds it.
        origin: String,
    },
}

/// One source did not give a model.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The host can't be reached.
    #[error("{host} can't be reached ({reason})")]
    Unreachable {
        /// Host, and port where it is not the usual one.
        host: String,
        /// Why, in few words.
        reason: String,
    },
    /// The server refuses.
    #[error("{host} answered {status} for {what}")]
    Status {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        what: String,
    },
    /// The connection broke again and again.
    #[error("the connection to {host} broke while {what} was on its way")]
    Interrupted {
        /// The host.
        host: String,
        /// What was on its way.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A package or one of its files is on no configured index.
    #[error("no configured package index or folder has {package} {version}")]
    NoPackage {
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// An index answered something that is no index page.
    #[error("{host} answered something else than a package index page for {package}")]
    NoIndex {
        /// The host.
        host: String,
        /// The package that was asked for.
        package: String,
    },
    /// A URL that must not be followed.
    #[error(
        "{host} points to a URL that is not followed: only https is, unless the index itself is http"
    )]
    Downgrade {
        /// The host that points there.
        host: String,
    },
    /// What came is not what was announced.
    #[error("{what} has the SHA-256 {found} instead of {expected}")]
    WrongHash {
        /// What came.
        what: String,
        /// As pinned or announced.
        expected: ContentHash,
        /// Of what came.
        found: ContentHash,
    },
    /// An archive can't be opened or lacks its member.
    #[error("the archive {archive} does not hold a readable {member}")]
    Archive {
        /// The archive's file name.
        archive: String,
        /// The member.
        member: String,
    },
    /// A packed model can't be converted.
    #[error("the packed model can't be converted: {0}")]
    Packed(#[from] PackedError),
    /// What came is no whole GGUF file.
    #[error("what came is no whole GGUF file: {0}")]
    Gguf(#[source] GgufError),
    /// A local file is not there.
    #[error("{} is not there", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
}

/// The registry or a model's files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The text is no name of a model.
    #[error(transparent)]
    Name(#[from] ParseNameError),
    /// The registry can't be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The network settings can't be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The registry has no such model.
    #[error("the registry has no model {name}; `genie models list` shows those that it has")]
    Unknown {
        /// The name asked for.
        name: ModelName,
    },
    /// The model is not installed.
    #[error("the model {name} is not installed; run `genie models pull {name}`")]
    NotInstalled {
        /// The model.
        name: ModelName,
    },
    /// A file of an installed model is not what was installed.
    #[error(
        "{} is not the file that was installed ({problem}); run `genie models rm {name}`, then \
         `genie models pull {name}`",
        path.display()
    )]
    Damaged {
        /// The model.
        name: ModelName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Damage,
    },
    /// The registry pins another version of the model than the installed one.
    #[error(
        "the installed {file} of {name} is not the one that the registry pins; run \
         `genie models rm {name}`, then `genie models pull {name}`"
    )]
    Superseded {
        /// The model.
        name: ModelName,
        /// The file.
        file: FileName,
    },
    /// The registry does not know what the files have to be.
    #[error(
        "the registry has no SHA-256 for {name}, so what arrives can't be checked the first time; \
         pull it with --accept-unverified to take it as it comes and pin it from then on"
    )]
    Unpinned {
        /// The model.
        name: ModelName,
    },
    /// No source gave the model.
    #[error("{name} could not be fetched: {}{}", list(attempts), way_out(attempts))]
    NoSource {
        /// The model.
        name: ModelName,
        /// What each source said, in the order in which they were tried.
        attempts: Vec<(&'static str, SourceError)>,
    },
    /// The disk is, or would get, full.
    #[error(
        "there is not enough room in {}: {} needed, {} free; free some space or set GENIE_MODELS \
         to a larger disk",
        folder.display(), megabytes(*needed), megabytes(*available)
    )]
    DiskFull {
        /// The folder of the models.
        folder: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// The pull was cancelled.
    #[error("stopped; `genie models pull {name}` goes on where it stopped")]
    Cancelled {
        /// The model.
        name: ModelName,
    },
    /// A file to import is no model that the registry knows.
    #[error(
        "{} (SHA-256 {sha256}) is no file of a model in the registry; check the download, or add \
         the model to a registry file of your own",
        path.display()
    )]
    UnknownFile {
        /// The file.
        path: PathBuf,
        /// Its hash.
        sha256: ContentHash,
    },
    /// A file to import is no whole GGUF file.
    #[error("{} can't be imported: {source}", path.display())]
    BadGguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufError,
    },
    /// A file can't be read or written.
    #[error("{} can't be {action}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: Action,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What was tried with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// To read it.
    Read,
    /// To write it.
    Write,
    /// To remove it.
    Remove,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "written",
            Self::Remove => "removed",
        })
    }
}

/// How a file differs from what was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is gone.
    Missing,
    /// It has another length.
    Length {
        /// Bytes installed.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// It has another hash.
    Hash {
        /// As installed.
        expected: ContentHash,
        /// As found.
        found: ContentHash,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing"),
            Self::Length { expected, found } => {
                write!(f, "it has {found} bytes instead of {expected}")
            }
            Self::Hash { expected, found } => {
                write!(f, "it has the SHA-256 {found} instead of {expected}")
            }
        }
    }
}

fn list(attempts: &[(&'static str, SourceError)]) -> String {
    attempts
        .iter()
        .map(|(kind, error)| format!("{kind}: {error}"))
        .collect::<Vec<_>>()
        .join("; ")
}

fn way_out(attempts: &[(&'static str, SourceError)]) -> &'static str {
    let network = |(_, error): &(_, SourceError)| {
        matches!(
            error,
            SourceError::Unreachable { .. } | SourceError::Interrupted { .. }
        )
    };
    let wrong = |(_, error): &(_, SourceError)| matches!(error, SourceError::WrongHash { .. });
    if attempts.iter().any(wrong) {
        "; nothing was kept, since such a file must not be used"
    } else if attempts.iter().any(network) {
        "; check the network, set the package index or proxy as for pip (PIP_INDEX_URL, \
         HTTPS_PROXY), or bring the file and run `genie models import FILE`"
    } else {
        ""
    }
}

/// Bytes for people: megabytes of a million bytes, rounded up.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// What ends an attempt: the source failed and the next may be tried, or
/// nothing more can be done.
#[derive(Debug)]
pub(crate) enum Stop {
    Source(SourceError),
    Fatal(FatalError),
}

/// What no other source can mend.
#[derive(Debug)]
pub(crate) enum FatalError {
    Cancelled,
    /// Bytes that were being written when the disk was full, or that are
    /// known to be still needed.
    DiskFull {
        needed: u64,
    },
    Io {
        path: PathBuf,
        action: Action,
        source: io::Error,
    },
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<FatalError> for Stop {
    fn from(error: FatalError) -> Self {
        Self::Fatal(error)
    }
}

impl From<PackedError> for Stop {
    fn from(error: PackedError) -> Self {
        Self::Source(error.into())
    }
}

/// Turns an I/O error on `path` into what it means.
pub(crate) fn on_disk(path: &Path, action: Action) -> impl FnOnce(io::Error) -> FatalError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            FatalError::DiskFull { needed: 0 }
        }
        _ => FatalError::Io {
            path,
            action,
            source,
        },
    }
}
