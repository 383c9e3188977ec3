//! Telling others of answers that were given after their request: a signed
//! delivery, tried again for hours, kept in the queue meanwhile.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::StatusCode;
use genie_state::{Job, JobOutcome, NewJob, Timestamp, Workspace};
use hmac::{Hmac, KeyInit as _, Mac as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use crate::access::Access;
use crate::app::Service;
use crate::deferred::still_allowed;
use crate::failure::{Failure, log};
use crate::jobs::{ANSWER_DELIVERY, Lane, as_payload, failed, payload, retry, unknown};
use crate::outbound::{Delivery, OutboundError};

const LONGEST_NAME: usize = 63;
/// The event that brings an answer.
const DONE: &str = "answer.done";
const LONGEST_URL: usize = 2048;

/// Whom to tell when an answer is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookBody {
    /// Where to; its host has to be one that the webhook may reach.
    #[schemars(length(min = 1, max = 2048))]
    url: String,
    /// The webhook of the configuration whose secret signs it.
    #[schemars(length(min = 1, max = 63))]
    name: String,
}

/// What a job that delivers needs to know.
#[derive(Serialize, Deserialize)]
struct Queued {
    webhook: WebhookBody,
    event: String,
    body: String,
    /// How often it was tried.
    tries: u32,
    /// Whether who asked could do so as a member that the workspace lists.
    #[serde(default)]
    listed: bool,
}

impl WebhookBody {
    /// Whether the caller's workspace may have something delivered so.
    pub(crate) fn check(&self, service: &Service, access: &Access) -> Result<(), Failure> {
        let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
        if !fits(&self.url, LONGEST_URL) || !fits(&self.name, LONGEST_NAME) {
            return Err(Failure::invalid(
                "webhook",
                format!(
                    "its url has to have from 1 to {LONGEST_URL} characters and its name from 1 \
                     to {LONGEST_NAME}"
                ),
            ));
        }
        service
            .outbound()?
            .check_delivery(&access.workspace.id, &self.name, &self.url)
            .map_err(|error| error.told("webhook"))
    }
}

/// How a delivery is signed: `t=`, the seconds since 1970 at which it was sent,
/// `,v1=`, and in hexadecimal digits the HMAC-SHA256 (RFC 2104) of those
/// seconds in digits, a full stop, and the body.
#[must_use]
pub fn signature(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    let mut text = format!("t={seconds},v1=");
    // A key of any length is one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return text;
    };
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    for byte in mac.finalize().into_bytes() {
        // Writing into a text never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Queues the delivery of what came of a job.
pub(crate) async fn queue(
    service: &Service,
    job: &Job,
    webhook: WebhookBody,
    listed: bool,
    outcome: &JobOutcome,
) -> Result<(), Failure> {
    let (event, result, reason) = match outcome {
        JobOutcome::Done { result } => (DONE, Some(result), None),
        JobOutcome::Failed { reason } | JobOutcome::Retry { reason } => {
            ("answer.failed", None, Some(reason))
        }
        JobOutcome::HandedBack | JobOutcome::Postponed { .. } => return Ok(()),
    };
    let result: Option<serde_json::Value> =
        result.and_then(|result| serde_json::from_str(result).ok());
    let body = json!({
        "event": event,
        "job": job.id.to_string(),
        "kind": job.kind,
        "workspace": job.workspace.to_string(),
        "at": Timestamp::now().to_string(),
        "result": result,
        "reason": reason,
    });
    let queued = Queued {
        webhook,
        event: event.to_owned(),
        body: body.to_string(),
        tries: 0,
        listed,
    };
    let new = NewJob {
        workspace: job.workspace.clone(),
        kind: ANSWER_DELIVERY.to_owned(),
        subject: job.subject.clone(),
        content: job.id.to_string(),
        payload: as_payload(&queued)?,
    };
    service.accounts()?.enqueue(new).await?;
    service.lanes.of(Lane::Deliveries).notify_one();
    Ok(())
}

/// One try.
pub(crate) async fn run(service: &Arc<Service>, workspace: &Workspace, job: &Job) -> JobOutcome {
    let Some(mut queued) = payload::<Queued>(job) else {
        return unknown();
    };
    let outbound = match service.outbound() {
        Ok(outbound) => Arc::clone(outbound),
        Err(failure) => return failed(&failure.message),
    };
    // Tries go on for hours. That nothing came of it may be told to anybody.
    if queued.event == DONE
        && let Err(failure) = still_allowed(service, job, queued.listed).await
    {
        return match failure.status {
            StatusCode::FORBIDDEN => failed("who asked may not have the answer any more"),
            _ => retry(failure),
        };
    }
    queued.tries += 1;
    let again = match as_payload(&queued) {
        Ok(payload) => payload,
        Err(failure) => return retry(failure),
    };
    let tries = queued.tries;
    let (workspace, id) = (workspace.id.clone(), job.content.clone());
    let delivered = tokio::task::spawn_blocking(move || {
        outbound.deliver(&Delivery {
            workspace: &workspace,
            hook: &queued.webhook.name,
            url: &queued.webhook.url,
            id: &id,
            event: &queued.event,
            body: queued.body.as_bytes(),
        })
    });
    match delivered.await {
        Ok(Ok(())) => JobOutcome::Done {
            result: json!({"delivered": true, "tries": tries}).to_string(),
        },
        Ok(Err(OutboundError::Refused { reason })) => failed(&reason),
        Ok(Err(OutboundError::Stopped)) => JobOutcome::HandedBack,
        Ok(Err(OutboundError::Failed { reason })) => {
            let pauses = &service.state.delivery_pauses;
            match pauses.get(tries as usize - 1) {
                Some(pause) => JobOutcome::Postponed {
                    reason,
                    payload: again,
                    pause: *pause,
                },
                None => failed(&format!("given up after {tries} tries: {reason}")),
            }
        }
        Err(error) => {
            log(&error);
            retry(Failure::internal())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_as_another_program_computes_it() {
        // `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`
        assert_eq!(
            signature(b"secret", 1_700_000_000, br#"{"a":1}"#),
            "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }
}
