//! Flags, environment, `config.toml` and defaults into one validated
//! [`Config`]. The only place that knows where settings come from.

mod environment;
mod observed;
mod outbound;
mod profile;
mod retrieval;
mod trust;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use genie_core::{
    AnswerConfig, Authentication, Config, DeviceChoice, HandOverConfig, InferenceConfig, Places,
    ServerConfig, Style, TlsFiles,
};
use serde::Deserialize;

pub(crate) use self::environment::variable_of;
pub(crate) use self::observed::log_format;
pub(crate) use self::profile::{Embedding, Learnt, Profile, Weights};
use self::retrieval::Retrieval;
pub(crate) use self::trust::{Road, Trust, written};
use crate::cli::{Common, Device, Serve};

/// The names of the default models in the registry.
const EMBEDDING_MODEL: &str = "multilingual-e5-small";
const CHAT_MODEL: &str = "qwen2.5-coder-1.5b-instruct";

/// Reads all settings. `serve` brings what only `genie serve` has flags for.
pub(crate) fn read(common: &Common, serve: &Serve) -> anyhow::Result<Config> {
    let places = places(common)?;
    let file = File::read(&places.config_file())?;
    let chat_model = common
        .chat_model
        .clone()
        .or(file.chat_model)
        .unwrap_or_else(|| CHAT_MODEL.to_owned());
    let (retrieval, profile) = file.retrieval.read(&places.home)?;
    let tls = tls(serve, &file.server)?;
    let listen = serve
        .listen
        .or(file.server.listen)
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    let allow_remote = serve.allow_remote || file.server.allow_remote.unwrap_or(false);
    // Whoever sets it up for other machines gets keys without asking.
    let is_shared = allow_remote || !listen.ip().is_loopback();
    let config = Config {
        embedding_model: common
            .embedding_model
            .clone()
            .or(file.embedding_model)
            .unwrap_or_else(|| EMBEDDING_MODEL.to_owned()),
        embedding_dimension: file.embedding_dimension,
        chat_model: (chat_model != "none").then_some(chat_model),
        chat_models: file.chat_models.unwrap_or_default(),
        device: common
            .device
            .map(device)
            .or(file.device)
            .unwrap_or_default(),
        threads: common.threads.or(file.threads).unwrap_or(0),
        inference: file.inference.read(),
        qdrant_url: common.qdrant_url.clone().or(file.qdrant_url),
        collection: common
            .collection
            .clone()
            .or(file.collection)
            .unwrap_or_else(|| "genie".to_owned()),
        profile,
        retrieval,
        answer: AnswerConfig {
            context_tokens: file.answer.context_tokens.unwrap_or(2400),
            sentences: file.answer.sentences.unwrap_or(3),
            max_tokens: file.answer.max_tokens.unwrap_or(320),
            style: file.answer.style.unwrap_or_default(),
            languages: Vec::new(),
            hand_over: HandOverConfig {
                contact: file.answer.contact,
                below: file.answer.hand_over_below.unwrap_or(0.5),
            },
        },
        database_url: database_url().or(file.database_url),
        server: ServerConfig {
            authentication: file.server.authentication.unwrap_or(if is_shared {
                Authentication::Required
            } else {
                Authentication::SingleUser
            }),
            requests_per_minute: file.server.requests_per_minute.unwrap_or(600),
            listen,
            allow_remote,
            max_requests: file.server.max_requests.unwrap_or(64),
            max_body_bytes: file.server.max_body_bytes.unwrap_or(1 << 20),
            direct_model: file.server.direct_model.unwrap_or(false),
        },
        tls,
        outbound: outbound::read(file.fetch, file.webhooks, |name| {
            std::env::var(name).ok().filter(|secret| !secret.is_empty())
        })?,
        places,
    };
    let believed = trust::Sections {
        oidc: file.oidc,
        mediator: file.security_server,
        pages: file.cors,
    };
    Trust::read(believed, &config.places.home, config.tls.is_some())?;
    observed::collector(file.otlp_endpoint)?;
    log_format()?;
    Ok(config.validate()?)
}

/// Whom the service believes beside its keys. [`read`] found that it makes
/// sense.
pub(crate) fn trust(config: &Config) -> anyhow::Result<Trust> {
    let file = File::read(&config.places.config_file())?;
    let believed = trust::Sections {
        oidc: file.oidc,
        mediator: file.security_server,
        pages: file.cors,
    };
    Trust::read(believed, &config.places.home, config.tls.is_some())
}

/// Where traces are sent, if anywhere.
pub(crate) fn collector(common: &Common) -> anyhow::Result<Option<String>> {
    let file = File::read(&places(common)?.config_file())?;
    observed::collector(file.otlp_endpoint)
}

