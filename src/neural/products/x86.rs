//! Inner loops of the products for AVX2 and AVX-VNNI.

use std::arch::asm;
use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_add_epi16, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_maddubs_epi16, _mm_prefetch,
    _mm_set1_epi8, _mm_setzero_si128, _mm_shuffle_epi32, _mm_sub_epi16, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_si256, _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_storeu_si256,
};

use super::{GROUP, MAX_BLOCKS, NibbleInputs, NibbleTile, TILE, TileSums, WordMatrix, WordPairs};

pub const AVX2: u8 = 0;
pub const AVX_VNNI: u8 = 1;

/// Steps whose products fit into 16 bits together: 16 times 15 · 128.
const STEPS_OF_WORDS: usize = 4;

/// [`Instructions::dot_nibbles`](super::Instructions::dot_nibbles) for several streams, and so many times 8 outputs at a time:
/// weights are unpacked once for all streams, inputs are spread once for all these outputs.
///
/// # Safety
///
/// The machine must have AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn dot_nibbles<const N: usize, const WIDTH: usize, const STEPS: usize>(
    sums: [&mut TileSums; N],
    weights: &NibbleTile<STEPS>,
    inputs: [&NibbleInputs<'_, STEPS>; N],
) {
    for (block, steps) in weights.iter().enumerate() {
        let groups = inputs.map(|inputs| &inputs.blocks[block]);
        for first in (0..TILE / 8).step_by(WIDTH) {
            let mut totals = [[_mm256_setzero_si256(); WIDTH]; N];
            for stream in 0..N {
                totals[stream] = [_mm256_set1_epi32(inputs[stream].starts[block]); WIDTH];
            }
            for part in (0..STEPS).step_by(STEPS_OF_WORDS) {
                let mut words = [[_mm256_setzero_si256(); WIDTH]; N];
                for step in part..part + STEPS_OF_WORDS {
                    let lines = steps[step].as_flattened().as_chunks::<32>().0;
                    let mut nibbles = [[_mm256_setzero_si256(); 2]; WIDTH];
                    for i in 0..WIDTH {
                        nibbles[i] = unpack(&lines[first + i]);
                    }
                    for stream in 0..N {
                        let [low, high] = spread_bytes(&groups[stream][step]);
                        for i in 0..WIDTH {
                            let word = &mut words[stream][i];
                            *word = _mm256_add_epi16(*word, _mm256_maddubs_epi16(nibbles[i][0], low));
                            *word = _mm256_add_epi16(*word, _mm256_maddubs_epi16(nibbles[i][1], high));
                        }
                    }
                }
                for stream in 0..N {
                    for i in 0..WIDTH {
                        let sums = _mm256_madd_epi16(words[stream][i], _mm256_set1_epi16(1));
                        totals[stream][i] = _mm256_add_epi32(totals[stream][i], sums);
                    }
                }
            }
            for stream in 0..N {
                store(&mut sums[stream][block][8 * first..], &totals[stream]);
            }
        }
    }
}

/// Most steps whose products fit into 16 bits together, where every nibble is 8 less: 32 times 8 · 127.
const MOST_STEPS_OF_WORDS: usize = 8;

/// Steps that are written out without a loop.
const UNROLLED: usize = 4;

/// Bytes of weights that are fetched ahead of their use.
const AHEAD: usize = 4096;

/// Most parts of a block that have words of their own.
const MAX_PARTS: usize = 3;

