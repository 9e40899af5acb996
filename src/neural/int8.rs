//! Product of a matrix of signed bytes and a vector of unsigned bytes, with run-time dispatch.
//!
//! The sums are of integers, so they are the same on every machine: `vpdpbusd` where the machine has it (AVX-512 VNNI or
//! AVX-VNNI), else AVX2, else a portable loop, which the compiler vectorises for SSE2 and NEON.

#![allow(unsafe_code, reason = "vector instructions that the compiler does not find by itself")]

/// Outputs of a block.
const ROWS: usize = 8;

/// Inputs of a group: the bytes that one instruction sums up.
const GROUP: usize = 4;

/// Implementation of [`Int8Product`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

/// Product of a matrix of signed bytes and a vector of unsigned bytes, by the best instructions of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Int8Product(Kernel);

impl Int8Product {
    /// Product for this machine.
    pub fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // AVX2 says that the system keeps the registers, so the instruction set alone is left to ask for.
            return Self(if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
                Kernel::Avx512Vnni
            } else if has_avx_vnni() {
                Kernel::AvxVnni
            } else {
                Kernel::Avx2
            });
        }
        Self(Kernel::Portable)
    }

    /// `sums = sums + weights · input`. The matrix lies in blocks of 8 outputs, and in each in groups of 4 inputs: 32 bytes,
    /// 4 of each output. Two neighbouring products must fit into 16 bits together.
    pub fn add(self, sums: &mut [i32], weights: &[u8], input: &[u8]) {
        let (sums, rest) = sums.as_chunks_mut::<ROWS>();
        let (input, odd) = input.as_chunks::<GROUP>();
        let (weights, _) = weights.as_chunks::<{ ROWS * GROUP }>();
        assert!(rest.is_empty() && odd.is_empty() && weights.len() == sums.len() * input.len());
        match self.0 {
            Kernel::Portable => portable(sums, weights, input),
            // SAFETY: `new` has found the instructions on this machine, and nothing else is asked of the caller.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { x86::add::<{ x86::AVX2 }>(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::AvxVnni => unsafe { x86::add::<{ x86::AVX_VNNI }>(sums, weights, input) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vnni => unsafe { x86::add::<{ x86::AVX512_VNNI }>(sums, weights, input) },
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

fn portable(sums: &mut [[i32; ROWS]], weights: &[[u8; ROWS * GROUP]], input: &[[u8; GROUP]]) {
    for (sums, weights) in sums.iter_mut().zip(weights.chunks_exact(input.len())) {
        for (weights, input) in weights.iter().zip(input) {
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<GROUP>().0) {
                *sum += weights.iter().zip(input).map(|(&w, &x)| i32::from(w as i8) * i32::from(x)).sum::<i32>();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_storeu_si256,
    };

    use super::{GROUP, ROWS};

    pub const AVX2: u8 = 0;
    pub const AVX_VNNI: u8 = 1;
    pub const AVX512_VNNI: u8 = 2;

    /// Blocks side by side, which hide the latency of a sum and share the input.
    const BLOCKS: usize = 4;

    /// # Safety
    ///
    /// The machine must have AVX2, and the instructions of `KIND`.
    #[target_feature(enable = "avx2")]
    pub unsafe fn add<const KIND: u8>(sums: &mut [[i32; ROWS]], weights: &[[u8; ROWS * GROUP]], input: &[[u8; GROUP]]) {
        let whole = sums.len() / BLOCKS * BLOCKS;
        let (many, few) = sums.split_at_mut(whole);
        let (many_weights, few_weights) = weights.split_at(whole * input.len());
        let blocks = many.as_chunks_mut::<BLOCKS>().0;
        for (sums, weights) in blocks.iter_mut().zip(many_weights.chunks_exact(BLOCKS * input.len())) {
            add_blocks::<KIND, BLOCKS>(sums, weights, input);
        }
        for (sums, weights) in few.iter_mut().zip(few_weights.chunks_exact(input.len())) {
            add_blocks::<KIND, 1>(std::array::from_mut(sums), weights, input);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_blocks<const KIND: u8, const N: usize>(
        sums: &mut [[i32; ROWS]; N],
        weights: &[[u8; ROWS * GROUP]],
        input: &[[u8; GROUP]],
    ) {
        let mut lanes: [__m256i; N] = std::array::from_fn(|block| {
            // SAFETY: a block of sums is 32 bytes, and needs no alignment.
            unsafe { _mm256_loadu_si256(sums[block].as_ptr().cast()) }
        });
        let rows: [&[[u8; ROWS * GROUP]]; N] =
            std::array::from_fn(|block| &weights[block * input.len()..][..input.len()]);
        for (group, input) in input.iter().enumerate() {
            let input = _mm256_set1_epi32(i32::from_le_bytes(*input));
            for block in 0..N {
                // SAFETY: a group of weights is 32 bytes, and needs no alignment.
                let weights = unsafe { _mm256_loadu_si256(rows[block][group].as_ptr().cast()) };
                lanes[block] = add_products::<KIND>(lanes[block], input, weights);
            }
        }
        for (sums, lanes) in sums.iter_mut().zip(lanes) {
            // SAFETY: as for the load.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), lanes) };
        }
    }

    /// Adds to each sum four products of an unsigned and a signed byte.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_products<const KIND: u8>(sums: __m256i, input: __m256i, weights: __m256i) -> __m256i {
        let mut sums = sums;
        match KIND {
            // SAFETY: the caller of `add` promises the instruction, which touches nothing but these registers.
            AVX_VNNI => unsafe {
                asm!("{{vex}} vpdpbusd {}, {}, {}", inout(ymm_reg) sums, in(ymm_reg) input, in(ymm_reg) weights,
                    options(pure, nomem, nostack, preserves_flags));
            },
            // SAFETY: as above.
            AVX512_VNNI => unsafe {
                asm!("vpdpbusd {}, {}, {}", inout(ymm_reg) sums, in(ymm_reg) input, in(ymm_reg) weights,
                    options(pure, nomem, nostack, preserves_flags));
            },
            _ => {
                let pairs = _mm256_maddubs_epi16(input, weights);
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_this_machine_agrees_with_the_definition() {
        let mut kernels = vec![Kernel::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2");
            let has_avx512 = is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl");
            kernels.extend(has_avx2.then_some(Kernel::Avx2));
            kernels.extend((has_avx2 && has_avx_vnni()).then_some(Kernel::AvxVnni));
            kernels.extend((has_avx2 && has_avx512).then_some(Kernel::Avx512Vnni));
            assert_eq!(has_avx2, Int8Product::new().0 != Kernel::Portable);
        }
        let mut random = fastrand::Rng::with_seed(3);
        // Five blocks: four side by side, and one more.
        let (outputs, inputs) = (40, 12);
        for _ in 0..20 {
            // Neighbouring weights of at most 64 each: their products fit into 16 bits.
            let weights: Vec<u8> = (0..outputs * inputs).map(|_| random.i8(-64..=64) as u8).collect();
            let input: Vec<u8> = (0..inputs).map(|_| random.u8(..=254)).collect();
            let wanted: Vec<i32> = (0..outputs)
                .map(|row| {
                    let weight = |i: usize| weights[(row / 8 * inputs / 4 + i / 4) * 32 + row % 8 * 4 + i % 4] as i8;
                    7 + (0..inputs).map(|i| i32::from(weight(i)) * i32::from(input[i])).sum::<i32>()
                })
                .collect();
            for &kernel in &kernels {
                let mut sums = vec![7; outputs];
                Int8Product(kernel).add(&mut sums, &weights, &input);
                assert_eq!(sums, wanted, "{kernel:?}");
            }
        }
    }
}
