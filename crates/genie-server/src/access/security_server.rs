//! A security server (X-Road, GovStack's information mediator) that is trusted
//! to say for whom it asks, by the certificate that it connects with.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use genie_state::{Role, Subject, WorkspaceId};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use sha2::{Digest as _, Sha256};

use super::caller::Person;

/// Which subsystem asks: by the message protocol of X-Road for REST, and as
/// GovStack's information mediator calls it.
static CLIENT: [HeaderName; 3] = [
    HeaderName::from_static("x-road-client"),
    HeaderName::from_static("x-govstack-client"),
    HeaderName::from_static("information-mediator-client"),
];
/// For which of its people.
const USER: HeaderName = HeaderName::from_static("x-road-userid");

/// What a security server may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityServer {
    /// The certificates that are its own, of those that the authorities for
    /// clients issued.
    pub certificates: Vec<TrustedCertificate>,
    /// The subsystems that it may ask for, with what each may do. One that
    /// stands here twice may do both.
    pub clients: Vec<RoadClient>,
}

/// A certificate, as it is named in settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedCertificate {
    /// SHA-256 of the certificate in DER.
    Fingerprint([u8; 32]),
    /// A DNS name or an address among its alternative names.
    Name(ServerName<'static>),
}

/// A subsystem that asks through the security server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoadClient {
    /// Its identifier, `INSTANCE/CLASS/MEMBER/SUBSYSTEM`; with `/*` at its end
    /// all below it.
    pub client: String,
    /// Where it may ask.
    pub workspace: WorkspaceId,
    /// As what.
    pub role: Role,
    /// Whether it tells its people apart with `X-Road-UserId`.
    pub names_people: bool,
}

/// The text names no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no certificate; write `sha256:` with 64 hexadecimal digits, or a name that the \
     certificate is for"
)]
pub struct CertificateNameError(String);

impl FromStr for TrustedCertificate {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || CertificateNameError(text.chars().take(200).collect());
        let Some(digits) = text.strip_prefix("sha256:") else {
            let name = ServerName::try_from(text.to_owned()).map_err(|_| wrong())?;
            return Ok(Self::Name(name));
        };
        // As `openssl x509 -fingerprint` writes it, too.
        let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b':').collect();
        let (pairs, []) = digits.as_chunks::<2>() else {
            return Err(wrong());
        };
        let bytes = pairs.iter().map(|pair| {
            let text = std::str::from_utf8(pair).ok()?;
            // `from_str_radix` takes a sign, too.
            text.bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then_some(())?;
            u8::from_str_radix(text, 16).ok()
        });
        let bytes: Option<Vec<u8>> = bytes.collect();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self::Fingerprint)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for TrustedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(bytes) => {
                f.write_str("sha256:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Name(name) => f.write_str(&name.to_str()),
        }
    }
}

