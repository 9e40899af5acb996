//! Products of an integer matrix and an integer vector, with run-time dispatch.
//!
//! The sums are of integers, so they are the same on every machine: `vpdpbusd` and `vpdpwssd` where the machine has them
//! (AVX-512 VNNI over 512 bits, or AVX-VNNI), else AVX2; on ARM `sdot` where the machine has it, else plain NEON; else a
//! portable loop. A matrix is read once, from its first byte to its last.

#![allow(unsafe_code, reason = "vector instructions that the compiler does not find by itself")]
// Noise suppression alone has 4-bit weights.
#![cfg_attr(not(feature = "denoise"), allow(dead_code))]

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::dsp::dispatch::kernels;

/// Outputs of a tile.
pub const TILE: usize = 32;

/// Streams that are multiplied side by side.
pub const STREAMS: usize = 4;

/// Most blocks of inputs that have sums of their own.
pub const MAX_BLOCKS: usize = 4;

/// Sums of a tile, for each block of inputs.
pub type TileSums = [[i32; TILE]; MAX_BLOCKS];

/// Inputs whose bytes one instruction sums up.
const GROUP: usize = 4;

/// Inputs of a step: of the bytes of its weights, the low nibbles are for its first group, the high ones for its second.
pub const STEP: usize = 2 * GROUP;

/// 4-bit weights of a step for 16 outputs: a cache line, with four bytes for each output. A nibble stands for itself less 8.
type NibbleLine = [u8; 64];

/// 4-bit weights of a tile: for each block and each of its steps, a multiple of four, those of the first and of the last 16
/// outputs.
pub type NibbleTile<const STEPS: usize> = [[[NibbleLine; 2]; STEPS]; MAX_BLOCKS];

/// Inputs of one stream for 4-bit weights.
#[derive(Clone, Copy, Debug)]
pub struct NibbleInputs<'a, const STEPS: usize> {
    /// For each block and each step its groups.
    blocks: &'a [[[[i8; GROUP]; 2]; STEPS]],
    /// What the sums of each block begin with: −8 times the sum of its inputs, as every nibble is 8 too much.
    starts: [i32; MAX_BLOCKS],
}

impl<'a, const STEPS: usize> NibbleInputs<'a, STEPS> {
    /// Inputs of all blocks.
    pub fn new(inputs: &'a [i8]) -> Self {
        let block = STEPS * STEP;
        assert!(inputs.len() == MAX_BLOCKS * block);
        let sum = |index: usize| inputs[index * block..][..block].iter().map(|&input| i32::from(input)).sum::<i32>();
        Self {
            blocks: inputs.as_chunks().0.as_chunks().0.as_chunks().0,
            starts: std::array::from_fn(|index| -8 * sum(index)),
        }
    }
}

/// Pair of weights of each output of a tile: a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct WordPairs(pub [u8; 2 * TILE]);

/// Matrix of signed bytes for inputs of 16 bits.
pub struct WordMatrix {
    /// Tiles of outputs; in each the pairs of inputs, one after the other.
    pub weights: Box<[WordPairs]>,
    /// For each tile the scales of each block.
    pub scales: Box<[[f32; TILE]]>,
    /// Pairs of each block, an even number.
    pub blocks: Box<[usize]>,
    /// Pairs of all blocks.
    pub pairs: usize,
}

impl WordMatrix {
    /// Weights and scales of each tile.
    pub fn tiles(&self) -> impl Iterator<Item = (&[WordPairs], &[[f32; TILE]])> {
        self.weights.chunks_exact(self.pairs).zip(self.scales.chunks_exact(self.blocks.len()))
    }
}

/// Instructions of this machine for the products.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instructions(Set);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "aarch64")]
    NeonDotProducts,
}

