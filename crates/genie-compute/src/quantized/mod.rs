//! Products of quantized matrices with rows of floats.
//!
//! A [`QuantizedMatrix`] is made once from the blocks of a GGUF file, in an
//! order that suits the kernels, and takes about as much memory as the file.
//! The input is rounded to eight bits as llama.cpp does, products are whole
//! numbers, and only the scales are floating point.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod check;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod dot;
mod feed_forward;
mod format;
mod memory;
mod pack;
mod panel;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod pointers;
mod portable;
mod rows;

use std::ops::Range;
use std::sync::LazyLock;

use candle_core::quantized::GgmlDType;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use activations::Activations;
pub use feed_forward::gated_feed_forward;
use format::{Format, TILE};
use memory::Memory;
use pack::pack_tile;
pub use rows::QuantizedRows;

use crate::team::share_ranges;

/// Rows of input that meet a tile before it is unpacked anew: as many as stay
/// in the first-level cache with a panel of it.
const INPUT_ROWS: usize = 128;

/// Bytes of a file that a job reads at once: they stay in the second-level
/// cache until they are packed.
const READ_AT_ONCE: usize = 256 << 10;

/// A matrix in one of the formats Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K,
/// laid out for the kernels of this crate.
pub struct QuantizedMatrix {
    format: Format,
    rows: usize,
    columns: usize,
    /// One tile of sixteen rows after the other.
    tiles: Memory,
    kernel: Kernel,
}

/// Which code computes products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// One number at a time, on any processor.
    Portable,
    /// Vectors of 32 bytes, on x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// The same with AVX-VNNI, which Intel's processors with efficient cores
    /// have.
    AvxVnni,
    /// Vectors of 64 bytes, on x86-64 with AVX-512 and its VNNI.
    Avx512Vnni,
    /// Vectors of 16 bytes, on any ARM processor of 64 bits.
    Neon,
    /// The same with `dotprod`, which those since about 2018 have.
    NeonDot,
}

impl Kernel {
    /// The kernels that this processor has, the best one last. Found out
    /// once: the ones with VNNI or `dotprod` are then held against the one
    /// without, and left out with an error in the log where they differ.
    #[must_use]
    pub fn available() -> &'static [Self] {
        static AVAILABLE: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
            let mut kernels = vec![Kernel::Portable];
            #[cfg(target_arch = "x86_64")]
            if avx2::available() {
                kernels.push(Kernel::Avx2);
                let vnni = [
                    (Kernel::AvxVnni, dot::has_avx()),
                    (Kernel::Avx512Vnni, dot::has_avx512()),
                ];
                let present = vnni.into_iter().filter(|(_, present)| *present);
                kernels.extend(present.map(|(kernel, _)| kernel).filter(check::passes));
            }
            #[cfg(target_arch = "aarch64")]
            {
                kernels.push(Kernel::Neon);
                let present = std::arch::is_aarch64_feature_detected!("dotprod");
                kernels.extend(
                    Some(Kernel::NeonDot).filter(|kernel| present && check::passes(kernel)),
                );
            }
            kernels
        });
        &AVAILABLE
    }

    fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Portable)
    }

    /// Adds to `sums`, sixteen for each of `rows` of `input`, the products
    /// with a tile.
    ///
    /// # Safety
    ///
    /// This processor must have the kernel.
    unsafe fn multiply(
        self,
        format: Format,
        tile: &[u8],
        input: &Activations,
        rows: Range<usize>,
        Scratch { sums, panel }: &mut Scratch,
    ) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                Self::Portable => portable::multiply(format, tile, input, rows, sums),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2::multiply(format, tile, input, rows, sums, panel),
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => dot::multiply_avx(format, tile, input, rows, sums, panel),
                #[cfg(target_arch = "x86_64")]
                // One row waits for memory, and the kernel with halves of the
                // vectors waits less.
                Self::Avx512Vnni if rows.len() == 1 => {
                    avx2::multiply(format, tile, input, rows, sums, panel)
                }
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni => dot::multiply_avx512(format, tile, input, rows, sums, panel),
                #[cfg(target_arch = "aarch64")]
                Self::Neon => dot::multiply_neon(format, tile, input, rows, sums, panel),
                #[cfg(target_arch = "aarch64")]
                Self::NeonDot => dot::multiply_neon_dot(format, tile, input, rows, sums, panel),
                // Another machine's: `available` never names them.
                _ => portable::multiply(format, tile, input, rows, sums),
            }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            let _ = panel;
            portable::multiply(format, tile, input, rows, sums);
        }
    }
}

