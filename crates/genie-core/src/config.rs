//! Configuration, as validated values. The binary reads it; nobody else does.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    ContentHash, IndexIdentity, InferenceConfig, Language, OutboundConfig, RetrievalConfig,
};

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

    /// Where the bytes of the default workspace's documents are kept as they
    /// were sent.
    #[must_use]
    pub fn originals(&self) -> PathBuf {
        self.home.join("originals")
    }

    /// The folder of the workspaces other than the default one.
    #[must_use]
    pub fn workspaces(&self) -> PathBuf {
        self.home.join("workspaces")
    }
}

/// How an answer is worded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// One or two complete sentences.
    #[default]
    Usual,
    /// One short sentence.
    Brief,
    /// Points, one in a line, where there are several things to name.
    List,
}

impl Style {
    /// As it is written in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Brief => "brief",
            Self::List => "list",
        }
    }
}

impl std::str::FromStr for Style {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Usual, Self::Brief, Self::List]
            .into_iter()
            .find(|style| style.as_str() == text)
            .ok_or("a style is usual, brief or list")
    }
}

/// How answers are made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerConfig {
    /// Tokens of passages in a prompt at most.
    pub context_tokens: usize,
    /// Sentences of the passages that the model reads at most, those nearest
    /// to the question, each with its neighbours; 0 is whole passages.
    pub sentences: usize,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
    /// How they are worded.
    pub style: Style,
    /// The languages that its readers have, the usual one first; empty is any
    /// of the six. A question that does not show its language, such as a name
    /// alone, is taken to be in one of these.
    pub languages: Vec<Language>,
    /// When a person is named who can be asked.
    pub hand_over: HandOverConfig,
}

/// When an answer names a person who can be asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HandOverConfig {
    /// Where that person is found: an address, a page, a telephone number.
    /// `None` names nobody.
    pub contact: Option<String>,
    /// The confidence of an answer under which it names them; where nothing is
    /// answered it always does.
    pub below: f32,
}

impl HandOverConfig {
    /// Characters of a contact at most.
    pub const LONGEST_CONTACT: usize = 200;

    /// Whether a text can be shown as a contact: one line that is not empty.
    #[must_use]
    pub fn is_contact(text: &str) -> bool {
        let length = text.trim().chars().count();
        (1..=Self::LONGEST_CONTACT).contains(&length) && !text.chars().any(char::is_control)
    }
}

impl Default for HandOverConfig {
    fn default() -> Self {
        Self {
            contact: None,
            below: 0.5,
        }
    }
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
    /// Callers may ask the language model without the documents.
    pub direct_model: bool,
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the service's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What a retrieval profile was learnt with. Weights of one embedding model, or
/// of one analysis of words, say nothing about another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearntFor {
    /// The profile.
    pub file: PathBuf,
    /// The registry name of the model.
    pub model: String,
    /// SHA-256 of its weights.
    pub hash: ContentHash,
    /// The lexical analysis.
    pub lexical_version: String,
    /// The form of the codes of tokens, or `none`.
    pub tokens_version: String,
}

impl LearntFor {
    /// Checks that the weights were learnt with what this index is made with.
    ///
    /// # Errors
    ///
    /// [`ConfigError::LearntOtherwise`] where they were not, naming what
    /// differs.
    pub fn check(&self, identity: &IndexIdentity) -> Result<(), ConfigError> {
        let embedding = &identity.embedding;
        let model = |name: &str, hash: &ContentHash| format!("{name} ({})", short(hash));
        let pairs = [
            (
                "the embedding model",
                model(&self.model, &self.hash),
                model(&embedding.model, &embedding.hash),
            ),
            (
                "the lexical analysis",
                self.lexical_version.clone(),
                identity.lexical_version.clone(),
            ),
            (
                "codes of tokens",
                self.tokens_version.clone(),
                identity.tokens_version.clone(),
            ),
        ];
        let differing = pairs.into_iter().find(|(_, one, other)| one != other);
        differing.map_or(Ok(()), |(what, learnt, configured)| {
            Err(ConfigError::LearntOtherwise {
                file: self.file.clone(),
                what,
                learnt,
                configured,
            })
        })
    }
}

