//! The innermost loop: four rows of input and sixteen rows of weights, in
//! instructions that are written down one by one.
//!
//! Eight vectors of sums, two of weights, one of input and one of products
//! are twelve registers of sixteen. Left to itself the compiler reorders sums
//! into trees, which need more, and moves vectors to the stack and back. Each
//! four columns are 22 instructions, sixteen of which are those that count;
//! measured alone they run as fast as those sixteen without the others.

use std::arch::asm;
use std::arch::x86_64::__m256i;

use super::HALVES;

/// Sums in 16 bits of four rows of input.
pub(super) type Products = [[__m256i; HALVES]; 4];

/// Four columns: `$w` is where their weights lie, `$x` where their input.
macro_rules! group {
    ($w:literal, $x:literal) => {
        concat!(
            "vmovdqu {w0}, [{w} + ",
            $w,
            "]\n",
            "vmovdqu {w1}, [{w} + ",
            $w,
            " + 32]\n",
            "vpbroadcastd {x}, [{x0} + ",
            $x,
            "]\n",
            "vpmaddubsw {t}, {w0}, {x}\n",
            "vpmaddubsw {x}, {w1}, {x}\n",
            "vpaddw {a00}, {a00}, {t}\n",
            "vpaddw {a01}, {a01}, {x}\n",
            "vpbroadcastd {x}, [{x1} + ",
            $x,
            "]\n",
            "vpmaddubsw {t}, {w0}, {x}\n",
            "vpmaddubsw {x}, {w1}, {x}\n",
            "vpaddw {a10}, {a10}, {t}\n",
            "vpaddw {a11}, {a11}, {x}\n",
            "vpbroadcastd {x}, [{x2} + ",
            $x,
            "]\n",
            "vpmaddubsw {t}, {w0}, {x}\n",
            "vpmaddubsw {x}, {w1}, {x}\n",
            "vpaddw {a20}, {a20}, {t}\n",
            "vpaddw {a21}, {a21}, {x}\n",
            "vpbroadcastd {x}, [{x3} + ",
            $x,
            "]\n",
            "vpmaddubsw {t}, {w0}, {x}\n",
            "vpmaddubsw {x}, {w1}, {x}\n",
            "vpaddw {a30}, {a30}, {t}\n",
            "vpaddw {a31}, {a31}, {x}\n",
        )
    };
}

/// The first four columns where sums begin at zero: they need no addition.
macro_rules! first {
    () => {
        concat!(
            "vmovdqu {w0}, [{w}]\n",
            "vmovdqu {w1}, [{w} + 32]\n",
            "vpbroadcastd {x}, [{x0}]\n",
            "vpmaddubsw {a00}, {w0}, {x}\n",
            "vpmaddubsw {a01}, {w1}, {x}\n",
            "vpbroadcastd {x}, [{x1}]\n",
            "vpmaddubsw {a10}, {w0}, {x}\n",
            "vpmaddubsw {a11}, {w1}, {x}\n",
            "vpbroadcastd {x}, [{x2}]\n",
            "vpmaddubsw {a20}, {w0}, {x}\n",
            "vpmaddubsw {a21}, {w1}, {x}\n",
            "vpbroadcastd {x}, [{x3}]\n",
            "vpmaddubsw {a30}, {w0}, {x}\n",
            "vpmaddubsw {a31}, {w1}, {x}\n",
        )
    };
}

macro_rules! steps {
    ($(#[$note:meta])* $name:ident, $($code:expr),*) => {
        $(#[$note])*
        ///
        /// # Safety
        ///
        /// The processor must have AVX2. `weights` must point to 64 bytes for
        /// each four columns, and each of `rows` to the input of all columns.
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline]
        pub(super) unsafe fn $name(
            weights: *const u8,
            rows: [*const i8; 4],
            products: Products,
        ) -> Products {
            let [
                [mut a00, mut a01],
                [mut a10, mut a11],
                [mut a20, mut a21],
                [mut a30, mut a31],
            ] = products;
            // SAFETY: only reads, of what the caller promises.
            unsafe {
                asm!(
                    concat!($($code),*),
                    w = in(reg) weights,
                    x0 = in(reg) rows[0],
                    x1 = in(reg) rows[1],
                    x2 = in(reg) rows[2],
                    x3 = in(reg) rows[3],
                    a00 = inout(ymm_reg) a00,
                    a01 = inout(ymm_reg) a01,
                    a10 = inout(ymm_reg) a10,
                    a11 = inout(ymm_reg) a11,
                    a20 = inout(ymm_reg) a20,
                    a21 = inout(ymm_reg) a21,
                    a30 = inout(ymm_reg) a30,
                    a31 = inout(ymm_reg) a31,
                    w0 = out(ymm_reg) _,
                    w1 = out(ymm_reg) _,
                    x = out(ymm_reg) _,
                    t = out(ymm_reg) _,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            [[a00, a01], [a10, a11], [a20, a21], [a30, a31]]
        }
    };
}

steps!(
    /// Adds the products of 16 columns.
    sixteen_columns,
    group!(0, 0),
    group!(64, 4),
    group!(128, 8),
    group!(192, 12)
);
steps!(
    /// Adds the products of 32 columns.
    columns_32,
    group!(0, 0),
    group!(64, 4),
    group!(128, 8),
    group!(192, 12),
    group!(256, 16),
    group!(320, 20),
    group!(384, 24),
    group!(448, 28)
);

/// The products of 32 columns, from zero on.
///
/// # Safety
///
/// The processor must have AVX2. `weights` must point to 512 bytes, and each
/// of `rows` to 32.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) unsafe fn columns_32_from_zero(weights: *const u8, rows: [*const i8; 4]) -> Products {
    let (a00, a01, a10, a11, a20, a21, a30, a31);
    // SAFETY: only reads, of what the caller promises.
    unsafe {
        asm!(
            concat!(
                first!(),
                group!(64, 4),
                group!(128, 8),
                group!(192, 12),
                group!(256, 16),
                group!(320, 20),
                group!(384, 24),
                group!(448, 28)
            ),
            w = in(reg) weights,
            x0 = in(reg) rows[0],
            x1 = in(reg) rows[1],
            x2 = in(reg) rows[2],
            x3 = in(reg) rows[3],
            a00 = out(ymm_reg) a00,
            a01 = out(ymm_reg) a01,
            a10 = out(ymm_reg) a10,
            a11 = out(ymm_reg) a11,
            a20 = out(ymm_reg) a20,
            a21 = out(ymm_reg) a21,
            a30 = out(ymm_reg) a30,
            a31 = out(ymm_reg) a31,
            w0 = out(ymm_reg) _,
            w1 = out(ymm_reg) _,
            x = out(ymm_reg) _,
            t = out(ymm_reg) _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [[a00, a01], [a10, a11], [a20, a21], [a30, a31]]
}
