//! The command line, as it is written.

mod accounts;
mod asking;
mod documents;
mod eval;
mod records;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::bench::Bench;

pub(crate) use self::accounts::{
    KeyAction, KeyCommand, KeyName, Setting, Settings, UserAction, UserCommand, Within,
    WorkspaceAction, WorkspaceCommand,
};
pub(crate) use self::asking::{Ask, Asking, Chat, Only, Search, Workspace};
pub(crate) use self::documents::{Corpus, CorpusAction, Doc, DocAction, Ingest};
pub(crate) use self::eval::{
    Eval, EvalAction, EvalClean, EvalCompare, EvalGate, EvalLearn, EvalOnly, EvalReport, EvalRun,
};
pub(crate) use self::records::{
    AuditAction, AuditCommand, BackupAction, BackupCommand, ConfigAction, ConfigCommand,
    ConversationAction, ConversationCommand, Deleting, FeedbackAction, FeedbackCommand, JobAction,
    JobCommand, ManCommand, Opinion, UsageCommand, Whose,
};

const EXAMPLES: &str = "\
Examples:
  genie quickstart                     fetch models, index the starter corpus, answer, serve
  genie ingest reports/ 'notes/*.md'   index documents
  genie ask \"What is an IXP?\"          answer with citations
  genie serve                          the page and the API on http://127.0.0.1:8080";

/// Answers questions about ICT infrastructure from trusted documents, in the
/// language of the question, and shows where every sentence comes from.
#[derive(Debug, Parser)]
#[command(name = "genie", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Settings that every command takes; they override the environment, which
/// overrides `config.toml`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Common {
    /// Folder of configuration, index and state
    #[arg(long, global = true, env = "GENIE_HOME", value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// Folder of model files
    #[arg(long, global = true, env = "GENIE_MODELS", value_name = "FOLDER")]
    pub(crate) models: Option<PathBuf>,
    /// Another file of models beside the built-in registry
    #[arg(long, global = true, env = "GENIE_REGISTRY", value_name = "FILE")]
    pub(crate) registry: Option<PathBuf>,
    /// Language model, or `none` to answer with quoted passages
    #[arg(long, global = true, env = "GENIE_CHAT_MODEL", value_name = "NAME")]
    pub(crate) chat_model: Option<String>,
    /// Embedding model
    #[arg(
        long,
        global = true,
        env = "GENIE_EMBEDDING_MODEL",
        value_name = "NAME"
    )]
    pub(crate) embedding_model: Option<String>,
    /// Where models run
    #[arg(long, global = true, env = "GENIE_DEVICE", value_enum)]
    pub(crate) device: Option<Device>,
    /// Threads of inference; 0 is one a core
    #[arg(long, global = true, env = "GENIE_THREADS", value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// A Qdrant server instead of the index in process
    #[arg(long, global = true, env = "GENIE_QDRANT_URL", value_name = "URL")]
    pub(crate) qdrant_url: Option<String>,
    /// The collection on that server
    #[arg(long, global = true, env = "GENIE_COLLECTION", value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// A running service that does the work instead of this machine, with the
    /// key in GENIE_API_KEY
    #[arg(long, global = true, env = "GENIE_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Certificates in PEM that the service's has to be signed with, instead
    /// of those that this machine trusts
    #[arg(long, global = true, env = "GENIE_CA_CERTIFICATE", value_name = "FILE")]
    pub(crate) ca_certificate: Option<PathBuf>,
    /// Log more to standard error (-vv: much more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    Auto,
    Cpu,
    Cuda,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch the default models, index the starter corpus, answer a question, then serve
    Quickstart(Quickstart),
    /// List, fetch, check and remove models
    Models(Models),
    /// Index files, folders and globs
    Ingest(Ingest),
    /// List, show, change and remove indexed documents
    Doc(Doc),
    /// Fetch public documents that the project lists
    Corpus(Corpus),
    /// Answer a question with citations
    Ask(Ask),
    /// Find passages without answering
    Search(Search),
    /// Talk about the documents, question by question
    Chat(Chat),
    /// Run the page and the HTTP interfaces
    Serve(Serve),
    /// Speak the Model Context Protocol on standard input and output
    Mcp,
    /// Ask a running service whether it is well (for container health checks)
    Health(Health),
    /// Make, change and delete workspaces
    Workspace(WorkspaceCommand),
    /// Make, rotate and revoke API keys
    Key(KeyCommand),
    /// List, set and remove members of workspaces
    User(UserCommand),
    /// List, show, delete and export conversations
    Conversation(ConversationCommand),
    /// List and give opinions of answers
    Feedback(FeedbackCommand),
    /// Show what was used, by day, workspace and caller
    Usage(UsageCommand),
    /// List, show and cancel jobs
    Job(JobCommand),
    /// Read, check and publish the trail of who did what
    Audit(AuditCommand),
    /// Check and show the settings
    #[command(after_help = "Examples:\n  genie config check\n  genie config show --json")]
    Config(ConfigCommand),
    /// Make, check and restore backups
    Backup(BackupCommand),
    /// Measure retrieval and answers on questions with known answers
    Eval(Eval),
    /// Check models, index, device, processor and disk
    Doctor(Doctor),
    /// Measure how fast the parts are on this machine
    Bench(Bench),
    /// Print the description of the HTTP interface (OpenAPI 3.0, JSON)
    Openapi,
    /// Print completions for a shell
    Completions(Completions),
    /// Write manual pages into a folder
    Man(ManCommand),
}

