//! Points in time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::ParseError;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// A point in time in whole microseconds since 1970-01-01T00:00:00Z, written
/// `2026-05-17T08:30:00.250Z` (RFC 3339, UTC, milliseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time of the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_microsecond())
    }

    /// 0000-01-01T00:00:00Z: RFC 3339 has four digits for a year.
    const FIRST: i64 = -62_167_219_200_000_000;
    /// The last one that is in the year 9999 at every offset from UTC.
    const LAST: i64 = 253_402_207_199_999_999;

    /// The time this many microseconds after the Unix epoch. Times outside of
    /// the years 0 to 9999 become the nearest one inside.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::FIRST, Self::LAST))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The time this much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The time this much earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// The day in UTC, written `2026-05-17`.
    #[must_use]
    pub fn day(self) -> String {
        self.in_calendar().strftime("%Y-%m-%d").to_string()
    }

    /// The month in UTC, written `2026-05`.
    #[must_use]
    pub fn month(self) -> String {
        self.in_calendar().strftime("%Y-%m").to_string()
    }

    /// How long its day in UTC goes on.
    #[must_use]
    pub fn until_next_day(self) -> Duration {
        let over = self.0.rem_euclid(DAY_MICROS);
        Duration::from_micros((DAY_MICROS - over).unsigned_abs())
    }

    /// How long its month in UTC goes on.
    #[must_use]
    pub fn until_next_month(self) -> Duration {
        let date = jiff::tz::TimeZone::UTC
            .to_datetime(self.in_calendar())
            .date();
        let whole_days = i64::from(date.days_in_month() - date.day());
        self.until_next_day() + Duration::from_micros((whole_days * DAY_MICROS).unsigned_abs())
    }

    fn in_calendar(self) -> jiff::Timestamp {
        // The constructors keep the number inside of the calendar.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.in_calendar())
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    /// Reads RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .map(|time| Self::from_micros(time.as_microsecond()))
            .map_err(|_| ParseError::new("a time", text, "2026-05-17T08:30:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_779_006_600_250_999, "2026-05-17T08:30:00.250Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        }
        assert_eq!(
            "2026-05-17T10:30:00+02:00".parse(),
            Ok(Timestamp::from_micros(1_779_006_600_000_000))
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn days_and_months_end_where_the_next_ones_begin() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for (time, month, day_ends, month_ends) in [
            ("2026-02-28T23:00:00Z", "2026-02", hours(1), hours(1)),
            ("2028-02-28T00:00:00Z", "2028-02", hours(24), hours(48)),
            (
                "2026-12-01T12:00:00Z",
                "2026-12",
                hours(12),
                hours(12 + 30 * 24),
            ),
            ("1969-12-31T18:00:00Z", "1969-12", hours(6), hours(6)),
        ] {
            let at: Timestamp = time.parse().expect("a time");
            assert_eq!(at.month(), month);
            assert_eq!(at.until_next_day(), day_ends, "{time}");
            assert_eq!(at.until_next_month(), month_ends, "{time}");
            assert_ne!(at.after(month_ends).month(), month);
        }
    }

    #[test]
    fn no_number_leaves_the_calendar() {
        let (first, last) = (
            Timestamp::from_micros(i64::MIN),
            Timestamp::from_micros(i64::MAX),
        );
        assert_eq!(first.to_string(), "0000-01-01T00:00:00.000Z");
        assert_eq!(last.to_string(), "9999-12-30T21:59:59.999Z");
        assert_eq!(first.after(Duration::MAX), last);
        assert_eq!(last.before(Duration::MAX), first);
    }
}
