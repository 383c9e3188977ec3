//! Deleting with time to think better of it, of whatever it is.

use std::fmt;
use std::time::Duration;

use genie_state::Timestamp;

use crate::cli::Deleting;

use super::{confirmed, say};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Deleting {
    /// Whether it is to be done, asked where nobody said so.
    pub(crate) fn is_meant(self, question: &str) -> anyhow::Result<bool> {
        let until = match self.keep_days {
            Some(days) => format!(" It can be restored for {days} days."),
            None => String::new(),
        };
        confirmed(&format!("{question}{until}"), self.yes)
    }

    /// Until when it can be restored; `None` where it is erased at once.
    pub(crate) fn erase_after(self) -> Option<Timestamp> {
        let days = self.keep_days?;
        Some(Timestamp::now().after(DAY * days))
    }

    /// The end of the path that is asked for on a service.
    pub(crate) fn query(self) -> String {
        let kept = self.keep_days.map(|days| format!("?keep_days={days}"));
        kept.unwrap_or_default()
    }

    /// Says that it is done, and what takes it back.
    pub(crate) fn done(self, what: impl fmt::Display, back: &str) -> anyhow::Result<()> {
        match self.keep_days {
            Some(days) => say(&format!(
                "deleted {what}; `{back}` takes that back for {days} days\n"
            )),
            None => say(&format!("deleted {what}\n")),
        }
    }
}
