//! `[fetch]` and `[webhooks.NAME]` of `config.toml`.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use genie_core::{
    FetchConfig, HookSecret, HostPattern, Network, OutboundConfig, Reachable, WebhookConfig,
};
use serde::Deserialize;

/// What names of webhooks may have, so that they are names of variables too.
fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fetch {
    hosts: Vec<String>,
    networks: Vec<String>,
    max_bytes: Option<u64>,
    max_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Webhook {
    hosts: Vec<String>,
    networks: Vec<String>,
    secret: Option<String>,
    workspaces: Vec<String>,
}

/// What the service may reach.
pub(super) fn read(
    fetch: Fetch,
    webhooks: BTreeMap<String, Webhook>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<OutboundConfig> {
    let default = FetchConfig::default();
    let fetch = FetchConfig {
        reachable: reachable("fetch", &fetch.hosts, &fetch.networks)?,
        max_bytes: fetch.max_bytes.unwrap_or(default.max_bytes),
        max_seconds: fetch.max_seconds.unwrap_or(default.max_seconds),
    };
    let mut known = BTreeMap::new();
    for (name, webhook) in webhooks {
        let setting = format!("webhooks.{name}");
        if !is_name(&name) {
            bail!("{setting}: the name has to be of small letters, digits and hyphens");
        }
        if webhook.hosts.is_empty() {
            bail!("{setting}.hosts is empty, so nobody could be told");
        }
        let from = format!(
            "GENIE_WEBHOOK_SECRET_{}",
            name.to_ascii_uppercase().replace('-', "_")
        );
        let secret = variable(&from).or(webhook.secret).with_context(|| {
            format!("{setting} has no secret; set {setting}.secret or the variable {from}")
        })?;
        let secret = HookSecret::new(&secret).with_context(|| {
            format!(
                "the secret of {setting} is shorter than {} bytes; `openssl rand -hex 32` makes \
                 one",
                HookSecret::SHORTEST
            )
        })?;
        let webhook = WebhookConfig {
            reachable: reachable(&setting, &webhook.hosts, &webhook.networks)?,
            secret,
            workspaces: webhook.workspaces,
        };
        known.insert(name, webhook);
    }
    Ok(OutboundConfig {
        fetch,
        webhooks: known,
    })
}

fn reachable(setting: &str, hosts: &[String], networks: &[String]) -> anyhow::Result<Reachable> {
    let host = |host: &String| {
        let parsed = host.parse::<HostPattern>();
        parsed.map_err(|error| anyhow!("{setting}.hosts: {error}"))
    };
    let network = |network: &String| {
        let parsed = network.parse::<Network>();
        parsed.map_err(|error| anyhow!("{setting}.networks: {error}"))
    };
    Ok(Reachable {
        hosts: hosts.iter().map(host).collect::<anyhow::Result<_>>()?,
        networks: networks
            .iter()
            .map(network)
            .collect::<anyhow::Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(secret: Option<&str>) -> BTreeMap<String, Webhook> {
        let webhook = Webhook {
            hosts: vec!["relay.example.org".to_owned()],
            secret: secret.map(str::to_owned),
            ..Webhook::default()
        };
        BTreeMap::from([("a-relay".to_owned(), webhook)])
    }

    #[test]
    fn nothing_is_reachable_unless_said() {
        let config = read(Fetch::default(), BTreeMap::new(), |_| None).unwrap();
        assert_eq!(config, OutboundConfig::default());
        assert!(config.fetch.reachable.hosts.is_empty());
    }

    #[test]
    fn a_secret_comes_from_the_environment_first_and_is_long() {
        let from = |name: &str| {
            assert_eq!(name, "GENIE_WEBHOOK_SECRET_A_RELAY");
            Some("of the environment".to_owned())
        };
        let config = read(Fetch::default(), hook(Some("of the file itself")), from).unwrap();
        let secret = config.webhooks["a-relay"].secret.reveal();
        assert_eq!(secret, b"of the environment");
        for wrong in [None, Some("short")] {
            let error = read(Fetch::default(), hook(wrong), |_| None).unwrap_err();
            assert!(error.to_string().contains("webhooks.a-relay"), "{error}");
        }
    }

    #[test]
    fn a_wrong_host_or_network_is_named_with_its_setting() {
        let fetch = Fetch {
            hosts: vec!["https://example.org".to_owned()],
            ..Fetch::default()
        };
        let error = read(fetch, BTreeMap::new(), |_| None).unwrap_err();
        assert!(error.to_string().contains("fetch.hosts"), "{error}");
        let fetch = Fetch {
            networks: vec!["10.0.0.0".to_owned()],
            ..Fetch::default()
        };
        let error = read(fetch, BTreeMap::new(), |_| None).unwrap_err();
        assert!(error.to_string().contains("fetch.networks"), "{error}");
    }
}
