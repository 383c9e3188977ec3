//! How much a language model has in hand at once.

use crate::ConfigError;
use crate::config::within;

/// Work and memory of each language model that is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InferenceConfig {
    /// Prompts and answers in hand at once, from 1 to 64; others wait.
    pub slots: usize,
    /// Mebibytes of keys and values of what is in hand, from 16 to 1,048,576.
    /// What does not fit beside the others waits, what never could is refused.
    pub held_mib: usize,
    /// Mebibytes of keys and values kept of what was read before, up to
    /// 1,048,576; 0 keeps none.
    pub kept_mib: usize,
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self {
            slots: 8,
            held_mib: 2048,
            kept_mib: 256,
        }
    }
}

impl InferenceConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        within("inference.slots", self.slots, 1, 64)?;
        within("inference.held_mib", self.held_mib, 16, 1 << 20)?;
        within("inference.kept_mib", self.kept_mib, 0, 1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_its_range_is_named() {
        let sound = InferenceConfig::default();
        assert!(sound.check().is_ok());
        for (wrong, name) in [
            (InferenceConfig { slots: 0, ..sound }, "inference.slots"),
            (InferenceConfig { slots: 65, ..sound }, "inference.slots"),
            (
                InferenceConfig {
                    held_mib: 1,
                    ..sound
                },
                "inference.held_mib",
            ),
            (
                InferenceConfig {
                    kept_mib: usize::MAX,
                    ..sound
                },
                "inference.kept_mib",
            ),
        ] {
            let error = wrong.check().expect_err("out of range");
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}
