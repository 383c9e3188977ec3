//! What the language model tells of its work, as metrics.

use genie_core::{WatchWork, Work};

use crate::metrics::Metrics;

impl WatchWork for Metrics {
    fn saw(&self, work: Work) {
        self.record(|| match work {
            Work::Taken {
                waited,
                prompt,
                known,
            } => {
                metrics::histogram!("genie_model_queue_seconds").record(waited);
                count("genie_model_prompt_tokens_total", prompt);
                count("genie_model_known_tokens_total", known);
            }
            Work::TakenOver { known } => count("genie_model_known_tokens_total", known),
            Work::Pass {
                sequences,
                tokens,
                held,
            } => {
                count("genie_model_passes_total", 1);
                count("genie_model_pass_sequences_total", sequences);
                count("genie_model_pass_tokens_total", tokens);
                metrics::gauge!("genie_model_held_tokens").set(held as f64);
            }
            Work::Idle => metrics::gauge!("genie_model_held_tokens").set(0.0),
            Work::Begun { waited } => {
                metrics::histogram!("genie_model_first_token_seconds").record(waited);
            }
            Work::Written {
                tokens,
                took,
                guessed,
                right,
                ruling,
            } => {
                if tokens > 1 {
                    let each = took.as_secs_f64() / (tokens - 1) as f64;
                    metrics::histogram!("genie_model_token_seconds").record(each);
                }
                count("genie_model_guessed_tokens_total", guessed);
                count("genie_model_accepted_tokens_total", right);
                if !ruling.is_zero() {
                    metrics::histogram!("genie_model_form_seconds").record(ruling);
                }
            }
            Work::Refused => count("genie_model_refused_total", 1),
        });
        self.folded();
    }
}

fn count(name: &'static str, more: usize) {
    metrics::counter!(name).increment(more as u64);
}

/// Says what each is.
pub(crate) fn describe() {
    for (name, meaning) in [
        (
            "genie_model_queue_seconds",
            "Time of a request in the language model's queue.",
        ),
        (
            "genie_model_first_token_seconds",
            "From the request to the model to its first token, time in the queue included.",
        ),
        (
            "genie_model_token_seconds",
            "Mean time between two tokens of an answer, one observation an answer.",
        ),
        (
            "genie_model_form_seconds",
            "Time that holding an answer to a form took in all.",
        ),
    ] {
        metrics::describe_histogram!(name, meaning);
    }
    for (name, meaning) in [
        (
            "genie_model_prompt_tokens_total",
            "Tokens of prompts that were taken in hand.",
        ),
        (
            "genie_model_known_tokens_total",
            "Tokens of prompts that had been read for an earlier one.",
        ),
        ("genie_model_passes_total", "Times the weights were read."),
        (
            "genie_model_pass_sequences_total",
            "Prompts and answers in all passes; by passes, the mean size of a batch.",
        ),
        (
            "genie_model_pass_tokens_total",
            "Tokens in all passes, guesses included.",
        ),
        (
            "genie_model_guessed_tokens_total",
            "Tokens of answers that were guessed.",
        ),
        (
            "genie_model_accepted_tokens_total",
            "Guessed tokens that were right.",
        ),
        (
            "genie_model_refused_total",
            "Requests to the model that were refused because too much waits.",
        ),
    ] {
        metrics::describe_counter!(name, meaning);
        metrics::counter!(name).absolute(0);
    }
    metrics::describe_gauge!(
        "genie_model_held_tokens",
        "Tokens whose keys and values may be held by requests in hand."
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_is_counted_under_its_names() {
        let metrics = Metrics::new("1");
        for _ in 0..300 {
            metrics.saw(Work::Pass {
                sequences: 3,
                tokens: 40,
                held: 900,
            });
        }
        metrics.saw(Work::Taken {
            waited: Duration::from_millis(20),
            prompt: 100,
            known: 64,
        });
        metrics.saw(Work::Begun {
            waited: Duration::from_millis(300),
        });
        metrics.saw(Work::Written {
            tokens: 11,
            took: Duration::from_secs(1),
            guessed: 8,
            right: 5,
            ruling: Duration::from_millis(2),
        });
        metrics.saw(Work::Refused);
        let text = metrics.render(0);
        for line in [
            "genie_model_passes_total 300",
            "genie_model_pass_sequences_total 900",
            "genie_model_pass_tokens_total 12000",
            "genie_model_held_tokens 900",
            "genie_model_prompt_tokens_total 100",
            "genie_model_known_tokens_total 64",
            "genie_model_guessed_tokens_total 8",
            "genie_model_accepted_tokens_total 5",
            "genie_model_refused_total 1",
            "genie_model_queue_seconds_count 1",
            "genie_model_first_token_seconds_count 1",
            "genie_model_token_seconds_bucket{le=\"0.1\"} 1",
            "genie_model_form_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