/// The certificate that a peer has proven to hold, issued by an authority for
/// clients.
#[derive(Debug, Clone)]
pub(crate) struct ClientCertificate(Arc<CertificateDer<'static>>);

impl ClientCertificate {
    pub(crate) fn new(certificate: &CertificateDer<'_>) -> Self {
        Self(Arc::new(certificate.clone().into_owned()))
    }
}

impl SecurityServer {
    /// Whether the certificate is the security server's.
    pub(crate) fn is(&self, certificate: &ClientCertificate) -> bool {
        let fingerprint: [u8; 32] = Sha256::digest(&*certificate.0).into();
        let parsed = ParsedCertificate::try_from(&*certificate.0).ok();
        self.certificates.iter().any(|trusted| match trusted {
            TrustedCertificate::Fingerprint(known) => *known == fingerprint,
            TrustedCertificate::Name(name) => parsed
                .as_ref()
                .is_some_and(|parsed| rustls::client::verify_server_name(parsed, name).is_ok()),
        })
    }

    /// For whom it asks; `None` where it says nothing that is configured.
    pub(crate) fn person(&self, headers: &HeaderMap) -> Option<Person> {
        // What X-Road allows in no identifier stands between client and user.
        let client = client(headers).filter(|client| !client.contains(':'))?;
        let known: Vec<_> = self
            .clients
            .iter()
            .filter(|known| fits(&known.client, client))
            .collect();
        let names_people = known.first()?.names_people;
        let mut subject = format!("xroad:{client}");
        if names_people && headers.contains_key(&USER) {
            subject = format!("{subject}:{}", only(headers, &USER)?);
        }
        Some(Person {
            subject: subject.parse::<Subject>().ok()?,
            grants: known
                .iter()
                .map(|known| (Some(known.workspace.clone()), known.role))
                .collect(),
            memberships: Vec::new(),
        })
    }
}

/// The subsystem, where it is said once, or the same by each header that says
/// it.
fn client(headers: &HeaderMap) -> Option<&str> {
    let mut said = CLIENT.iter().filter(|name| headers.contains_key(*name));
    let client = only(headers, said.next()?)?;
    said.all(|name| only(headers, name) == Some(client))
        .then_some(client)
}

/// The value of a header that is there once and is not empty.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

fn fits(pattern: &str, client: &str) -> bool {
    match pattern.strip_suffix('*') {
        // Only whole parts: what is below `A/B/` is not below `A/BC/`.
        Some(above) => {
            above.ends_with('/') && client.len() > above.len() && client.starts_with(above)
        }
        None => pattern == client,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn server() -> SecurityServer {
        let client = |client: &str, workspace: &str, role, names_people| RoadClient {
            client: client.to_owned(),
            workspace: workspace.parse().expect("an id"),
            role,
            names_people,
        };
        SecurityServer {
            certificates: Vec::new(),
            clients: vec![
                client("EE/GOV/1/portal", "health", Role::Editor, true),
                client("EE/GOV/1/portal", "energy", Role::Reader, true),
                client("EE/GOV/2/*", "energy", Role::Reader, false),
            ],
        }
    }

    fn asks(headers: &[(&'static str, &'static str)]) -> Option<(String, usize)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let person = server().person(&map)?;
        Some((person.subject.to_string(), person.grants.len()))
    }

    #[test]
    fn only_configured_clients_are_somebody() {
        let check = |headers: &[(&'static str, &'static str)], expected: Option<(&str, usize)>| {
            let expected = expected.map(|(subject, grants)| (subject.to_owned(), grants));
            assert_eq!(asks(headers), expected, "{headers:?}");
        };
        let portal = ("x-road-client", "EE/GOV/1/portal");
        check(&[portal], Some(("xroad:EE/GOV/1/portal", 2)));
        check(
            &[portal, ("x-road-userid", "EE1")],
            Some(("xroad:EE/GOV/1/portal:EE1", 2)),
        );
        check(&[portal, ("x-road-userid", "")], None);
        check(&[portal, portal], None);
        let other = ("x-road-client", "EE/GOV/2/any");
        check(
            &[other, ("x-road-userid", "EE1")],
            Some(("xroad:EE/GOV/2/any", 1)),
        );
        for nobody in [
            "EE/GOV/1/portal/",
            "EE/GOV/2/x:EE1",
            "EE/GOV/1",
            "EE/GOV/2/",
            "EE/GOV/22/x",
            "",
            "*",
        ] {
            check(&[("x-road-client", nobody)], None);
        }
        check(&[], None);
        // The same by other names.
        for name in ["x-govstack-client", "information-mediator-client"] {
            let again = (name, "EE/GOV/1/portal");
            check(&[again], Some(("xroad:EE/GOV/1/portal", 2)));
            check(&[portal, again], Some(("xroad:EE/GOV/1/portal", 2)));
            check(&[portal, (name, "EE/GOV/2/any")], None);
            check(&[again, again], None);
        }
    }

    #[test]
    fn certificates_are_named_by_fingerprint_or_name() {
        let digits = "0123456789abcdef".repeat(4);
        let plain: TrustedCertificate = format!("sha256:{digits}").parse().expect("a fingerprint");
        assert_eq!(plain.to_string(), format!("sha256:{digits}"));
        let upper: Vec<_> = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
            .collect();
        assert_eq!(format!("sha256:{}", upper.join(":")).parse(), Ok(plain));
        let named: TrustedCertificate = "ss1.gov.example".parse().expect("a name");
        assert_eq!(named.to_string(), "ss1.gov.example");
        for wrong in [
            "",
            "sha256:",
            "sha256:00",
            "sha256:+1",
            "a b",
            &format!("sha256:{digits}00"),
        ] {
            assert!(wrong.parse::<TrustedCertificate>().is_err(), "{wrong:?}");
        }
    }
}
