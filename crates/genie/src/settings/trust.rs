//! Whom the service believes beside its keys: an identity provider and a
//! security server; and whose pages may use it. All hold lists, so there are no
//! flags for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use genie_server::{Grant, IdentitySettings, PageOrigin, RoadClient, SecurityServer};
use genie_state::{Role, WorkspaceId};
use serde::Deserialize;

/// Algorithms that providers use unless told otherwise.
const ALGORITHMS: [&str; 2] = ["RS256", "ES256"];
/// A workspace that stands for all of them.
const EVERYWHERE: &str = "*";

/// The parties that are believed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Trust {
    pub(crate) identity: Option<IdentitySettings>,
    pub(crate) security_server: Option<Road>,
    pub(crate) page_origins: Vec<PageOrigin>,
}

/// A security server with the file of the authorities for its certificates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Road {
    pub(crate) authorities: PathBuf,
    /// What these authorities have called back.
    pub(crate) revocation_lists: Option<PathBuf>,
    pub(crate) server: SecurityServer,
}

/// `[oidc]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Oidc {
    issuer: Option<String>,
    name: Option<String>,
    audience: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
    subject_claim: Option<String>,
    role_claims: Option<Vec<String>>,
    grants: Option<Vec<String>>,
    clock_skew_seconds: Option<u64>,
}

/// `[security_server]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mediator {
    authorities: Option<PathBuf>,
    revocation_lists: Option<PathBuf>,
    certificates: Option<Vec<String>>,
    clients: Option<Vec<String>>,
    names_people: Option<bool>,
}

/// `[cors]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pages {
    origins: Option<Vec<String>>,
}

/// The sections of the file that this is about.
pub(super) struct Sections {
    pub(super) oidc: Oidc,
    pub(super) mediator: Mediator,
    pub(super) pages: Pages,
}

impl Trust {
    /// What the file and the environment say; relative files are the home's.
    pub(super) fn read(sections: Sections, home: &Path, has_tls: bool) -> anyhow::Result<Self> {
        let origins = list("GENIE_CORS_ORIGINS", ',').or(sections.pages.origins);
        Ok(Self {
            identity: sections.oidc.read().context("[oidc] makes no sense")?,
            security_server: sections
                .mediator
                .read(home, has_tls)
                .context("[security_server] makes no sense")?,
            page_origins: origins
                .unwrap_or_default()
                .iter()
                .map(|origin| origin.parse::<PageOrigin>())
                .collect::<Result<_, _>>()
                .context("[cors] makes no sense")?,
        })
    }
}

impl Oidc {
    fn read(self) -> anyhow::Result<Option<IdentitySettings>> {
        let Some(issuer) = variable("GENIE_OIDC_ISSUER").or(self.issuer) else {
            let others = self.audience.is_some() || self.grants.is_some() || self.name.is_some();
            if others {
                bail!("there is no issuer; set oidc.issuer or GENIE_OIDC_ISSUER");
            }
            return Ok(None);
        };
        let skew = match variable("GENIE_OIDC_CLOCK_SKEW_SECONDS") {
            Some(text) => Some(text.parse().with_context(|| {
                format!("GENIE_OIDC_CLOCK_SKEW_SECONDS is {text}, which is no number of seconds")
            })?),
            None => self.clock_skew_seconds,
        };
        let settings = IdentitySettings {
            issuer,
            name: variable("GENIE_OIDC_NAME")
                .or(self.name)
                .unwrap_or_default(),
            audiences: list("GENIE_OIDC_AUDIENCE", ',')
                .or(self.audience)
                .unwrap_or_default(),
            algorithms: list("GENIE_OIDC_ALGORITHMS", ',')
                .or(self.algorithms)
                .unwrap_or_else(|| ALGORITHMS.map(str::to_owned).into()),
            subject_claim: variable("GENIE_OIDC_SUBJECT_CLAIM")
                .or(self.subject_claim)
                .unwrap_or_else(|| "sub".to_owned()),
            role_claims: list("GENIE_OIDC_ROLE_CLAIMS", ',')
                .or(self.role_claims)
                .unwrap_or_default(),
            grants: list("GENIE_OIDC_GRANTS", ';')
                .or(self.grants)
                .unwrap_or_default()
                .iter()
                .map(|text| grant(text))
                .collect::<anyhow::Result<_>>()?,
            clock_skew: Duration::from_secs(skew.unwrap_or(60)),
        };
        settings.check()?;
        Ok(Some(settings))
    }
}

