//! Commands that ask the documents, and which documents they ask.

use clap::Args;
use genie_core::{Date, DocumentId, Language};
use genie_state::WorkspaceId;

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
