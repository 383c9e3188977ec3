//! What the processor can do, against what this build needs.

/// An instruction set that inference uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessorFeature {
    /// The name that the vendor uses, such as `AVX2`.
    pub name: &'static str,
    /// Whether this machine has it.
    pub present: bool,
    /// Whether this build does not run without it.
    pub required: bool,
}

/// The processor lacks instructions that this build was compiled to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this build of genie needs a processor with {missing}; use a machine of the x86-64-v3 level \
     (Haswell, Zen or later), or build genie on this one with RUSTFLAGS=\"-C target-cpu=native\""
)]
pub struct UnsupportedProcessor {
    missing: String,
}

/// The instruction sets that matter here, in the order of their age.
#[must_use]
pub fn processor_features() -> Vec<ProcessorFeature> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! feature {
            ($name:literal, $flag:tt) => {
                features.push(ProcessorFeature {
                    name: $name,
                    present: std::arch::is_x86_feature_detected!($flag),
                    required: cfg!(target_feature = $flag),
                })
            };
        }
        feature!("SSE4.2", "sse4.2");
        feature!("AVX", "avx");
        feature!("AVX2", "avx2");
        feature!("FMA", "fma");
        feature!("F16C", "f16c");
        feature!("BMI2", "bmi2");
        feature!("AVX-VNNI", "avxvnni");
        feature!("AVX-512F", "avx512f");
        feature!("AVX-512 VNNI", "avx512vnni");
        feature!("AVX-512 BF16", "avx512bf16");
    }
    #[cfg(target_arch = "aarch64")]
    {
        features.push(ProcessorFeature {
            name: "NEON",
            present: std::arch::is_aarch64_feature_detected!("neon"),
            required: cfg!(target_feature = "neon"),
        });
    }
    features
}

/// Compares the machine with what this build was compiled for. Called first
/// in `main`: past it, a missing instruction set would end the process with
/// an illegal instruction and no word.
///
/// # Errors
///
/// Names the missing instruction sets and the way out.
pub fn check_processor() -> Result<(), UnsupportedProcessor> {
    check(&processor_features())
}

fn check(features: &[ProcessorFeature]) -> Result<(), UnsupportedProcessor> {
    let missing: Vec<_> = features
        .iter()
        .filter(|feature| feature.required && !feature.present)
        .map(|feature| feature.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(UnsupportedProcessor {
        missing: missing.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_runs_this_build() {
        assert_eq!(check_processor(), Ok(()));
    }

    #[test]
    fn a_missing_instruction_set_is_named() {
        let feature = |name, present, required| ProcessorFeature {
            name,
            present,
            required,
        };
        let features = [
            feature("AVX2", false, true),
            feature("FMA", true, true),
            feature("AVX-512F", false, false),
        ];
        let error = check(&features).expect_err("AVX2 is required and missing");
        assert!(error.to_string().contains("with AVX2;"), "{error}");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_build_has_the_level_that_candle_needs() {
        // Without it candle's quantized kernels fall back to scalar code.
        let avx2 = processor_features()
            .into_iter()
            .find(|feature| feature.name == "AVX2");
        assert!(avx2.is_some_and(|feature| feature.required));
    }
}
