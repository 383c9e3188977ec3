//! Fetching documents and delivering answers, within what the operator allows.
//!
//! A name is resolved once, what it resolves to is checked, and the connection
//! goes to what was checked: there is no second look-up that could say
//! something else. Redirects are followed here, so that each of them is
//! checked in the same way. No proxy is used, which would resolve names by
//! itself.

mod resolve;

use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use genie_core::{OutboundConfig, Reachable, WebhookConfig};
use genie_server::{Delivery, Fetched, Outbound, OutboundError, Watch, format_of, signature};
use genie_state::WorkspaceId;
use ureq::http::{Response, header};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};
use url::{Host, Url};

use self::resolve::{Guarded, was_refused};
use crate::interrupt;

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;
const CONNECT: Duration = Duration::from_secs(10);
/// A relay says that it has something, not what it does with it.
const DELIVER: Duration = Duration::from_secs(15);
const PIECE: usize = 64 << 10;

/// The way out of a service.
pub(crate) struct Client {
    config: OutboundConfig,
}

impl Client {
    /// Reaches what the configuration allows; nothing where that is nothing.
    pub(crate) fn new(config: OutboundConfig) -> Option<Self> {
        let is_of_use = !config.fetch.reachable.hosts.is_empty() || !config.webhooks.is_empty();
        is_of_use.then_some(Self { config })
    }

    fn hook(&self, workspace: &WorkspaceId, name: &str) -> Result<&WebhookConfig, OutboundError> {
        let hook = self.config.webhooks.get(name).filter(|hook| {
            let own = &hook.workspaces;
            own.is_empty() || own.iter().any(|id| id == workspace.as_str())
        });
        // One of another workspace and one that is not there look alike.
        hook.ok_or_else(|| {
            refused(format!(
                "this workspace has no webhook {name:?}; [webhooks] in config.toml makes one"
            ))
        })
    }
}

impl Outbound for Client {
    fn check_fetch(&self, url: &str) -> Result<(), OutboundError> {
        checked(url, &self.config.fetch.reachable).map(drop)
    }

    fn fetch(&self, url: &str, watch: &Watch) -> Result<Fetched, OutboundError> {
        let fetch = &self.config.fetch;
        let until = Instant::now() + Duration::from_secs(fetch.max_seconds);
        let mut url = checked(url, &fetch.reachable)?;
        for _ in 0..=MOST_REDIRECTS {
            go_on(watch)?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(too_slow(fetch.max_seconds));
            }
            let response = agent(&fetch.reachable, &url, left)
                .get(url.as_str())
                .call()
                .map_err(|error| {
                    if Instant::now() >= until {
                        too_slow(fetch.max_seconds)
                    } else {
                        failed(&url, &error)
                    }
                })?;
            let status = response.status();
            if status.is_redirection() {
                url = redirected(&url, &response, &fetch.reachable)?;
                continue;
            }
            if !status.is_success() {
                let reason = format!("{} answered {status}", host_of(&url));
                let may_change = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
                return Err(if may_change {
                    OutboundError::Failed { reason }
                } else {
                    refused(reason)
                });
            }
            let content_type = response
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            let media_type = format_of(&content_type);
            // Without a word, or with one that says nothing, the bytes tell.
            let is_silent =
                content_type.is_empty() || content_type.starts_with("application/octet-stream");
            if media_type.is_none() && !is_silent {
                return Err(refused(format!(
                    "{} sent {content_type}, which is no format of documents",
                    host_of(&url)
                )));
            }
            let bytes = self.read(response, &url, until, watch)?;
            return Ok(Fetched { bytes, media_type });
        }
        Err(refused(format!(
            "the address leads on more than {MOST_REDIRECTS} times"
        )))
    }

    fn check_delivery(
        &self,
        workspace: &WorkspaceId,
        hook: &str,
        url: &str,
    ) -> Result<(), OutboundError> {
        checked(url, &self.hook(workspace, hook)?.reachable).map(drop)
    }

    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), OutboundError> {
        let hook = self.hook(delivery.workspace, delivery.hook)?;
        let url = checked(delivery.url, &hook.reachable)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.ok().and_then(|now| i64::try_from(now.as_secs()).ok());
        let seconds = seconds.unwrap_or_default();
        let response = agent(&hook.reachable, &url, DELIVER)
            .post(url.as_str())
            .header("content-type", "application/json")
            .header("x-genie-event", delivery.event)
            .header("x-genie-delivery", delivery.id)
            .header(
                "x-genie-signature",
                signature(hook.secret.reveal(), seconds, delivery.body),
            )
            .send(delivery.body)
            .map_err(|error| failed(&url, &error))?;
        let status = response.status();
        let reason = format!("{} answered {status}", host_of(&url));
        match status.as_u16() {
            200..300 => Ok(()),
            // Gone for good (RFC 9110, section 15.5.11).
            410 => Err(refused(reason)),
            _ => Err(OutboundError::Failed { reason }),
        }
    }
}

