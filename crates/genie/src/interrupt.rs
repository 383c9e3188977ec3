//! Ctrl-C and SIGTERM as a flag that long work looks at.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::Context;

static FLAG: AtomicBool = AtomicBool::new(false);
static TIMES: AtomicU32 = AtomicU32::new(0);

/// The person asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Starts listening. The first signal raises the flag; the second ends the
/// process at once, which every write of ours survives.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        FLAG.store(true, Ordering::SeqCst);
        if TIMES.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(130);
        }
    })
    .context("signals can't be listened to")
}

/// The flag, for libraries that look at it themselves.
pub(crate) fn flag() -> &'static AtomicBool {
    &FLAG
}

/// Whether the person asked to stop.
pub(crate) fn requested() -> bool {
    FLAG.load(Ordering::SeqCst)
}

/// An error once the person asked to stop.
pub(crate) fn check() -> Result<(), Interrupted> {
    if requested() {
        Err(Interrupted)
    } else {
        Ok(())
    }
}