/// The folders alone, for commands that work with a broken `config.toml`.
pub(crate) fn places(common: &Common) -> anyhow::Result<Places> {
    let platform = directories::ProjectDirs::from("", "", "genie");
    let home = match (&common.home, &platform) {
        (Some(home), _) => home.clone(),
        (None, Some(platform)) => platform.data_dir().to_owned(),
        (None, None) => bail!("this account has no home folder; name one with GENIE_HOME"),
    };
    let models = match (&common.models, &platform) {
        (Some(models), _) => models.clone(),
        (None, Some(platform)) => platform.cache_dir().join("models"),
        (None, None) => bail!("this account has no cache folder; name one with GENIE_MODELS"),
    };
    Ok(Places {
        home: absolute(home)?,
        models: absolute(models)?,
    })
}

/// Read from the environment alone: flags show in the list of processes.
pub(crate) fn qdrant_api_key() -> Option<String> {
    std::env::var("GENIE_QDRANT_API_KEY")
        .ok()
        .filter(|key| !key.is_empty())
}

fn tls(serve: &Serve, file: &Server) -> anyhow::Result<Option<TlsFiles>> {
    let certificate = serve
        .tls_certificate
        .as_ref()
        .or(file.tls_certificate.as_ref());
    let key = serve.tls_key.as_ref().or(file.tls_key.as_ref());
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        (None, None) => Ok(None),
        _ => bail!("TLS needs both a certificate and its key: --tls-certificate and --tls-key"),
    }
}

/// A key for a service that needs one; read from the environment alone, too.
pub(crate) fn api_key() -> Option<String> {
    std::env::var("GENIE_API_KEY")
        .ok()
        .filter(|key| !key.is_empty())
}

