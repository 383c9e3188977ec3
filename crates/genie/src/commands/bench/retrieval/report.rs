//! The figures of the benchmark.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::super::Figure;
use super::queries::FilterKind;

/// What tells a figure from others of its name.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Of {
    store: &'static str,
    chunks: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<FilterKind>,
}

/// All figures so far.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) figures: Vec<Figure<Of>>,
}

/// Takes the figures of one index.
pub(super) struct Case<'a> {
    results: &'a mut Results,
    store: &'static str,
    chunks: usize,
}

impl Results {
    pub(super) fn of(&mut self, store: &'static str, chunks: usize) -> Case<'_> {
        Case {
            results: self,
            store,
            chunks,
        }
    }

    /// One line a figure.
    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        for figure in &self.figures {
            let filter = match figure.case.filter {
                None => String::new(),
                Some(kind) => format!("{kind:?}"),
            };
            // Writing into a string does not fail.
            let _ = writeln!(
                table,
                "{:<7} {:>9}  {:<14} {:<25} {:>12.4} {}",
                figure.case.store,
                figure.case.chunks,
                filter,
                figure.name,
                figure.value,
                figure.unit
            );
        }
        table
    }
}

impl Case<'_> {
    pub(super) fn add(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.push(name, unit, value, None);
    }

    pub(super) fn recall(&mut self, kind: FilterKind, value: f64) {
        self.push("recall@10", "share", value, Some(kind));
    }

    /// Times that 50, 95 and 99 of 100 are at most, under these names; nothing
    /// where there are no times.
    pub(super) fn latencies(
        &mut self,
        kind: FilterKind,
        names: [&'static str; 3],
        mut times: Vec<Duration>,
    ) {
        times.sort_unstable();
        for (name, share) in names.into_iter().zip([0.5, 0.95, 0.99]) {
            if let Some(time) = percentile(&times, share) {
                self.push(name, "ms", time.as_secs_f64() * 1e3, Some(kind));
            }
        }
    }

    fn push(
        &mut self,
        name: &'static str,
        unit: &'static str,
        value: f64,
        filter: Option<FilterKind>,
    ) {
        self.results.figures.push(Figure {
            name,
            unit,
            value,
            case: Of {
                store: self.store,
                chunks: self.chunks,
                filter,
            },
        });
    }
}

/// The smallest time that at least this share of all times does not exceed.
fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        let of = |share| percentile(&times, share).map(|time| time.as_millis());
        assert_eq!(
            (of(0.5), of(0.95), of(0.99)),
            (Some(10), Some(19), Some(20))
        );
        assert_eq!(percentile(&[], 0.5), None);
    }
}
