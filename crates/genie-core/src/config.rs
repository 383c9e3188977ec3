//! Configuration, as validated values. The binary reads it; nobody else does.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::FusionWeights;

/// Where models run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// CUDA where it works, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first CUDA device, or an error.
    Cuda,
}

/// The folders of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `GENIE_HOME`: configuration, index and state.
    pub home: PathBuf,
    /// `GENIE_MODELS`: model files.
    pub models: PathBuf,
}

impl Places {
    /// `config.toml` of the installation.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.home.join("config.toml")
    }

    /// The folder of the index in process.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.home.join("index")
    }

    /// The folder of everything else that is kept.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// The state's database, where it is a file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state().join("genie.db")
    }

    /// Where documents wait for their indexing.
    #[must_use]
    pub fn uploads(&self) -> PathBuf {
        self.state().join("uploads")
    }

    /// The folder of the workspaces other than the default one.
    #[must_use]
    pub fn workspaces(&self) -> PathBuf {
        self.home.join("workspaces")
    }
}

/// How passages are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RetrievalConfig {
    /// Passages put before the model.
    pub top_k: usize,
    /// Candidates that each side of the hybrid query contributes.
    pub candidates: usize,
    /// How much each side counts.
    pub weights: FusionWeights,
    /// Below this cosine of the best passage the corpus does not cover the
    /// question.
    pub min_similarity: f32,
    /// How candidates are put in their final order.
    pub rerank: RerankConfig,
}

/// How candidates are put in their final order, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RerankConfig {
    /// Whether passages are indexed with the vectors of their tokens, and
    /// compared with the query token by token.
    pub tokens: bool,
    /// What the best match of words adds to a score between 0 and 1; lesser
    /// matches add their share of it.
    pub lexical_bonus: f32,
    /// Milliseconds after which candidates that were not compared yet stay
    /// behind the others.
    pub budget_ms: usize,
    /// How many passages are kept.
    pub cut: Cut,
}

impl Default for RerankConfig {
    fn default() -> Self {
        Self {
            tokens: true,
            lexical_bonus: 0.005,
            budget_ms: 200,
            cut: Cut::Fixed,
        }
    }
}

/// How many passages are kept, `top_k` at most and one at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// `top_k`.
    #[default]
    Fixed,
    /// Those whose score is not far below the best one's.
    Threshold,
    /// Those before the largest gap between two scores.
    Gap,
}

/// How answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AnswerConfig {
    /// Tokens of passages in a prompt at most.
    pub context_tokens: usize,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
}

/// Who may use the service without a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// Programs on this machine, which is the service's only user. Never
    /// together with an address that other machines reach.
    #[default]
    SingleUser,
    /// Nobody.
    Required,
}

/// How the service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerConfig {
    /// Loopback unless `allow_remote`.
    pub listen: SocketAddr,
    /// The owner accepts that anybody who reaches the address can ask.
    pub allow_remote: bool,
    /// Who may use it without a key.
    pub authentication: Authentication,
    /// Requests a minute that one key may make; 0 is no limit.
    pub requests_per_minute: u32,
    /// Requests in work at a time; more are answered 429.
    pub max_requests: usize,
    /// Bytes of a request body at most.
    pub max_body_bytes: usize,
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the service's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folders.
    pub places: Places,
    /// Registry name of the embedding model.
    pub embedding_model: String,
    /// Registry name of the language model; `None` answers with quoted
    /// passages.
    pub chat_model: Option<String>,
    /// Where models run.
    pub device: DeviceChoice,
    /// Threads of inference; 0 is one for each core.
    pub threads: usize,
    /// A Qdrant server; `None` is the engine in process.
    pub qdrant_url: Option<String>,
    /// The collection's name on a server; those of workspaces begin with it.
    pub collection: String,
    /// A PostgreSQL server for the state, `postgres://…`, with its password;
    /// `None` is a SQLite file.
    pub database_url: Option<String>,
    /// How passages are found.
    pub retrieval: RetrievalConfig,
    /// How answers are made.
    pub answer: AnswerConfig,
    /// How the service listens.
    pub server: ServerConfig,
    /// What it speaks TLS with; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// A setting is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("{key} is {value}, but has to be from {low} to {high}")]
    OutOfRange {
        /// The setting.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// The least accepted.
        low: String,
        /// The most accepted.
        high: String,
    },
    /// Other machines would be let in without a key.
    #[error(
        "server.authentication is \"single-user\", which is for this machine alone, but the \
         service is set up for other machines; set it to \"required\""
    )]
    OpenToAll,
    /// The address can be reached from other machines.
    #[error(
        "{listen} can be reached from other machines, and what is sent there can be read on the \
         way; give it a certificate with --tls-certificate and --tls-key, listen on 127.0.0.1 \
         behind a proxy with TLS, or pass --allow-remote to accept the risk (every request needs \
         a key then)"
    )]
    NotLoopback {
        /// The address asked for.
        listen: SocketAddr,
    },
}

