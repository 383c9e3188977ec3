//! What is added to a score for what is known of a document, whatever its
//! passages say.

use genie_core::{Boost, Boosts, Date, DocumentRecord};

/// What a document of today gets for its date, as a share of the distance
/// between the best score and their mean. One as old as the half-life gets
/// half of it.
const RECENCY: f32 = 0.25;

/// Boosts for one query.
pub(crate) struct Preference<'a> {
    boosts: &'a Boosts,
    today: Option<Date>,
    /// From the mean of the scores to the best: what one scale of scores and
    /// another have in common.
    distance: f32,
}

impl<'a> Preference<'a> {
    /// `None` where nothing is preferred.
    pub(crate) fn of(boosts: &'a Boosts, today: Option<Date>, scores: &[f32]) -> Option<Self> {
        let best = scores.iter().copied().reduce(f32::max)?;
        let mean = scores.iter().sum::<f32>() / scores.len() as f32;
        (!boosts.is_empty()).then_some(Self {
            boosts,
            today,
            distance: best - mean,
        })
    }

    /// What this document gets.
    pub(crate) fn boost(&self, document: &DocumentRecord) -> Boost {
        let recency = self.recency(document).unwrap_or_default();
        Boost {
            recency: RECENCY * recency * self.distance,
            authority: self.authority(document) * self.distance,
        }
    }

    /// From 1 for a document of today towards 0; `None` where there is no
    /// date or none counts.
    fn recency(&self, document: &DocumentRecord) -> Option<f32> {
        let half_life = self.boosts.recency_half_life_days?;
        let age = self.today?.days_since(document.date?);
        // A date in the future is a plan or a mistake, and no newer than now.
        Some(0.5_f32.powf(age.max(0) as f32 / half_life))
    }

    fn authority(&self, document: &DocumentRecord) -> f32 {
        let covers = |wanted: &str| {
            document.labels.iter().any(|label| {
                label
                    .strip_prefix(wanted)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        self.boosts
            .authority
            .iter()
            .filter(|(label, _)| covers(label))
            .max_by_key(|(label, _)| label.len())
            .map_or(0.0, |(_, weight)| *weight)
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::hit;

    use super::*;

    fn boosts(days: Option<f32>, authority: &[(&str, f32)]) -> Boosts {
        Boosts {
            recency_half_life_days: days,
            authority: authority
                .iter()
                .map(|(label, weight)| ((*label).to_owned(), *weight))
                .collect(),
        }
    }

    fn today() -> Option<Date> {
        Date::new(2026, 1, 31)
    }

    /// Best 0.9, mean 0.7.
    const SCORES: [f32; 3] = [0.9, 0.6, 0.6];

    #[test]
    fn nothing_is_preferred_unless_asked_for() {
        assert!(Preference::of(&Boosts::default(), today(), &SCORES).is_none());
        assert!(Preference::of(&boosts(Some(30.0), &[]), today(), &[]).is_none());
    }

    #[test]
    fn a_date_counts_half_after_its_half_life() {
        let boosts = boosts(Some(30.0), &[]);
        let preference = Preference::of(&boosts, today(), &SCORES).expect("dates count");
        let mut document = hit("a", "text").document;
        assert_eq!(preference.boost(&document), Boost::default());
        let mut given = |date: (i16, i8, i8)| {
            document.date = Date::new(date.0, date.1, date.2);
            preference.boost(&document).recency
        };
        let (now, month, later) = (
            given((2026, 1, 31)),
            given((2026, 1, 1)),
            given((2027, 1, 1)),
        );
        assert!((now - 0.25 * 0.2).abs() < 1e-6, "{now}");
        assert!((month - now / 2.0).abs() < 1e-6, "{month}");
        assert_eq!(later, now);
    }

    #[test]
    fn the_longest_label_decides() {
        let boosts = boosts(None, &[("law", 0.5), ("law/draft", -0.5), ("la", 1.0)]);
        let preference = Preference::of(&boosts, today(), &SCORES).expect("labels count");
        let mut document = hit("a", "text").document;
        let mut given = |labels: &[&str]| {
            document.labels = labels.iter().map(|label| (*label).to_owned()).collect();
            preference.boost(&document).authority
        };
        assert!((given(&["law/act"]) - 0.1).abs() < 1e-6);
        assert!((given(&["x", "law/draft/old"]) + 0.1).abs() < 1e-6);
        assert_eq!(given(&["lawyers"]), 0.0);
    }
}
