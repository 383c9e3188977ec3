//! One HTTP client for every source.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use percent_encoding::percent_decode_str;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};
use url::Url;

use crate::settings::{NetworkSettings, ProxySetting, public};
use crate::{SettingsError, SourceError};

/// A client that remembers which hosts can't be reached, so that a missing
/// network costs its timeout once and not once a file, and which ones have
/// answered, so that one answer that does not come is not the end.
pub(crate) struct Client {
    agent: Agent,
    pub(crate) settings: NetworkSettings,
    down: Mutex<HashMap<String, String>>,
    up: Mutex<HashSet<String>>,
}

/// A GET request.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) url: &'a Url,
    /// What is asked for, in words, for messages.
    pub(crate) what: &'a str,
    /// Names and values. Never printed.
    pub(crate) headers: &'a [(&'static str, String)],
}

impl Client {
    pub(crate) fn new(settings: NetworkSettings) -> Result<Self, SettingsError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_resolve(Some(settings.connect_timeout))
            .timeout_recv_response(Some(settings.read_timeout))
            .timeout_per_read(Some(settings.read_timeout))
            .max_idle_age(std::time::Duration::from_secs(15))
            .user_agent(concat!("genie/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots(&settings)?).build());
        match &settings.proxy {
            // What the library does of itself.
            ProxySetting::Environment => {}
            ProxySetting::Direct => config = config.proxy(None),
            ProxySetting::At(address) => {
                let proxy = Proxy::new(address).map_err(|_| SettingsError::Proxy {
                    origin: "PIP_PROXY or the package client's configuration".to_owned(),
                })?;
                config = config.proxy(Some(proxy));
            }
        }
        Ok(Self {
            agent: config.build().into(),
            settings,
            down: Mutex::default(),
            up: Mutex::default(),
        })
    }

    /// Sends a request unless its host is known to be out of reach.
    pub(crate) fn get(&self, request: Request<'_>) -> Result<Response<Body>, SourceError> {
        let host = public(request.url);
        let known = self
            .down
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&host)
            .cloned();
        if let Some(reason) = known {
            return Err(SourceError::Unreachable { host, reason });
        }
        self.get_again(request).inspect_err(|error| {
            if let SourceError::Unreachable { host, reason } = error
                && !self.has_answered(request.url)
            {
                self.down
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(host.clone(), reason.clone());
            }
        })
    }

    /// Whether this host has ever answered this client.
    pub(crate) fn has_answered(&self, url: &Url) -> bool {
        let up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        up.contains(&public(url))
    }

    /// Sends a request to a host that answered before.
    pub(crate) fn get_again(&self, request: Request<'_>) -> Result<Response<Body>, SourceError> {
        let mut url = request.url.clone();
        // Credentials travel in a header, so that no message can show them.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let host = public(&url);
        let mut call = self
            .agent
            .get(url.as_str())
            .config()
            .https_only(url.scheme() == "https")
            .build();
        for (name, value) in request.headers {
            call = call.header(*name, value);
        }
        let response = call.call().map_err(|error| match error {
            ureq::Error::RequireHttpsOnly(_) => SourceError::Downgrade { host: host.clone() },
            error => SourceError::Unreachable {
                host: host.clone(),
                reason: in_few_words(&error),
            },
        })?;
        self.up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(host.clone());
        let status = response.status();
        if status.is_success() || status.as_u16() == 416 {
            Ok(response)
        } else {
            Err(SourceError::Status {
                host,
                status: status.as_u16(),
                what: request.what.to_owned(),
            })
        }
    }
}

/// The `Authorization` header for the credentials inside a URL.
pub(crate) fn basic_auth(url: &Url) -> Option<(&'static str, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = format!(
        "{}:{}",
        decode(url.username()),
        decode(url.password().unwrap_or_default())
    );
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    Some(("authorization", format!("Basic {encoded}")))
}

fn roots(settings: &NetworkSettings) -> Result<RootCerts, SettingsError> {
    if settings.certificates.is_empty() {
        return Ok(RootCerts::PlatformVerifier);
    }
    let mut certificates: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    for path in &settings.certificates {
        let failed = |source| SettingsError::Certificates {
            path: path.clone(),
            source,
        };
        let pem = fs::read(path).map_err(failed)?;
        let before = certificates.len();
        certificates.extend(parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        }));
        if certificates.len() == before {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file holds no certificate in PEM form",
            )));
        }
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn in_few_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "its name is not known here".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "it refuses connections".to_owned(),
            io::ErrorKind::TimedOut => "no answer in time".to_owned(),
            _ => {
                let text = error.to_string();
                if text.contains("certificate") {
                    format!("{text}; PIP_CERT can name the certificate of a proxy")
                } else if text.contains("lookup") || text.contains("resolution") {
                    "its name is not known here".to_owned()
                } else {
                    text
                }
            }
        },
        other => other.to_string(),
    }
}