impl Config {
    /// Checks every range once, so that nobody has to later.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of its range, and the range.
    pub fn validate(self) -> Result<Self, ConfigError> {
        within("retrieval.top_k", self.retrieval.top_k, 1, 50)?;
        within("retrieval.candidates", self.retrieval.candidates, 1, 1000)?;
        within(
            "retrieval.weights.dense",
            self.retrieval.weights.dense,
            0.0,
            100.0,
        )?;
        within(
            "retrieval.weights.lexical",
            self.retrieval.weights.lexical,
            0.0,
            100.0,
        )?;
        within(
            "retrieval.min_similarity",
            self.retrieval.min_similarity,
            -1.0,
            1.0,
        )?;
        within(
            "retrieval.lexical_bonus",
            self.retrieval.rerank.lexical_bonus,
            0.0,
            1.0,
        )?;
        within(
            "retrieval.rerank_budget_ms",
            self.retrieval.rerank.budget_ms,
            1,
            60_000,
        )?;
        within(
            "answer.context_tokens",
            self.answer.context_tokens,
            200,
            100_000,
        )?;
        within("answer.max_tokens", self.answer.max_tokens, 1, 8192)?;
        within("server.max_requests", self.server.max_requests, 1, 10_000)?;
        within(
            "server.max_body_bytes",
            self.server.max_body_bytes,
            1024,
            1 << 30,
        )?;
        within("threads", self.threads, 0, 1024)?;
        let is_open = !self.server.listen.ip().is_loopback();
        let lets_all_in = self.server.authentication == Authentication::SingleUser;
        if lets_all_in && (self.server.allow_remote || (is_open && self.tls.is_some())) {
            return Err(ConfigError::OpenToAll);
        }
        if is_open && self.tls.is_none() && !self.server.allow_remote {
            return Err(ConfigError::NotLoopback {
                listen: self.server.listen,
            });
        }
        Ok(self)
    }
}

fn within<T: PartialOrd + ToString>(
    key: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), ConfigError> {
    // Written so that NaN, which compares with nothing, is out of range.
    if value >= low && value <= high {
        return Ok(());
    }
    Err(ConfigError::OutOfRange {
        key,
        value: value.to_string(),
        low: low.to_string(),
        high: high.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            places: Places {
                home: "home".into(),
                models: "models".into(),
            },
            embedding_model: "e5".into(),
            chat_model: None,
            device: DeviceChoice::Cpu,
            threads: 0,
            qdrant_url: None,
            collection: "genie".into(),
            database_url: None,
            retrieval: RetrievalConfig {
                top_k: 6,
                candidates: 50,
                weights: FusionWeights {
                    dense: 1.0,
                    lexical: 0.5,
                },
                min_similarity: 0.8,
                rerank: RerankConfig::default(),
            },
            answer: AnswerConfig {
                context_tokens: 1500,
                max_tokens: 300,
            },
            server: ServerConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
                allow_remote: false,
                authentication: Authentication::SingleUser,
                requests_per_minute: 600,
                max_requests: 16,
                max_body_bytes: 1 << 20,
            },
            tls: None,
        }
    }

    #[test]
    fn a_sound_configuration_passes() {
        assert_eq!(config().validate(), Ok(config()));
    }

    #[test]
    fn a_number_out_of_range_is_named_with_its_range() {
        let mut wrong = config();
        wrong.retrieval.top_k = 0;
        let error = wrong.validate().expect_err("0 passages are no use");
        assert_eq!(
            error.to_string(),
            "retrieval.top_k is 0, but has to be from 1 to 50"
        );
        let mut wrong = config();
        wrong.retrieval.min_similarity = f32::NAN;
        assert!(wrong.validate().is_err());
    }

    #[test]
    fn an_open_address_needs_consent() {
        let mut open = config();
        open.server.listen = SocketAddr::from(([0, 0, 0, 0], 8080));
        assert!(open.clone().validate().is_err());
        open.server.allow_remote = true;
        assert_eq!(open.clone().validate(), Err(ConfigError::OpenToAll));
        open.server.authentication = Authentication::Required;
        assert!(open.clone().validate().is_ok());
        open.server.allow_remote = false;
        open.tls = Some(TlsFiles {
            certificate: "chain.pem".into(),
            key: "key.pem".into(),
        });
        assert!(open.validate().is_ok());
    }
}