/// [`Instructions::add_nibble_products`](super::Instructions::add_nibble_products). Words begin with what the nibbles are too
/// much, and may wrap around on the way to what they end with. No input is −128.
///
/// # Safety
///
/// The machine must have AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn add_nibble_products<const STEPS: usize>(
    output: &mut [[f32; TILE]],
    tiles: &[NibbleTile<STEPS>],
    scales: &[[[f32; TILE]; MAX_BLOCKS]],
    inputs: &[[[[i8; GROUP]; 2]; STEPS]],
    units: &[f32; MAX_BLOCKS],
) {
    let length = const { if STEPS.is_multiple_of(MOST_STEPS_OF_WORDS) { MOST_STEPS_OF_WORDS } else { UNROLLED } };
    let parts = STEPS / length;
    let mut starts = [[0; MAX_PARTS]; MAX_BLOCKS];
    for (starts, groups) in starts.iter_mut().zip(inputs) {
        for part in 0..parts {
            starts[part] = start_of_words(groups[part * length..][..length].as_flattened());
        }
    }
    for ((output, tile), scales) in output.iter_mut().zip(tiles).zip(scales) {
        let mut totals = [_mm256_setzero_ps(); TILE / 8];
        for block in 0..MAX_BLOCKS {
            let mut sums = [_mm256_setzero_si256(); TILE / 8];
            for part in 0..parts {
                let mut words = [_mm256_set1_epi32(starts[block][part]); TILE / 8];
                let (steps, _) = tile[block][part * length..][..length].as_chunks::<UNROLLED>();
                let (groups, _) = inputs[block][part * length..][..length].as_chunks::<UNROLLED>();
                for (steps, groups) in steps.iter().zip(groups) {
                    for (lines, groups) in steps.iter().zip(groups) {
                        let [low, high] = spread_bytes(groups);
                        for line in lines.as_flattened().as_chunks().0 {
                            fetch_behind(line);
                        }
                        for (word, line) in words.iter_mut().zip(lines.as_flattened().as_chunks::<32>().0) {
                            let nibbles = unpack(line);
                            *word = _mm256_add_epi16(*word, _mm256_maddubs_epi16(nibbles[0], low));
                            *word = _mm256_add_epi16(*word, _mm256_maddubs_epi16(nibbles[1], high));
                        }
                    }
                }
                for (sum, word) in sums.iter_mut().zip(words) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(word, _mm256_set1_epi16(1)));
                }
            }
            add_scaled(&mut totals, &sums, &scales[block], units[block]);
        }
        add_floats(output, &totals);
    }
}

/// −8 times the sum of the inputs whose products add up in each of a pair of words.
#[inline]
#[target_feature(enable = "avx2")]
fn start_of_words(groups: &[[i8; GROUP]]) -> i32 {
    let mut sums = _mm_setzero_si128();
    for four in groups.as_chunks::<4>().0 {
        // SAFETY: four groups are 16 bytes, and need no alignment.
        let inputs = unsafe { _mm_loadu_si128(four.as_ptr().cast()) };
        sums = _mm_sub_epi16(sums, _mm_maddubs_epi16(_mm_set1_epi8(8), inputs));
    }
    let halves = _mm_add_epi16(sums, _mm_shuffle_epi32::<0b01_00_11_10>(sums));
    _mm_cvtsi128_si32(_mm_add_epi16(halves, _mm_shuffle_epi32::<0b10_11_00_01>(halves)))
}

/// [`Instructions::add_word_products`](super::Instructions::add_word_products).
///
/// # Safety
///
/// The machine must have AVX2, and the blocks of the matrix as many inputs as there are.
#[target_feature(enable = "avx2")]
pub unsafe fn add_word_products(output: &mut [f32], matrix: &WordMatrix, inputs: &[[i16; 2]], units: &[f32]) {
    for (output, (weights, scales)) in output.chunks_mut(TILE).zip(matrix.tiles()) {
        let mut totals = [_mm256_setzero_ps(); TILE / 8];
        let (mut weights, mut inputs) = (weights, inputs);
        for ((pairs, scales), unit) in matrix.blocks.iter().zip(scales).zip(units) {
            let (block, later) = weights.split_at(*pairs);
            let (values, later_values) = inputs.split_at(*pairs);
            let mut sums = [_mm256_setzero_si256(); TILE / 8];
            let (weights_by_four, rest) = block.as_chunks::<4>();
            let (values_by_four, rest_of_values) = values.as_chunks::<4>();
            for (weights, values) in weights_by_four.iter().zip(values_by_four) {
                for i in 0..4 {
                    add_pair::<AVX2>(&mut sums, &weights[i], &values[i]);
                }
            }
            for (weights, values) in rest.iter().zip(rest_of_values) {
                add_pair::<AVX2>(&mut sums, weights, values);
            }
            add_scaled(&mut totals, &sums, scales, *unit);
            (weights, inputs) = (later, later_values);
        }
        match output.first_chunk_mut() {
            Some(tile) => add_floats(tile, &totals),
            None => {
                let mut tile = [0.0; TILE];
                tile[..output.len()].copy_from_slice(output);
                add_floats(&mut tile, &totals);
                output.copy_from_slice(&tile[..output.len()]);
            }
        }
    }
}

