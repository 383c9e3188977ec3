//! Names of things and of people.

use std::fmt;
use std::str::FromStr;

use genie_core::ContentHash;
use uuid::Uuid;

/// The text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}; write for example `{example}`")]
pub struct ParseError {
    what: &'static str,
    text: String,
    example: &'static str,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, text: &str, example: &'static str) -> Self {
        // A message does not grow with what somebody sent.
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        Self {
            what,
            text: shown,
            example,
        }
    }
}

/// The name of a workspace: 1 to 63 of `a-z`, `0-9` and `-`, the first of them
/// a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(String);

impl WorkspaceId {
    /// The most characters of a name: those of a DNS label.
    pub const MAX_LENGTH: usize = 63;

    /// The workspace that is always there.
    #[must_use]
    pub fn default_workspace() -> Self {
        Self("default".to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkspaceId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len())
            && !text.starts_with('-')
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(
                "the name of a workspace (1 to 63 of a-z, 0-9 and -)",
                text,
                "ministry-of-health",
            ))
        }
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who does something: `local`, `key:<id>` or `user:<issuer>:<name there>`.
/// 1 to 200 characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

impl Subject {
    /// The most characters of a subject.
    pub const MAX_LENGTH: usize = 200;

    /// Whoever sits at this machine.
    #[must_use]
    pub fn local() -> Self {
        Self("local".to_owned())
    }

    /// The holder of an API key.
    #[must_use]
    pub fn key(id: &KeyId) -> Self {
        Self(format!("key:{id}"))
    }

    /// The API key whose holder it is; `None` where it is somebody else.
    #[must_use]
    pub fn as_key(&self) -> Option<KeyId> {
        self.0.strip_prefix("key:")?.parse().ok()
    }

    /// The subject as logs have it, where no person is to be named: of
    /// `user:<issuer>:<name there>` and of what a security server names so, a
    /// part of the SHA-256 of the whole instead of the last part.
    #[must_use]
    pub fn for_logs(&self) -> String {
        let mut parts = self.0.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(kind @ ("user" | "xroad")), Some(of), Some(_)) => {
                let hash = ContentHash::of(self.0.as_bytes()).to_string();
                format!("{kind}:{of}:#{}", hash.get(..16).unwrap_or_default())
            }
            _ => self.0.clone(),
        }
    }

    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = text.chars().count();
        if (1..=Self::MAX_LENGTH).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(
                "a subject (1 to 200 printable characters)",
                text,
                "local",
            ))
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose conversations: those of one subject in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The person or key.
    pub subject: Subject,
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// A random UUID (RFC 9562, version 4), written with hyphens in lower case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self).map_err(|_| {
                    ParseError::new($what, text, "67e55044-10b1-426f-9247-bb680e5fe0c8")
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

random_id!(
    /// The identity of an API key.
    KeyId, "the id of a key"
);
random_id!(
    /// The identity of a conversation.
    ConversationId, "the id of a conversation"
);
random_id!(
    /// The identity of a message.
    MessageId, "the id of a message"
);
random_id!(
    /// The identity of a job.
    JobId, "the id of a job"
);

impl JobId {
    /// The message that the job ends with, where it answers in a conversation:
    /// a job that is run again after a crash finds what it has already said.
    #[must_use]
    pub fn as_message(&self) -> MessageId {
        MessageId(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_name_no_person() {
        let shown = |text: &str| text.parse::<Subject>().expect("a subject").for_logs();
        for kept in ["local", "key:67e55044", "xroad:EE/GOV/1/portal"] {
            assert_eq!(shown(kept), kept);
        }
        for (named, kept) in [
            ("user:gov:ana@example.org", "user:gov:#"),
            ("user:gov:urn:ana", "user:gov:#"),
            ("xroad:EE/GOV/1/portal:EE4710", "xroad:EE/GOV/1/portal:#"),
        ] {
            let logged = shown(named);
            assert!(logged.starts_with(kept), "{logged}");
            assert_eq!(logged.len(), kept.len() + 16);
            assert!(
                !logged.contains("ana") && !logged.contains("4710"),
                "{logged}"
            );
            assert_eq!(logged, shown(named));
        }
        assert_ne!(shown("user:gov:ana"), shown("user:gov:bo"));
    }

    #[test]
    fn names_of_workspaces_are_dns_labels() {
        for good in ["a", "0", "default", "a-b-", &"x".repeat(63)] {
            assert_eq!(
                good.parse::<WorkspaceId>().map(|id| id.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "-a", "A", "a_b", "é", "a b", "../a", &"x".repeat(64)] {
            assert!(bad.parse::<WorkspaceId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn subjects_are_printable() {
        for good in ["local", "user:0f3a:ana@example.org", &"é".repeat(200)] {
            assert!(good.parse::<Subject>().is_ok(), "{good:?}");
        }
        for bad in ["", "a\nb", "a\0", &"x".repeat(201)] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_random_id_survives_a_round_trip() {
        let id = JobId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, JobId::random());
        assert!("12".parse::<JobId>().is_err());
    }

    #[test]
    fn an_error_shows_a_limited_printable_part() {
        let error = format!("\u{1b}{}", "x".repeat(5000))
            .parse::<WorkspaceId>()
            .expect_err("no name");
        assert!(error.to_string().len() < 250, "{error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
