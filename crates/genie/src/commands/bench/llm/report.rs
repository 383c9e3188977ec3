//! The figures of the benchmark.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Name {
    /// Read 512 tokens
    #[value(name = "prefill-512")]
    #[serde(rename = "prefill-512")]
    Prefill512,
    /// Read 2,048 tokens
    #[value(name = "prefill-2048")]
    #[serde(rename = "prefill-2048")]
    Prefill2048,
    /// Write 128 tokens, one by one
    #[value(name = "decode-128")]
    #[serde(rename = "decode-128")]
    Decode128,
    /// Write 64 tokens, one by one, behind 2,048
    #[value(name = "decode-at-2048")]
    #[serde(rename = "decode-at-2048")]
    DecodeAt2048,
    /// Two answers at once to a question that is known, tokens written
    #[value(name = "batch-2")]
    #[serde(rename = "batch-2")]
    Batch2,
    /// Four answers at once
    #[value(name = "batch-4")]
    #[serde(rename = "batch-4")]
    Batch4,
    /// Eight answers at once
    #[value(name = "batch-8")]
    #[serde(rename = "batch-8")]
    Batch8,
    /// Sixteen answers at once
    #[value(name = "batch-16")]
    #[serde(rename = "batch-16")]
    Batch16,
    /// From the start of a process to the first token of a short prompt
    FirstToken,
    /// Eight chats at once, tokens read and written
    #[value(name = "serve-8")]
    #[serde(rename = "serve-8")]
    Serve8,
    /// First token of a second question about the same passages
    PrefixTtft,
    /// Grounded answers with tokens guessed ahead
    Speculation,
    /// JSON of a schema, the best token each time
    Form,
    /// JSON of a schema, tokens drawn
    FormDrawn,
}

impl Name {
    pub(super) const ALL: [Self; 14] = [
        Self::Prefill512,
        Self::Prefill2048,
        Self::Decode128,
        Self::DecodeAt2048,
        Self::Batch2,
        Self::Batch4,
        Self::Batch8,
        Self::Batch16,
        Self::FirstToken,
        Self::Serve8,
        Self::PrefixTtft,
        Self::Speculation,
        Self::Form,
        Self::FormDrawn,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Prefill512 => "prefill-512",
            Self::Prefill2048 => "prefill-2048",
            Self::Decode128 => "decode-128",
            Self::DecodeAt2048 => "decode-at-2048",
            Self::Batch2 => "batch-2",
            Self::Batch4 => "batch-4",
            Self::Batch8 => "batch-8",
            Self::Batch16 => "batch-16",
            Self::FirstToken => "first-token",
            Self::Serve8 => "serve-8",
            Self::PrefixTtft => "prefix-ttft",
            Self::Speculation => "speculation",
            Self::Form => "form",
            Self::FormDrawn => "form-drawn",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::PrefixTtft | Self::FirstToken => "s",
            _ => "tokens/s",
        }
    }
}

/// What one round gave.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) value: f64,
    /// Seconds to the first token that 95 of 100 chats did not exceed.
    pub(super) first_token: Option<f64>,
    /// Bytes of the process in memory.
    pub(super) resident: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

/// Chats that ran at once.
#[derive(Debug)]
pub(super) struct Served(Sample);

impl Served {
    /// `first` is the time to the first token of each.
    pub(super) fn new(tokens: usize, time: Duration, mut first: Vec<Duration>) -> Self {
        first.sort_unstable();
        let rank = (0.95 * first.len() as f64).ceil() as usize;
        Self(Sample {
            value: tokens as f64 / time.as_secs_f64(),
            first_token: first.get(rank.max(1) - 1).map(Duration::as_secs_f64),
            resident: None,
        })
    }
}

impl From<Served> for Sample {
    fn from(served: Served) -> Self {
        served.0
    }
}

/// The middle, the least and the most of all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    median: f64,
    min: f64,
    max: f64,
    /// Of `serve-8`: the median of the rounds' 95th percentiles, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_p95: Option<f64>,
    /// Of `first-token`: the median of what the process had in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<f64>,
}

/// What our figure is held against.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Peer {
    name: &'static str,
    #[serde(flatten)]
    summary: Summary,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    name: Name,
    unit: &'static str,
    ours: Summary,
    peer: Option<Peer>,
    /// Ours to the peer's in the same round; the median of the rounds.
    ratio: Option<f64>,
}

