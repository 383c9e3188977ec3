//! What a machine can do at most: multiplications from registers, and reads
//! from memory.

use std::hint::black_box;

use genie_compute::Kernel;
use rayon::prelude::*;

/// A loop of a kernel's instructions for products, with nothing else in it.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) kernel: Kernel,
    each_time: u64,
    run: fn(u64),
}

impl Limit {
    /// Multiplications of that many times.
    pub(crate) fn multiplications(&self, times: u64) -> u64 {
        times * self.each_time
    }

    pub(crate) fn run(&self, times: u64) {
        (self.run)(black_box(times));
    }
}

/// The loops that this processor can run.
pub(crate) fn multiplications() -> Vec<Limit> {
    let limits = [
        #[cfg(target_arch = "x86_64")]
        Limit {
            name: "vpmaddubsw and vpaddw",
            kernel: Kernel::Avx2,
            each_time: 8 * 32,
            run: avx2,
        },
        #[cfg(target_arch = "x86_64")]
        Limit {
            name: "vpdpbusd, 32 bytes",
            kernel: Kernel::AvxVnni,
            each_time: 12 * 32,
            run: avx_vnni,
        },
        #[cfg(target_arch = "x86_64")]
        Limit {
            name: "vpdpbusd, 64 bytes",
            kernel: Kernel::Avx512Vnni,
            each_time: 12 * 64,
            run: avx512_vnni,
        },
    ];
    let present = |limit: &Limit| Kernel::available().contains(&limit.kernel);
    limits.into_iter().filter(present).collect()
}

/// A loop of multiplications of floats, where the processor has it.
pub(crate) fn floats() -> Option<Limit> {
    #[cfg(target_arch = "x86_64")]
    if Kernel::available().contains(&Kernel::Avx2) {
        return Some(Limit {
            name: "vfmadd231ps, 32 bytes",
            kernel: Kernel::Avx2,
            each_time: 12 * 8,
            run: fused,
        });
    }
    None
}

#[cfg(target_arch = "x86_64")]
fn fused(times: u64) {
    // SAFETY: only run where the kernel is available, whose processors have
    // these instructions. Registers alone, all of them named.
    unsafe {
        std::arch::asm!(
            "vxorps ymm0, ymm0, ymm0",
            "vxorps ymm1, ymm1, ymm1",
            "vxorps ymm2, ymm2, ymm2",
            "vxorps ymm3, ymm3, ymm3",
            "vxorps ymm4, ymm4, ymm4",
            "vxorps ymm5, ymm5, ymm5",
            "vxorps ymm6, ymm6, ymm6",
            "vxorps ymm7, ymm7, ymm7",
            "vxorps ymm8, ymm8, ymm8",
            "vxorps ymm9, ymm9, ymm9",
            "vxorps ymm10, ymm10, ymm10",
            "vxorps ymm11, ymm11, ymm11",
            "vxorps ymm14, ymm14, ymm14",
            "vxorps ymm15, ymm15, ymm15",
            "2:",
            "vfmadd231ps ymm0, ymm14, ymm15",
            "vfmadd231ps ymm1, ymm14, ymm15",
            "vfmadd231ps ymm2, ymm14, ymm15",
            "vfmadd231ps ymm3, ymm14, ymm15",
            "vfmadd231ps ymm4, ymm14, ymm15",
            "vfmadd231ps ymm5, ymm14, ymm15",
            "vfmadd231ps ymm6, ymm14, ymm15",
            "vfmadd231ps ymm7, ymm14, ymm15",
            "vfmadd231ps ymm8, ymm14, ymm15",
            "vfmadd231ps ymm9, ymm14, ymm15",
            "vfmadd231ps ymm10, ymm14, ymm15",
            "vfmadd231ps ymm11, ymm14, ymm15",
            "dec {times}",
            "jnz 2b",
            times = inout(reg) times => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm14") _, out("ymm15") _,
            options(nomem, nostack),
        );
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2(times: u64) {
    // SAFETY: only run where the kernel is available. Registers alone, all
    // of them named.
    unsafe {
        std::arch::asm!(
            "2:",
            "vpmaddubsw ymm8, ymm14, ymm15",
            "vpaddw ymm0, ymm0, ymm8",
            "vpmaddubsw ymm9, ymm14, ymm15",
            "vpaddw ymm1, ymm1, ymm9",
            "vpmaddubsw ymm10, ymm14, ymm15",
            "vpaddw ymm2, ymm2, ymm10",
            "vpmaddubsw ymm11, ymm14, ymm15",
            "vpaddw ymm3, ymm3, ymm11",
            "vpmaddubsw ymm12, ymm14, ymm15",
            "vpaddw ymm4, ymm4, ymm12",
            "vpmaddubsw ymm13, ymm14, ymm15",
            "vpaddw ymm5, ymm5, ymm13",
            "vpmaddubsw ymm8, ymm14, ymm15",
            "vpaddw ymm6, ymm6, ymm8",
            "vpmaddubsw ymm9, ymm14, ymm15",
            "vpaddw ymm7, ymm7, ymm9",
            "dec {times}",
            "jnz 2b",
            times = inout(reg) times => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nomem, nostack),
        );
    }
}

#[cfg(target_arch = "x86_64")]
fn avx_vnni(times: u64) {
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "2:",
            "{{vex}} vpdpbusd ymm0, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm1, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm2, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm3, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm4, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm5, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm6, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm7, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm8, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm9, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm10, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm11, ymm14, ymm15",
            "dec {times}",
            "jnz 2b",
            times = inout(reg) times => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm14") _, out("ymm15") _,
            options(nomem, nostack),
        );
    }
}

#[cfg(target_arch = "x86_64")]
fn avx512_vnni(times: u64) {
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "2:",
            "vpdpbusd zmm0, zmm14, zmm15",
            "vpdpbusd zmm1, zmm14, zmm15",
            "vpdpbusd zmm2, zmm14, zmm15",
            "vpdpbusd zmm3, zmm14, zmm15",
            "vpdpbusd zmm4, zmm14, zmm15",
            "vpdpbusd zmm5, zmm14, zmm15",
            "vpdpbusd zmm6, zmm14, zmm15",
            "vpdpbusd zmm7, zmm14, zmm15",
            "vpdpbusd zmm8, zmm14, zmm15",
            "vpdpbusd zmm9, zmm14, zmm15",
            "vpdpbusd zmm10, zmm14, zmm15",
            "vpdpbusd zmm11, zmm14, zmm15",
            "dec {times}",
            "jnz 2b",
            times = inout(reg) times => _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm14") _, out("xmm15") _,
            options(nomem, nostack),
        );
    }
}

/// More than a cache holds.
pub(crate) fn memory() -> Vec<u64> {
    (0..1 << 25).collect()
}

/// Reads all of it, on all threads.
pub(crate) fn read(memory: &[u64]) {
    let sum = |part: &[u64]| part.iter().fold(0u64, |sum, x| sum.wrapping_add(*x));
    let sum: u64 = memory
        .par_chunks(1 << 17)
        .map(sum)
        .reduce(|| 0, u64::wrapping_add);
    black_box(sum);
}
