//! What the kernels need of a processor: sixteen rows of a tile at once.

use super::super::format::TILE;

/// Sixteen lanes, one for each row of a tile, in as many registers as it
/// takes.
///
/// Every function is inlined into one that has the instructions enabled:
/// alone, none of them may be called.
///
/// # Safety
///
/// All functions need the processor features of the implementation, and
/// pointers to as many bytes as they say. No pointer has to be aligned.
pub(in super::super) trait Lanes: Copy {
    /// Sixteen numbers of 32 bits, or 64 of eight.
    type Whole: Copy;
    /// Sixteen numbers of single precision.
    type Floats: Copy;
    /// Whether [`Lanes::dot`] takes weights with a sign: those of Q8_0 stay as
    /// they are then, and others are below 128 anyway.
    const SIGNED: bool;
    /// Whether eight rows of input fit in the registers with their sums.
    const EIGHT_ROWS: bool;

    /// Asks for the line of the cache at `at`, which may be anywhere.
    unsafe fn fetch(at: *const u8);
    /// 64 bytes.
    unsafe fn load(from: *const u8) -> Self::Whole;
    /// 64 bytes.
    unsafe fn store(to: *mut u8, x: Self::Whole);
    /// Sixteen bytes without a sign, one a lane.
    unsafe fn widen(from: *const u8) -> Self::Whole;
    /// Sixteen bytes with a sign, one a lane.
    unsafe fn widen_signed(from: *const u8) -> Self::Whole;
    /// The same number in every lane.
    unsafe fn splat(x: i32) -> Self::Whole;
    /// `sum` and, in every lane, four products of bytes of `weights`, see
    /// [`Lanes::SIGNED`], and of bytes of `input` with a sign.
    unsafe fn dot(sum: Self::Whole, weights: Self::Whole, input: Self::Whole) -> Self::Whole;
    /// `sum` and, in every lane, two products of signed numbers of 16 bits.
    unsafe fn dot_pairs(sum: Self::Whole, a: Self::Whole, b: Self::Whole) -> Self::Whole;
    unsafe fn add(a: Self::Whole, b: Self::Whole) -> Self::Whole;
    unsafe fn subtract(a: Self::Whole, b: Self::Whole) -> Self::Whole;
    /// The low 32 bits of products.
    unsafe fn multiply(a: Self::Whole, b: Self::Whole) -> Self::Whole;
    unsafe fn and(a: Self::Whole, b: Self::Whole) -> Self::Whole;
    unsafe fn or(a: Self::Whole, b: Self::Whole) -> Self::Whole;
    unsafe fn xor(a: Self::Whole, b: Self::Whole) -> Self::Whole;
    /// Every 32 bits shifted to the left; a constant, which becomes part of
    /// the instruction.
    unsafe fn shift_left(x: Self::Whole, bits: i32) -> Self::Whole;
    /// Every 32 bits shifted to the right, zeros following.
    unsafe fn shift_right(x: Self::Whole, bits: i32) -> Self::Whole;

    /// Rounded to the nearest.
    unsafe fn floats(x: Self::Whole) -> Self::Floats;
    /// Sixteen numbers of half precision.
    unsafe fn halves(from: *const u8) -> Self::Floats;
    unsafe fn splat_float(x: f32) -> Self::Floats;
    unsafe fn load_floats(from: *const [f32; TILE]) -> Self::Floats;
    unsafe fn store_floats(to: *mut [f32; TILE], x: Self::Floats);
    unsafe fn add_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn multiply_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `a * b - c`, rounded once.
    unsafe fn fused_less(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
}
