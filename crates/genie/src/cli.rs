//! The command line, as it is written.

mod accounts;
mod eval;
mod records;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use genie_core::{Date, DocumentId, Language};
use genie_state::WorkspaceId;

use crate::commands::bench::Bench;

pub(crate) use self::accounts::{
    KeyAction, KeyCommand, KeyName, Setting, Settings, UserAction, UserCommand, Within,
    WorkspaceAction, WorkspaceCommand,
};
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

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie ingest report.pdf\n  genie ingest reports/ 'notes/**/*.md'\n  genie ingest clinics/ --workspace health\n\nExit codes: 0 all indexed, 3 some files skipped (each is named), 1 nothing done"
)]
pub(crate) struct Ingest {
    /// Files, folders (read recursively) and globs; text, Markdown, HTML, PDF, DOCX
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object a file
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Workspace,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie doc list --json\n  genie doc text 3f1a… --workspace health\n  genie doc set 3f1a… --label infrastructure/fibre\n  genie doc delete 3f1a… --yes\n  genie doc delete 3f1a… --keep-days 30\n  genie doc list --deleted\n  genie doc restore 3f1a…"
)]
pub(crate) struct Doc {
    #[command(subcommand)]
    pub(crate) action: DocAction,
    #[command(flatten)]
    pub(crate) place: Workspace,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DocAction {
    /// Indexed documents
    List {
        /// Those that were deleted and can be restored
        #[arg(long)]
        deleted: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What the index knows of a document
    Show {
        /// The id that `genie doc list` shows, or its beginning if that is unique
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// The text of a document, as it is indexed, passage by passage
    Text {
        /// The id that `genie doc list` shows, or its beginning if that is unique
        id: String,
    },
    /// Write a document as it was sent into a file
    Download {
        /// The id that `genie doc list` shows, or its beginning if that is unique
        id: String,
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// Change the title or the labels of a document
    Set {
        /// The id that `genie doc list` shows, or its beginning if that is unique
        id: String,
        /// Another title
        #[arg(long)]
        title: Option<String>,
        /// All labels, such as `infrastructure/fibre`; several times for several
        #[arg(long = "label", value_name = "LABEL")]
        labels: Vec<String>,
        /// Take all labels away
        #[arg(long, conflicts_with = "labels")]
        no_labels: bool,
    },
    /// Read, cut and embed what is kept of a document anew
    Reindex {
        /// The id that `genie doc list` shows, or its beginning if that is unique
        id: String,
    },
    /// Remove a document with its text and vectors
    Delete {
        /// The id that `genie doc list` shows, or its beginning if that is unique
        id: String,
        #[command(flatten)]
        how: Deleting,
    },
    /// Take back that a document was deleted with `--keep-days`: it is indexed
    /// anew
    Restore {
        /// The id that `genie doc list --deleted` shows, or its beginning if
        /// that is unique
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie corpus list\n  genie corpus pull --into itu/ && genie ingest itu/"
)]
pub(crate) struct Corpus {
    #[command(subcommand)]
    pub(crate) action: CorpusAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CorpusAction {
    /// Public documents by name, with their licence notes
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Download them from their publishers
    Pull {
        /// Ids from `genie corpus list`; none means all
        ids: Vec<String>,
        /// Where they go
        #[arg(long, value_name = "FOLDER", default_value = "itu-documents")]
        into: PathBuf,
    },
    /// Index the articles that come with the program
    Starter,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Asking {
    /// Answer in this language (ar, en, es, fr, ru, zh) instead of the question's
    #[arg(long, value_name = "CODE")]
    pub(crate) lang: Option<Language>,
    /// Passages put before the model
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<usize>,
    #[command(flatten)]
    pub(crate) only: Only,
    #[command(flatten)]
    pub(crate) place: Workspace,
}

/// The workspace whose documents are meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Workspace {
    /// Workspace [default: that of the key where a service is asked, else `default`]
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) workspace: Option<WorkspaceId>,
}

/// Which documents count. Options are joined by "and"; one that is given
/// several times takes what fits any of its values.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Only documents")]
pub(crate) struct Only {
    /// With this label or one below it
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
    /// Passages in this language (ar, en, es, fr, ru, zh)
    #[arg(long = "language", value_name = "CODE")]
    pub(crate) languages: Vec<Language>,
    /// Of this day or later, as in 2024-05-17
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<Date>,
    /// Of this day or earlier
    #[arg(long, value_name = "DATE")]
    pub(crate) to: Option<Date>,
    /// With this id, as `genie doc list --json` prints it
    #[arg(long = "document", value_name = "ID")]
    pub(crate) documents: Vec<DocumentId>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie ask \"What is an IXP?\"\n  genie ask \"Qu'est-ce que GENIE.AI ?\" --json\n  genie ask \"Which cables were repaired?\" --label infrastructure --from 2024-01-01"
)]
pub(crate) struct Ask {
    /// The question
    pub(crate) question: String,
    /// Print one JSON object, the body of POST /api/v1/answer
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie search \"submarine cable repair\" --top-k 3 --language fr\n  genie search \"A/RES/79/325\" --explain"
)]
pub(crate) struct Search {
    /// What to look for
    pub(crate) query: String,
    /// Print one JSON object, the body of POST /api/v1/search
    #[arg(long)]
    pub(crate) json: bool,
    /// Show how each passage came to its place: its rank and score by meaning,
    /// by words, by both, token by token and after all; and which candidates
    /// were left out, and why
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A line that begins with / is a command: /new starts over, /quit ends (so does Ctrl-D)."
)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) asking: Asking,
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
