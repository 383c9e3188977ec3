//! `genie key login` and `logout`: the key for a service, in the keyring.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};

use crate::cli::Common;
use crate::remote::Remote;
use crate::{Ended, keyring};

use super::say;

/// What the key is tried with: every caller may ask for it, and nobody else.
const TRIED_WITH: &str = "/api/v1/me";
/// Far more than a key.
const LONGEST_LINE: u64 = 8192;

/// Reads a key, tries it and keeps it.
pub(crate) fn login(common: &Common) -> anyhow::Result<Ended> {
    let remote = named(common)?;
    let service = remote.name().to_owned();
    let secret = secret(&service)?;
    remote
        .with_secret(&secret)?
        .get(TRIED_WITH)
        .context("the key was not kept")?;
    keyring::keep(&service, &secret)?;
    say(&format!(
        "the key for {service} is in the keyring of this account\n"
    ))?;
    Ok(Ended::Done)
}

/// Removes the key that is kept.
pub(crate) fn logout(common: &Common) -> anyhow::Result<Ended> {
    let service = named(common)?.name().to_owned();
    if !keyring::forget(&service)? {
        bail!("no key for {service} is kept");
    }
    say(&format!(
        "the key for {service} is forgotten here; `genie key revoke` stops it for good\n"
    ))?;
    Ok(Ended::Done)
}

fn named(common: &Common) -> anyhow::Result<Remote> {
    Remote::named(common)?.context("which service? Name it with --server or GENIE_SERVER")
}

/// From standard input, never from an argument, which shows in the list of
/// processes.
fn secret(service: &str) -> anyhow::Result<String> {
    let input = std::io::stdin();
    let line = if input.is_terminal() {
        let terminal = console::Term::stderr();
        terminal.write_str(&format!("Key for {service}: "))?;
        terminal.read_secure_line()?
    } else {
        let mut line = String::new();
        std::io::Read::take(input.lock(), LONGEST_LINE).read_line(&mut line)?;
        line
    };
    Ok(line.trim().to_owned())
}
