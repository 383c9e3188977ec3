//! Documents of a service.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use super::{Change, named};
use crate::remote::{Remote, Sending};
use crate::{interrupt, progress};

/// How often it is asked how far a job is.
const LOOK: Duration = Duration::from_millis(300);

/// Has a service work on a document as a job, and waits for it.
pub(super) fn work(remote: &Remote, path: &str) -> anyhow::Result<()> {
    let mut job = remote.send(Sending::Post, &remote.path(path), &json!({}))?;
    let path = remote.path(&format!("/jobs/{}", named(&job, "id")));
    let bar = progress::waiting("indexing");
    while matches!(named(&job, "state"), "queued" | "running") {
        bar.set_message(format!(
            "{} of {} chunks",
            job["progress"]["done"], job["progress"]["total"]
        ));
        interrupt::check()?;
        std::thread::sleep(LOOK);
        job = remote.get(&path)?;
    }
    bar.finish_and_clear();
    if named(&job, "state") != "done" {
        bail!("the service could not index it: {}", named(&job, "reason"));
    }
    Ok(())
}

pub(super) fn passages(remote: &Remote, id: &str) -> anyhow::Result<Vec<String>> {
    let passages = remote.every(&remote.path(&format!("/documents/{id}/text")))?;
    let text = |passage: &Value| named(passage, "text").to_owned();
    Ok(passages.iter().map(text).collect())
}

pub(super) fn change(remote: &Remote, id: &str, change: &Change) -> anyhow::Result<()> {
    let mut body = json!({});
    if let Some(title) = &change.title {
        body["title"] = title.as_str().into();
    }
    if let Some(labels) = &change.labels {
        body["labels"] = labels.as_slice().into();
    }
    remote.send(
        Sending::Patch,
        &remote.path(&format!("/documents/{id}")),
        &body,
    )?;
    Ok(())
}
