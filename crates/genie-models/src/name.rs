//! The name of a model in the registry.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A registry name such as `multilingual-e5-small`.
///
/// It is also the name of the model's folder, so it holds nothing but
/// lower-case letters, digits, `-`, `_` and `.`, and begins with a letter or
/// a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(String);

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for ModelName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text can't be the name of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't be the name of a model: a name has at most 64 lower-case letters, digits, \
     '-', '_' and '.', and begins with a letter or a digit"
)]
pub struct ParseNameError(String);

impl FromStr for ModelName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = bytes.first().is_some_and(|first| plain(*first))
            && bytes.len() <= 64
            && bytes
                .iter()
                .all(|byte| plain(*byte) || b"-_.".contains(byte));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseNameError(text.chars().take(80).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder() {
        for text in ["", ".", "..", ".partial", "a/b", "a\\b", "A", "é", " a"] {
            assert!(text.parse::<ModelName>().is_err(), "{text:?}");
        }
        for text in ["qwen2.5-coder-1.5b-instruct", "a", "0_1"] {
            assert_eq!(text.parse::<ModelName>().unwrap().as_str(), text);
        }
    }
}
