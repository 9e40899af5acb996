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
#[cfg(target_arch = "x86_64")]
mod x86;

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

    /// `sums = weights · input` for a tile of 32 outputs: signed bytes, in pairs of inputs, times 16-bit integers. There are an even
    /// number of pairs, at most 254.
    #[inline]
    pub fn dot_words(self, sums: &mut [i32; TILE], weights: &[WordPairs], input: &[[i16; 2]]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// All sets of this machine.
    fn sets() -> Vec<Instructions> {
        let mut sets = vec![Set::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2");
            let has_avx512 = is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw");
            sets.extend(has_avx2.then_some(Set::Avx2));
            sets.extend((has_avx2 && has_avx_vnni()).then_some(Set::AvxVnni));
            sets.extend((has_avx2 && has_avx512).then_some(Set::Avx512Vnni));
            assert_eq!(has_avx2, Instructions::new().0 != Set::Portable);
        }
        #[cfg(target_arch = "aarch64")]
        {
            let has_dot_products = std::arch::is_aarch64_feature_detected!("dotprod");
            sets.push(Set::Neon);
            sets.extend(has_dot_products.then_some(Set::NeonDotProducts));
        }
        sets.into_iter().map(Instructions).collect()
    }

    /// Tile of any weights: where `extreme`, of the least and the greatest.
    fn tile<const STEPS: usize>(random: &mut fastrand::Rng, extreme: bool) -> NibbleTile<STEPS> {
        let mut byte = || if extreme { 255 * random.u8(..2) } else { random.u8(..) };
        std::array::from_fn(|_| std::array::from_fn(|_| std::array::from_fn(|_| std::array::from_fn(|_| byte()))))
    }

    /// Any inputs: where `extreme`, the least or the greatest.
    fn bytes<const STEPS: usize>(random: &mut fastrand::Rng, extreme: Option<i8>) -> Vec<i8> {
        (0..MAX_BLOCKS * STEPS * STEP).map(|_| extreme.unwrap_or_else(|| random.i8(..))).collect()
    }

    fn compare_nibbles_with_the_definition<const STEPS: usize>() {
        let mut random = fastrand::Rng::with_seed(3);
        for (case, extreme) in [None, Some(127), Some(-128)].into_iter().cycle().take(6).enumerate() {
            let weights = tile::<STEPS>(&mut random, case % 2 == 0);
            let input = bytes::<STEPS>(&mut random, extreme);
            let wanted: TileSums = std::array::from_fn(|block| {
                std::array::from_fn(|output| {
                    let weight = |i: usize| {
                        let byte = weights[block][i / STEP][output / 16][output % 16 * 4 + i % 4];
                        i32::from(byte >> (i % STEP / 4 * 4) & 15) - 8
                    };
                    (0..STEPS * STEP).map(|i| weight(i) * i32::from(input[block * STEPS * STEP + i])).sum()
                })
            });
            for set in sets() {
                let mut sums = [[7; TILE]; MAX_BLOCKS];
                set.dot_nibbles(&mut sums, &weights, &NibbleInputs::new(&input));
                assert_eq!(sums, wanted, "{set:?}");
            }
        }
    }

    #[test]
    fn products_of_nibbles_agree_with_the_definition() {
        compare_nibbles_with_the_definition::<8>();
        compare_nibbles_with_the_definition::<12>();
    }

    fn compare_nibbles_with_each_alone<const STEPS: usize>() {
        let mut random = fastrand::Rng::with_seed(5);
        for extreme in [false, true] {
            let weights = tile::<STEPS>(&mut random, extreme);
            let streams: [_; STREAMS] =
                std::array::from_fn(|stream| bytes::<STEPS>(&mut random, (extreme && stream % 2 == 0).then_some(-128)));
            let inputs = streams.each_ref().map(|inputs| NibbleInputs::new(inputs));
            let mut wanted = [[[7; TILE]; MAX_BLOCKS]; STREAMS];
            wanted.iter_mut().zip(&inputs).for_each(|(sums, inputs)| dot_nibbles(sums, &weights, inputs));
            assert!(wanted[0] != wanted[1] && wanted[1] != wanted[3]);
            for set in sets() {
                let mut sums = [[[7; TILE]; MAX_BLOCKS]; STREAMS];
                set.dot_nibbles_of_streams(&mut sums, &weights, inputs.each_ref());
                assert_eq!(sums, wanted, "{set:?}");
            }
        }
    }

    #[test]
    fn products_of_streams_are_those_of_each_alone() {
        compare_nibbles_with_each_alone::<8>();
        compare_nibbles_with_each_alone::<12>();
        let mut random = fastrand::Rng::with_seed(5);
        for pairs in [0, 2, 22, 64] {
            let weights: Vec<_> = (0..pairs).map(|_| WordPairs(std::array::from_fn(|_| random.u8(..)))).collect();
            let streams: [Vec<[i16; 2]>; STREAMS] =
                std::array::from_fn(|_| (0..pairs).map(|_| [random.i16(..), random.i16(..)]).collect());
            let inputs = streams.each_ref().map(|input| &input[..]);
            let wanted = inputs.map(|input| dot_words(&weights, input));
            for set in sets() {
                let mut sums = [[[7; TILE]; MAX_BLOCKS]; STREAMS];
                set.dot_words_of_streams(&mut sums, 2, &weights, inputs);
                assert_eq!(sums, wanted.map(|sums| [[7; TILE], [7; TILE], sums, [7; TILE]]), "{set:?}");
            }
        }
    }

    #[test]
    fn products_of_words_agree_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(4);
        for pairs in [0, 2, 22, 64] {
            let weights: Vec<WordPairs> =
                (0..pairs).map(|_| WordPairs(std::array::from_fn(|_| random.u8(..)))).collect();
            let input: Vec<[i16; 2]> = (0..pairs).map(|_| [random.i16(..), random.i16(..)]).collect();
            let wanted: [i32; TILE] = std::array::from_fn(|output| {
                let product = |pair: usize, i: usize| {
                    i32::from(weights[pair].0[2 * output + i] as i8) * i32::from(input[pair][i])
                };
                (0..pairs).map(|pair| product(pair, 0) + product(pair, 1)).sum()
            });
            for set in sets() {
                let mut sums = [7; TILE];
                set.dot_words(&mut sums, &weights, &input);
                assert_eq!(sums, wanted, "{set:?}");
            }
        }
    }
}
