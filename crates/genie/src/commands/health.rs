//! `genie health`: is a running service well? For container health checks,
//! where there is neither a shell nor curl.

use crate::Ended;
use crate::cli::{Common, Health};
use crate::remote::Remote;

use super::say_json;

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Health) -> anyhow::Result<Ended> {
    let url = arguments.url.as_deref().or(common.server.as_deref());
    let url = url.unwrap_or("http://127.0.0.1:8080");
    say_json(&Remote::at(url, common.ca_certificate.as_deref())?.health()?)?;
    Ok(Ended::Done)
}
