//! Inner loops of the products for AVX2 and AVX-VNNI.

use std::arch::asm;
use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_cvtepi8_epi16,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_srli_epi16, _mm256_storeu_si256,
};

use super::{GROUP, NibbleInputs, NibbleTile, TILE, TileSums, WordPairs};

pub const AVX2: u8 = 0;
pub const AVX_VNNI: u8 = 1;

/// Steps whose products fit into 16 bits together: 16 times 15 · 127.
const STEPS: usize = 4;

/// [`Instructions::dot_nibbles`](super::Instructions::dot_nibbles) for several streams, and so many times 8 outputs at a time:
/// weights are unpacked once for all streams, inputs are spread once for all these outputs.
///
/// # Safety
///
/// The machine must have AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn dot_nibbles<const N: usize, const WIDTH: usize>(
    mut sums: [&mut TileSums; N],
    weights: &NibbleTile,
    inputs: [&NibbleInputs<'_>; N],
) {
    for (block, steps) in weights.iter().enumerate() {
        for first in (0..TILE / 8).step_by(WIDTH) {
            let mut totals = [[_mm256_setzero_si256(); WIDTH]; N];
            for (totals, inputs) in totals.iter_mut().zip(inputs) {
                *totals = [_mm256_set1_epi32(inputs.starts[block]); WIDTH];
            }
            for (part, steps) in steps.as_chunks::<STEPS>().0.iter().enumerate() {
                let mut words = [[_mm256_setzero_si256(); WIDTH]; N];
                for (step, lines) in steps.iter().enumerate() {
                    let lines = lines.as_flattened().as_chunks::<32>().0;
                    let mut nibbles = [[_mm256_setzero_si256(); 2]; WIDTH];
                    for (nibbles, line) in nibbles.iter_mut().zip(&lines[first..]) {
                        *nibbles = unpack(line);
                    }
                    for (words, inputs) in words.iter_mut().zip(inputs) {
                        let [low, high] = spread_bytes(inputs, block, STEPS * part + step);
                        for (words, nibbles) in words.iter_mut().zip(nibbles) {
                            *words = _mm256_add_epi16(*words, _mm256_maddubs_epi16(nibbles[0], low));
                            *words = _mm256_add_epi16(*words, _mm256_maddubs_epi16(nibbles[1], high));
                        }
                    }
                }
                for (total, words) in totals.as_flattened_mut().iter_mut().zip(words.as_flattened()) {
                    *total = _mm256_add_epi32(*total, _mm256_madd_epi16(*words, _mm256_set1_epi16(1)));
                }
            }
            for (sums, totals) in sums.iter_mut().zip(&totals) {
                store(&mut sums[block][8 * first..], totals);
            }
        }
    }
}

/// [`dot_nibbles`] of AVX-VNNI, for one stream.
///
/// # Safety
///
/// The machine must have AVX2 and AVX-VNNI.
#[target_feature(enable = "avx2")]
pub unsafe fn dot_nibbles_by_vnni(sums: &mut TileSums, weights: &NibbleTile, inputs: &NibbleInputs<'_>) {
    for (block, (sums, steps)) in sums.iter_mut().zip(weights).enumerate() {
        // As many sums as hide the latency of a product.
        let mut lows = [_mm256_set1_epi32(inputs.starts[block]); TILE / 8];
        let mut highs = [_mm256_setzero_si256(); TILE / 8];
        for (step, lines) in steps.iter().enumerate() {
            let [low, high] = spread_bytes(inputs, block, step);
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

/// Low and high nibbles.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(line: &[u8; 32]) -> [__m256i; 2] {
    // SAFETY: these are 32 bytes, and need no alignment.
    let bytes = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
    let low = _mm256_set1_epi8(15);
    [_mm256_and_si256(bytes, low), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low)]
}

/// Two groups of inputs, each in all lanes: those of the low and of the high nibbles of a step.
#[inline]
#[target_feature(enable = "avx2")]
fn spread_bytes(inputs: &NibbleInputs<'_>, block: usize, step: usize) -> [__m256i; 2] {
    let groups = inputs.blocks[block].as_chunks::<GROUP>().0;
    let spread = |group: [i8; GROUP]| _mm256_set1_epi32(i32::from_le_bytes(group.map(|value| value as u8)));
    [spread(groups[2 * step]), spread(groups[2 * step + 1])]
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
        let values = spread(pair);
        for (lanes, weights) in lanes.iter_mut().zip(weights.0.as_chunks::<16>().0) {
            // SAFETY: a chunk is 16 bytes, and needs no alignment.
            let weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) });
            *lanes = add_word_products::<KIND>(*lanes, values, weights);
        }
    }
    store(sums, &lanes);
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
            *first = add_word_products::<KIND>(*first, a, weights);
            *second = add_word_products::<KIND>(*second, b, weights);
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
fn add_word_products<const KIND: u8>(sums: __m256i, input: __m256i, weights: __m256i) -> __m256i {
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
