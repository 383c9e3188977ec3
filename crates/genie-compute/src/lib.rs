//! Where models run: device choice, processor checks and the worker thread
//! that owns a model.
//!
//! candle picks its CPU kernels when it is compiled, so this build states a
//! processor level (x86-64-v3) and [`check_processor`] compares it with the
//! machine before anything else runs. [`choose_device`] opens CUDA where that
//! was compiled in and works, and says why where it does not. [`Worker`] is
//! the one thread that owns a model: callers queue, and a full queue is an
//! answer, not a wait. [`QuantizedMatrix`], [`gated_feed_forward`],
//! [`KvPages`] and [`gated_product`] are what a decoder spends its time in, as custom operations
//! of candle on the processor; [`QuantizedRows`] and [`packed_attention`] are
//! for encoders, which have many rows at once and need no tensors in between.
//!
//! ```
//! use genie_compute::Worker;
//!
//! let worker = Worker::spawn("sum", 4, || Ok::<_, std::io::Error>(0), |sum, job: (u32, std::sync::mpsc::Sender<u32>)| {
//!     *sum += job.0;
//!     job.1.send(*sum).ok();
//! })
//! .expect("the state is made without error");
//! let (reply, answer) = std::sync::mpsc::channel();
//! worker.submit((2, reply)).expect("the queue has room");
//! assert_eq!(answer.recv(), Ok(2));
//! ```

mod activation;
mod attention;
#[cfg(all(feature = "cuda", target_os = "linux", target_arch = "x86_64"))]
mod cuda_driver;
mod device;
mod kv;
mod math;
mod packed_attention;
mod pairs;
mod panel;
mod processor;
mod quantized;
mod sum;
mod team;
mod threads;
mod worker;

pub use activation::{Gate, gated_product};
pub use device::{DeviceError, OpenDevice, choose_device};
pub use kv::{KvPage, KvPages, KvPrecision, KvShape};
pub use math::{exp, fused, gelu};
pub use packed_attention::{Heads, packed_attention};
pub use processor::{ProcessorFeature, UnsupportedProcessor, check_processor, processor_features};
pub use quantized::{
    Kernel, NotAMatrix, QuantizedMatrix, QuantizedRows, ReadMatrixError, gated_feed_forward,
};
pub use sum::sum;
pub use team::as_team;
pub use threads::{ThreadsError, on_pool, on_pool_for_long, physical_cores, set_threads};
pub use worker::{Appetite, SpawnError, SubmitError, Worker};
