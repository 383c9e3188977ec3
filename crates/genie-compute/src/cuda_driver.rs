//! The CUDA driver, loaded when a device is opened.
//!
//! candle links the driver library. A binary that does so can't be started
//! where no NVIDIA driver is installed, and nothing in it could say why. So
//! the driver's functions are defined here: each jumps through a table that
//! [`load`] fills from the real library. Until then, and where there is none,
//! they answer `CUDA_ERROR_NO_DEVICE`. With its symbols defined the linker
//! leaves the library itself out.

use std::arch::global_asm;
use std::ffi::c_void;
use std::sync::OnceLock;

use libloading::Library;

/// The driver's library, under the name that does not change with versions.
const LIBRARY: &str = "libcuda.so.1";

/// What every function answers until the driver is loaded: no device was
/// found (`CUDA_ERROR_NO_DEVICE` of `cuda.h`).
extern "C" fn no_driver() -> u32 {
    100
}

/// A function that the library here does not have: `CUDA_ERROR_NOT_SUPPORTED`.
extern "C" fn not_supported() -> u32 {
    801
}

/// Loads the driver, once for the process.
///
/// # Errors
///
/// Says why there is none.
pub(crate) fn load() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(fill).clone()
}

fn fill() -> Result<(), String> {
    // SAFETY: NVIDIA's library may be loaded at any time; its initializers
    // need nothing from us.
    let library = unsafe { Library::new(LIBRARY) }
        .map_err(|_| format!("the NVIDIA driver is not installed: there is no {LIBRARY}"))?;
    for (index, name) in FUNCTIONS.iter().enumerate() {
        // SAFETY: the type is that of any address; callers go by the
        // declarations in the driver's header.
        let function = unsafe { library.get::<*const c_void>(name.as_bytes()) }
            .map_or(not_supported as *const c_void, |symbol| *symbol);
        // SAFETY: the table has one place for each of the functions, and is
        // written once, before any of them is called in earnest: the caller
        // holds the `OnceLock`.
        unsafe {
            let table = (&raw mut genie_cuda_table).cast::<*const c_void>();
            table.add(index).write(function);
        }
    }
    // The functions stay in use as long as the process.
    std::mem::forget(library);
    Ok(())
}

unsafe extern "C" {
    static mut genie_cuda_table: [*const c_void; FUNCTIONS.len()];
}

/// Defines the functions and their table, in which each begins as
/// `no_driver`.
macro_rules! driver_functions {
    ($($name:literal)*) => {
        const FUNCTIONS: &[&str] = &[$($name),*];
        global_asm!(
            ".pushsection .data.genie_cuda_table, \"aw\", @progbits",
            ".balign 8",
            ".globl genie_cuda_table",
            ".hidden genie_cuda_table",
            "genie_cuda_table:",
            $(concat!("genie_slot_", $name, ": .quad {no_driver}"),)*
            ".popsection",
            ".pushsection .text.genie_cuda, \"ax\", @progbits",
            $(
                concat!(".globl ", $name),
                concat!(".hidden ", $name),
                concat!(".type ", $name, ", @function"),
                concat!($name, ": jmp *genie_slot_", $name, "(%rip)"),
            )*
            ".popsection",
            no_driver = sym no_driver,
            options(att_syntax)
        );
    };
}

