//! What roles and scopes allow.

use genie_state::Role;

/// What a route needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: probes, the page and the description of the interface.
    Public,
    /// A caller, whoever it is.
    Known,
    /// Something that a role in the workspace allows.
    May(Permission),
    /// The operator of the installation.
    Operator,
}

/// What can be done in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Find passages, embed and rerank texts.
    Search,
    /// Ask, and keep conversations with their feedback.
    Answer,
    /// List and read documents and jobs.
    ReadDocuments,
    /// Add, change and remove documents.
    WriteDocuments,
    /// Read what others said of answers.
    ReadFeedback,
    /// Read how much was used.
    ReadUsage,
    /// Read the audit trail.
    ReadAudit,
    /// Change the workspace, its members and its keys.
    Manage,
    /// Have suites of questions asked.
    Evaluate,
}

/// The scopes that a key can be narrowed to.
pub fn scopes() -> impl Iterator<Item = &'static str> {
    Permission::ALL.into_iter().map(Permission::scope)
}

impl Permission {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Search,
        Self::Answer,
        Self::ReadDocuments,
        Self::WriteDocuments,
        Self::ReadFeedback,
        Self::ReadUsage,
        Self::ReadAudit,
        Self::Manage,
        Self::Evaluate,
    ];

    /// The scope of a key that grants it.
    pub(crate) const fn scope(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Answer => "answer",
            Self::ReadDocuments => "documents.read",
            Self::WriteDocuments => "documents.write",
            Self::ReadFeedback => "feedback.read",
            Self::ReadUsage => "usage.read",
            Self::ReadAudit => "audit.read",
            Self::Manage => "manage",
            Self::Evaluate => "evaluate",
        }
    }

    /// The permission that a scope names.
    pub(crate) fn of_scope(scope: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.scope() == scope)
    }

    /// Whether the role has it. An auditor reads the trail and the figures and
    /// none of the content.
    pub(crate) const fn is_of(self, role: Role) -> bool {
        match role {
            Role::Owner => true,
            Role::Editor => matches!(
                self,
                Self::Search | Self::Answer | Self::ReadDocuments | Self::WriteDocuments
            ),
            Role::Reader => matches!(self, Self::Search | Self::Answer | Self::ReadDocuments),
            Role::Evaluator => matches!(
                self,
                Self::Search
                    | Self::Answer
                    | Self::ReadDocuments
                    | Self::ReadFeedback
                    | Self::ReadUsage
                    | Self::Evaluate
            ),
            Role::Auditor => matches!(self, Self::ReadUsage | Self::ReadAudit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_permissions_are_the_same_set() {
        for permission in Permission::ALL {
            assert_eq!(Permission::of_scope(permission.scope()), Some(permission));
        }
        assert_eq!(Permission::of_scope("documents"), None);
    }

    #[test]
    fn an_auditor_sees_no_content() {
        for content in [
            Permission::Search,
            Permission::Answer,
            Permission::ReadDocuments,
            Permission::ReadFeedback,
        ] {
            assert!(!content.is_of(Role::Auditor));
        }
        assert!(Permission::ReadAudit.is_of(Role::Auditor));
        assert!(!Permission::WriteDocuments.is_of(Role::Reader));
    }
}
