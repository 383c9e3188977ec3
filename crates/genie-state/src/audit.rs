//! The audit trail.

use std::io;

use genie_core::ContentHash;
use sqlx::any::AnyRow;

use crate::row::{Columns, all, stored};
use crate::{Page, Paged, State, StateError, Subject, Timestamp, WorkspaceId};

/// Something that happened, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAudit {
    /// Who did it.
    pub subject: Subject,
    /// In which workspace.
    pub workspace: Option<WorkspaceId>,
    /// What, for example `document.add`.
    pub action: String,
    /// With what: an id, never content.
    pub object: Option<String>,
    /// `allowed`, `denied`, `failed` or `ok`.
    pub outcome: String,
    /// What ties it to a request.
    pub correlation: String,
    /// What for, where the caller said so.
    pub intent: Option<String>,
    /// The model that was used.
    pub model: Option<String>,
    /// The version of the program.
    pub logic: String,
}

/// A record of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Counts the records; the first is 1.
    pub sequence: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who did it.
    pub subject: Subject,
    /// In which workspace.
    pub workspace: Option<WorkspaceId>,
    /// What.
    pub action: String,
    /// With what.
    pub object: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// What ties it to a request.
    pub correlation: String,
    /// What for.
    pub intent: Option<String>,
    /// The model that was used.
    pub model: Option<String>,
    /// The version of the program.
    pub logic: String,
    /// The hash of the record before, 64 hexadecimal digits; of the first
    /// record, zeros.
    pub previous: String,
    /// The hash of this record, 64 hexadecimal digits.
    pub hash: String,
}

/// What a look over the whole trail found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every record is what it was.
    Whole {
        /// How many there are.
        records: u64,
        /// The hash of the last one; zeros where there is none.
        head: String,
    },
    /// Something was changed, removed or put in.
    Broken {
        /// The first record that is not as it should be.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// What stands before the first record: a hash of nothing.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Records that are read at a time.
const BATCH: i64 = 1000;

impl State {
    /// Appends a record to the trail. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn audit(&self, entry: NewAudit) -> Result<AuditRecord, StateError> {
        let mut write = self.begin().await?;
        // This locks the row, so whoever else appends waits for the commit.
        let head = sqlx::query(
            "UPDATE audit_head SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence, hash",
        )
        .fetch_one(&mut *write)
        .await?;
        let mut record = AuditRecord {
            sequence: head.number("sequence")?,
            at: Timestamp::now(),
            subject: entry.subject,
            workspace: entry.workspace,
            action: entry.action,
            object: entry.object,
            outcome: entry.outcome,
            correlation: entry.correlation,
            intent: entry.intent,
            model: entry.model,
            logic: entry.logic,
            previous: head.text("hash")?,
            hash: String::new(),
        };
        record.hash = record.expected_hash();
        sqlx::query(
            "INSERT INTO audit (sequence, at, subject, workspace, action, object, outcome, \
             correlation, intent, model, logic, previous, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(head.int("sequence")?)
        .bind(record.at.as_micros())
        .bind(record.subject.to_string())
        .bind(record.workspace.as_ref().map(ToString::to_string))
        .bind(record.action.clone())
        .bind(record.object.clone())
        .bind(record.outcome.clone())
        .bind(record.correlation.clone())
        .bind(record.intent.clone())
        .bind(record.model.clone())
        .bind(record.logic.clone())
        .bind(record.previous.clone())
        .bind(record.hash.clone())
        .execute(&mut *write)
        .await?;
        sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1")
            .bind(record.hash.clone())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(record)
    }

    /// The records of a workspace, or all of them, newest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn audit_page(
        &self,
        workspace: Option<&WorkspaceId>,
        page: Page,
    ) -> Result<Paged<AuditRecord>, StateError> {
        let workspace = workspace.map(ToString::to_string);
        let count =
            sqlx::query("SELECT COUNT(*) AS n FROM audit WHERE ($1 IS NULL OR workspace = $1)")
                .bind(workspace.clone())
                .fetch_one(self.reader())
                .await?;
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE ($1 IS NULL OR workspace = $1) \
             ORDER BY sequence DESC LIMIT $2 OFFSET $3",
        )
        .bind(workspace)
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_record)?,
        })
    }

    /// The newest records of what was done to one thing in a workspace, oldest
    /// of them first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn audit_of(
        &self,
        workspace: &WorkspaceId,
        object: &str,
        most: u32,
    ) -> Result<Vec<AuditRecord>, StateError> {
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE workspace = $1 AND object = $2 \
             ORDER BY sequence DESC LIMIT $3",
        )
        .bind(workspace.to_string())
        .bind(object.to_owned())
        .bind(i64::from(most))
        .fetch_all(self.reader())
        .await?;
        let mut records = all(&rows, read_record)?;
        records.reverse();
        Ok(records)
    }

    /// Looks over the whole trail, in order: that no record is missing, that
    /// each one's hash is of what it says, and that each one names the hash of
    /// the one before. Records that are appended meanwhile are looked at too.
    ///
    /// # Errors
    ///
    /// Where the database does not answer. What is wrong with the trail is in
    /// the verdict.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, StateError> {
        let mut seen = 0_u64;
        let mut head = BEGINNING.to_owned();
        loop {
            let rows = match self.batch_after(seen, BATCH).await {
                // Text that is none is found by reading records one by one.
                Err(StateError::Unreadable(_)) => match self.batch_after(seen, 1).await {
                    Err(StateError::Unreadable(_)) => {
                        return Ok(AuditVerdict::Broken {
                            sequence: seen + 1,
                            reason: "hash: the record can't be read".to_owned(),
                        });
                    }
                    one => one?,
                },
                batch => batch?,
            };
            if rows.is_empty() {
                return self.verify_end(seen, head).await;
            }
            for row in &rows {
                let sequence = row.number("sequence")?;
                let broken = |reason: &str| {
                    Ok(AuditVerdict::Broken {
                        sequence: seen + 1,
                        reason: reason.to_owned(),
                    })
                };
                if sequence != seen + 1 {
                    return broken("gap: the record is missing");
                }
                let Ok(record) = read_record(row) else {
                    return broken("hash: the record can't be read");
                };
                if record.previous != head {
                    return broken("link: the record names another one before it");
                }
                if record.hash != record.expected_hash() {
                    return broken("hash: the record is not what was recorded");
                }
                seen = sequence;
                head = record.hash;
            }
        }
    }

    /// Compares the end of the trail with what was noted as its end.
    async fn verify_end(&self, seen: u64, head: String) -> Result<AuditVerdict, StateError> {
        // One statement, so that both are of the same moment.
        let row = sqlx::query(
            "SELECT h.sequence AS noted, h.hash AS hash, \
             (SELECT COALESCE(MAX(sequence), 0) FROM audit) AS last, \
             (SELECT a.hash FROM audit a WHERE a.sequence = $1) AS seen_hash \
             FROM audit_head h WHERE h.id = 1",
        )
        .bind(stored(seen))
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else {
            return Ok(AuditVerdict::Broken {
                sequence: seen,
                reason: "gap: the note of the last record is missing".to_owned(),
            });
        };
        let (noted, last): (u64, u64) = (row.number("noted")?, row.number("last")?);
        let reason = if last != noted {
            "gap: records are missing at the end"
        } else if noted == seen && row.text("hash")? != head {
            "link: the last record is not the one that was noted as the last"
        } else {
            // What came after `seen` did so while this looked.
            return Ok(AuditVerdict::Whole {
                records: seen,
                head,
            });
        };
        Ok(AuditVerdict::Broken {
            sequence: seen.min(last) + u64::from(last < noted),
            reason: reason.to_owned(),
        })
    }

    /// Gives every record, oldest first, and how many they were.
    ///
    /// # Errors
    ///
    /// [`StateError::Output`] with the error of `on_record`, which ends it; and
    /// where the database does not answer.
    pub async fn export_audit<F>(&self, on_record: &mut F) -> Result<u64, StateError>
    where
        F: FnMut(&AuditRecord) -> io::Result<()> + ?Sized,
    {
        let (mut seen, mut given) = (0, 0);
        loop {
            let rows = self.batch_after(seen, BATCH).await?;
            if rows.is_empty() {
                return Ok(given);
            }
            for row in &rows {
                let record = read_record(row)?;
                on_record(&record).map_err(StateError::Output)?;
                seen = record.sequence;
                given += 1;
            }
        }
    }

    /// Records in order, so many at a time that no long read keeps the journal
    /// from being cleared.
    async fn batch_after(&self, sequence: u64, most: i64) -> Result<Vec<AnyRow>, StateError> {
        Ok(
            sqlx::query("SELECT * FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(stored(sequence))
                .bind(most)
                .fetch_all(self.reader())
                .await?,
        )
    }
}

