//! Commands about documents: taking them in, looking at them, and public ones
//! to begin with.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Deleting, Workspace};

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
