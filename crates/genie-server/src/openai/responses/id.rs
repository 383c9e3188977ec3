//! Ids of responses.

use std::fmt;
use std::str::FromStr;

use genie_state::{MessageId, WorkspaceId};

/// `resp_<message>_<workspace>`: the message that answers, and where. With the
/// workspace in it a client needs nothing but the id to find it again, whatever
/// model it asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResponseId {
    pub(super) message: MessageId,
    pub(super) workspace: WorkspaceId,
}

/// The digits of a message's id.
pub(super) fn short(message: &MessageId) -> String {
    message.to_string().replace('-', "")
}

impl fmt::Display for ResponseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resp_{}_{}", short(&self.message), self.workspace)
    }
}

impl FromStr for ResponseId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("resp_").ok_or(())?;
        let (message, workspace) = rest.split_once('_').ok_or(())?;
        let id = Self {
            message: message.parse().map_err(|_| ())?,
            workspace: workspace.parse().map_err(|_| ())?,
        };
        // One id has one form.
        (id.to_string() == text).then_some(id).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_in_its_one_form() {
        let id = ResponseId {
            message: MessageId::random(),
            workspace: "health-2".parse().expect("a name"),
        };
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id.clone()));
        for other in [
            String::new(),
            "resp_".to_owned(),
            text.to_uppercase(),
            text.replace("health", "../health"),
            format!("resp_{}_health-2", id.message),
            format!("{text}_x"),
        ] {
            assert!(other.parse::<ResponseId>().is_err(), "{other}");
        }
    }
}