/// It holds a password, so there is no flag for it.
pub(crate) fn database_url() -> Option<String> {
    std::env::var("GENIE_DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty())
}

fn absolute(path: PathBuf) -> anyhow::Result<PathBuf> {
    std::path::absolute(&path).with_context(|| format!("{} is no usable path", path.display()))
}

const fn device(device: Device) -> DeviceChoice {
    match device {
        Device::Auto => DeviceChoice::Auto,
        Device::Cpu => DeviceChoice::Cpu,
        Device::Cuda => DeviceChoice::Cuda,
    }
}

/// `config.toml`. Unknown keys are errors: a misspelt setting must not be
/// ignored in silence.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    embedding_model: Option<String>,
    embedding_dimension: Option<usize>,
    chat_model: Option<String>,
    chat_models: Option<Vec<String>>,
    device: Option<DeviceChoice>,
    threads: Option<usize>,
    inference: Inference,
    qdrant_url: Option<String>,
    collection: Option<String>,
    database_url: Option<String>,
    retrieval: Retrieval,
    answer: Answer,
    server: Server,
    oidc: trust::Oidc,
    security_server: trust::Mediator,
    cors: trust::Pages,
    otlp_endpoint: Option<String>,
    fetch: outbound::Fetch,
    webhooks: BTreeMap<String, outbound::Webhook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Inference {
    slots: Option<usize>,
    held_mib: Option<usize>,
    kept_mib: Option<usize>,
}

impl Inference {
    fn read(&self) -> InferenceConfig {
        let usual = InferenceConfig::default();
        InferenceConfig {
            slots: self.slots.unwrap_or(usual.slots),
            held_mib: self.held_mib.unwrap_or(usual.held_mib),
            kept_mib: self.kept_mib.unwrap_or(usual.kept_mib),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    context_tokens: Option<usize>,
    sentences: Option<usize>,
    max_tokens: Option<usize>,
    style: Option<Style>,
    contact: Option<String>,
    hand_over_below: Option<f32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Server {
    listen: Option<SocketAddr>,
    allow_remote: Option<bool>,
    authentication: Option<Authentication>,
    requests_per_minute: Option<u32>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    max_requests: Option<usize>,
    max_body_bytes: Option<usize>,
    direct_model: Option<bool>,
}

impl File {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("{} can't be read", path.display()));
            }
        };
        // The file alone first: its errors name a line.
        let file: Self = toml::from_str(&text)
            .with_context(|| format!("{} is not a valid configuration", path.display()))?;
        let before: toml::Table = text.parse()?;
        let mut settings = before.clone();
        environment::overlay(&mut settings, std::env::vars_os())?;
        if settings == before {
            return Ok(file);
        }
        settings
            .try_into()
            .context("the variables that begin with GENIE__ are not a valid configuration")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(home: &Path) -> Common {
        Common {
            home: Some(home.to_owned()),
            models: Some(home.join("models")),
            ..Common::default()
        }
    }

    #[test]
    fn flags_override_the_file_and_the_file_overrides_defaults() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(
            home.path().join("config.toml"),
            "chat_model = \"none\"\nthreads = 3\n[retrieval]\ntop_k = 9\n",
        )
        .unwrap();
        let config = read(&common(home.path()), &Serve::default()).unwrap();
        assert_eq!(config.chat_model, None);
        assert_eq!((config.threads, config.retrieval.top_k), (3, 9));
        assert_eq!(config.embedding_model, EMBEDDING_MODEL);
        let mut flags = common(home.path());
        flags.threads = Some(1);
        flags.chat_model = Some("other".to_owned());
        let config = read(&flags, &Serve::default()).unwrap();
        assert_eq!(config.threads, 1);
        assert_eq!(config.chat_model.as_deref(), Some("other"));
    }

    #[test]
    fn the_readme_shows_the_defaults() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let (_, block) = readme
            .split_once("```toml\n# config.toml, with the defaults\n")
            .expect("the settings");
        let (block, _) = block.split_once("```").expect("its end");
        let (shown, bare) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(shown.path().join("config.toml"), block).unwrap();
        let [shown, bare] =
            [shown, bare].map(|home| read(&common(home.path()), &Serve::default()).unwrap());
        assert_eq!(shown.retrieval, bare.retrieval);
        assert_eq!(shown.answer, bare.answer);
        assert_eq!(shown.server, bare.server);
        assert_eq!(shown.inference, bare.inference);
        assert_eq!(shown.embedding_model, bare.embedding_model);
        assert_eq!(shown.chat_model, bare.chat_model);
        assert_eq!(
            (shown.collection, shown.threads),
            (bare.collection, bare.threads)
        );
    }

    #[test]
    fn a_misspelt_setting_is_an_error_that_names_the_file() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), "[retrieval]\ntopk = 9\n").unwrap();
        let error = read(&common(home.path()), &Serve::default()).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("config.toml") && text.contains("topk"),
            "{text}"
        );
    }

    fn profile() -> Profile {
        Profile::new(
            Weights {
                fusion: genie_core::Fusion::Dbsf,
                dense_weight: 1.0,
                lexical_weight: 0.4,
                lexical_bonus: 0.01,
            },
            Embedding {
                model: "e5".to_owned(),
                hash: genie_core::ContentHash::of(b"weights").to_string(),
                lexical_version: "words".to_owned(),
                tokens_version: "tokens".to_owned(),
            },
            Learnt {
                suite: "gold.jsonl".to_owned(),
                suite_hash: "aa".to_owned(),
                metric: "ndcg@10".to_owned(),
                seed: 1,
                gain: genie_eval::Estimate {
                    value: 0.02,
                    low: 0.01,
                    high: 0.03,
                    n: 62,
                    clusters: 40,
                },
                p: 0.01,
            },
        )
    }

    #[test]
    fn a_profile_is_read_and_what_is_written_goes_before_it() {
        let home = tempfile::tempdir().unwrap();
        profile().write(&home.path().join("learnt.toml")).unwrap();
        std::fs::write(
            home.path().join("config.toml"),
            "[retrieval]\nprofile = \"learnt.toml\"\nlexical_bonus = 0.5\n\
             [retrieval.authority]\nlaw = 0.5\n",
        )
        .unwrap();
        let config = read(&common(home.path()), &Serve::default()).unwrap();
        let retrieval = config.retrieval;
        assert_eq!(retrieval.fusion, genie_core::Fusion::Dbsf);
        assert_eq!(retrieval.weights.lexical, 0.4);
        assert_eq!(retrieval.rerank.lexical_bonus, 0.5);
        assert_eq!(retrieval.rerank.boosts.authority["law"], 0.5);
        let learnt_for = config.profile.unwrap();
        assert_eq!(learnt_for.model, "e5");
        assert_eq!(learnt_for.lexical_version, "words");
        assert_eq!(learnt_for.tokens_version, "tokens");
    }

    #[test]
    fn a_file_that_is_no_profile_is_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(
            home.path().join("config.toml"),
            "[retrieval]\nprofile = \"learnt.toml\"\n",
        )
        .unwrap();
        let mut text = String::new();
        for written in [
            None,
            Some("version = 2\n"),
            Some("version = 1\n"),
            Some("VERSION"),
        ] {
            let file = home.path().join("learnt.toml");
            match written {
                Some("VERSION") => {
                    profile().write(&file).unwrap();
                    let newer = std::fs::read_to_string(&file).unwrap();
                    let newer = newer.replacen("version = 2", "version = 9", 1);
                    std::fs::write(&file, newer).unwrap();
                }
                Some(written) => std::fs::write(&file, written).unwrap(),
                None => {}
            }
            let error = read(&common(home.path()), &Serve::default()).unwrap_err();
            text = format!("{error:#}");
            assert!(text.contains("learnt.toml"), "{text}");
            if written == Some("version = 1\n") {
                assert!(text.contains("genie eval learn"), "{text}");
            }
        }
        assert!(text.contains("version 9"), "{text}");
    }

    #[test]
    fn an_open_address_needs_consent() {
        let home = tempfile::tempdir().unwrap();
        let mut serve = Serve {
            listen: Some("0.0.0.0:80".parse().unwrap()),
            ..Serve::default()
        };
        assert!(read(&common(home.path()), &serve).is_err());
        serve.allow_remote = true;
        let open = read(&common(home.path()), &serve).unwrap();
        assert_eq!(open.server.authentication, Authentication::Required);
        serve.allow_remote = false;
        serve.tls_certificate = Some("chain.pem".into());
        assert!(
            read(&common(home.path()), &serve).is_err(),
            "the key is missing"
        );
        serve.tls_key = Some("key.pem".into());
        let encrypted = read(&common(home.path()), &serve).unwrap();
        assert_eq!(encrypted.server.authentication, Authentication::Required);
    }
}
