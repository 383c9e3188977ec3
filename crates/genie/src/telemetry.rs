//! Where logs and traces go.
//!
//! Logs go to standard error, as text or as JSON. Traces go to an
//! OpenTelemetry collector where one is configured, over OTLP with protobuf
//! bodies, from a thread of their own. What a collector gets is reduced here
//! to names, times and a few attributes: whatever spans are given elsewhere,
//! nothing of what somebody asked, wrote or is leaves in a trace.
//!
//! What must not happen: a collector that is slow, down or hostile and holds
//! up a request.

mod export;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// What is still to be sent when the program ends gets this long.
const LAST_SPANS: Duration = Duration::from_secs(4);

type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Traces that are being written; ends with [`Self::end`].
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Begins to write logs, and traces where there is a collector.
    pub(crate) fn start(
        verbose: u8,
        format: LogFormat,
        collector: Option<&str>,
    ) -> anyhow::Result<Self> {
        let provider = match collector {
            Some(address) => Some(provider(
                export::exporter(address).context("traces can't be sent")?,
            )),
            None => None,
        };
        let mut layers = vec![logs(verbose, format)];
        layers.extend(provider.as_ref().map(traces));
        tracing_subscriber::registry().with(layers).init();
        Ok(Self(provider))
    }

    /// Sends what is left, unless that takes seconds.
    pub(crate) fn end(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(LAST_SPANS)
        {
            tracing::debug!(%error, "the last traces are lost");
        }
    }
}

/// Makes a span part of the trace that a `traceparent` names; one that names
/// none is passed over.
pub(crate) fn take_up(span: &tracing::Span, parent: &str) {
    let carrier = HashMap::from([("traceparent".to_owned(), parent.to_owned())]);
    let context = TraceContextPropagator::new()
        .extract_with_context(&opentelemetry::Context::new(), &carrier);
    if context.span().span_context().is_valid() {
        // Fails only for a span that is not written at all.
        let _ = span.set_parent(context);
    }
}

fn logs(verbose: u8, format: LogFormat) -> AnyLayer {
    let default = match verbose {
        0 => "warn",
        1 => "info,genie=debug,genie_rag=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("GENIE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    }
}

fn provider(exporter: impl SpanExporter + 'static) -> SdkTracerProvider {
    let resource = Resource::builder()
        .with_service_name("genie")
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ));
    SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build()
}

/// Our own spans alone, and none of the events in them.
fn traces(provider: &SdkTracerProvider) -> AnyLayer {
    let ours = FilterFn::new(|metadata| {
        metadata.is_span()
            && metadata.target().starts_with("genie")
            && *metadata.level() <= Level::INFO
    });
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("genie"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(ours.with_max_level_hint(LevelFilter::INFO))
        .boxed()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// A collector that takes everything, and the requests that it got.
    fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() > 0 {
                    request.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.parse().unwrap());
                let mut body = vec![0; length];
                connection.read_exact(&mut body).unwrap();
                request.extend(body);
                sender.send(request).unwrap();
                let _ = connection.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        });
        (address, received)
    }

    fn count(bytes: &[u8], part: &[u8]) -> usize {
        bytes
            .windows(part.len())
            .filter(|found| *found == part)
            .count()
    }

    #[test]
    fn a_request_is_one_trace_without_content() {
        let (address, received) = collector();
        let provider = provider(export::exporter(&address).unwrap());
        let layers = vec![traces(&provider)];
        let subscriber = tracing_subscriber::registry().with(layers);
        tracing::subscriber::with_default(subscriber, || {
            let request = tracing::info_span!(
                "request",
                http.route = "/api/v1/answer",
                question = "how many secret networks",
            );
            take_up(&request, PARENT);
            request.in_scope(|| {
                tracing::info!(text = "a secret sentence", "a secret message");
                tracing::info_span!("embed", token = "gk_secret").in_scope(|| {
                    tracing::debug_span!("secret_detail").in_scope(|| {});
                });
                tracing::error_span!(target: "other", "secret_crate").in_scope(|| {});
            });
        });
        provider.shutdown_with_timeout(LAST_SPANS).unwrap();
        let sent: Vec<u8> = received.try_iter().flatten().collect();
        assert_eq!(count(&sent, b"POST /v1/traces "), 1);
        assert_eq!(count(&sent, b"application/x-protobuf"), 1);
        // Field 5 of a span is its name, field 1 the id of its trace.
        assert_eq!(count(&sent, b"\x2a\x07request"), 1);
        assert_eq!(count(&sent, b"\x2a\x05embed"), 1);
        let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
        assert_eq!(count(&sent, &[&[0x0a, 16][..], &trace].concat()), 2);
        assert_eq!(count(&sent, b"/api/v1/answer"), 1);
        assert_eq!(count(&sent, b"secret"), 0);
    }

    #[test]
    fn a_collector_that_is_down_costs_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        drop(listener);
        let provider = provider(export::exporter(&address).unwrap());
        let subscriber = tracing_subscriber::registry().with(vec![traces(&provider)]);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..10_000 {
                tracing::info_span!("request").in_scope(|| {});
            }
        });
        // It ends, with or without an error.
        let _ = provider.shutdown_with_timeout(LAST_SPANS);
    }

    #[test]
    fn what_is_no_place_in_a_trace_is_passed_over() {
        let (address, received) = collector();
        let provider = provider(export::exporter(&address).unwrap());
        let subscriber = tracing_subscriber::registry().with(vec![traces(&provider)]);
        tracing::subscriber::with_default(subscriber, || {
            for parent in ["", "00-0-0-01", "nonsense", &"f".repeat(55)] {
                let span = tracing::info_span!("request");
                take_up(&span, parent);
                span.in_scope(|| {});
            }
        });
        provider.shutdown_with_timeout(LAST_SPANS).unwrap();
        let sent: Vec<u8> = received.try_iter().flatten().collect();
        assert_eq!(count(&sent, b"\x2a\x07request"), 4);
    }
}
