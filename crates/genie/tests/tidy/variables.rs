//! Environment variables: each that the program reads is in the documents of
//! whoever deploys it.

use std::collections::BTreeSet;

pub(crate) const DOCUMENT: &str = "docs/deployment.md";

/// How names of variables that are the program's own, or of its libraries,
/// begin.
const PREFIXES: [&str; 3] = ["GENIE_", "OTEL_", "HF_"];

/// The variables that stand as a text of their own in a source, which ends
/// where its tests begin.
pub(crate) fn read_in(source: &str) -> BTreeSet<String> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let texts = product.split('"').skip(1).step_by(2);
    let is_name = |text: &&str| {
        PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    texts.filter(is_name).map(str::to_owned).collect()
}

/// Those of them that the document does not name.
pub(crate) fn missing(read: &BTreeSet<String>, document: &str) -> Vec<String> {
    let named = |name: &&String| {
        document
            .split('`')
            .any(|text| text.split('=').next() == Some(name.as_str()))
    };
    read.iter()
        .filter(|name| !named(name))
        .map(|name| format!("{DOCUMENT}: {name} is read and not named"))
        .collect()
}
