//! Rows of tables as values of this crate.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{ParseError, StateError, Timestamp};

/// Reads the columns of a row. A value that is not what this program writes is
/// an error: somebody changed it.
pub(crate) trait Columns {
    fn text(&self, column: &str) -> Result<String, StateError>;
    fn maybe_text(&self, column: &str) -> Result<Option<String>, StateError>;
    fn int(&self, column: &str) -> Result<i64, StateError>;
    fn maybe_int(&self, column: &str) -> Result<Option<i64>, StateError>;

    /// A number that can't be negative.
    fn number<T: TryFrom<i64, Error: Into<Box<dyn std::error::Error + Send + Sync>>>>(
        &self,
        column: &str,
    ) -> Result<T, StateError> {
        T::try_from(self.int(column)?).map_err(StateError::unreadable)
    }

    fn time(&self, column: &str) -> Result<Timestamp, StateError> {
        Ok(Timestamp::from_micros(self.int(column)?))
    }

    fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StateError> {
        Ok(self.maybe_int(column)?.map(Timestamp::from_micros))
    }

    fn parsed<T: FromStr<Err = ParseError>>(&self, column: &str) -> Result<T, StateError> {
        self.text(column)?.parse().map_err(StateError::unreadable)
    }

    fn maybe_parsed<T: FromStr<Err = ParseError>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StateError> {
        self.maybe_text(column)?
            .map(|text| text.parse().map_err(StateError::unreadable))
            .transpose()
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StateError> {
        serde_json::from_str(&self.text(column)?).map_err(StateError::unreadable)
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &str) -> Result<String, StateError> {
        Ok(self.try_get(column)?)
    }

    fn maybe_text(&self, column: &str) -> Result<Option<String>, StateError> {
        Ok(self.try_get(column)?)
    }

    fn int(&self, column: &str) -> Result<i64, StateError> {
        Ok(self.try_get(column)?)
    }

    fn maybe_int(&self, column: &str) -> Result<Option<i64>, StateError> {
        Ok(self.try_get(column)?)
    }
}

/// All rows as values.
pub(crate) fn all<T>(
    rows: &[AnyRow],
    read: impl Fn(&AnyRow) -> Result<T, StateError>,
) -> Result<Vec<T>, StateError> {
    rows.iter().map(read).collect()
}

/// A count as the databases keep it. What is larger than they can hold is
/// more than anybody counts to.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
