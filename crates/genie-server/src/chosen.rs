//! Language models of workspaces, as probes and people are told of them.

/// How a language model is that a workspace has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenModel {
    /// It answers.
    Loaded,
    /// It is on the disk, and loaded with the first question.
    Installed,
    /// It could not be loaded, or has ended: the installation's answers.
    Failed,
    /// It is not offered, or not on the disk: the installation's answers.
    Missing,
}

impl ChosenModel {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Installed => "installed",
            Self::Failed => "failed",
            Self::Missing => "missing",
        }
    }
}
