use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::activations::{round_block, round_block_portable};
use super::format::BLOCK;
use super::*;
use crate::Gate;

const TYPES: [GgmlDType; 7] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// Numbers between -1 and 1 that look random and depend on `seed` alone.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Where a block has its scales of half precision.
const fn scales_at(dtype: GgmlDType) -> &'static [usize] {
    match dtype {
        GgmlDType::Q4_1 | GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
        GgmlDType::Q6K => &[208],
        _ => &[0],
    }
}

/// Random bytes as blocks, with scales that are finite and not tiny.
fn random_blocks(dtype: GgmlDType, blocks: usize, seed: u64) -> Vec<u8> {
    let size = dtype.type_size();
    let mut bytes: Vec<u8> = noise(blocks * size, seed)
        .into_iter()
        .map(|number| (number * 128.0) as i32 as u8)
        .collect();
    for (index, block) in bytes.chunks_exact_mut(size).enumerate() {
        for at in scales_at(dtype) {
            let scale = half::f16::from_f32(0.01 + (index % 7) as f32 * 0.003);
            block[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
    }
    bytes
}

fn tensor(dtype: GgmlDType, rows: usize, columns: usize, bytes: &[u8]) -> Tensor {
    let storage = candle_core::quantized::QStorage::from_data(
        std::borrow::Cow::Borrowed(bytes),
        &Device::Cpu,
        dtype,
    )
    .expect("as many bytes as the shape needs");
    let tensor = QTensor::new(storage, (rows, columns)).expect("a shape");
    tensor.dequantize(&Device::Cpu).expect("on the processor")
}

/// Bits of numbers that may have grown out of their range; what is no number
/// has many, which mean the same.
fn bits(numbers: &[f32]) -> Vec<u32> {
    let bits = |number: &f32| match number.is_nan() {
        true => f32::NAN.to_bits(),
        false => number.to_bits(),
    };
    numbers.iter().map(bits).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().expect("any shape");
    flat.to_vec1().expect("single precision")
}

fn blocks_of(dtype: GgmlDType, rows: usize, columns: usize) -> usize {
    rows * columns / dtype.block_size()
}

/// The largest difference, as a part of the largest of `wanted`.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let most = wanted.iter().fold(1e-20f32, |most, x| most.max(x.abs()));
    let pairs = found.iter().zip(wanted);
    pairs.fold(0.0, |worst: f32, (a, b)| {
        assert!(a.is_finite(), "{a}");
        worst.max((a - b).abs())
    }) / most
}

fn products(dtype: GgmlDType, shape: (usize, usize), bytes: &[u8], x: &[f32]) -> Vec<Vec<f32>> {
    let (rows, columns) = shape;
    Kernel::available()
        .iter()
        .map(|&kernel| {
            let matrix = QuantizedMatrix::new(dtype, rows, columns, bytes).expect("a matrix");
            matrix.with_kernel(kernel).multiply(x)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Bit for bit: guesses at several tokens rely on it.
    #[test]
    fn a_row_comes_out_the_same_in_any_company(
        dtype in prop::sample::select(TYPES.to_vec()),
        rows in 1usize..40,
        blocks in 1usize..12,
        count in 2usize..14,
        seed in any::<u64>(),
    ) {
        let columns = blocks * dtype.block_size();
        let bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), seed);
        let x = noise(count * columns, seed ^ 7);
        let together = products(dtype, (rows, columns), &bytes, &x);
        for (index, x) in x.chunks(columns).enumerate() {
            let alone = products(dtype, (rows, columns), &bytes, x);
            for (alone, together) in alone.iter().zip(&together) {
                prop_assert_eq!(alone.as_slice(), &together[index * rows..][..rows]);
            }
        }
    }

    /// Every kernel against the portable one, and that against floats.
    #[test]
    fn products_are_right(
        dtype in prop::sample::select(TYPES.to_vec()),
        rows in 1usize..40,
        blocks in 1usize..12,
        count in 1usize..10,
        seed in any::<u64>(),
    ) {
        let columns = blocks * dtype.block_size();
        let bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), seed);
        let x = noise(count * columns, seed ^ 7);
        let found = products(dtype, (rows, columns), &bytes, &x);
        for other in &found[1..] {
            prop_assert!(apart(other, &found[0]) < 1e-5);
        }
        let matrix = tensor(dtype, rows, columns, &bytes);
        let input = Tensor::from_vec(x, (count, columns), &Device::Cpu).expect("a shape");
        let product = |a: &Tensor, b: &Tensor| numbers(&a.matmul(&b.t().unwrap()).unwrap());
        let wanted = product(&input, &matrix);
        // Eight bits of input: each of the numbers is off by a 254th of the
        // largest at most, and errors add up like noise. So they are held
        // against what is added up, not against a sum that may cancel.
        let added = product(&input.sqr().unwrap(), &matrix.sqr().unwrap());
        let added = added.iter().sum::<f32>().sqrt();
        let off = found[0].iter().zip(&wanted).map(|(a, b)| (a - b) * (a - b));
        let off = off.sum::<f32>().sqrt();
        prop_assert!(off < 0.02 * added + 0.02, "{off} {added}");
    }

    /// The largest weights, scales and inputs: nothing overflows.
    #[test]
    fn extremes_do_not_overflow(
        dtype in prop::sample::select(TYPES.to_vec()),
        fill in prop::sample::select(vec![0x00u8, 0x7f, 0x80, 0xff]),
        signs in any::<u64>(),
    ) {
        let (rows, columns) = (16, 2 * dtype.block_size().max(128));
        let mut bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), 1);
        let scales = bytes.clone();
        for (block, old) in bytes.chunks_exact_mut(dtype.type_size()).zip(scales.chunks_exact(dtype.type_size())) {
            block.fill(fill);
            match dtype {
                GgmlDType::Q6K => block[208..].copy_from_slice(&old[208..]),
                GgmlDType::Q4_1 | GgmlDType::Q4K | GgmlDType::Q5K => block[..4].copy_from_slice(&old[..4]),
                _ => block[..2].copy_from_slice(&old[..2]),
            }
        }
        let x: Vec<f32> = (0..5 * columns)
            .map(|i| if signs >> (i % 64) & 1 == 1 { 1000.0 } else { -1000.0 })
            .collect();
        let found = products(dtype, (rows, columns), &bytes, &x);
        let same = x.iter().all(|y| *y == x[0]);
        prop_assert!(!same || found[0].iter().all(|y| y.is_finite()));
        // Inputs of both signs may cancel, so what they are without signs is
        // what rounding is measured by.
        let sizes: Vec<f32> = x.iter().map(|x| x.abs()).collect();
        let sizes = &products(dtype, (rows, columns), &bytes, &sizes)[0];
        let most = |x: &[f32]| x.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        let most = most(sizes).max(most(&found[0]));
        for other in &found[1..] {
            let worst = other.iter().zip(&found[0]).map(|(a, b)| (a - b).abs());
            prop_assert!(worst.fold(0.0, f32::max) <= 1e-5 * most);
        }
    }

    /// Scales that no honest file has: below zero, tiny, the largest, and in
    /// every third row infinite or no number. Such a row is its file's own
    /// fault, and no other row gets anything of it.
    #[test]
    fn odd_scales_stay_in_their_rows(
        dtype in prop::sample::select(TYPES.to_vec()),
        rows in 1usize..40,
        blocks in 1usize..4,
        count in prop::sample::select(vec![1usize, 2, 7, 9, 130, 300]),
        seed in any::<u64>(),
    ) {
        const FINITE: [u16; 7] = [0x0000, 0x8000, 0x0001, 0x8001, 0xa400, 0x7bff, 0xfbff];
        const OTHER: [u16; 4] = [0x7c00, 0xfc00, 0x7e00, 0xfe01];
        let columns = blocks * dtype.block_size();
        let mut bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), seed);
        let mut choice = seed as usize;
        let mut largest = vec![0f32; rows];
        for (row, bytes) in bytes.chunks_exact_mut(blocks * dtype.type_size()).enumerate() {
            for block in bytes.chunks_exact_mut(dtype.type_size()) {
                for at in scales_at(dtype) {
                    choice = choice.wrapping_mul(25_214_903_917).wrapping_add(11);
                    let scale = FINITE[(choice >> 16) % FINITE.len()];
                    let size = half::f16::from_bits(scale).to_f32().abs();
                    largest[row] = largest[row].max(size);
                    block[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
                }
            }
            if row % 3 == 2 {
                let scale = OTHER[(choice >> 24) % OTHER.len()];
                bytes[scales_at(dtype)[0]..][..2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        let x = noise(count * columns, seed ^ 7);
        let found = products(dtype, (rows, columns), &bytes, &x);
        let weights = numbers(&tensor(dtype, rows, columns, &bytes));
        for (index, x) in x.chunks(columns).enumerate() {
            for (row, weights) in weights.chunks(columns).enumerate() {
                let sums = found.iter().map(|found| found[index * rows + row]);
                if row % 3 == 2 {
                    prop_assert!(sums.clone().all(|sum| !sum.is_finite()), "{:?}", sums.collect::<Vec<_>>());
                    continue;
                }
                let pairs = weights.iter().zip(x);
                let size: f32 = pairs.clone().map(|(weight, x)| (weight * x).abs()).sum();
                let wanted: f32 = pairs.map(|(weight, x)| weight * x).sum();
                // What is added up may be larger than what is left of it:
                // of formats with minima both parts are.
                let part = largest[row] * 64.0 * x.iter().map(|x| x.abs()).sum::<f32>();
                let first = found[0][index * rows + row];
                prop_assert!((first - wanted).abs() <= 0.02 * size + 1e-3 * part, "{first} {wanted} {size}");
                for sum in sums {
                    prop_assert!((sum - first).abs() <= 1e-5 * size + 1e-6 * part, "{sum} {first} {size}");
                }
            }
        }
    }
}

/// The kernels that promise the bits of the AVX2 one.
#[cfg(target_arch = "x86_64")]
fn with_vnni() -> Vec<Kernel> {
    let kernels = Kernel::available().iter().copied();
    kernels
        .filter(|kernel| matches!(kernel, Kernel::AvxVnni | Kernel::Avx512Vnni))
        .collect()
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_kernel_of_this_processor_passes_its_check() {
    for (kernel, present) in [
        (Kernel::Avx2, avx2::available()),
        (Kernel::AvxVnni, dot::has_avx()),
        (Kernel::Avx512Vnni, dot::has_avx512()),
    ] {
        assert_eq!(Kernel::available().contains(&kernel), present, "{kernel:?}");
        if !present {
            println!("{kernel:?} is not tested: this processor lacks the instructions");
        }
    }
}

/// The same numbers on every machine, whatever kernel it has.
#[test]
fn products_have_the_same_bits_everywhere() {
    for kernel in Kernel::available().iter().skip(1) {
        let found = TYPES.map(|dtype| {
            let (rows, columns) = (24, 3 * dtype.block_size().max(64));
            let bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), 5);
            let x = noise(9 * columns, 11);
            let matrix = QuantizedMatrix::new(dtype, rows, columns, &bytes).expect("a matrix");
            let product = matrix.with_kernel(*kernel).multiply(&x);
            product.iter().fold(0u64, |hash, x| {
                (hash.rotate_left(5) ^ u64::from(x.to_bits())).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            })
        });
        assert_eq!(found, BITS, "{kernel:?}: {found:#x?}");
    }
}

/// What the AVX2 kernel gave for each of [`TYPES`].
const BITS: [u64; 7] = [
    0x9fec_9993_2062_ad11,
    0xda96_cea9_73b4_0fb9,
    0x0434_a43c_71da_77b8,
    0x1160_1329_f0e9_102c,
    0xcc3a_a0d2_57b1_3b50,
    0xc67a_edee_17a6_b273,
    0x024e_c6a2_7809_2cad,
];

#[cfg(target_arch = "x86_64")]
#[test]
fn a_kernel_with_other_bits_fails_the_check() {
    if !avx2::available() {
        println!("skipped: this processor has no AVX2");
        return;
    }
    assert!(check::passes(&Kernel::Avx2));
    // It adds floats up in another order.
    assert!(!check::passes(&Kernel::Portable));
}

#[cfg(target_arch = "x86_64")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whole numbers are the same in any order, and floats are added in the
    /// same one. Says nothing on a processor without VNNI;
    /// `every_kernel_of_this_processor_passes_its_check` names what is
    /// missing.
    #[test]
    fn vnni_gives_the_bits_of_avx2(
        dtype in prop::sample::select(TYPES.to_vec()),
        rows in 1usize..40,
        blocks in 1usize..12,
        count in 1usize..36,
        seed in any::<u64>(),
        extreme in prop::sample::select(vec![None, Some(0x00u8), Some(0x7f), Some(0x80), Some(0xff)]),
    ) {
        let kernels = with_vnni();
        if !kernels.is_empty() {
            let columns = blocks * dtype.block_size();
            let mut bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), seed);
            let mut x = noise(count * columns, seed ^ 7);
            if let Some(fill) = extreme {
                let at = if dtype == GgmlDType::Q6K { 0..208 } else { 4..dtype.type_size() };
                for block in bytes.chunks_exact_mut(dtype.type_size()) {
                    block[at.clone()].fill(fill);
                }
                x.iter_mut().for_each(|x| *x = x.signum());
            }
            let multiply = |kernel| {
                let matrix = QuantizedMatrix::new(dtype, rows, columns, &bytes).expect("a matrix");
                let product = matrix.with_kernel(kernel).multiply(&x);
                product.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let wanted = multiply(Kernel::Avx2);
            for kernel in kernels {
                prop_assert_eq!(multiply(kernel), wanted.as_slice(), "{:?}", kernel);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rounding by vectors against rounding one by one: every bit.
    #[test]
    fn blocks_are_rounded_alike(
        x in prop::collection::vec(
            prop_oneof![
                -2.0f32..2.0,
                Just(0.0),
                Just(-0.0),
                Just(1e30),
                Just(-1e30),
                Just(1e-38),
                // Halves, which round to the even neighbour.
                (-127i8..=127).prop_map(|x| f32::from(x) + 0.5),
            ],
            BLOCK,
        ),
    ) {
        let x: &[f32; BLOCK] = x.as_array().expect("32 of them");
        let (mut found, mut wanted) = ([0; BLOCK], [0; BLOCK]);
        let rounded = round_block(x, &mut found);
        prop_assert_eq!(rounded, round_block_portable(x, &mut wanted));
        prop_assert_eq!(found, wanted);
        let sum: i32 = found.iter().map(|number| i32::from(*number)).sum();
        prop_assert_eq!(i32::from(rounded.halves[0]) + i32::from(rounded.halves[1]), sum);
    }

    /// The feed-forward block in one, against its steps: every bit.
    #[test]
    fn a_feed_forward_block_equals_its_steps(
        first in prop::sample::select(TYPES.to_vec()),
        second in prop::sample::select(TYPES.to_vec()),
        last in prop::sample::select(TYPES.to_vec()),
        inner in 1usize..4,
        rows in 1usize..40,
        count in 1usize..140,
        function in prop::sample::select(vec![Gate::Silu, Gate::GeluTanh]),
        seed in any::<u64>(),
    ) {
        let (columns, inner) = (256, inner * last.block_size());
        let matrix = |dtype, rows, columns, seed| {
            let bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), seed);
            QuantizedMatrix::new(dtype, rows, columns, &bytes).expect("a matrix")
        };
        let gate = matrix(first, inner, columns, seed);
        let up = matrix(second, inner, columns, seed ^ 1);
        let down = matrix(last, rows, inner, seed ^ 2);
        let x = Tensor::from_vec(noise(count * columns, seed ^ 7), (count, columns), &Device::Cpu)
            .expect("a shape");
        let found = gated_feed_forward(&x, [&gate, &up], &down, function).expect("shapes fit");
        let both = [gate.forward(&x).expect("fits"), up.forward(&x).expect("fits")];
        let mixed = crate::gated_product(&both[0], &both[1], function).expect("the same shape");
        let wanted = down.forward(&mixed).expect("fits");
        prop_assert_eq!(bits(&numbers(&found)), bits(&numbers(&wanted)));
        let other = gated_feed_forward(&x, [&gate, &down], &down, function);
        prop_assert!(other.is_err() || inner == rows && inner == columns);
    }

    /// What hands its output on rounded, against the same in steps.
    #[test]
    fn fused_products_equal_the_steps(
        dtype in prop::sample::select(vec![GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q8_0]),
        next in prop::sample::select(vec![GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q8_0]),
        blocks in (1usize..12, 1usize..12),
        count in 1usize..80,
        seed in any::<u64>(),
    ) {
        let (columns, rows) = (blocks.0 * BLOCK, blocks.1 * BLOCK);
        let matrix = |dtype, rows, columns, seed| {
            let bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), seed);
            QuantizedMatrix::new(dtype, rows, columns, &bytes).expect("a matrix")
        };
        let (first, second) = (matrix(dtype, rows, columns, seed), matrix(next, 24, rows, seed ^ 1));
        let (x, bias) = (noise(count * columns, seed ^ 2), noise(rows, seed ^ 3));

        let mut wanted = first.multiply(&x);
        for row in wanted.chunks_exact_mut(rows) {
            for (x, bias) in row.iter_mut().zip(&bias) {
                *x += bias;
            }
        }
        let mut input = QuantizedRows::default();
        // Memory that was used for something else before.
        input.fill(&noise(2 * rows, 9), &second);
        input.fill(&x, &first);
        let mut found = vec![0.0; count * rows];
        first.multiply_biased(&input, &bias, &mut found);
        prop_assert_eq!(&found, &wanted);

        wanted.iter_mut().for_each(|x| *x = crate::gelu(*x));
        let wanted = second.multiply(&wanted);
        let mut inner = QuantizedRows::default();
        first.multiply_gelu(&input, &bias, &second, &mut inner);
        let mut found = vec![0.0; count * 24];
        second.multiply_biased(&inner, &[0.0; 24], &mut found);
        prop_assert!(apart(&found, &wanted) < 1e-6);
    }
}

