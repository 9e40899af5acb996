//! Products of an integer matrix and an integer vector, with run-time dispatch.
//!
//! The sums are of integers, so they are the same on every machine: `vpdpbusd` and `vpdpwssd` where the machine has them
//! (AVX-512 VNNI over 512 bits, or AVX-VNNI), else AVX2; on ARM `sdot` where the machine has it, else plain NEON; else a
//! portable loop. A matrix is read once, from its first byte to
//! its last: one that does not fit into the second cache comes as fast as the third gives it.

#![allow(unsafe_code, reason = "vector instructions that the compiler does not find by itself")]
// RNNoise 0.2 alone has matrices of bytes.
#![cfg_attr(not(feature = "denoise"), allow(dead_code))]

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Outputs of a block of [`Instructions::add_bytes`], and inputs of a group in it: the bytes that one instruction sums up.
const BYTE_ROWS: usize = 8;
const BYTE_GROUP: usize = 4;

/// Input byte that stands for 0.
pub const MIDDLE: u8 = 127;

/// Group of weights: four of each of eight outputs.
type ByteGroup = [u8; BYTE_ROWS * BYTE_GROUP];

/// Outputs of a tile of [`Instructions::dot_words`].
pub const TILE: usize = 32;

/// Streams that are multiplied side by side.
pub const STREAMS: usize = 4;

/// Most blocks of inputs that have sums of their own.
pub const MAX_BLOCKS: usize = 4;

/// Sums of a tile, for each block of inputs.
pub type TileSums = [[i32; TILE]; MAX_BLOCKS];

/// Outputs of a panel of [`Instructions::add_panel`]: its weights stay in the first cache for all streams.
pub const PANEL: usize = 32;

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

    /// What [`MIDDLE`] counts for in [`add_bytes`](Self::add_bytes): itself, or 0 where the instructions take signed
    /// bytes, and the input is moved down for them.
    pub fn middle(self) -> i32 {
        match self.0 {
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::NeonDotProducts => 0,
            _ => MIDDLE.into(),
        }
    }

    /// `sums = sums + weights · (input − MIDDLE + middle())`, for signed weights. The matrix lies in blocks of 8 outputs, and in
    /// each in groups of 4 inputs: 32 bytes, 4 of each output. Two neighbouring products must fit into 16 bits together.
    pub fn add_bytes(self, sums: &mut [i32], weights: &[u8], input: &[u8]) {
        let (sums, rest) = sums.as_chunks_mut::<BYTE_ROWS>();
        let (input, odd) = input.as_chunks::<BYTE_GROUP>();
        let (weights, _) = weights.as_chunks::<{ BYTE_ROWS * BYTE_GROUP }>();
        assert!(rest.is_empty() && odd.is_empty() && weights.len() == sums.len() * input.len());
        match self.0 {
            Set::Portable => add_bytes(sums, weights, input),
            // SAFETY: `new` has found the instructions on this machine, and the lengths are checked above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::add_bytes::<{ x86::AVX2 }>(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => unsafe { x86::add_bytes::<{ x86::AVX_VNNI }>(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => unsafe { avx512::add_bytes(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => unsafe { neon::add_bytes::<{ neon::PLAIN }>(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::NeonDotProducts => unsafe { neon::add_bytes::<{ neon::DOT_PRODUCTS }>(sums, weights, input) },
        }
    }

    /// [`add_bytes`](Self::add_bytes) for a panel of a matrix and the inputs of several streams. Where it is the `part`th time
    /// for a panel, that quarter of the next one is fetched meanwhile.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    pub fn add_panel(self, sums: &mut [[i32; PANEL]; STREAMS], weights: &[u8], inputs: [&[u8]; STREAMS], part: usize) {
        #[cfg(target_arch = "x86_64")]
        // It takes two groups at a time: no network has others.
        if self.0 == Set::Avx512Vnni && !inputs[0].is_empty() && inputs[0].len().is_multiple_of(2 * BYTE_GROUP) {
            let inputs = inputs.map(|input| input.as_chunks::<BYTE_GROUP>().0);
            let (weights, _) = weights.as_chunks::<{ BYTE_ROWS * BYTE_GROUP }>();
            assert!(inputs.iter().all(|input| weights.len() == PANEL / BYTE_ROWS * input.len()));
            // SAFETY: `new` has found the instructions on this machine, and the lengths are checked above.
            return unsafe { avx512::add_panel(sums, weights, inputs, part) };
        }
        for (sums, input) in sums.iter_mut().zip(inputs) {
            self.add_bytes(sums, weights, input);
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

/// [`Instructions::add_bytes`] by blocks: `many` multiplies `N` of them side by side, which hides the latency of a sum and shares
/// the input, `one` those that are left. Each is given its blocks of sums and their weights; there are `groups` in a block.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn by_blocks<const N: usize>(
    sums: &mut [[i32; BYTE_ROWS]],
    weights: &[ByteGroup],
    groups: usize,
    many: impl Fn(&mut [[i32; BYTE_ROWS]; N], &[ByteGroup]),
    one: impl Fn(&mut [[i32; BYTE_ROWS]; 1], &[ByteGroup]),
) {
    let (blocks, rest) = sums.as_chunks_mut::<N>();
    let (weights, rest_weights) = weights.split_at(blocks.len() * N * groups);
    for (sums, weights) in blocks.iter_mut().zip(weights.chunks_exact(N * groups)) {
        many(sums, weights);
    }
    for (sums, weights) in rest.iter_mut().zip(rest_weights.chunks_exact(groups)) {
        one(std::array::from_mut(sums), weights);
    }
}

