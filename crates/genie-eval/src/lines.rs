//! Files of suites, read so that an error names its line.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use genie_core::ContentHash;
use serde::de::DeserializeOwned;

/// A file's text with the digest of its bytes.
pub(crate) struct Read {
    pub(crate) text: String,
    pub(crate) hash: ContentHash,
}

/// Reads a file that has to be UTF-8.
pub(crate) fn read(file: &Path) -> anyhow::Result<Read> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let hash = ContentHash::of(&bytes);
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Read {
            // A byte order mark is no JSON.
            text: text
                .strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text),
            hash,
        }),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
            bail!("{}:{line}: not UTF-8", file.display())
        }
    }
}

/// One object a line, each with the number of its line. Empty lines say
/// nothing.
pub(crate) fn objects<T: DeserializeOwned>(
    file: &Path,
    text: &str,
) -> anyhow::Result<Vec<(usize, T)>> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            serde_json::from_str(line)
                .map(|object| (at + 1, object))
                .map_err(|error| malformed(file, at + 1, &reason(&error)))
        })
        .collect()
}

/// One JSON value that is the whole file.
pub(crate) fn whole<T: DeserializeOwned>(file: &Path, text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).map_err(|error| malformed(file, error.line(), &reason(&error)))
}

/// An error in this line.
pub(crate) fn malformed(file: &Path, line: usize, reason: &str) -> anyhow::Error {
    anyhow!("{}:{line}: {reason}", file.display())
}

/// What is wrong, without the place: of a line's own text it is always 1.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => format!("{reason} (column {})", error.column()),
        None => text,
    }
}