fn short(hash: &ContentHash) -> String {
    hash.to_string().chars().take(12).collect()
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folders.
    pub places: Places,
    /// Registry name of the embedding model.
    pub embedding_model: String,
    /// Components that its vectors are cut to; `None` keeps them whole.
    pub embedding_dimension: Option<usize>,
    /// Registry name of the language model; `None` answers with quoted
    /// passages.
    pub chat_model: Option<String>,
    /// Language models that workspaces may choose instead of it; each is
    /// loaded when it is first needed.
    pub chat_models: Vec<String>,
    /// Where models run.
    pub device: DeviceChoice,
    /// Threads of inference; 0 is one for each core.
    pub threads: usize,
    /// How much language models have in hand.
    pub inference: InferenceConfig,
    /// A Qdrant server; `None` is the engine in process.
    pub qdrant_url: Option<String>,
    /// The collection's name on a server; those of workspaces begin with it.
    pub collection: String,
    /// A PostgreSQL server for the state, `postgres://…`, with its password;
    /// `None` is a SQLite file.
    pub database_url: Option<String>,
    /// What the weights of retrieval were learnt for, where they come from a
    /// profile.
    pub profile: Option<LearntFor>,
    /// How passages are found.
    pub retrieval: RetrievalConfig,
    /// How answers are made.
    pub answer: AnswerConfig,
    /// How the service listens.
    pub server: ServerConfig,
    /// What it speaks TLS with; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// What it may reach by itself.
    pub outbound: OutboundConfig,
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
    /// A contact can't be shown.
    #[error(
        "answer.contact has to be one line of 1 to {} characters",
        HandOverConfig::LONGEST_CONTACT
    )]
    NoContact,
    /// Other machines would be let in without a key.
    #[error(
        "server.authentication is \"single-user\", which is for this machine alone, but the \
         service is set up for other machines; set it to \"required\""
    )]
    OpenToAll,
    /// A retrieval profile belongs to something else.
    #[error(
        "{} was learnt with {what} {learnt}, but {configured} is configured; learn it \
         anew with `genie eval learn`, or take retrieval.profile out of config.toml",
        file.display()
    )]
    LearntOtherwise {
        /// The profile.
        file: PathBuf,
        /// What differs.
        what: &'static str,
        /// The one that it was learnt with.
        learnt: String,
        /// The same of the configured one.
        configured: String,
    },
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
    /// The language models that a workspace may choose.
    pub fn offered_models(&self) -> impl Iterator<Item = &str> {
        self.chat_model
            .iter()
            .chain(&self.chat_models)
            .map(String::as_str)
    }

    /// Checks every range once, so that nobody has to later.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of its range, and the range.
    pub fn validate(self) -> Result<Self, ConfigError> {
        self.retrieval.check()?;
        within(
            "answer.context_tokens",
            self.answer.context_tokens,
            200,
            100_000,
        )?;
        within("answer.sentences", self.answer.sentences, 0, 100)?;
        within("answer.max_tokens", self.answer.max_tokens, 1, 8192)?;
        let HandOverConfig { contact, below } = &self.answer.hand_over;
        within("answer.hand_over_below", *below, 0.0, 1.0)?;
        if contact
            .as_deref()
            .is_some_and(|text| !HandOverConfig::is_contact(text))
        {
            return Err(ConfigError::NoContact);
        }
        within("server.max_requests", self.server.max_requests, 1, 10_000)?;
        within(
            "server.max_body_bytes",
            self.server.max_body_bytes,
            1024,
            1 << 30,
        )?;
        within("threads", self.threads, 0, 1024)?;
        self.inference.check()?;
        let fetch = &self.outbound.fetch;
        within("fetch.max_bytes", fetch.max_bytes, 1024, 256 << 20)?;
        within("fetch.max_seconds", fetch.max_seconds, 1, 600)?;
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

pub(crate) fn within<T: PartialOrd + ToString>(
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
    use crate::{EmbeddingIdentity, Fusion, FusionWeights, RerankConfig};

    fn config() -> Config {
        Config {
            places: Places {
                home: "home".into(),
                models: "models".into(),
            },
            embedding_model: "e5".into(),
            embedding_dimension: None,
            chat_model: None,
            chat_models: Vec::new(),
            device: DeviceChoice::Cpu,
            threads: 0,
            inference: InferenceConfig::default(),
            qdrant_url: None,
            collection: "genie".into(),
            database_url: None,
            profile: None,
            retrieval: RetrievalConfig {
                top_k: 6,
                candidates: 50,
                fusion: Fusion::Rrf,
                weights: FusionWeights {
                    dense: 1.0,
                    lexical: 0.5,
                },
                min_similarity: 0.8,
                rerank: RerankConfig::default(),
            },
            answer: AnswerConfig {
                context_tokens: 1500,
                sentences: 3,
                max_tokens: 300,
                style: Style::default(),
                languages: Vec::new(),
                hand_over: HandOverConfig::default(),
            },
            server: ServerConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
                allow_remote: false,
                authentication: Authentication::SingleUser,
                requests_per_minute: 600,
                max_requests: 64,
                max_body_bytes: 1 << 20,
                direct_model: false,
            },
            tls: None,
            outbound: OutboundConfig::default(),
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

    #[test]
    fn a_profile_of_another_model_is_refused() {
        let identity = |weights: &[u8], words: &str, tokens: &str| IndexIdentity {
            embedding: EmbeddingIdentity {
                model: "e5".to_owned(),
                hash: ContentHash::of(weights),
                dimension: 384,
                query_prefix: String::new(),
                passage_prefix: String::new(),
            },
            lexical_version: words.to_owned(),
            chunker_version: "1".to_owned(),
            tokens_version: tokens.to_owned(),
        };
        let learnt = LearntFor {
            file: "profile.toml".into(),
            model: "e5".to_owned(),
            hash: ContentHash::of(b"weights"),
            lexical_version: "words-4".to_owned(),
            tokens_version: "tokens-2".to_owned(),
        };
        let same = identity(b"weights", "words-4", "tokens-2");
        assert_eq!(learnt.check(&same), Ok(()));
        for (other, differs) in [
            (
                identity(b"others", "words-4", "tokens-2"),
                "embedding model",
            ),
            (identity(b"weights", "words-5", "tokens-2"), "words-5"),
            (identity(b"weights", "words-4", "none"), "none"),
        ] {
            let error = learnt
                .check(&other)
                .expect_err("something differs")
                .to_string();
            for part in ["profile.toml", "eval learn", differs] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }
}
