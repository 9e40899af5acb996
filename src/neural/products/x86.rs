//! Inner loops of the products for AVX2 and AVX-VNNI.

use std::arch::asm;
use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
};

use super::{BYTE_GROUP, BYTE_ROWS, ByteGroup, TILE, WordPairs, by_blocks};

pub const AVX2: u8 = 0;
pub const AVX_VNNI: u8 = 1;

/// Blocks side by side.
const BLOCKS: usize = 4;

/// # Safety
///
/// The machine must have AVX2, and the instructions of `KIND`; there must be as many weights as sums times inputs.
#[target_feature(enable = "avx2")]
pub unsafe fn add_bytes<const KIND: u8>(
    sums: &mut [[i32; BYTE_ROWS]],
    weights: &[ByteGroup],
    input: &[[u8; BYTE_GROUP]],
) {
    by_blocks::<BLOCKS>(
        sums,
        weights,
        input.len(),
        // SAFETY: these are the weights of so many blocks.
        |sums, weights| unsafe { add_blocks::<KIND, BLOCKS>(sums, weights.as_ptr(), input) },
        // SAFETY: as above.
        |sums, weights| unsafe { add_blocks::<KIND, 1>(sums, weights.as_ptr(), input) },
    );
}

/// # Safety
///
/// As for [`add_bytes`]; `weights` must point to `N` blocks.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_blocks<const KIND: u8, const N: usize>(
    sums: &mut [[i32; BYTE_ROWS]; N],
    weights: *const ByteGroup,
    input: &[[u8; BYTE_GROUP]],
) {
    let mut lanes = [_mm256_setzero_si256(); N];
    for (group, input_group) in input.iter().enumerate() {
        let values = _mm256_set1_epi32(i32::from_le_bytes(*input_group));
        for (block, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: the group is one of the `N` blocks; it is 32 bytes, and needs no alignment.
            let weights = unsafe { _mm256_loadu_si256(weights.add(block * input.len() + group).cast()) };
            *lanes = add_byte_products::<KIND>(*lanes, values, weights);
        }
    }
    for (sums, lanes) in sums.iter_mut().zip(lanes) {
        let to: *mut __m256i = sums.as_mut_ptr().cast();
        // SAFETY: a block of sums is 32 bytes, and needs no alignment.
        unsafe { _mm256_storeu_si256(to, _mm256_add_epi32(lanes, _mm256_loadu_si256(to))) };
    }
}

/// Adds to each sum four products of an unsigned and a signed byte.
#[inline]
#[target_feature(enable = "avx2")]
fn add_byte_products<const KIND: u8>(sums: __m256i, input: __m256i, weights: __m256i) -> __m256i {
    let mut sums = sums;
    match KIND {
        // SAFETY: the caller of `add_bytes` promises the instruction, which touches nothing but these registers.
        AVX_VNNI => unsafe {
            asm!("{{vex}} vpdpbusd {}, {}, {}", inout(ymm_reg) sums, in(ymm_reg) input, in(ymm_reg) weights,
                options(pure, nomem, nostack, preserves_flags));
        },
        _ => {
            let pairs = _mm256_maddubs_epi16(input, weights);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
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
    sums.iter_mut().zip(&lanes).for_each(|(sums, lanes)| store(sums, lanes));
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

/// Writes the sums of a tile.
#[inline]
#[target_feature(enable = "avx2")]
fn store(sums: &mut [i32; TILE], lanes: &[__m256i; TILE / 8]) {
    for (sums, lanes) in sums.as_chunks_mut::<8>().0.iter_mut().zip(lanes) {
        // SAFETY: a chunk is 32 bytes, and needs no alignment.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *lanes) };
    }
}