fn add_bytes(sums: &mut [[i32; BYTE_ROWS]], weights: &[ByteGroup], input: &[[u8; BYTE_GROUP]]) {
    for (sums, weights) in sums.iter_mut().zip(weights.chunks_exact(input.len())) {
        for (weights, input) in weights.iter().zip(input) {
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<BYTE_GROUP>().0) {
                *sum += weights.iter().zip(input).map(|(&w, &x)| i32::from(w as i8) * i32::from(x)).sum::<i32>();
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

    #[test]
    fn products_of_bytes_agree_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(3);
        // Five blocks: four side by side, and one more.
        for (outputs, inputs) in [(40, 16), (40, 12), (8, 384)] {
            // Neighbouring weights of at most 64 each: their products fit into 16 bits.
            let weights: Vec<u8> = (0..outputs * inputs).map(|_| random.i8(-64..=64) as u8).collect();
            let input: Vec<u8> = (0..inputs).map(|_| random.u8(..=254)).collect();
            let wanted = |middle: i32| -> Vec<i32> {
                let value = |i: usize| i32::from(input[i]) - i32::from(MIDDLE) + middle;
                let sum = |row: usize| {
                    let weight = |i: usize| weights[(row / 8 * inputs / 4 + i / 4) * 32 + row % 8 * 4 + i % 4] as i8;
                    7 + (0..inputs).map(|i| i32::from(weight(i)) * value(i)).sum::<i32>()
                };
                (0..outputs).map(sum).collect()
            };
            for set in sets() {
                let mut sums = vec![7; outputs];
                set.add_bytes(&mut sums, &weights, &input);
                assert_eq!(sums, wanted(set.middle()), "{set:?}");
            }
        }
    }

    #[test]
    fn products_of_streams_are_those_of_each_alone() {
        let mut random = fastrand::Rng::with_seed(5);
        for inputs in [4, 8, 16, 384] {
            let weights: Vec<u8> = (0..PANEL * inputs).map(|_| random.i8(-64..=64) as u8).collect();
            let streams: [Vec<u8>; STREAMS] = std::array::from_fn(|_| (0..inputs).map(|_| random.u8(..=254)).collect());
            for set in sets() {
                let mut wanted = [[7; PANEL]; STREAMS];
                let alone = wanted.iter_mut().zip(&streams);
                alone.for_each(|(sums, input)| set.add_bytes(sums, &weights, input));
                assert!(wanted[0] != wanted[1] && wanted[2] != wanted[3]);
                let mut sums = [[7; PANEL]; STREAMS];
                set.add_panel(&mut sums, &weights, streams.each_ref().map(|input| &input[..]), inputs % 3);
                assert_eq!(sums, wanted, "{set:?}");
            }
        }
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
