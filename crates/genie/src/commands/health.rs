//! `genie health`: is a running service well? For container health checks,
//! where there is neither a shell nor curl.

use crate::Ended;
use crate::cli::Health;
use crate::remote::Remote;

use super::say_json;

/// Runs the command.
pub(crate) fn run(arguments: &Health) -> anyhow::Result<Ended> {
    say_json(&Remote::new(&arguments.url).health()?)?;
    Ok(Ended::Done)
}
