//! How the program is watched: the format of its log and where traces go.

use anyhow::bail;

use super::trust::variable;
use crate::telemetry::LogFormat;

/// Where traces of a signal are sent to, below a collector's address.
const TRACES: &str = "/v1/traces";

/// How lines of the log are written. Read from the environment alone, as what
/// is logged is.
pub(crate) fn log_format() -> anyhow::Result<LogFormat> {
    match variable("GENIE_LOG_FORMAT").as_deref() {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => bail!("GENIE_LOG_FORMAT is {other}, but has to be text or json"),
    }
}

/// The full address that traces are sent to: by our own variable, by those of
/// OpenTelemetry, by the file.
pub(super) fn collector(file: Option<String>) -> anyhow::Result<Option<String>> {
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|name| name == "none");
    let below = |address: String| format!("{}{TRACES}", address.trim_end_matches('/'));
    let found = [
        (
            "GENIE_OTLP_ENDPOINT",
            variable("GENIE_OTLP_ENDPOINT").map(below),
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            variable("OTEL_EXPORTER_OTLP_ENDPOINT").map(below),
        ),
        ("otlp_endpoint", file.map(below)),
    ];
    for (name, address) in found {
        let Some(address) = address else { continue };
        checked(name, &address)?;
        return Ok((!is_off).then_some(address));
    }
    Ok(None)
}

fn checked(name: &str, address: &str) -> anyhow::Result<()> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme));
    let is_address = rest.is_some_and(|rest| !rest.starts_with('/') && !rest.contains('@'))
        && !address.chars().any(|c| c.is_whitespace() || c.is_control());
    if !is_address {
        bail!(
            "{name} is no address of a collector; write for example http://127.0.0.1:4318 \
             (what the collector wants in a header goes into OTEL_EXPORTER_OTLP_HEADERS)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_configured_address() {
        let of = |address: &str| collector(Some(address.to_owned()));
        assert_eq!(collector(None).unwrap(), None);
        for address in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/"] {
            let expected = "http://127.0.0.1:4318/v1/traces".to_owned();
            assert_eq!(of(address).unwrap(), Some(expected));
        }
        for wrong in [
            "127.0.0.1:4318",
            "grpc://c:4317",
            "http://",
            "https://a:b@c",
            "http://a b",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
