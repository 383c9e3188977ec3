//! Counters and histograms, in the text format of Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use genie_core::{Answer, Usage};
use genie_rag::RagError;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::model_metrics;

/// Histograms keep single observations until upkeep folds them into buckets;
/// without a scraper nobody else does it.
const UPKEEP_EVERY: u64 = 256;

/// Seconds: from a page to a long answer on a slow processor.
const BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0,
];

/// The measurements of one service. The recorder is its own and not the
/// process's, so that several services in one process (tests) don't mix.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    requests: AtomicU64,
}

impl Metrics {
    pub(crate) fn new(version: &str) -> Self {
        let builder = PrometheusBuilder::new();
        // It only fails for an empty list of buckets; without them the
        // histograms are summaries, which is no reason not to serve.
        let builder = builder
            .set_buckets(&BUCKETS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let measured = Self {
            recorder: builder.build_recorder(),
            requests: AtomicU64::new(0),
        };
        let version = version.to_owned();
        measured.record(|| {
            describe();
            model_metrics::describe();
            metrics::gauge!("genie_build_info", "version" => version).set(1.0);
            metrics::counter!("genie_queue_full_total").absolute(0);
        });
        measured
    }

    pub(crate) fn request(
        &self,
        method: &'static str,
        route: &str,
        status: StatusCode,
        elapsed: Duration,
    ) {
        self.record(|| {
            metrics::counter!(
                "genie_http_requests_total",
                "method" => method,
                "route" => route.to_owned(),
                "status" => status.as_str().to_owned(),
            )
            .increment(1);
            metrics::histogram!(
                "genie_http_request_duration_seconds",
                "method" => method,
                "route" => route.to_owned(),
            )
            .record(elapsed);
        });
        self.folded();
    }

    pub(crate) fn answer(&self, result: &Result<Answer, RagError>) {
        let outcome = match result {
            Ok(answer) if answer.degraded => "degraded",
            Ok(answer) if answer.answered => "answered",
            Ok(_) => "abstained",
            Err(RagError::Cancelled) => "cancelled",
            Err(_) => "failed",
        };
        self.record(|| {
            metrics::counter!("genie_answers_total", "outcome" => outcome).increment(1);
            let Ok(answer) = result else { return };
            metrics::histogram!("genie_answer_duration_seconds").record(answer.timings.total);
            if let Some(first_token) = answer.timings.first_token {
                metrics::histogram!("genie_first_token_seconds").record(first_token);
            }
            count_tokens(answer.usage);
        });
    }

    /// The language model wrote without the documents.
    pub(crate) fn generation(&self, usage: Usage) {
        self.record(|| {
            metrics::counter!("genie_generations_total").increment(1);
            count_tokens(usage);
        });
    }

    /// A request found the service or a model full.
    pub(crate) fn rejected(&self) {
        self.record(|| metrics::counter!("genie_queue_full_total").increment(1));
    }

    /// The text to scrape.
    pub(crate) fn render(&self, in_work: usize) -> String {
        self.record(|| metrics::gauge!("genie_requests_in_work").set(in_work as f64));
        self.recorder.handle().render()
    }

    /// Folds what waits in histograms now and then.
    pub(crate) fn folded(&self) {
        if self.requests.fetch_add(1, Ordering::Relaxed) % UPKEEP_EVERY == UPKEEP_EVERY - 1 {
            self.recorder.handle().run_upkeep();
        }
    }

    pub(crate) fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, work)
    }
}

fn count_tokens(usage: Usage) {
    for (kind, count) in [
        ("prompt", usage.prompt_tokens),
        ("completion", usage.completion_tokens),
    ] {
        metrics::counter!("genie_tokens_total", "kind" => kind).increment(count as u64);
    }
}

fn describe() {
    metrics::describe_counter!(
        "genie_http_requests_total",
        "Requests by method, route and status."
    );
    metrics::describe_histogram!(
        "genie_http_request_duration_seconds",
        "Time to the response's head."
    );
    metrics::describe_counter!(
        "genie_answers_total",
        "Answers by outcome: answered, abstained, degraded, cancelled, failed."
    );
    metrics::describe_histogram!(
        "genie_answer_duration_seconds",
        "From the question to the finished answer."
    );
    metrics::describe_histogram!(
        "genie_first_token_seconds",
        "From the question to the model's first token."
    );
    metrics::describe_counter!(
        "genie_generations_total",
        "Replies of the language model without the documents."
    );
    metrics::describe_counter!("genie_tokens_total", "Tokens read and written.");
    metrics::describe_counter!(
        "genie_queue_full_total",
        "Requests that found the service full."
    );
    metrics::describe_gauge!("genie_requests_in_work", "Requests in work now.");
    metrics::describe_gauge!("genie_build_info", "The running version.");
}
