//! The command line of workspaces, keys and members.

use std::time::Duration;

use clap::{Args, Subcommand};
use genie_core::{HandOverConfig, Language};
use genie_state::{KeyId, Quotas, Role, Subject, WorkspaceId};

use super::Deleting;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie workspace create health --name \"Ministry of Health\" --language fr\n  genie workspace set health --top-k 8 --retention-days 365\n  genie workspace set health --unset top-k\n  genie workspace list --json"
)]
pub(crate) struct WorkspaceCommand {
    #[command(subcommand)]
    pub(crate) action: WorkspaceAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceAction {
    /// All workspaces
    List {
        /// Those that were deleted and can be restored
        #[arg(long)]
        deleted: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a workspace, with documents and people of its own
    Create {
        /// Its name in addresses, for good: 1 to 63 of a-z, 0-9 and -
        id: WorkspaceId,
        /// Its name for people [default: the id]
        #[arg(long, value_parser = name)]
        name: Option<String>,
        #[command(flatten)]
        settings: Settings,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// A workspace with its settings and how they changed
    Show {
        /// Which one
        id: WorkspaceId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change its name or settings
    Set {
        /// Which one
        id: WorkspaceId,
        /// Its name for people
        #[arg(long, value_parser = name)]
        name: Option<String>,
        #[command(flatten)]
        settings: Settings,
        /// Take a setting back to what the installation is set to
        #[arg(long, value_enum, value_name = "SETTING")]
        unset: Vec<Setting>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a workspace with its documents, conversations, keys and members;
    /// its audit trail stays
    Delete {
        /// Which one
        id: WorkspaceId,
        #[command(flatten)]
        how: Deleting,
    },
    /// Take back that a workspace was deleted with `--keep-days`
    Restore {
        /// Which one
        id: WorkspaceId,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a workspace does differently from the installation.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Its settings")]
pub(crate) struct Settings {
    /// A language that its people read (ar, en, es, fr, ru, zh), the usual one
    /// first; several times for several
    #[arg(long = "language", value_name = "CODE")]
    pub(crate) languages: Vec<Language>,
    /// Passages that a search gives, 1 to 50
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) top_k: Option<u32>,
    /// Nearness from which on a passage counts, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) min_similarity: Option<f32>,
    /// The most tokens of an answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub(crate) max_tokens: Option<u32>,
    /// Days after which conversations are deleted
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) retention_days: Option<u32>,
    /// The most documents it may hold
    #[arg(long, value_name = "N")]
    pub(crate) max_documents: Option<u64>,
    /// The most bytes of documents that are kept as they were sent
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<u64>,
    /// The most requests a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_minute: Option<u32>,
    /// The most answers a day, in UTC
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) answers_per_day: Option<u64>,
    /// The most tokens of the language model a day, read and written
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tokens_per_day: Option<u64>,
    /// The most tokens of the language model a month, read and written
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tokens_per_month: Option<u64>,
    /// Whether answers are written by the language model or quoted only
    #[arg(long, value_name = "HOW", value_parser = ["generated", "quoted"])]
    pub(crate) answers: Option<String>,
    /// The language model, of those that the installation offers
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// How answers are worded
    #[arg(long, value_name = "HOW", value_parser = ["usual", "brief", "list"])]
    pub(crate) style: Option<String>,
    /// Where a person is found who can be asked what is not answered here: an
    /// address, a page, a telephone number
    #[arg(long, value_name = "WHERE", value_parser = contact)]
    pub(crate) contact: Option<String>,
    /// Confidence of an answer under which that person is named, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) hand_over_below: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Setting {
    Language,
    TopK,
    MinSimilarity,
    MaxTokens,
    RetentionDays,
    MaxDocuments,
    MaxBytes,
    RequestsPerMinute,
    AnswersPerDay,
    TokensPerDay,
    TokensPerMonth,
    Answers,
    Model,
    Style,
    Contact,
    HandOverBelow,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The secret of a key is shown once, when it is made or rotated.\n\nExamples:\n  genie key create --name intranet --workspace health --role reader --expires 90d\n  genie key create --name kiosk --workspace health --answers-per-day 500\n  genie key create --name operations --operator\n  genie key rotate gk_3f1a9c02\n  genie key revoke gk_3f1a9c02 --yes\n  genie --server https://genie.example.org key login"
)]
pub(crate) struct KeyCommand {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Keys, without their secrets
    List {
        /// Only those of this workspace
        #[arg(long, value_name = "ID")]
        workspace: Option<WorkspaceId>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a key and print its secret
    Create {
        /// What it is for
        #[arg(long, value_parser = name)]
        name: String,
        /// The workspace that it opens [default: default]
        #[arg(long, value_name = "ID", conflicts_with = "operator")]
        workspace: Option<WorkspaceId>,
        /// A key of the installation, that opens everything and makes
        /// workspaces
        #[arg(long, conflicts_with_all = ["role", "scopes"])]
        operator: bool,
        /// What its holder may do: owner, editor, reader, evaluator, auditor
        #[arg(long, default_value = "reader")]
        role: Role,
        /// Narrow the role to this; several times for several
        #[arg(long = "scope", value_name = "SCOPE", value_parser = scope())]
        scopes: Vec<String>,
        /// For how long it works, as in 90d, 12h or 30m
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Duration>,
        #[command(flatten)]
        quotas: KeyQuotas,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a key another secret; the old one stops at once
    Rotate {
        /// The key's id, or how its secret begins
        #[arg(value_parser = key)]
        key: KeyName,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep a key for the service of --server in the keyring of this account;
    /// it is read from the terminal or standard input
    Login,
    /// Forget the key that is kept for the service of --server
    Logout,
    /// Stop a key for good, at once
    Revoke {
        /// The key's id, or how its secret begins
        #[arg(value_parser = key)]
        key: KeyName,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// What may be done with a key at most.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Its quotas")]
pub(crate) struct KeyQuotas {
    /// The most requests a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_minute: Option<u32>,
    /// The most answers a day, in UTC
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    answers_per_day: Option<u64>,
    /// The most tokens of the language model a day, read and written
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tokens_per_day: Option<u64>,
    /// The most tokens of the language model a month, read and written
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tokens_per_month: Option<u64>,
}

impl From<KeyQuotas> for Quotas {
    fn from(given: KeyQuotas) -> Self {
        Self {
            requests_per_minute: given.requests_per_minute,
            answers_per_day: given.answers_per_day,
            tokens_per_day: given.tokens_per_day,
            tokens_per_month: given.tokens_per_month,
        }
    }
}

/// How a key is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyName {
    Id(KeyId),
    Prefix(String),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie user set user:0f3a:ana@example.org editor --workspace health\n  genie user list --workspace health\n  genie user remove user:0f3a:ana@example.org --workspace health"
)]
pub(crate) struct UserCommand {
    #[command(subcommand)]
    pub(crate) action: UserAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserAction {
    /// Members of a workspace
    List {
        #[command(flatten)]
        within: Within,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Give somebody a role in a workspace
    Set {
        /// Who, as in user:<issuer>:<name>
        subject: Subject,
        /// owner, editor, reader, evaluator or auditor
        role: Role,
        #[command(flatten)]
        within: Within,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take somebody's role away
    Remove {
        /// Who
        subject: Subject,
        #[command(flatten)]
        within: Within,
    },
}

/// In which workspace.
#[derive(Debug, Clone, Args)]
pub(crate) struct Within {
    /// The workspace
    #[arg(long, value_name = "ID", default_value = "default")]
    pub(crate) workspace: WorkspaceId,
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err("a name has 1 to 200 printable characters".to_owned());
    }
    Ok(text.to_owned())
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("has to be a number from 0 to 1".to_owned()),
    }
}

fn contact(text: &str) -> Result<String, String> {
    if HandOverConfig::is_contact(text) {
        Ok(text.trim().to_owned())
    } else {
        Err(format!(
            "has to be one line of 1 to {} characters",
            HandOverConfig::LONGEST_CONTACT
        ))
    }
}

fn scope() -> clap::builder::PossibleValuesParser {
    genie_server::scopes().collect::<Vec<_>>().into()
}

fn key(text: &str) -> Result<KeyName, String> {
    if let Some(digits) = text.strip_prefix("gk_") {
        // Whoever pastes the whole secret means the key.
        let digits = digits.get(..8).unwrap_or(digits);
        if digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(KeyName::Prefix(format!("gk_{digits}")));
        }
    }
    text.parse()
        .map(KeyName::Id)
        .map_err(|_| "is neither the id of a key nor the beginning gk_… of one".to_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || "is no time; write for example 90d, 12h or 30m".to_owned();
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "d" => 24 * 3600,
        "h" => 3600,
        "m" => 60,
        _ => return Err(wrong()),
    };
    let longest = 100 * 365 * 24 * 3600;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..) if seconds <= longest => Ok(Duration::from_secs(seconds)),
        _ => Err("has to be between a minute and a hundred years".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit() {
        for (text, seconds) in [("90d", 7_776_000), ("12h", 43_200), ("30m", 1800)] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "1y",
            "1é",
            "99999999999999999999d",
            "999999d",
        ] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_named_by_its_id_or_its_beginning() {
        let prefix = Ok(KeyName::Prefix("gk_0123abcd".to_owned()));
        assert_eq!(key("gk_0123abcd"), prefix);
        assert_eq!(key("gk_0123abcd_andtherest"), prefix);
        assert!(matches!(
            key("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            Ok(KeyName::Id(_))
        ));
        for text in ["", "gk_", "gk_0123abcé", "0123abcd"] {
            assert!(key(text).is_err(), "{text}");
        }
    }
}