impl AuditRecord {
    /// The hash that a record with these fields has: SHA-256 over a fixed
    /// beginning and every field in order. Numbers are 8 bytes, little-endian;
    /// a text is its length in bytes as such a number and its UTF-8; what may
    /// be missing has a byte 0 or 1 before it.
    fn expected_hash(&self) -> String {
        let mut bytes = b"genie audit 1".to_vec();
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.at.as_micros().to_le_bytes());
        let workspace = self.workspace.as_ref().map(WorkspaceId::as_str);
        for (field, may_be_missing) in [
            (Some(self.subject.as_str()), false),
            (workspace, true),
            (Some(&self.action), false),
            (self.object.as_deref(), true),
            (Some(&self.outcome), false),
            (Some(&self.correlation), false),
            (self.intent.as_deref(), true),
            (self.model.as_deref(), true),
            (Some(&self.logic), false),
            (Some(&self.previous), false),
        ] {
            if may_be_missing {
                bytes.push(u8::from(field.is_some()));
            }
            if let Some(text) = field {
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
        }
        ContentHash::of(&bytes).to_string()
    }
}

fn read_record(row: &AnyRow) -> Result<AuditRecord, StateError> {
    Ok(AuditRecord {
        sequence: row.number("sequence")?,
        at: row.time("at")?,
        subject: row.parsed("subject")?,
        workspace: row.maybe_parsed("workspace")?,
        action: row.text("action")?,
        object: row.maybe_text("object")?,
        outcome: row.text("outcome")?,
        correlation: row.text("correlation")?,
        intent: row.maybe_text("intent")?,
        model: row.maybe_text("model")?,
        logic: row.text("logic")?,
        previous: row.text("previous")?,
        hash: row.text("hash")?,
    })
}