#[test]
fn rows_are_those_of_the_file() {
    for dtype in TYPES {
        let (rows, columns) = (37, 512);
        let bytes = random_blocks(dtype, blocks_of(dtype, rows, columns), 3);
        let matrix = QuantizedMatrix::new(dtype, rows, columns, &bytes).expect("a matrix");
        let wanted = numbers(&tensor(dtype, rows, columns, &bytes));
        let found = numbers(&matrix.rows(&[0, 36, 15, 16]).expect("rows"));
        for (row, found) in [0, 36, 15, 16].iter().zip(found.chunks_exact(columns)) {
            assert!(
                apart(found, &wanted[row * columns..][..columns]) < 1e-6,
                "{dtype:?}"
            );
        }
        assert!(matrix.rows(&[37]).is_err());
    }
}

#[test]
fn what_is_no_matrix_is_refused() {
    let bytes = vec![0; 18 * 4];
    assert!(QuantizedMatrix::new(GgmlDType::Q4_0, 2, 64, &bytes).is_ok());
    for (dtype, rows, columns) in [
        (GgmlDType::Q4_0, 2, 32),
        (GgmlDType::Q4_0, usize::MAX, 64),
        (GgmlDType::Q4_0, 0, 64),
        (GgmlDType::Q4_0, 2, 65),
        (GgmlDType::Q2K, 2, 256),
        (GgmlDType::F32, 2, 64),
    ] {
        let error = QuantizedMatrix::new(dtype, rows, columns, &bytes).expect_err("no matrix");
        assert!(error.to_string().contains("rows of"), "{error}");
    }
}