impl Mediator {
    fn read(self, home: &Path, has_tls: bool) -> anyhow::Result<Option<Road>> {
        let authorities = variable("GENIE_SECURITY_SERVER_AUTHORITIES")
            .map(PathBuf::from)
            .or(self.authorities);
        let revocation_lists = variable("GENIE_SECURITY_SERVER_REVOCATION_LISTS")
            .map(PathBuf::from)
            .or(self.revocation_lists);
        let certificates = list("GENIE_SECURITY_SERVER_CERTIFICATES", ',').or(self.certificates);
        let clients = list("GENIE_SECURITY_SERVER_CLIENTS", ';').or(self.clients);
        let Some(authorities) = authorities else {
            if certificates.is_some() || clients.is_some() || revocation_lists.is_some() {
                bail!("there is no file of authorities; set security_server.authorities");
            }
            return Ok(None);
        };
        if !has_tls {
            bail!(
                "certificates of clients need TLS; set --tls-certificate and --tls-key, too \
                 (behind a proxy that speaks TLS, it is the proxy that would have to ask)"
            );
        }
        let certificates = certificates.unwrap_or_default();
        let clients = clients.unwrap_or_default();
        if certificates.is_empty() || clients.is_empty() {
            bail!(
                "it has to name at least one certificate (security_server.certificates) and one \
                 client (security_server.clients)"
            );
        }
        let names_people = match variable("GENIE_SECURITY_SERVER_NAMES_PEOPLE").as_deref() {
            Some("true") => true,
            Some("false") => false,
            Some(text) => bail!("GENIE_SECURITY_SERVER_NAMES_PEOPLE is {text}, not true or false"),
            None => self.names_people.unwrap_or(false),
        };
        let server = SecurityServer {
            certificates: certificates
                .iter()
                .map(|text| Ok(text.parse()?))
                .collect::<anyhow::Result<_>>()?,
            clients: clients
                .iter()
                .map(|text| {
                    let (client, workspace, role) = allowed(text)?;
                    Ok(RoadClient {
                        client: client.to_owned(),
                        workspace: workspace.with_context(|| {
                            format!("`{text}` has to name one workspace, not all of them")
                        })?,
                        role,
                        names_people,
                    })
                })
                .collect::<anyhow::Result<_>>()?,
        };
        Ok(Some(Road {
            authorities: home.join(authorities),
            revocation_lists: revocation_lists.map(|lists| home.join(lists)),
            server,
        }))
    }
}

fn grant(text: &str) -> anyhow::Result<Grant> {
    let (value, workspace, role) = allowed(text)?;
    Ok(Grant {
        value: value.to_owned(),
        workspace,
        role,
    })
}

/// `WHO=WORKSPACE:ROLE`. Names of groups may have `=` in them, names of
/// workspaces and roles not.
fn allowed(text: &str) -> anyhow::Result<(&str, Option<WorkspaceId>, Role)> {
    let form = || format!("`{text}` is not of the form WHO=WORKSPACE:ROLE");
    let (who, place) = text.rsplit_once('=').with_context(form)?;
    let (workspace, role) = place.split_once(':').with_context(form)?;
    if who.trim().is_empty() {
        bail!(form());
    }
    let workspace = match workspace {
        EVERYWHERE => None,
        name => Some(name.parse()?),
    };
    Ok((who.trim(), workspace, role.parse()?))
}

/// As in the file, for people.
pub(crate) fn written(who: &str, workspace: Option<&WorkspaceId>, role: Role) -> String {
    let place = workspace.map_or(EVERYWHERE, WorkspaceId::as_str);
    format!("{who}={place}:{role}")
}