/// Adds to the outputs of a tile the sums of a block, times the scale of each and the step of the block.
#[inline]
#[target_feature(enable = "avx2")]
fn add_scaled(totals: &mut [__m256; TILE / 8], sums: &[__m256i; TILE / 8], scales: &[f32; TILE], unit: f32) {
    for ((total, sum), scales) in totals.iter_mut().zip(sums).zip(scales.as_chunks::<8>().0) {
        let factors = _mm256_mul_ps(load_floats(scales), _mm256_set1_ps(unit));
        *total = _mm256_add_ps(*total, _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), factors));
    }
}

/// Adds to the outputs of a tile.
#[inline]
#[target_feature(enable = "avx2")]
fn add_floats(output: &mut [f32; TILE], totals: &[__m256; TILE / 8]) {
    for (output, total) in output.as_chunks_mut::<8>().0.iter_mut().zip(totals) {
        let sum = _mm256_add_ps(load_floats(output), *total);
        // SAFETY: these are 32 bytes, and need no alignment.
        unsafe { _mm256_storeu_ps(output.as_mut_ptr(), sum) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_floats(floats: &[f32; 8]) -> __m256 {
    // SAFETY: these are 32 bytes, and need no alignment.
    unsafe { _mm256_loadu_ps(floats.as_ptr()) }
}

/// [`dot_nibbles`] of AVX-VNNI, for one stream.
///
/// # Safety
///
/// The machine must have AVX2 and AVX-VNNI.
#[target_feature(enable = "avx2")]
pub unsafe fn dot_nibbles_by_vnni<const STEPS: usize>(
    sums: &mut TileSums,
    weights: &NibbleTile<STEPS>,
    inputs: &NibbleInputs<'_, STEPS>,
) {
    for (((sums, steps), groups), start) in sums.iter_mut().zip(weights).zip(inputs.blocks).zip(inputs.starts) {
        // As many sums as hide the latency of a product.
        let mut lows = [_mm256_set1_epi32(start); TILE / 8];
        let mut highs = [_mm256_setzero_si256(); TILE / 8];
        for (lines, groups) in steps.iter().zip(groups) {
            let [low, high] = spread_bytes(groups);
            for (i, line) in lines.as_flattened().as_chunks::<32>().0.iter().enumerate() {
                let nibbles = unpack(line);
                // SAFETY: the caller promises the instructions.
                unsafe {
                    lows[i] = add_byte_products(lows[i], nibbles[0], low);
                    highs[i] = add_byte_products(highs[i], nibbles[1], high);
                }
            }
        }
        for (low, high) in lows.iter_mut().zip(highs) {
            *low = _mm256_add_epi32(*low, high);
        }
        store(sums, &lows);
    }
}

/// Fetches what comes [`AHEAD`] bytes behind a line of the cache.
#[inline]
#[target_feature(enable = "avx2")]
#[allow(unused_unsafe, reason = "later compilers find the intrinsic safe")]
fn fetch_behind(line: &[u8; 64]) {
    // SAFETY: to fetch has no effect but on the cache, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast::<i8>().wrapping_add(AHEAD)) };
}

/// Low and high nibbles.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(line: &[u8; 32]) -> [__m256i; 2] {
    // SAFETY: these are 32 bytes, and need no alignment.
    let bytes = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
    let low = _mm256_set1_epi8(15);
    [_mm256_and_si256(bytes, low), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low)]
}

/// Groups of inputs of a step, each in all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn spread_bytes(groups: &[[i8; GROUP]; 2]) -> [__m256i; 2] {
    let spread = |group: [i8; GROUP]| _mm256_set1_epi32(i32::from_le_bytes(group.map(|value| value as u8)));
    [spread(groups[0]), spread(groups[1])]
}