/// The bytes are not a matrix of that format and shape.
#[derive(Debug, thiserror::Error)]
#[error(
    "{bytes} bytes are not {rows} rows of {columns} columns in the format {dtype:?}, which needs \
     {wanted}"
)]
pub struct NotAMatrix {
    dtype: GgmlDType,
    rows: usize,
    columns: usize,
    bytes: usize,
    wanted: String,
}

/// A matrix could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadMatrixError {
    /// The file says something else of it.
    #[error(transparent)]
    Shape(#[from] NotAMatrix),
    /// Its bytes can't be had.
    #[error("the weights can't be read")]
    Io(#[from] std::io::Error),
}

impl QuantizedMatrix {
    /// Whether a matrix of this type and number of columns has a kernel here.
    #[must_use]
    pub fn supports(dtype: GgmlDType, columns: usize) -> bool {
        Format::of(dtype)
            .is_some_and(|format| columns > 0 && columns.is_multiple_of(format.columns()))
    }

    /// Takes the blocks of a matrix as they lie in a file, row after row.
    ///
    /// # Errors
    ///
    /// Fails on types without a kernel, and where the number of bytes does
    /// not fit the shape.
    pub fn new(
        dtype: GgmlDType,
        rows: usize,
        columns: usize,
        bytes: &[u8],
    ) -> std::result::Result<Self, NotAMatrix> {
        let mut matrix = Self::zeros(dtype, rows, columns, bytes.len())?;
        let row_bytes = bytes.len() / rows;
        let (format, tile_bytes) = (matrix.format, matrix.tile_bytes());
        matrix
            .tiles
            .par_chunks_exact_mut(tile_bytes)
            .zip(bytes.par_chunks(TILE * row_bytes))
            .for_each(|(tile, rows)| pack_tile(format, row_bytes, rows, tile));
        Ok(matrix)
    }

    /// Takes the blocks of a matrix from where `read` finds them: it fills
    /// its second argument with the bytes of the matrix from the offset that
    /// the first one says, and is asked by several threads at once. The file
    /// is then never in memory twice, and read by all cores.
    ///
    /// # Errors
    ///
    /// As [`QuantizedMatrix::new`], and where `read` fails.
    pub fn read(
        dtype: GgmlDType,
        (rows, columns): (usize, usize),
        bytes: usize,
        read: impl Fn(usize, &mut [u8]) -> std::io::Result<()> + Sync,
    ) -> std::result::Result<Self, ReadMatrixError> {
        let mut matrix = Self::zeros(dtype, rows, columns, bytes)?;
        let row_bytes = bytes / rows;
        let (format, tile_bytes) = (matrix.format, matrix.tile_bytes());
        let tiles = (READ_AT_ONCE / (TILE * row_bytes)).max(1);
        matrix
            .tiles
            .par_chunks_mut(tiles * tile_bytes)
            .enumerate()
            .try_for_each_init(Vec::new, |buffer, (index, packed)| {
                let start = index * tiles * TILE * row_bytes;
                buffer.resize((tiles * TILE * row_bytes).min(bytes - start), 0);
                read(start, buffer)?;
                let rows = buffer.chunks(TILE * row_bytes);
                for (tile, rows) in packed.chunks_exact_mut(tile_bytes).zip(rows) {
                    pack_tile(format, row_bytes, rows, tile);
                }
                Ok::<_, std::io::Error>(())
            })?;
        Ok(matrix)
    }

    /// A matrix of zeros with room for that many bytes of a file.
    fn zeros(
        dtype: GgmlDType,
        rows: usize,
        columns: usize,
        bytes: usize,
    ) -> std::result::Result<Self, NotAMatrix> {
        let refuse = |wanted: String| NotAMatrix {
            dtype,
            rows,
            columns,
            bytes,
            wanted,
        };
        let format = Format::of(dtype)
            .filter(|_| Self::supports(dtype, columns))
            .ok_or_else(|| refuse("another kernel".to_owned()))?;
        let row_bytes = columns / format.columns() * format.source_bytes();
        let wanted = rows.checked_mul(row_bytes);
        if rows == 0 || wanted != Some(bytes) {
            return Err(refuse(format!("{wanted:?} bytes")));
        }
        let tile_bytes = columns / format.columns() * format.parts().end;
        let tiles = Memory::zeros(rows.div_ceil(TILE) * tile_bytes)
            .map_err(|error| refuse(format!("memory that the system refuses ({error})")))?;
        Ok(Self {
            format,
            rows,
            columns,
            tiles,
            kernel: Kernel::best(),
        })
    }

    /// The same matrix, computed by another kernel: for tests and benchmarks.
    /// A kernel that this processor lacks is ignored.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        if Kernel::available().contains(&kernel) {
            self.kernel = kernel;
        }
        self
    }

    /// Rows and columns.
    #[must_use]
    pub const fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tiles.len()
    }

    /// `[n, columns]` to `[n, rows]`.
    ///
    /// # Errors
    ///
    /// Fails on another shape, and on tensors that are not single precision
    /// on the processor.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(&Product(self))
    }

    /// The rows with these numbers as floats, `[ids, columns]`: what looks
    /// tokens up in an embedding.
    ///
    /// # Errors
    ///
    /// Fails on a number that is no row.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let mut floats = Vec::with_capacity(ids.len() * self.columns);
        for &id in ids {
            let row = id as usize;
            if row >= self.rows {
                bail!("row {row} of a matrix of {} rows", self.rows);
            }
            let tile = self.tile(row / TILE);
            floats.extend(
                (0..self.columns)
                    .map(|column| portable::weight(self.format, tile, row % TILE, column)),
            );
        }
        Tensor::from_vec(floats, (ids.len(), self.columns), &candle_core::Device::Cpu)
    }

    /// The product with rows of `columns` floats each.
    fn multiply(&self, x: &[f32]) -> Vec<f32> {
        self.multiply_rounded(&Activations::new(x, self.columns, self.format))
    }

    fn multiply_rounded(&self, input: &Activations) -> Vec<f32> {
        // Not zeros: the products of a long prompt are megabytes, which would
        // be written twice.
        let mut product: Vec<f32> = Vec::with_capacity(input.rows * self.rows);
        let tiles = self.rows.div_ceil(TILE);
        let output = Output {
            start: product.as_mut_ptr(),
            width: self.rows,
        };
        share_ranges(tiles, |tiles| {
            let mut scratch = Scratch::new();
            for tile in tiles {
                let mut start = 0;
                while start < input.rows {
                    let rows = start..input.rows.min(start + INPUT_ROWS);
                    start = rows.end;
                    let width = TILE.min(self.rows - tile * TILE);
                    let sums = self.multiply_tile(tile, input, rows.clone(), &mut scratch);
                    for (row, sums) in rows.zip(sums) {
                        // SAFETY: `product` has room for `input.rows` rows of
                        // `self.rows` floats, and no other job writes the
                        // columns of this tile.
                        unsafe { output.write(row, tile * TILE, &sums[..width]) };
                    }
                }
            }
        });
        // SAFETY: there is room for that many, and every row of every tile was
        // written.
        unsafe { product.set_len(input.rows * self.rows) };
        product
    }

    /// The products of a tile with some rows.
    fn multiply_tile<'a>(
        &self,
        tile: usize,
        input: &Activations,
        rows: Range<usize>,
        scratch: &'a mut Scratch,
    ) -> &'a mut [[f32; TILE]] {
        scratch.sums.clear();
        scratch.sums.resize(rows.len(), [0.0; TILE]);
        // SAFETY: `with_kernel` and `best` take only what is available.
        unsafe {
            let tile = self.tile(tile);
            self.kernel
                .multiply(self.format, tile, input, rows, scratch);
        }
        &mut scratch.sums
    }

    fn tile(&self, index: usize) -> &[u8] {
        let bytes = self.tile_bytes();
        &self.tiles[index * bytes..][..bytes]
    }

    fn tile_bytes(&self) -> usize {
        self.tiles.len() / self.rows.div_ceil(TILE)
    }
}

