//! A daily anchor of the audit trail: its head, in a line of a file that can be
//! published. A trail that is written anew later no longer has it.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use genie_state::{AuditVerdict, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::Service;
use crate::failure::{Failure, log};

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Anchor {
    at: String,
    /// Records of the trail.
    records: u64,
    /// The hash of the last one.
    head: String,
}

/// Adds today's anchor, unless it is there.
pub(crate) async fn keep(service: &Service, now: Timestamp) -> Result<(), Failure> {
    let accounts = service.with_accounts()?;
    let file = accounts.anchors.clone();
    let today = now.day();
    let failed = |error: io::Error| {
        log(&error);
        Failure::storage(&error)
    };
    let last = {
        let file = file.clone();
        tokio::task::spawn_blocking(move || last_day(&file))
    };
    let last = last.await.map_err(|_| Failure::internal())?;
    if last.map_err(failed)?.as_ref() == Some(&today) {
        return Ok(());
    }
    let (records, head) = match accounts.state.verify_audit().await? {
        AuditVerdict::Whole { records, head } => (records, head),
        AuditVerdict::Broken { sequence, reason } => {
            tracing::error!(
                security = true,
                sequence,
                reason,
                "the audit trail was changed; there is no anchor of it"
            );
            return Ok(());
        }
    };
    let anchor = Anchor {
        at: now.to_string(),
        records,
        head,
    };
    let adding = tokio::task::spawn_blocking(move || add(&file, &anchor));
    adding
        .await
        .map_err(|_| Failure::internal())?
        .map_err(failed)
}

/// The day of the last anchor; `None` where there is none.
fn last_day(file: &Path) -> io::Result<Option<String>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A crash may have left half a line.
    let anchors = text.lines().rev();
    let mut anchors = anchors.filter_map(|line| serde_json::from_str::<Anchor>(line).ok());
    let at = anchors.next().and_then(|anchor| anchor.at.parse().ok());
    Ok(at.map(|at: Timestamp| at.day()))
}

fn add(file: &Path, anchor: &Anchor) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        // With the state in PostgreSQL nothing else may have made it.
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut open = options.read(true).append(true).create(true).open(file)?;
    let mut before = Vec::new();
    open.read_to_end(&mut before)?;
    // Half a line of a crash is not to take this one with it.
    let end = if before.last().is_none_or(|byte| *byte == b'\n') {
        ""
    } else {
        "\n"
    };
    let line = serde_json::to_string(anchor)?;
    open.write_all(format!("{end}{line}\n").as_bytes())?;
    open.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_tells_the_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("state/anchors.jsonl");
        assert_eq!(last_day(&file).expect("read"), None);
        let anchor = |day: &str| Anchor {
            at: format!("{day}T03:00:00.000Z"),
            records: 3,
            head: "ab".repeat(32),
        };
        for day in ["2026-05-17", "2026-05-18"] {
            add(&file, &anchor(day)).expect("written");
            assert_eq!(last_day(&file).expect("read").as_deref(), Some(day));
        }
        let mut open = OpenOptions::new().append(true).open(&file).expect("open");
        open.write_all(b"{\"at\":\"2026-05-1").expect("written");
        assert_eq!(
            last_day(&file).expect("read").as_deref(),
            Some("2026-05-18")
        );
        add(&file, &anchor("2026-05-19")).expect("written");
        assert_eq!(
            last_day(&file).expect("read").as_deref(),
            Some("2026-05-19")
        );
    }
}
