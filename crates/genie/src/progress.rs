//! Progress on the terminal. Bars are drawn on standard error and only where
//! that is a terminal, so that output can be piped.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Bytes with speed and time left.
pub(crate) fn bytes(what: &str, total: u64) -> ProgressBar {
    styled(
        ProgressBar::new(total),
        "{msg:28!} [{bar:24}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>11} {eta:>4} left",
        what,
    )
}

/// Files with the time left.
pub(crate) fn items(what: &str, total: u64) -> ProgressBar {
    counted(what, total, "files")
}

/// Countable things with the time left.
pub(crate) fn counted(what: &str, total: u64, things: &str) -> ProgressBar {
    styled(
        ProgressBar::new(total),
        &format!("{{msg:40!}} [{{bar:24}}] {{pos}}/{{len}} {things} {{eta:>4}} left"),
        what,
    )
}

/// Work whose length is not known.
pub(crate) fn waiting(what: &str) -> ProgressBar {
    let bar = styled(ProgressBar::new_spinner(), "{spinner} {msg}", what);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn styled(bar: ProgressBar, template: &str, what: &str) -> ProgressBar {
    // The templates above are constants; one that can't be read falls back to
    // indicatif's own.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar
}