impl Instructions {
    /// Best instructions of this machine.
    pub fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // AVX2 says that the system keeps the registers, so the instruction set alone is left to ask for.
            return Self(
                if is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512f")
                {
                    Set::Avx512Vnni
                } else if has_avx_vnni() {
                    Set::AvxVnni
                } else {
                    Set::Avx2
                },
            );
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            let has_dot_products = std::arch::is_aarch64_feature_detected!("dotprod");
            return Self(if has_dot_products { Set::NeonDotProducts } else { Set::Neon });
        }
        Self(Set::Portable)
    }

    /// `sums = weights · inputs` for a tile of 32 outputs and each block of inputs: 4-bit weights times signed bytes.
    pub fn dot_nibbles<const STEPS: usize>(
        self,
        sums: &mut TileSums,
        weights: &NibbleTile<STEPS>,
        inputs: &NibbleInputs<'_, STEPS>,
    ) {
        match self.0 {
            Set::Portable => dot_nibbles(sums, weights, inputs),
            // SAFETY: `new` has found the instructions on this machine.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::dot_nibbles::<1, 4, STEPS>([sums], weights, [inputs]) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => unsafe { x86::dot_nibbles_by_vnni(sums, weights, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => unsafe { avx512::dot_nibbles(sums, weights, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => unsafe { neon::dot_nibbles(sums, weights, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::NeonDotProducts => unsafe { neon::dot_nibbles_by_sdot(sums, weights, inputs) },
        }
    }

    /// `output = output + weights · inputs` for one stream and all tiles of a matrix: the products of each block times the scale
    /// of their output and the step of the block. No input is −128.
    pub fn add_nibble_products<const STEPS: usize>(
        self,
        output: &mut [[f32; TILE]],
        tiles: &[NibbleTile<STEPS>],
        scales: &[[[f32; TILE]; MAX_BLOCKS]],
        inputs: &[i8],
        units: &[f32; MAX_BLOCKS],
    ) {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Set::Avx2 {
            assert!(inputs.len() == MAX_BLOCKS * STEPS * STEP);
            let inputs = inputs.as_chunks().0.as_chunks().0.as_chunks().0;
            // SAFETY: `new` has found the instructions on this machine.
            return unsafe { x86::add_nibble_products(output, tiles, scales, inputs, units) };
        }
        let inputs = NibbleInputs::new(inputs);
        let mut sums = [[0; TILE]; MAX_BLOCKS];
        for ((output, tile), scales) in output.iter_mut().zip(tiles).zip(scales) {
            self.dot_nibbles(&mut sums, tile, &inputs);
            add_scaled_sums(output, &sums, scales, units);
        }
    }

    /// [`dot_nibbles`](Self::dot_nibbles) for several streams.
    pub fn dot_nibbles_of_streams<const STEPS: usize>(
        self,
        sums: &mut [TileSums; STREAMS],
        weights: &NibbleTile<STEPS>,
        inputs: [&NibbleInputs<'_, STEPS>; STREAMS],
    ) {
        match self.0 {
            // SAFETY: `new` has found the instructions on this machine.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::dot_nibbles::<STREAMS, 1, STEPS>(sums.each_mut(), weights, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => unsafe { avx512::dot_nibbles_of_four(sums, weights, inputs) },
            _ => sums.iter_mut().zip(inputs).for_each(|(sums, inputs)| self.dot_nibbles(sums, weights, inputs)),
        }
    }

    /// [`dot_words`](Self::dot_words) for several streams and a block of their inputs.
    pub fn dot_words_of_streams(
        self,
        sums: &mut [TileSums; STREAMS],
        block: usize,
        weights: &[WordPairs],
        inputs: [&[[i16; 2]]; STREAMS],
    ) {
        assert!(weights.len().is_multiple_of(2) && inputs.iter().all(|input| weights.len() == input.len()));
        let mut sums = sums.each_mut().map(|sums| &mut sums[block]);
        match self.0 {
            Set::Portable => sums.iter_mut().zip(inputs).for_each(|(sums, input)| **sums = dot_words(weights, input)),
            // SAFETY: `new` has found the instructions on this machine, and the lengths are checked above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe {
                let ([a, b, c, d], (first, last)) = (inputs, sums.split_at_mut(2));
                x86::dot_words_of_two::<{ x86::AVX2 }>(first, weights, [a, b]);
                x86::dot_words_of_two::<{ x86::AVX2 }>(last, weights, [c, d]);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => unsafe {
                let ([a, b, c, d], (first, last)) = (inputs, sums.split_at_mut(2));
                x86::dot_words_of_two::<{ x86::AVX_VNNI }>(first, weights, [a, b]);
                x86::dot_words_of_two::<{ x86::AVX_VNNI }>(last, weights, [c, d]);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => unsafe { avx512::dot_words_of_four(sums, weights, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::NeonDotProducts => sums.iter_mut().zip(inputs).for_each(|(sums, input)| unsafe {
                **sums = neon::dot_words(weights, input);
            }),
        }
    }

    /// `output = output + weights · inputs` for one stream: signed bytes, in pairs of inputs, times 16-bit integers, of each block
    /// times the scale of their output and the step of the block. Of a block there are an even number of pairs, at most 254.
    pub fn add_word_products(self, output: &mut [f32], matrix: &WordMatrix, inputs: &[[i16; 2]], units: &[f32]) {
        let blocks = matrix.blocks.iter();
        assert!(matrix.pairs == inputs.len() && blocks.clone().all(|pairs| pairs.is_multiple_of(2)));
        assert!(matrix.pairs == blocks.sum::<usize>() && matrix.blocks.len() <= units.len());
        // SAFETY: `new` has found the instructions on this machine, and the lengths are checked above.
        #[cfg(target_arch = "x86_64")]
        if self.0 == Set::Avx2 {
            return unsafe { x86::add_word_products(output, matrix, inputs, units) };
        }
        let mut sums = [[0; TILE]; MAX_BLOCKS];
        for (output, (weights, scales)) in output.chunks_mut(TILE).zip(matrix.tiles()) {
            let mut from = 0;
            for (sums, pairs) in sums.iter_mut().zip(&matrix.blocks) {
                let block = from..from + pairs;
                self.dot_words(sums, &weights[block.clone()], &inputs[block]);
                from += pairs;
            }
            add_scaled_sums(output, &sums, scales, units);
        }
    }

    /// `sums = weights · input` for a tile of 32 outputs: signed bytes, in pairs of inputs, times 16-bit integers. There are an even
    /// number of pairs, at most 254.
    #[inline]
    fn dot_words(self, sums: &mut [i32; TILE], weights: &[WordPairs], input: &[[i16; 2]]) {
        assert!(weights.len() == input.len() && input.len().is_multiple_of(2));
        match self.0 {
            Set::Portable => *sums = dot_words(weights, input),
            // SAFETY: `new` has found the instructions on this machine, and the lengths are checked above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::dot_words::<{ x86::AVX2 }>(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => unsafe { x86::dot_words::<{ x86::AVX_VNNI }>(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => unsafe { avx512::dot_words(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::NeonDotProducts => unsafe { *sums = neon::dot_words(weights, input) },
        }
    }
}

kernels! {
    /// `out = out + Σ sums · scales · unit`, for a tile of outputs, over the blocks of its inputs.
    fn add_scaled_sums(out: &mut [f32], sums: &[[i32; TILE]], scales: &[[f32; TILE]], units: &[f32]) {
        let mut total = [0.0; TILE];
        for ((sums, scales), unit) in sums.iter().zip(scales).zip(units) {
            for lane in 0..TILE {
                total[lane] += sums[lane] as f32 * (scales[lane] * unit);
            }
        }
        // A whole tile is added without a look at its length.
        if let Some(out) = out.first_chunk_mut::<TILE>() {
            for lane in 0..TILE {
                out[lane] += total[lane];
            }
            return;
        }
        for (out, total) in out.iter_mut().zip(total) {
            *out += total;
        }
    }
}

/// AVX-VNNI, for which `is_x86_feature_detected` is younger than this crate's oldest compiler.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe, reason = "safe in younger compilers")]
fn has_avx_vnni() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { __cpuid(0).eax >= 7 && __cpuid_count(7, 0).eax >= 1 && __cpuid_count(7, 1).eax & (1 << 4) != 0 }
}

fn dot_nibbles<const STEPS: usize>(sums: &mut TileSums, weights: &NibbleTile<STEPS>, inputs: &NibbleInputs<'_, STEPS>) {
    for (((sums, steps), groups), start) in sums.iter_mut().zip(weights).zip(inputs.blocks).zip(inputs.starts) {
        *sums = [start; TILE];
        for (lines, [low, high]) in steps.iter().zip(groups) {
            for (sum, bytes) in sums.iter_mut().zip(lines.as_flattened().as_chunks::<GROUP>().0) {
                for (byte, (&low, &high)) in bytes.iter().zip(low.iter().zip(high)) {
                    *sum += i32::from(byte & 15) * i32::from(low) + i32::from(byte >> 4) * i32::from(high);
                }
            }
        }
    }
}

fn dot_words(weights: &[WordPairs], input: &[[i16; 2]]) -> [i32; TILE] {
    let mut sums = [0; TILE];
    for (weights, input) in weights.iter().zip(input) {
        for (sum, weights) in sums.iter_mut().zip(weights.0.as_chunks::<2>().0) {
            *sum += weights.iter().zip(input).map(|(&w, &x)| i32::from(w as i8) * i32::from(x)).sum::<i32>();
        }
    }
    sums
}