impl Command {
    /// Whether a service can do it.
    pub(crate) const fn goes_to_a_server(&self) -> bool {
        match self {
            Self::Ingest(_)
            | Self::Doc(_)
            | Self::Ask(_)
            | Self::Search(_)
            | Self::Chat(_)
            | Self::Mcp
            | Self::Health(_)
            | Self::Workspace(_)
            | Self::Key(_)
            | Self::User(_)
            | Self::Conversation(_)
            | Self::Feedback(_)
            | Self::Usage(_)
            | Self::Job(_)
            | Self::Audit(_) => true,
            Self::Corpus(corpus) => matches!(corpus.action, CorpusAction::Starter),
            Self::Backup(backup) => matches!(backup.action, BackupAction::Create { .. }),
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie quickstart\n  genie quickstart --question \"¿Qué es un IXP?\" --no-serve"
)]
pub(crate) struct Quickstart {
    /// Asked once everything is in place
    #[arg(
        long,
        default_value = "What is an Internet exchange point and why does it matter?"
    )]
    pub(crate) question: String,
    /// End after the answer
    #[arg(long)]
    pub(crate) no_serve: bool,
    /// Address to serve on
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie models list\n  genie models pull qwen2.5-coder-1.5b-instruct\n  genie models import ~/Downloads/model.gguf"
)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub(crate) action: ModelsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsAction {
    /// Models of the registry and whether they are here
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch models (without names: the configured ones)
    Pull {
        /// Registry names
        names: Vec<String>,
        /// Take a model whose hash the registry does not know, and pin it
        #[arg(long)]
        accept_unverified: bool,
    },
    /// Read every file of installed models and compare its SHA-256
    Verify {
        /// Registry names; none means all installed
        names: Vec<String>,
    },
    /// Print the folder of an installed model
    Path {
        /// Registry name
        name: String,
    },
    /// Remove an installed model and what is left of downloads
    Rm {
        /// Registry name
        name: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Take a model file that came by other ways; it is known by its SHA-256
    Import {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  genie serve\n  genie serve --listen 127.0.0.1:9000\n  genie serve --listen 0.0.0.0:8443 --tls-certificate chain.pem --tls-key key.pem"
)]
pub(crate) struct Serve {
    /// Address and port [default: 127.0.0.1:8080]
    #[arg(long, env = "GENIE_LISTEN", value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Let other machines in without TLS: for a container or behind a proxy
    /// that speaks it. Every request needs a key then
    #[arg(long, env = "GENIE_ALLOW_REMOTE")]
    pub(crate) allow_remote: bool,
    /// Speak TLS 1.3 with this certificate chain in PEM; a renewed one is
    /// taken into use within seconds
    #[arg(long, env = "GENIE_TLS_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, env = "GENIE_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Where the service is [default: that of --server, or
    /// http://127.0.0.1:8080]
    #[arg(long)]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
