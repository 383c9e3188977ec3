//! The device that tensors live on.

use candle_core::Device;
use genie_core::DeviceChoice;

/// A device ready for use, and what to tell the person about the choice.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// candle's handle.
    pub device: Device,
    /// One line: what was chosen and, for a fallback, why.
    pub note: String,
}

/// The wanted device can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This binary was built without CUDA.
    #[error(
        "this genie was built without CUDA; build it with `--features cuda`, or use `--device cpu`"
    )]
    NotCompiled,
    /// CUDA was compiled in, but no device answers.
    #[error("no CUDA device can be used; check the NVIDIA driver, or use `--device cpu`")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Opens the chosen device. `auto` takes CUDA where it was compiled in and
/// answers, else the processor.
///
/// # Errors
///
/// Only an explicit `cuda` can fail.
pub fn choose_device(choice: DeviceChoice) -> Result<OpenDevice, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(processor("as chosen".to_owned())),
        DeviceChoice::Cuda => open_cuda(),
        DeviceChoice::Auto => Ok(open_cuda().unwrap_or_else(|error| {
            let mut note = error.to_string();
            if let DeviceError::Unavailable(source) = &error {
                note = format!("{note} ({source})");
            }
            processor(note)
        })),
    }
}

fn processor(reason: String) -> OpenDevice {
    OpenDevice {
        device: Device::Cpu,
        note: format!("processor: {reason}"),
    }
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<OpenDevice, DeviceError> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    crate::cuda_driver::load().map_err(|reason| DeviceError::Unavailable(reason.into()))?;
    // A stream of its own for each caller. On the default stream, which all
    // threads share, two models of one process gave wrong numbers (candle
    // 0.11, seen on an H100), and right ones when every launch was waited for.
    match Device::new_cuda_with_stream(0) {
        Ok(device) => Ok(OpenDevice {
            device,
            note: "CUDA device 0".to_owned(),
        }),
        Err(error) => Err(DeviceError::Unavailable(Box::new(error))),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<OpenDevice, DeviceError> {
    Err(DeviceError::NotCompiled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        let open = choose_device(DeviceChoice::Cpu).expect("the processor");
        assert!(open.device.is_cpu());
    }

    #[test]
    fn auto_never_fails_and_says_what_it_chose() {
        let open = choose_device(DeviceChoice::Auto).expect("auto falls back");
        assert!(!open.note.is_empty());
        if !cfg!(feature = "cuda") {
            assert!(open.device.is_cpu());
            assert!(open.note.contains("without CUDA"), "{}", open.note);
        }
    }
}