impl std::fmt::Debug for QuantizedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuantizedMatrix")
            .field("format", &self.format)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .field("kernel", &self.kernel)
            .finish_non_exhaustive()
    }
}

/// What a job needs beside its input and output.
struct Scratch {
    sums: Vec<[f32; TILE]>,
    panel: panel::Panel,
}

impl Scratch {
    const fn new() -> Self {
        Self {
            sums: Vec::new(),
            panel: panel::Panel::new(),
        }
    }
}

/// Where jobs write their part of a product.
struct Output {
    start: *mut f32,
    width: usize,
}

// SAFETY: jobs write to disjoint parts; see `multiply_tile`.
unsafe impl Sync for Output {}

impl Output {
    /// # Safety
    ///
    /// The row must have room for `values` from `column` on, and nobody else
    /// may touch that part.
    #[inline(always)]
    unsafe fn write(&self, row: usize, column: usize, values: &[f32]) {
        // SAFETY: promised by the caller.
        unsafe {
            let to = self.start.add(row * self.width + column);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
        }
    }
}

struct Product<'a>(&'a QuantizedMatrix);

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "quantized-product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, columns) = layout.shape().dims2()?;
        let Some((from, to)) = layout.contiguous_offsets() else {
            bail!("a contiguous tensor is needed, not {layout:?}");
        };
        if columns != self.0.columns {
            bail!("{:?} times {columns} columns", self.0);
        }
        let product = self.0.multiply(&x.as_slice::<f32>()?[from..to]);
        Ok((CpuStorage::F32(product), Shape::from((count, self.0.rows))))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
