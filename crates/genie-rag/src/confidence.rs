//! How probable it is that an answer is right, and when a person is named.

use genie_core::{HandOver, HandOverConfig, HandOverReason};

/// Natural logarithm of the odds of a right answer at even odds of its least
/// supported sentence, and what each unit of those adds. Fitted in
/// `docs/benchmarks/answers.md`.
const AT_EVEN: f32 = -3.6;
const PER_UNIT: f32 = 0.83;

/// The estimated probability that an answer is right and holds all that was
/// asked for, by the odds of its least supported sentence.
pub(crate) fn confidence(least_odds: f32) -> f32 {
    let odds = PER_UNIT.mul_add(least_odds, AT_EVEN);
    let probability = 1.0 / (1.0 + (-odds).exp());
    // More digits would claim more than is known.
    (probability * 100.0).round() / 100.0
}

/// Whom to ask, where nothing is answered or the answer may well be wrong.
pub(crate) fn handed_over(
    config: &HandOverConfig,
    answered: bool,
    confidence: Option<f32>,
) -> Option<HandOver> {
    let reason = if !answered {
        HandOverReason::NotAnswered
    } else if confidence? < config.below {
        HandOverReason::LowConfidence
    } else {
        return None;
    };
    Some(HandOver {
        reason,
        contact: config.contact.clone()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(contact: Option<&str>) -> HandOverConfig {
        HandOverConfig {
            contact: contact.map(str::to_owned),
            below: 0.5,
        }
    }

    fn reason(answered: bool, confidence: Option<f32>) -> Option<HandOverReason> {
        let named = handed_over(&config(Some("helpdesk@example.org")), answered, confidence);
        named.map(|named| {
            assert_eq!(named.contact, "helpdesk@example.org");
            named.reason
        })
    }

    #[test]
    fn better_supported_answers_are_more_probably_right() {
        let of: Vec<f32> = [-20.0, 4.0, 8.0, 12.0, 1000.0, f32::INFINITY]
            .map(confidence)
            .to_vec();
        assert!(of.is_sorted(), "{of:?}");
        assert!(of.iter().all(|value| (0.0..=1.0).contains(value)), "{of:?}");
        assert!(of[1] < of[3], "{of:?}");
    }

    #[test]
    fn a_person_is_named_for_what_is_not_answered_or_doubtful() {
        assert_eq!(reason(false, None), Some(HandOverReason::NotAnswered));
        assert_eq!(
            reason(true, Some(0.49)),
            Some(HandOverReason::LowConfidence)
        );
        assert_eq!(reason(true, Some(0.5)), None);
        // Quoted passages claim nothing.
        assert_eq!(reason(true, None), None);
        assert_eq!(handed_over(&config(None), false, None), None);
    }
}