/// The rounds of one figure.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    ours: Vec<Sample>,
    peer: Vec<Sample>,
    peer_name: &'static str,
}

impl Rounds {
    pub(super) fn add(&mut self, ours: impl Into<Sample>) {
        self.ours.push(ours.into());
    }

    pub(super) fn add_peer(&mut self, name: &'static str, peer: impl Into<Sample>) {
        self.peer_name = name;
        self.peer.push(peer.into());
    }

    /// `None` where nothing was measured.
    pub(super) fn outcome(&self, name: Name) -> Option<Outcome> {
        let ratios = self.ours.iter().zip(&self.peer);
        Some(Outcome {
            name,
            unit: name.unit(),
            ours: summary(&self.ours)?,
            peer: summary(&self.peer).map(|summary| Peer {
                name: self.peer_name,
                summary,
            }),
            ratio: median(ratios.map(|(ours, peer)| ours.value / peer.value).collect()),
        })
    }
}

fn summary(samples: &[Sample]) -> Option<Summary> {
    let values = || samples.iter().map(|sample| sample.value);
    Some(Summary {
        median: median(values().collect())?,
        min: values().fold(f64::INFINITY, f64::min),
        max: values().fold(f64::NEG_INFINITY, f64::max),
        first_token_p95: median(samples.iter().filter_map(|it| it.first_token).collect()),
        resident_bytes: median(samples.iter().filter_map(|it| it.resident).collect()),
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    if values.len().is_multiple_of(2) {
        Some(f64::midpoint(values[middle - 1], upper))
    } else {
        Some(upper)
    }
}

/// One line a figure.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::new();
    for outcome in outcomes {
        let Outcome {
            name, unit, ours, ..
        } = outcome;
        // Writing into a string does not fail.
        let _ = write!(
            table,
            "{:<14} {:>9.2} {unit} ({:.2} to {:.2})",
            name.as_str(),
            ours.median,
            ours.min,
            ours.max
        );
        if let Some(p95) = ours.first_token_p95 {
            let _ = write!(table, ", first token within {p95:.2} s");
        }
        if let Some(resident) = ours.resident_bytes {
            let _ = write!(
                table,
                ", {:.0} MiB in memory",
                resident / f64::from(1 << 20)
            );
        }
        if let (Some(peer), Some(ratio)) = (&outcome.peer, outcome.ratio) {
            let Peer { name, summary } = peer;
            let _ = write!(
                table,
                "; {name} {:.2} ({:.2} to {:.2})",
                summary.median, summary.min, summary.max
            );
            if let Some(p95) = summary.first_token_p95 {
                let _ = write!(table, ", first token within {p95:.2} s");
            }
            let _ = write!(table, "; ratio {ratio:.2}");
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_neighbours_in_time() {
        let mut rounds = Rounds::default();
        // The machine slows down by half and both with it.
        for (ours, peer) in [(30.0, 10.0), (15.0, 5.0), (16.0, 8.0)] {
            rounds.add(ours);
            rounds.add_peer("other", peer);
        }
        let outcome = rounds.outcome(Name::Prefill512).expect("measured");
        assert_eq!(outcome.ratio, Some(3.0));
        assert_eq!(outcome.ours.median, 16.0);
        let json = serde_json::to_value(&outcome).expect("JSON");
        assert_eq!(json["name"], "prefill-512");
        assert_eq!(json["peer"]["min"], 5.0);
        assert_eq!(json["peer"]["name"], "other");
    }

    #[test]
    fn nothing_measured_is_no_figure_and_no_peer_is_null() {
        let mut rounds = Rounds::default();
        assert!(rounds.outcome(Name::Serve8).is_none());
        let first = (1..=8).map(Duration::from_secs).collect();
        rounds.add(Served::new(100, Duration::from_secs(10), first));
        let outcome = rounds.outcome(Name::Serve8).expect("measured");
        let json = serde_json::to_value(&outcome).expect("JSON");
        assert!(json["peer"].is_null() && json["ratio"].is_null());
        assert_eq!(json["ours"]["first_token_p95"], 8.0);
        assert_eq!(json["ours"]["median"], 10.0);
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for name in Name::ALL {
            let json = serde_json::to_value(name).expect("JSON");
            assert_eq!(json, name.as_str());
            let value = clap::ValueEnum::to_possible_value(&name).expect("a value");
            assert_eq!(value.get_name(), name.as_str());
        }
    }
}