#[test]
fn input_that_is_zero_or_not_finite_harms_nobody() {
    for dtype in TYPES {
        let bytes = random_blocks(dtype, blocks_of(dtype, 16, 256), 5);
        let matrix = QuantizedMatrix::new(dtype, 16, 256, &bytes).expect("a matrix");
        let zeros = matrix.multiply(&[0.0; 256]);
        assert!(zeros.iter().all(|sum| *sum == 0.0), "{dtype:?}");
        // No panic; what comes out is the caller's own fault.
        matrix.multiply(&[f32::NAN; 256]);
        matrix.multiply(&[f32::INFINITY; 256]);
    }
}

#[test]
fn a_tensor_of_another_shape_is_an_error() {
    let bytes = random_blocks(GgmlDType::Q4_0, blocks_of(GgmlDType::Q4_0, 16, 64), 5);
    let matrix = QuantizedMatrix::new(GgmlDType::Q4_0, 16, 64, &bytes).expect("a matrix");
    let input = |columns| Tensor::from_vec(noise(3 * columns, 1), (3, columns), &Device::Cpu);
    let product = matrix.forward(&input(64).expect("a shape"));
    assert_eq!(product.expect("it fits").dims(), [3, 16]);
    assert!(matrix.forward(&input(32).expect("a shape")).is_err());
    let turned = input(64).and_then(|x| x.t()).expect("a view");
    assert!(matrix.forward(&turned).is_err());
}