impl Client {
    fn read(
        &self,
        response: Response<Body>,
        url: &Url,
        until: Instant,
        watch: &Watch,
    ) -> Result<Vec<u8>, OutboundError> {
        let fetch = &self.config.fetch;
        let most = fetch.max_bytes;
        let too_large = || {
            refused(format!(
                "{} sent more than {most} bytes, which is the most that is fetched",
                host_of(url)
            ))
        };
        let announced = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let mut reader = response.into_body().into_reader();
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            go_on(watch)?;
            if Instant::now() >= until {
                return Err(too_slow(fetch.max_seconds));
            }
            // What is counted is what was unpacked.
            let read = reader.read(&mut piece).map_err(|error| {
                if Instant::now() >= until {
                    too_slow(fetch.max_seconds)
                } else {
                    tracing::debug!(%error, "a fetch broke off");
                    OutboundError::Failed {
                        reason: format!("{} broke off", host_of(url)),
                    }
                }
            })?;
            let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else {
                return Ok(bytes);
            };
            if (bytes.len() + read.len()) as u64 > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(read);
        }
    }
}

/// An agent for one request: what it connects to is checked for this one.
fn agent(reachable: &Reachable, url: &Url, time: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .https_only(url.scheme() == "https")
        .proxy(None)
        .timeout_connect(Some(CONNECT.min(time)))
        .timeout_global(Some(time))
        .max_idle_connections(0)
        .accept_encoding("identity")
        .user_agent(concat!("genie/", env!("CARGO_PKG_VERSION")))
        .build();
    let resolver = Guarded::new(reachable.clone());
    Agent::with_parts(config, DefaultConnector::default(), resolver)
}

/// The address, normalised as browsers do, if it may be reached.
fn checked(url: &str, reachable: &Reachable) -> Result<Url, OutboundError> {
    let parsed = Url::parse(url).map_err(|error| refused(format!("it is no address: {error}")))?;
    check(&parsed, reachable)?;
    Ok(parsed)
}

fn check(url: &Url, reachable: &Reachable) -> Result<(), OutboundError> {
    let is_plain = match url.scheme() {
        "https" => false,
        "http" if reachable.allows_plain() => true,
        other => return Err(refused(format!("it begins with {other}:, not with https:"))),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it has a name or a password in it".to_owned()));
    }
    let host = host_of(url);
    if !reachable.allows_host(&host) {
        return Err(refused(format!(
            "{host} is not among the hosts that may be reached"
        )));
    }
    // What is an address already is not looked up, so it is checked here.
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    };
    match address {
        Some(address) if !reachable.allows_address(address, !is_plain) => Err(refused(format!(
            "{host} is not an address of the public Internet"
        ))),
        _ => Ok(()),
    }
}

/// Where a redirect leads, if that may be reached.
fn redirected(
    from: &Url,
    response: &Response<Body>,
    reachable: &Reachable,
) -> Result<Url, OutboundError> {
    let leads_nowhere = || refused(format!("{} leads on to nowhere", host_of(from)));
    let location = response.headers().get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let url = from
        .join(location.ok_or_else(leads_nowhere)?)
        .map_err(|_| leads_nowhere())?;
    if from.scheme() == "https" && url.scheme() != "https" {
        return Err(refused(format!(
            "{} leads on to an address without TLS",
            host_of(from)
        )));
    }
    check(&url, reachable)?;
    Ok(url)
}

/// The host without the brackets of IPv6.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}

fn go_on(watch: &Watch) -> Result<(), OutboundError> {
    if watch.goes_on() && !interrupt::requested() {
        Ok(())
    } else {
        Err(OutboundError::Stopped)
    }
}

fn failed(url: &Url, error: &ureq::Error) -> OutboundError {
    let host = host_of(url);
    if was_refused(error) {
        return refused(format!("{host} is not at an address that may be reached"));
    }
    // What exactly went wrong may tell of the network; that is for the log.
    tracing::info!(host, %error, "a host could not be reached");
    let reason = match error {
        ureq::Error::Timeout(_) => format!("{host} did not answer in time"),
        ureq::Error::HostNotFound => format!("{host} is not known"),
        _ => format!("{host} can't be reached"),
    };
    OutboundError::Failed { reason }
}

fn too_slow(seconds: u64) -> OutboundError {
    refused(format!(
        "it takes longer than the {seconds} seconds that a fetch may take"
    ))
}

fn refused(reason: String) -> OutboundError {
    OutboundError::Refused { reason }
}

#[cfg(test)]
mod tests;
