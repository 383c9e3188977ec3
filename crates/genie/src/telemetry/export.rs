//! Spans on their way to the collector.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter as Otlp, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// For a batch, so that one that is lost costs the next one little.
const LIMIT: Duration = Duration::from_secs(3);
/// Bytes of a collector's answer at most; a good one has a few.
const ANSWER: u64 = 64 << 10;
/// The attributes that leave. None of them holds what somebody wrote, but for
/// the correlation id, which a caller chooses to be found by.
const KEPT: [&str; 4] = [
    "correlation_id",
    "http.request.method",
    "http.route",
    "http.response.status_code",
];

/// What sends spans to the collector at this address.
pub(super) fn exporter(address: &str) -> Result<impl SpanExporter + 'static, ExporterBuildError> {
    let exporter = Otlp::builder()
        .with_http()
        .with_http_client(Client::new())
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(address)
        .with_timeout(LIMIT)
        .build()?;
    Ok(Reduced(exporter))
}

/// Leaves out of spans what must not leave this machine.
#[derive(Debug)]
struct Reduced<E>(E);

impl<E: SpanExporter> SpanExporter for Reduced<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.export(batch.into_iter().map(reduced).collect())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn reduced(mut span: SpanData) -> SpanData {
    span.attributes
        .retain(|attribute| KEPT.contains(&attribute.key.as_str()));
    span.events = SpanEvents::default();
    if matches!(span.status, Status::Error { .. }) {
        span.status = Status::error("");
    }
    span
}

/// HTTP as the rest of this program speaks it. Blocks, which only the thread
/// of the exporter does.
#[derive(Debug)]
struct Client {
    agent: Agent,
    is_failing: AtomicBool,
}

impl Client {
    fn new() -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let config = Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("genie/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build());
        Self {
            agent: config.build().into(),
            is_failing: AtomicBool::new(false),
        }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.agent.run(request.map(|body| body.to_vec()))?;
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }

    /// Says once that it fails, and once that it does no longer.
    fn tell(&self, fails: bool) {
        if self.is_failing.swap(fails, Ordering::Relaxed) == fails {
            return;
        }
        if fails {
            tracing::warn!("the collector takes no traces; they are dropped until it does");
        } else {
            tracing::warn!("the collector takes traces again");
        }
    }
}

impl HttpClient for Client {
    // As the macro writes it that the trait was made with.
    fn send_bytes<'a, 'future>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'a: 'future,
        Self: 'future,
    {
        let sent = self.send(request);
        self.tell(
            !sent
                .as_ref()
                .is_ok_and(|response| response.status().is_success()),
        );
        Box::pin(ready(sent))
    }
}
