//! Calendar dates, as documents carry them.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil;

/// A day of the Gregorian calendar, written `2024-05-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

impl Date {
    /// The day of these numbers, where there is one.
    #[must_use]
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        // A sign in front of a year is no date that a person writes.
        if year < 0 {
            return None;
        }
        civil::Date::new(year, month, day).ok().map(Self)
    }

    /// The day as one number that orders as days do: `20240517`.
    #[must_use]
    pub fn number(self) -> u32 {
        let part = |part: i8| u32::from(part.unsigned_abs());
        u32::from(self.0.year().unsigned_abs()) * 10_000
            + part(self.0.month()) * 100
            + part(self.0.day())
    }

    /// The day of a moment, in Universal Time.
    #[must_use]
    pub fn of(moment: SystemTime) -> Option<Self> {
        let moment = jiff::Timestamp::try_from(moment).ok()?;
        Some(Self(moment.to_zoned(jiff::tz::TimeZone::UTC).date()))
    }

    /// Days from the other day to this one, negative where it is later.
    #[must_use]
    pub fn days_since(self, other: Self) -> i32 {
        // Without units larger than days, which is the default.
        (self.0 - other.0).get_days()
    }

    /// Reads what [`Date::number`] gives.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::new(
            i16::try_from(number / 10_000).ok()?,
            i8::try_from(number / 100 % 100).ok()?,
            i8::try_from(number % 100).ok()?,
        )
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The text is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no date; write year, month and day as in 2024-05-17")]
pub struct ParseDateError(String);

impl FromStr for Date {
    type Err = ParseDateError;

    /// Reads a date of ISO 8601, `2024-05-17`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDateError(text.to_owned());
        let shape = |(at, byte): (usize, u8)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        if text.len() != 10 || !text.bytes().enumerate().all(shape) {
            return Err(error());
        }
        let number = |range| text.get(range).and_then(|digits: &str| digits.parse().ok());
        let (year, month, day): (Option<u32>, Option<u32>, Option<u32>) =
            (number(0..4), number(5..7), number(8..10));
        match (year, month, day) {
            (Some(year), Some(month), Some(day)) => {
                Self::from_number(year * 10_000 + month * 100 + day).ok_or_else(error)
            }
            _ => Err(error()),
        }
    }
}

/// A stretch of days, first and last included; a side that is `None` is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DateRange {
    /// The first day.
    pub from: Option<Date>,
    /// The last day.
    pub to: Option<Date>,
}

impl DateRange {
    /// Whether it restricts nothing.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether it begins after it ends, so that no day is in it.
    #[must_use]
    pub fn is_reversed(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from > to)
    }

    /// Whether a document of this date is in it. One without a date is only
    /// in the range that restricts nothing.
    #[must_use]
    pub fn contains(&self, date: Option<Date>) -> bool {
        match date {
            None => self.is_open(),
            Some(date) => {
                self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().expect("a date")
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        assert_eq!(date("2024-03-01").days_since(date("2024-02-28")), 2);
        assert_eq!(date("2024-02-28").days_since(date("2024-03-01")), -2);
        let moment = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400 * 59);
        assert_eq!(Date::of(moment), Some(date("1970-03-01")));
    }

    #[test]
    fn only_days_of_the_calendar_are_dates() {
        for text in ["2024-02-29", "1865-05-17", "0001-01-01", "9999-12-31"] {
            assert_eq!(date(text).to_string(), text);
        }
        for text in [
            "",
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-1-1",
            "24-01-01",
            "2024-01-01 ",
            "+024-01-01",
            "-024-01-01",
            "2024/01/01",
            "2024-01-0é",
            "20240101",
        ] {
            let error = text.parse::<Date>().expect_err(text);
            assert!(error.to_string().contains("2024-05-17"), "{error}");
        }
    }

    #[test]
    fn a_range_has_its_first_and_its_last_day() {
        let range = |from: &str, to: &str| DateRange {
            from: from.parse().ok(),
            to: to.parse().ok(),
        };
        let year = range("2024-01-01", "2024-12-31");
        for (text, inside) in [
            ("2023-12-31", false),
            ("2024-01-01", true),
            ("2024-12-31", true),
            ("2025-01-01", false),
        ] {
            assert_eq!(year.contains(Some(date(text))), inside, "{text}");
        }
        assert!(range("2024-01-01", "").contains(Some(date("2999-01-01"))));
        assert!(range("", "2024-01-01").contains(Some(date("1999-01-01"))));
        assert!(
            !range("", "2024-01-01").contains(None),
            "no date, not known to be before"
        );
        assert!(DateRange::default().contains(None));
        assert!(range("2024-01-02", "2024-01-01").is_reversed());
        assert!(!range("2024-01-01", "2024-01-01").is_reversed());
    }

    proptest! {
        #[test]
        fn numbers_order_as_days_do(a in 0_u32..100_000_000, b in 0_u32..100_000_000) {
            let (one, other) = (Date::from_number(a), Date::from_number(b));
            if let Some(one) = one {
                prop_assert_eq!(one.number(), a);
                prop_assert_eq!(one.to_string().parse(), Ok(one));
            }
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            if let Ok(date) = text.parse::<Date>() {
                prop_assert_eq!(date.to_string(), text);
            }
        }
    }
}
