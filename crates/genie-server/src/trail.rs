//! What was done and how much was used: the audit trail and usage.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use genie_core::Date;
use genie_state::{AuditRecord, AuditVerdict, UsageRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::app::Service;
use crate::bounds::Day;
use crate::documents::ApiQuery;
use crate::failure::Failure;
use crate::paging::{PageBody, Paging};

/// What a report covers unless said.
const THIRTY_DAYS: Duration = Duration::from_secs(30 * 24 * 3600);

/// A record of the trail.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditBody {
    sequence: u64,
    at: String,
    /// Who.
    subject: String,
    workspace: Option<String>,
    /// What, as in `document.add`.
    action: String,
    /// To which id.
    object: Option<String>,
    outcome: String,
    /// The correlation id of the request.
    correlation: String,
    /// Why, as a security server passed it on.
    intent: Option<String>,
    /// The language model that took part.
    model: Option<String>,
    /// The version of the program.
    logic: String,
    /// SHA-256 of the record before.
    previous: String,
    /// SHA-256 of this record and the one before.
    hash: String,
}

/// Whether the trail is as it was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VerdictBody {
    whole: bool,
    /// Records that were checked, where all are good.
    records: Option<u64>,
    /// The hash of the newest record: publish it, and nothing before it can
    /// be changed without a trace.
    head: Option<String>,
    /// The first record that is not as it was written.
    broken_at: Option<u64>,
    reason: Option<String>,
}

/// Which days.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Days {
    /// The first, as in `2026-01-31`; thirty days back unless said.
    #[serde(default)]
    #[schemars(with = "Option<Day>")]
    from: Option<String>,
    /// The last; today unless said.
    #[serde(default)]
    #[schemars(with = "Option<Day>")]
    to: Option<String>,
}

/// Usage of some days.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UsageReport {
    from: String,
    to: String,
    results: Vec<UsageDay>,
}

/// What one caller used on one day.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UsageDay {
    day: String,
    subject: String,
    searches: u64,
    answers: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    documents: u64,
}

pub(crate) async fn audit(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<AuditBody>>, Failure> {
    let only = Some(&access.workspace.id);
    let records = service.accounts()?.audit_page(only, paging.page()?).await?;
    Ok(Json(paging.body(records)))
}

pub(crate) async fn all(
    State(service): State<Arc<Service>>,
    _access: Access,
    paging: Paging,
) -> Result<Json<PageBody<AuditBody>>, Failure> {
    let records = service.accounts()?.audit_page(None, paging.page()?).await?;
    Ok(Json(paging.body(records)))
}

pub(crate) async fn verify(
    State(service): State<Arc<Service>>,
    _access: Access,
) -> Result<Json<VerdictBody>, Failure> {
    let verdict = service.accounts()?.verify_audit().await?;
    Ok(Json(match verdict {
        AuditVerdict::Whole { records, head } => VerdictBody {
            whole: true,
            records: Some(records),
            head: Some(head),
            broken_at: None,
            reason: None,
        },
        AuditVerdict::Broken { sequence, reason } => VerdictBody {
            whole: false,
            records: None,
            head: None,
            broken_at: Some(sequence),
            reason: Some(reason),
        },
    }))
}

pub(crate) async fn usage(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiQuery(days): ApiQuery<Days>,
) -> Result<Json<UsageReport>, Failure> {
    let today = genie_state::Timestamp::now().day();
    let to = day("to", days.to, &today)?;
    let earlier = genie_state::Timestamp::now().before(THIRTY_DAYS).day();
    let from = day("from", days.from, &earlier)?;
    let rows = service
        .accounts()?
        .usage(&access.workspace.id, &from, &to)
        .await?;
    Ok(Json(UsageReport {
        from,
        to,
        results: rows.into_iter().map(UsageDay::from).collect(),
    }))
}

fn day(field: &'static str, given: Option<String>, else_day: &str) -> Result<String, Failure> {
    let Some(given) = given else {
        return Ok(else_day.to_owned());
    };
    given
        .parse::<Date>()
        .map(|date| date.to_string())
        .map_err(|error| Failure::invalid(field, error.to_string()))
}

impl From<AuditRecord> for AuditBody {
    fn from(record: AuditRecord) -> Self {
        Self {
            sequence: record.sequence,
            at: record.at.to_string(),
            subject: record.subject.to_string(),
            workspace: record.workspace.map(|id| id.to_string()),
            action: record.action,
            object: record.object,
            outcome: record.outcome,
            correlation: record.correlation,
            intent: record.intent,
            model: record.model,
            logic: record.logic,
            previous: record.previous,
            hash: record.hash,
        }
    }
}

impl From<UsageRow> for UsageDay {
    fn from(row: UsageRow) -> Self {
        Self {
            day: row.day,
            subject: row.subject.to_string(),
            searches: row.searches,
            answers: row.answers,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            documents: row.documents,
        }
    }
}