/// Adds to each sum four products of an unsigned and a signed byte.
///
/// # Safety
///
/// The machine must have AVX-VNNI.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_byte_products(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    let mut sums = sums;
    // SAFETY: the caller promises the instruction, which touches nothing but these registers.
    unsafe {
        asm!("{{vex}} vpdpbusd {}, {}, {}", inout(ymm_reg) sums, in(ymm_reg) unsigned, in(ymm_reg) signed,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

/// # Safety
///
/// The machine must have AVX2, and the instructions of `KIND`; there must be as many weights as inputs.
#[inline]
#[target_feature(enable = "avx2")]
pub unsafe fn dot_words<const KIND: u8>(sums: &mut [i32; TILE], weights: &[WordPairs], input: &[[i16; 2]]) {
    let mut lanes = [_mm256_setzero_si256(); TILE / 8];
    for (weights, pair) in weights.iter().zip(input) {
        add_pair::<KIND>(&mut lanes, weights, pair);
    }
    store(sums, &lanes);
}

/// Adds the products of a pair of inputs to the sums of a tile.
#[inline]
#[target_feature(enable = "avx2")]
fn add_pair<const KIND: u8>(sums: &mut [__m256i; TILE / 8], weights: &WordPairs, pair: &[i16; 2]) {
    let values = spread(pair);
    for (sums, weights) in sums.iter_mut().zip(weights.0.as_chunks::<16>().0) {
        // SAFETY: a chunk is 16 bytes, and needs no alignment.
        let weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) });
        *sums = add_products_of_words::<KIND>(*sums, values, weights);
    }
}

/// [`dot_words`] for two streams, whose weights are widened once.
///
/// # Safety
///
/// As for [`dot_words`].
#[target_feature(enable = "avx2")]
pub unsafe fn dot_words_of_two<const KIND: u8>(
    sums: &mut [&mut [i32; TILE]],
    weights: &[WordPairs],
    inputs: [&[[i16; 2]]; 2],
) {
    let mut lanes = [[_mm256_setzero_si256(); TILE / 8]; 2];
    let [first, second] = &mut lanes;
    for ((weights, a), b) in weights.iter().zip(inputs[0]).zip(inputs[1]) {
        let (a, b) = (spread(a), spread(b));
        for ((first, second), weights) in first.iter_mut().zip(&mut *second).zip(weights.0.as_chunks::<16>().0) {
            // SAFETY: a chunk is 16 bytes, and needs no alignment.
            let weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) });
            *first = add_products_of_words::<KIND>(*first, a, weights);
            *second = add_products_of_words::<KIND>(*second, b, weights);
        }
    }
    sums.iter_mut().zip(&lanes).for_each(|(sums, lanes)| store(&mut sums[..], lanes));
}

/// Pair of values in all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn spread(&[first, second]: &[i16; 2]) -> __m256i {
    _mm256_set1_epi32(i32::from(first) & 0xffff | i32::from(second) << 16)
}

/// Adds to each sum two products of words.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products_of_words<const KIND: u8>(sums: __m256i, input: __m256i, weights: __m256i) -> __m256i {
    let mut sums = sums;
    match KIND {
        // SAFETY: the callers of `dot_words` promise the instruction, which touches nothing but these registers.
        AVX_VNNI => unsafe {
            asm!("{{vex}} vpdpwssd {}, {}, {}", inout(ymm_reg) sums, in(ymm_reg) input, in(ymm_reg) weights,
                options(pure, nomem, nostack, preserves_flags));
        },
        _ => sums = _mm256_add_epi32(sums, _mm256_madd_epi16(input, weights)),
    }
    sums
}

/// Writes sums.
#[inline]
#[target_feature(enable = "avx2")]
fn store(sums: &mut [i32], lanes: &[__m256i]) {
    for (sums, lanes) in sums.as_chunks_mut::<8>().0.iter_mut().zip(lanes) {
        // SAFETY: a chunk is 32 bytes, and needs no alignment.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *lanes) };
    }
}