// What cudarc 0.19 wraps. One that is missing here is no error when linking,
// but brings the library back as a condition of starting.
driver_functions! {
    "cuCtxCreate_v3" "cuCtxCreate_v4" "cuCtxDestroy_v2" "cuCtxGetCacheConfig" "cuCtxGetCurrent"
    "cuCtxGetLimit" "cuCtxGetStreamPriorityRange" "cuCtxSetCacheConfig" "cuCtxSetCurrent"
    "cuCtxSetFlags" "cuCtxSetLimit" "cuCtxSynchronize" "cuDestroyExternalMemory" "cuDeviceGet"
    "cuDeviceGetAttribute" "cuDeviceGetCount" "cuDeviceGetDefaultMemPool" "cuDeviceGetMemPool"
    "cuDeviceGetName" "cuDeviceGetUuid" "cuDeviceGetUuid_v2" "cuDevicePrimaryCtxRelease_v2"
    "cuDevicePrimaryCtxRetain" "cuDeviceSetMemPool" "cuDeviceTotalMem_v2" "cuEventCreate"
    "cuEventDestroy_v2" "cuEventElapsedTime" "cuEventElapsedTime_v2" "cuEventQuery"
    "cuEventRecord" "cuEventSynchronize" "cuExternalMemoryGetMappedBuffer" "cuFuncGetAttribute"
    "cuFuncSetAttribute" "cuFuncSetCacheConfig" "cuGetErrorName" "cuGetErrorString"
    "cuGraphDestroy" "cuGraphExecDestroy" "cuGraphInstantiateWithFlags" "cuGraphLaunch"
    "cuGraphUpload" "cuImportExternalMemory" "cuInit" "cuLaunchCooperativeKernel"
    "cuLaunchHostFunc" "cuLaunchKernel" "cuMemAdvise_v2" "cuMemAllocAsync"
    "cuMemAllocFromPoolAsync" "cuMemAllocManaged" "cuMemAlloc_v2" "cuMemFreeAsync"
    "cuMemFreeHost" "cuMemFree_v2" "cuMemGetInfo_v2" "cuMemHostAlloc" "cuMemPoolCreate"
    "cuMemPoolDestroy" "cuMemPoolGetAttribute" "cuMemPoolSetAttribute" "cuMemPoolTrimTo"
    "cuMemPrefetchAsync_v2" "cuMemcpyDtoDAsync_v2" "cuMemcpyDtoD_v2" "cuMemcpyDtoHAsync_v2"
    "cuMemcpyDtoH_v2" "cuMemcpyHtoDAsync_v2" "cuMemcpyHtoD_v2" "cuMemcpyPeerAsync"
    "cuMemsetD8Async" "cuMemsetD8_v2" "cuModuleGetFunction" "cuModuleGetGlobal_v2"
    "cuModuleLoad" "cuModuleLoadData" "cuModuleUnload" "cuOccupancyAvailableDynamicSMemPerBlock"
    "cuOccupancyMaxActiveBlocksPerMultiprocessor"
    "cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags" "cuOccupancyMaxActiveClusters"
    "cuOccupancyMaxPotentialBlockSize" "cuOccupancyMaxPotentialBlockSizeWithFlags"
    "cuOccupancyMaxPotentialClusterSize" "cuProfilerStart" "cuProfilerStop"
    "cuStreamAttachMemAsync" "cuStreamBeginCapture_v2" "cuStreamCreate"
    "cuStreamCreateWithPriority" "cuStreamDestroy_v2" "cuStreamEndCapture" "cuStreamIsCapturing"
    "cuStreamSynchronize" "cuStreamWaitEvent"
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn cuInit(flags: u32) -> u32;
    }

    #[test]
    fn the_driver_is_no_condition_of_starting() {
        let program = std::env::current_exe().expect("this program");
        let program = std::fs::read(program).expect("read");
        // The name that `load` opens stands in the program once; a library
        // that the loader has to find would be named in its string table too.
        let name = format!("\0{LIBRARY}\0");
        let named = program.windows(name.len()).any(|w| w == name.as_bytes());
        assert!(!named, "{LIBRARY} is needed to start");
    }

    #[test]
    fn without_a_driver_every_function_says_that_there_is_no_device() {
        if let Err(reason) = load() {
            assert!(reason.contains("driver is not installed"), "{reason}");
            // SAFETY: it takes a number and gives one.
            assert_eq!(unsafe { cuInit(0) }, 100);
        }
    }
}
