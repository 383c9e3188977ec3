//! The command line of what is kept: conversations, jobs, the audit trail,
//! configuration and backups.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use genie_core::Date;
use genie_state::{ConversationId, JobId, MessageId, Subject, WorkspaceId};

use super::{Serve, Within};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie conversation list --workspace health --subject user:0f3a:ana@example.org\n  genie conversation export --subject user:0f3a:ana@example.org > ana.json\n  genie conversation erase --subject user:0f3a:ana@example.org"
)]
pub(crate) struct ConversationCommand {
    #[command(subcommand)]
    pub(crate) action: ConversationAction,
}

/// How something is deleted.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Deleting {
    /// Days for which it can be restored; a running service erases it then
    /// [default: it is erased at once]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub(crate) keep_days: Option<u32>,
    /// Don't ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Whose conversations.
#[derive(Debug, Clone, Args)]
pub(crate) struct Whose {
    #[command(flatten)]
    pub(crate) within: Within,
    /// Whose
    #[arg(long, value_name = "SUBJECT", default_value = "local")]
    pub(crate) subject: Subject,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConversationAction {
    /// Conversations of somebody, the latest first
    List {
        /// Those that were deleted and can be restored
        #[arg(long)]
        deleted: bool,
        #[command(flatten)]
        whose: Whose,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// The messages of one
    Show {
        /// Its id
        id: ConversationId,
        #[command(flatten)]
        whose: Whose,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete one with all that was said in it
    Delete {
        /// Its id
        id: ConversationId,
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        how: Deleting,
    },
    /// Take back that one was deleted with `--keep-days`
    Restore {
        /// Its id
        id: ConversationId,
        #[command(flatten)]
        whose: Whose,
    },
    /// Erase everything that a workspace holds of somebody: conversations,
    /// feedback, usage and jobs; the audit trail stays
    Erase {
        #[command(flatten)]
        whose: Whose,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Print everything that a workspace holds of somebody, as JSON:
    /// conversations, feedback and usage
    Export {
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie job list --workspace health\n  genie job cancel 67e55044-10b1-426f-9247-bb680e5fe0c8"
)]
pub(crate) struct JobCommand {
    #[command(subcommand)]
    pub(crate) action: JobAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobAction {
    /// Jobs of a workspace, newest first
    List {
        #[command(flatten)]
        within: Within,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// A job with its progress and what came of it
    Show {
        /// Its id
        id: JobId,
        #[command(flatten)]
        within: Within,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Cancel a job that is not finished
    Cancel {
        /// Its id
        id: JobId,
        #[command(flatten)]
        within: Within,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes of verify and anchor: 0 the trail is whole, 3 it was changed (the first record is named), 1 it could not be read\n\nExamples:\n  genie audit verify\n  genie audit export --out trail.jsonl\n  genie audit anchor >> anchors.jsonl"
)]
pub(crate) struct AuditCommand {
    #[command(subcommand)]
    pub(crate) action: AuditAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditAction {
    /// Records, newest first
    List {
        /// Only those of this workspace
        #[arg(long, value_name = "ID")]
        workspace: Option<WorkspaceId>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look whether every record is as it was written, and none is missing
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Also hold the trail against an anchor that was published: the hash
        /// of a record, 64 hexadecimal digits
        #[arg(long, value_name = "HASH")]
        anchor: Vec<String>,
    },
    /// Write all records, oldest first, one JSON object a line
    Export {
        /// Into this file instead of printing them
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the number and hash of the last record, to be published: whoever
    /// has it can show that nothing before it was changed
    Anchor,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Days are those of UTC. A running service writes down what is used every few seconds.\n\nExamples:\n  genie usage\n  genie usage --workspace health --from 2026-05-01 --to 2026-05-31 --json"
)]
pub(crate) struct UsageCommand {
    /// Only this workspace [default: all]
    #[arg(long, value_name = "ID")]
    pub(crate) workspace: Option<WorkspaceId>,
    /// The first day [default: thirty days back]
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<Date>,
    /// The last day [default: today]
    #[arg(long, value_name = "DATE")]
    pub(crate) to: Option<Date>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The ids of answers are in `genie conversation show ID --json`.\n\nExamples:\n  genie feedback list --workspace health\n  genie feedback give 67e55044-10b1-426f-9247-bb680e5fe0c8 --rating 2 --wrong-citation 1"
)]
pub(crate) struct FeedbackCommand {
    #[command(subcommand)]
    pub(crate) action: FeedbackAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeedbackAction {
    /// What was said of a workspace's answers, newest first
    List {
        #[command(flatten)]
        within: Within,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what you think of an answer, in place of what you said before
    Give {
        /// The id of the answer
        message: MessageId,
        #[command(flatten)]
        opinion: Opinion,
        #[command(flatten)]
        whose: Whose,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What somebody thinks of an answer.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Opinion {
    /// From 1, bad, to 5, good
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=5))]
    pub(crate) rating: Option<i32>,
    /// In words, at most 4000 characters
    #[arg(long, value_name = "TEXT", value_parser = comment)]
    pub(crate) comment: Option<String>,
    /// The number of a citation that does not support the answer
    #[arg(long, value_name = "N")]
    pub(crate) wrong_citation: Option<u32>,
}

fn comment(text: &str) -> Result<String, String> {
    if text.chars().count() > 4000 {
        return Err("has more than 4000 characters".to_owned());
    }
    Ok(text.to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Look whether the settings make sense
    Check,
    /// Every setting as it holds, and where it comes from; secrets are hidden
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "A backup holds state, indexes, documents that wait and config.toml (with the passwords in it), but no models. A running service makes it itself and goes on answering; what is to be indexed waits meanwhile.\n\nExamples:\n  genie backup create genie-2026-05-17.tar\n  genie backup verify genie-2026-05-17.tar\n  genie --home /srv/genie backup restore genie-2026-05-17.tar"
)]
pub(crate) struct BackupCommand {
    #[command(subcommand)]
    pub(crate) action: BackupAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupAction {
    /// Write a backup of this installation into a new file
    Create {
        /// The file
        file: PathBuf,
        /// Print its contents as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a backup into an empty home
    Restore {
        /// The file
        file: PathBuf,
    },
    /// Read a whole backup and compare every file with its SHA-256
    Verify {
        /// The file
        file: PathBuf,
        /// Print its contents as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genie man ~/.local/share/man/man1")]
pub(crate) struct ManCommand {
    /// The folder, made where it is not there
    pub(crate) folder: PathBuf,
}