/// What the environment sets.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn list(name: &str, separator: char) -> Option<Vec<String>> {
    let text = variable(name)?;
    let parts = text.split(separator).map(str::trim);
    Some(
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct All {
        oidc: Oidc,
        security_server: Mediator,
        cors: Pages,
    }

    fn read(text: &str, has_tls: bool) -> Result<Trust, String> {
        let all: All = toml::from_str(text).map_err(|error| error.to_string())?;
        let sections = Sections {
            oidc: all.oidc,
            mediator: all.security_server,
            pages: all.cors,
        };
        Trust::read(sections, Path::new("home"), has_tls).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_provider_is_read_with_defaults() {
        assert_eq!(read("", false), Ok(Trust::default()));
        let trust = read(
            "[oidc]\nissuer = \"https://id.example.org\"\naudience = [\"genie\"]\n\
             role_claims = [\"groups\"]\n\
             grants = [\"CN=staff,O=gov=health:reader\", \"operators=*:owner\"]\n",
            false,
        );
        let identity = trust.unwrap().identity.unwrap();
        assert_eq!(identity.algorithms, ["RS256", "ES256"]);
        assert_eq!(identity.subject_claim, "sub");
        assert_eq!(identity.clock_skew, Duration::from_secs(60));
        let told: Vec<_> = identity
            .grants
            .iter()
            .map(|grant| written(&grant.value, grant.workspace.as_ref(), grant.role))
            .collect();
        assert_eq!(told, ["CN=staff,O=gov=health:reader", "operators=*:owner"]);
    }

    #[test]
    fn a_security_server_is_read() {
        let text = "[security_server]\nauthorities = \"clients.pem\"\n\
             certificates = [\"ss1.gov.example\"]\n\
             clients = [\"EE/GOV/1/portal=health:editor\"]\n";
        let road = read(text, true).unwrap().security_server.unwrap();
        assert_eq!(road.authorities, Path::new("home/clients.pem"));
        assert_eq!(road.revocation_lists, None);
        let with_lists = format!("{text}revocation_lists = \"lists.pem\"\n");
        let road_with_lists = read(&with_lists, true).unwrap().security_server.unwrap();
        assert_eq!(
            road_with_lists.revocation_lists.as_deref(),
            Some(Path::new("home/lists.pem"))
        );
        assert_eq!(road.server.clients[0].client, "EE/GOV/1/portal");
        assert!(!road.server.clients[0].names_people);
        assert!(read(text, false).unwrap_err().contains("TLS"));
    }

    #[test]
    fn origins_of_pages_are_read() {
        let text = "[cors]\norigins = [\"https://portal.example.org\"]\n";
        let origins = read(text, false).unwrap().page_origins;
        let origins: Vec<_> = origins.iter().map(PageOrigin::as_str).collect();
        assert_eq!(origins, ["https://portal.example.org"]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let oidc = |more: &str| {
            format!("[oidc]\nissuer = \"https://id.example.org\"\naudience = [\"genie\"]\n{more}")
        };
        for (text, expected) in [
            ("[oidc]\naudience = [\"genie\"]\n".to_owned(), "no issuer"),
            (
                "[oidc]\nissuer = \"https://id.example.org\"\n".to_owned(),
                "audience",
            ),
            ("[oidc]\nisuer = \"x\"\n".to_owned(), "isuer"),
            (oidc("algorithms = [\"HS256\"]"), "HS256"),
            (oidc("grants = [\"staff=health:reader\"]"), "no claim"),
            (
                oidc("role_claims = [\"r\"]\ngrants = [\"staff\"]"),
                "WHO=WORKSPACE:ROLE",
            ),
            (
                oidc("role_claims = [\"r\"]\ngrants = [\"s=health:boss\"]"),
                "boss",
            ),
            (
                oidc("role_claims = [\"r\"]\ngrants = [\"s=He alth:owner\"]"),
                "He alth",
            ),
            (oidc("clock_skew_seconds = 1000"), "1000 s"),
            ("[cors]\norigins = [\"*\"]\n".to_owned(), "`*`"),
            (
                "[security_server]\nclients = [\"a=health:reader\"]\n".to_owned(),
                "authorities",
            ),
            (
                "[security_server]\nrevocation_lists = \"a.pem\"\n".to_owned(),
                "authorities",
            ),
            (
                "[security_server]\nauthorities = \"a.pem\"\n".to_owned(),
                "at least one",
            ),
            (
                "[security_server]\nauthorities = \"a.pem\"\ncertificates = [\"a b\"]\n\
                 clients = [\"a=health:reader\"]\n"
                    .to_owned(),
                "a b",
            ),
            (
                "[security_server]\nauthorities = \"a.pem\"\ncertificates = [\"ss1\"]\n\
                 clients = [\"a=*:reader\"]\n"
                    .to_owned(),
                "one workspace",
            ),
        ] {
            let error = read(&text, true).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
