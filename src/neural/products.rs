//! Products of an integer matrix and an integer vector, with run-time dispatch.
//!
//! The sums are of integers, so they are the same on every machine: `vpdpbusd` and `vpdpwssd` where the machine has them
//! (AVX-512 VNNI over 512 bits, or AVX-VNNI), else AVX2, else a portable loop. A matrix is read once, from its first byte to
//! its last: one that does not fit into the second cache comes as fast as the third gives it.

#![allow(unsafe_code, reason = "vector instructions that the compiler does not find by itself")]
// RNNoise 0.2 alone has matrices of bytes.
#![cfg_attr(not(feature = "denoise"), allow(dead_code))]

/// Outputs of a block of [`Instructions::add_bytes`], and inputs of a group in it: the bytes that one instruction sums up.
const BYTE_ROWS: usize = 8;
const BYTE_GROUP: usize = 4;

/// Group of weights: four of each of eight outputs.
type ByteGroup = [u8; BYTE_ROWS * BYTE_GROUP];

/// Outputs of a tile of [`Instructions::dot_words`].
pub const TILE: usize = 32;

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
        Self(Set::Portable)
    }

    /// `sums = sums + weights · input`, for signed weights and unsigned inputs. The matrix lies in blocks of 8 outputs, and in
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
            Set::Avx512Vnni => unsafe { x86::add_bytes_512(sums, weights, input) },
        }
    }

    /// `weights · input` for a tile of 32 outputs: signed bytes, in pairs of inputs, times 16-bit integers. There are an even
    /// number of pairs, at most 254.
    #[inline]
    pub fn dot_words(self, weights: &[WordPairs], input: &[[i16; 2]]) -> [i32; TILE] {
        assert!(weights.len() == input.len() && input.len().is_multiple_of(2));
        match self.0 {
            Set::Portable => dot_words(weights, input),
            // SAFETY: `new` has found the instructions on this machine, and the lengths are checked above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::dot_words::<{ x86::AVX2 }>(weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => unsafe { x86::dot_words::<{ x86::AVX_VNNI }>(weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => unsafe { x86::dot_words_512(weights, input) },
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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
    };

    use super::{BYTE_GROUP, BYTE_ROWS, ByteGroup, TILE, WordPairs};

    pub const AVX2: u8 = 0;
    pub const AVX_VNNI: u8 = 1;

    /// Blocks side by side, which hide the latency of a sum and share the input.
    const BLOCKS: usize = 4;

    /// Groups of inputs that are spread over a register each, at a time.
    const SPREAD: usize = 96;

    /// # Safety
    ///
    /// The machine must have AVX2, and the instructions of `KIND`; there must be as many weights as sums times inputs.
    #[target_feature(enable = "avx2")]
    pub unsafe fn add_bytes<const KIND: u8>(
        sums: &mut [[i32; BYTE_ROWS]],
        weights: &[ByteGroup],
        input: &[[u8; BYTE_GROUP]],
    ) {
        let whole = sums.len() / BLOCKS * BLOCKS;
        let (many, few) = sums.split_at_mut(whole);
        let (many_weights, few_weights) = weights.split_at(whole * input.len());
        let blocks = many.as_chunks_mut::<BLOCKS>().0;
        for (sums, weights) in blocks.iter_mut().zip(many_weights.chunks_exact(BLOCKS * input.len())) {
            // SAFETY: the chunk holds the weights of so many blocks.
            unsafe { add_blocks::<KIND, BLOCKS>(sums, weights.as_ptr(), input) };
        }
        for (sums, weights) in few.iter_mut().zip(few_weights.chunks_exact(input.len())) {
            // SAFETY: as above.
            unsafe { add_blocks::<KIND, 1>(std::array::from_mut(sums), weights.as_ptr(), input) };
        }
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
    pub unsafe fn dot_words<const KIND: u8>(weights: &[WordPairs], input: &[[i16; 2]]) -> [i32; TILE] {
        let mut lanes = [_mm256_setzero_si256(); TILE / 8];
        for (weights, [first, second]) in weights.iter().zip(input) {
            let values = _mm256_set1_epi32(i32::from(*first) & 0xffff | i32::from(*second) << 16);
            for (lanes, weights) in lanes.iter_mut().zip(weights.0.as_chunks::<16>().0) {
                // SAFETY: a chunk is 16 bytes, and needs no alignment.
                let weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) });
                match KIND {
                    // SAFETY: the caller promises the instruction, which touches nothing but these registers.
                    AVX_VNNI => unsafe {
                        asm!("{{vex}} vpdpwssd {}, {}, {}", inout(ymm_reg) *lanes, in(ymm_reg) values,
                            in(ymm_reg) weights, options(pure, nomem, nostack, preserves_flags));
                    },
                    _ => *lanes = _mm256_add_epi32(*lanes, _mm256_madd_epi16(values, weights)),
                }
            }
        }
        let mut sums = [0; TILE];
        for (sums, lanes) in sums.as_chunks_mut::<8>().0.iter_mut().zip(lanes) {
            // SAFETY: a chunk is 32 bytes, and needs no alignment.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), lanes) };
        }
        sums
    }

    // Registers of 512 bits are no values of functions that may be compiled without AVX-512, as they must be for this crate's
    // oldest compiler. So the loops are assembly, and use the upper half of the registers, which no other code does.

    /// # Safety
    ///
    /// The machine must have AVX-512 VNNI; there must be as many weights as sums times inputs.
    pub unsafe fn add_bytes_512(sums: &mut [[i32; BYTE_ROWS]], weights: &[ByteGroup], input: &[[u8; BYTE_GROUP]]) {
        let (mut spread, mut from) = ([[[0; BYTE_GROUP]; BYTE_ROWS]; SPREAD], 0);
        // No network has others.
        if !input.len().is_multiple_of(4) || input.len() > SPREAD {
            return super::add_bytes(sums, weights, input);
        }
        for (spread, input) in spread.iter_mut().zip(input) {
            *spread = [*input; BYTE_ROWS];
        }
        for sums in sums {
            // SAFETY: the block has as many groups as there are inputs, of 32 bytes each, like those spread out; four are
            // read at a time. The sums are 32 bytes. The registers and the flags are named.
            unsafe {
                asm!(
                    "vpxord zmm16, zmm16, zmm16",
                    "vpxord zmm17, zmm17, zmm17",
                    "2:",
                    "vmovdqu64 zmm18, [rsi]",
                    "vmovdqu64 zmm19, [rsi + 64]",
                    "vpdpbusd zmm16, zmm18, [rdx]",
                    "vpdpbusd zmm17, zmm19, [rdx + 64]",
                    "add rsi, 128",
                    "add rdx, 128",
                    "dec rcx",
                    "jnz 2b",
                    "vpaddd zmm16, zmm16, zmm17",
                    "vextracti64x4 ymm17, zmm16, 1",
                    "vpaddd ymm16, ymm16, ymm17",
                    "vpaddd ymm16, ymm16, [rdi]",
                    "vmovdqu32 [rdi], ymm16",
                    inout("rsi") spread.as_ptr() => _,
                    inout("rdx") weights.as_ptr().add(from) => _,
                    inout("rcx") input.len() / 4 => _,
                    inout("rdi") sums.as_mut_ptr() => _,
                    clobber_abi("sysv64"),
                    options(nostack),
                );
            }
            from += input.len();
        }
    }

    /// # Safety
    ///
    /// The machine must have AVX-512 VNNI; there must be as many weights as inputs, an even number.
    #[inline]
    pub unsafe fn dot_words_512(weights: &[WordPairs], input: &[[i16; 2]]) -> [i32; TILE] {
        let mut sums = [0; TILE];
        if input.is_empty() {
            return sums;
        }
        // SAFETY: two pairs of weights, of 64 bytes, and of inputs, of 4 bytes, are read at a time. The sums are 128 bytes.
        // The registers and the flags are named.
        unsafe {
            asm!(
                "vpxord zmm16, zmm16, zmm16",
                "vpxord zmm17, zmm17, zmm17",
                "vpxord zmm18, zmm18, zmm18",
                "vpxord zmm19, zmm19, zmm19",
                "2:",
                "vpmovsxbw zmm20, [rdx]",
                "vpmovsxbw zmm21, [rdx + 32]",
                "vpmovsxbw zmm22, [rdx + 64]",
                "vpmovsxbw zmm23, [rdx + 96]",
                "vpdpwssd zmm16, zmm20, dword ptr [rsi]{{1to16}}",
                "vpdpwssd zmm17, zmm21, dword ptr [rsi]{{1to16}}",
                "vpdpwssd zmm18, zmm22, dword ptr [rsi + 4]{{1to16}}",
                "vpdpwssd zmm19, zmm23, dword ptr [rsi + 4]{{1to16}}",
                "add rsi, 8",
                "add rdx, 128",
                "dec rcx",
                "jnz 2b",
                "vpaddd zmm16, zmm16, zmm18",
                "vpaddd zmm17, zmm17, zmm19",
                "vmovdqu32 [rdi], zmm16",
                "vmovdqu32 [rdi + 64], zmm17",
                inout("rsi") input.as_ptr() => _,
                inout("rdx") weights.as_ptr() => _,
                inout("rcx") input.len() / 2 => _,
                inout("rdi") sums.as_mut_ptr() => _,
                clobber_abi("sysv64"),
                options(nostack),
            );
        }
        sums
    }
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
            let wanted: Vec<i32> = (0..outputs)
                .map(|row| {
                    let weight = |i: usize| weights[(row / 8 * inputs / 4 + i / 4) * 32 + row % 8 * 4 + i % 4] as i8;
                    7 + (0..inputs).map(|i| i32::from(weight(i)) * i32::from(input[i])).sum::<i32>()
                })
                .collect();
            for set in sets() {
                let mut sums = vec![7; outputs];
                set.add_bytes(&mut sums, &weights, &input);
                assert_eq!(sums, wanted, "{set:?}");
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
                assert_eq!(set.dot_words(&weights, &input), wanted, "{set:?}");
            }
        }
    }
}
