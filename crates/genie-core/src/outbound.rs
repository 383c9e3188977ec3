//! What a service may reach, as its operator allows it: nothing unless said.
//!
//! An address that somebody sends is the way into a network from outside of
//! it. So hosts are named, and whatever their names resolve to has to be an
//! address of the public Internet, or in a network that the operator names.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What may be fetched and who may be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundConfig {
    /// Where documents may be fetched from.
    pub fetch: FetchConfig,
    /// Who may be told of answers, by name.
    pub webhooks: BTreeMap<String, WebhookConfig>,
}

/// Where documents may be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchConfig {
    /// What may be reached; nothing by default.
    pub reachable: Reachable,
    /// Bytes of a document at most.
    pub max_bytes: u64,
    /// Seconds that fetching may take, with all redirects.
    pub max_seconds: u64,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            reachable: Reachable::default(),
            max_bytes: 64 << 20,
            max_seconds: 120,
        }
    }
}

/// Somebody who may be told of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// What may be reached.
    pub reachable: Reachable,
    /// What signs deliveries.
    pub secret: HookSecret,
    /// The workspaces that may use it; empty is all of them.
    pub workspaces: Vec<String>,
}

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSecret(Vec<u8>);

impl HookSecret {
    /// The fewest bytes of one.
    pub const SHORTEST: usize = 16;

    /// The secret, if it is long enough to be one.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        (secret.len() >= Self::SHORTEST).then(|| Self(secret.as_bytes().to_vec()))
    }

    /// The bytes, for signing.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(hidden)")
    }
}

/// Hosts that may be reached, and networks that they may be in besides the
/// public Internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reachable {
    /// By name.
    pub hosts: Vec<HostPattern>,
    /// By address; what is in none of them has to be public.
    pub networks: Vec<Network>,
}

impl Reachable {
    /// Whether a host of this name may be reached.
    #[must_use]
    pub fn allows_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| pattern.covers(host))
    }

    /// Whether an address that a name resolved to may be connected to. Without
    /// TLS that is this machine alone, and only where a network names it.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr, encrypted: bool) -> bool {
        let address = address.to_canonical();
        let is_named = self.networks.iter().any(|network| network.has(address));
        if encrypted {
            is_named || is_public(address)
        } else {
            is_named && address.is_loopback()
        }
    }

    /// Whether anything can be reached without TLS.
    #[must_use]
    pub fn allows_plain(&self) -> bool {
        self.networks
            .iter()
            .any(|network| network.address.is_loopback())
    }
}

/// A host by its whole name, or with a dot in front all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// Whether it covers a host. Names of hosts are compared in lower case, as
    /// addresses are normalised.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if self.0.starts_with('.') {
            host.len() > self.0.len() && host.ends_with(&self.0)
        } else {
            host == self.0
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('.').unwrap_or(text);
        let is_address = name.parse::<IpAddr>().is_ok();
        let is_name = (1..=253).contains(&name.len())
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            });
        if is_name || (is_address && !text.starts_with('.')) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "{text:?} is no host; write it as in \"www.example.org\", or \".example.org\" for \
                 all below it, in ASCII"
            ))
        }
    }
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits that they have in common.
    bits: u32,
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = u32::from(own) ^ u32::from(other);
                differing.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = u128::from(own) ^ u128::from(other);
                differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no network; write it as in \"10.1.0.0/16\" or \"127.0.0.1/32\"")
        };
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= most);
        Ok(Self {
            address,
            bits: bits.ok_or_else(wrong)?,
        })
    }
}

/// Whether an address is one of the public Internet, by IANA's registries of
/// special-purpose addresses (RFC 6890). What is not surely public is not.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // 224.0.0.0/4 multicast, 240.0.0.0/4 reserved, broadcast.
        || a >= 224
        // Shared by carriers (RFC 6598).
        || (a == 100 && (64..128).contains(&b))
        // Protocol assignments, and relays of 6to4.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        // Benchmarks (RFC 2544).
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Translated addresses (RFC 6052) are as public as what is in them.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., high, low] = segments;
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Only 2000::/3 is given out, and of it not: protocols with Teredo
    // (2001::/23), documentation, 6to4.
    segments[0] & 0xe000 == 0x2000
        && !(segments[0] == 0x2001 && segments[1] < 0x200)
        && !(segments[0] == 0x2001 && segments[1] == 0xdb8)
        && segments[0] != 0x2002
        && !(segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address(text)), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "223.255.255.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "64:ff9b::101:101",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn a_host_is_named_whole_or_by_its_end() {
        let pattern = |text: &str| text.parse::<HostPattern>().expect("a host");
        let exact = pattern("www.Example.org");
        assert!(exact.covers("www.example.org") && exact.covers("WWW.example.org."));
        for other in [
            "example.org",
            "a.www.example.org",
            "www.example.org.evil.test",
        ] {
            assert!(!exact.covers(other), "{other}");
        }
        let below = pattern(".example.org");
        assert!(below.covers("a.example.org") && below.covers("a.b.example.org"));
        for other in ["example.org", "badexample.org", ".example.org", ""] {
            assert!(!below.covers(other), "{other}");
        }
        for wrong in [
            "",
            ".",
            "*",
            "*.example.org",
            "a..b",
            "https://a",
            "a/b",
            "é.org",
            "a:80",
        ] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_has_what_begins_alike() {
        let network = |text: &str| text.parse::<Network>().expect("a network");
        assert!(network("10.1.0.0/16").has(address("10.1.255.3")));
        assert!(!network("10.1.0.0/16").has(address("10.2.0.1")));
        assert!(network("127.0.0.1/32").has(address("127.0.0.1")));
        assert!(!network("127.0.0.1/32").has(address("127.0.0.2")));
        assert!(network("0.0.0.0/0").has(address("9.9.9.9")));
        assert!(network("fd00::/8").has(address("fd12::1")));
        assert!(!network("::/0").has(address("9.9.9.9")));
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "x/8",
            "10.0.0.0/-1",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_tls_only_this_machine_is_reached_and_only_where_it_is_named() {
        let nothing = Reachable::default();
        assert!(nothing.allows_address(address("1.1.1.1"), true));
        assert!(!nothing.allows_address(address("1.1.1.1"), false));
        assert!(!nothing.allows_address(address("127.0.0.1"), true));
        assert!(!nothing.allows_address(address("127.0.0.1"), false));
        assert!(!nothing.allows_host("localhost"));
        let named = Reachable {
            hosts: Vec::new(),
            networks: vec!["127.0.0.0/8".parse().expect("a network")],
        };
        assert!(named.allows_address(address("::ffff:127.0.0.1"), false));
        assert!(!named.allows_address(address("10.0.0.1"), true));
    }

    #[test]
    fn a_secret_is_long_and_never_shown() {
        assert!(HookSecret::new("short").is_none());
        let secret = HookSecret::new("0123456789abcdef").expect("long enough");
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
