//! Who takes over the lints of the workspace.

use crate::sources::UNSAFE_CRATE;
use crate::text::before_comment;

/// A crate that does not take over the lints of the workspace.
pub(crate) fn check_lints(name: &str, file: &str, manifest: &str) -> Vec<String> {
    if name == UNSAFE_CRATE || has_setting(manifest, "lints", "workspace = true") {
        return Vec::new();
    }
    vec![format!(
        "{file}: {name} does not take over the workspace's lints; write `workspace = true` under `[lints]`"
    )]
}

/// Whether a TOML file has this line in this table.
pub(crate) fn has_setting(toml: &str, table: &str, setting: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    let mut inside = false;
    toml.lines().map(before_comment).map(str::trim).any(|line| {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']) == table;
        }
        inside && squeeze(line) == squeeze(setting)
    })
}

/// Every rule on a text that breaks it.
#[cfg(test)]
mod planted {
    use super::*;

    #[test]
    fn missing_lints_are_found() {
        let without = "[package]\nname = \"genie-rag\"\nworkspace = true\n[lints.rust]\nmissing_docs = \"warn\"\n";
        assert_eq!(check_lints("genie-rag", "f", without).len(), 1);
        let with = "[package]\nname = \"genie-rag\"\n\n[lints]\nworkspace=true # all of them\n";
        assert!(check_lints("genie-rag", "f", with).is_empty());
        assert!(check_lints(UNSAFE_CRATE, "f", without).is_empty());
    }
}
