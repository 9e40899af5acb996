//! Kernels: the inner loops over samples, each written once, for all stages.
//!
//! On x86-64 every kernel is compiled twice, and the AVX2 version is chosen at run time, so that a stock
//! `cargo build --release` gets it. Sums run in the same lanes on every machine, so that results are the same bits
//! everywhere.

// Some kernels serve one optional stage only.
#![cfg_attr(not(all(feature = "denoise", feature = "opus")), allow(dead_code))]

use super::dispatch::kernels;

/// Lanes of a running sum: four AVX2 registers, enough to hide the latency of an addition.
pub(crate) const LANES: usize = 32;

/// Largest magnitude of a sample, 2³²: more than any integer PCM taken for float reaches. Beyond it a number is no
/// sample.
pub(crate) const MAX_SAMPLE: f32 = 4_294_967_296.0;

/// Peak below which sound is silence, −380 dBFS: far less than the last bit of 64-bit float PCM. Powers and spectra of it are
/// denormal numbers, which take the processor a hundred times as long.
pub(crate) const MIN_PEAK: f32 = 1e-19;

/// Full scale of 16-bit PCM: its largest positive value.
pub(crate) const FULL_SCALE_16_BIT: f32 = 32_767.0 / 32_768.0;

/// Lanes of the running sum of a block of [`accumulate_block_powers`], which is too short for more.
const BLOCK_LANES: usize = 8;

/// Blocks whose lanes are added up at once: both 10 and 20 ms are multiples.
const BLOCKS_TOGETHER: usize = 5;

/// Samples that are looked at and multiplied before the next ones: they stay in the registers.
const SCALED_TOGETHER: usize = 96;

/// Samples that [`sanitize_and_count`] set to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SanitizeCounts {
    /// NaN, infinite, or over [`MAX_SAMPLE`].
    pub invalid: u32,
    pub denormal: u32,
}

kernels! {
    /// Sets NaN, infinities and magnitudes over [`MAX_SAMPLE`] to zero, and all samples where the peak of the rest is below
    /// [`MIN_PEAK`]; returns that peak.
    fn sanitize(samples: &mut [f32]) -> f32 {
        let peak = silence_invalid(samples);
        silence_faint(samples, peak)
    }

    /// [`sanitize`], and then multiplies all samples by one gain, in one pass over the memory; returns the peak before the gain.
    fn sanitize_and_scale(samples: &mut [f32], gain: f32) -> f32 {
        let sanitize_and_scale = |block: &mut [f32]| {
            let peak = silence_invalid(block);
            for sample in block {
                *sample *= gain;
            }
            peak
        };
        let (blocks, rest) = samples.as_chunks_mut::<SCALED_TOGETHER>();
        let peak = sanitize_and_scale(rest);
        let peak = blocks.iter_mut().fold(peak, |peak, block| peak.max(sanitize_and_scale(block)));
        silence_faint(samples, peak)
    }

    /// [`sanitize`] with counts, which sets denormal numbers to zero too.
    fn sanitize_and_count(samples: &mut [f32]) -> SanitizeCounts {
        let (limit, normal) = (MAX_SAMPLE.to_bits(), f32::MIN_POSITIVE.to_bits());
        let (mut invalid, mut denormal) = (0, 0);
        for sample in samples {
            let magnitude = sample.abs().to_bits();
            let (high, low) = (magnitude > limit, magnitude != 0 && magnitude < normal);
            invalid += u32::from(high);
            denormal += u32::from(low);
            *sample = if high | low { 0.0 } else { *sample };
        }
        SanitizeCounts { invalid, denormal }
    }

    /// Multiplies all samples by one gain.
    fn scale(samples: &mut [f32], gain: f32) {
        for sample in samples {
            *sample *= gain;
        }
    }

    /// Multiplies each sample by its own gain.
    fn multiply(samples: &mut [f32], gains: &[f32]) {
        for (sample, gain) in samples.iter_mut().zip(gains) {
            *sample *= gain;
        }
    }

    /// `to = from · gain`.
    fn copy_scaled(to: &mut [f32], from: &[f32], gain: f32) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from * gain;
        }
    }

    /// Exchanges the samples of two runs of the same length.
    fn swap(a: &mut [f32], b: &mut [f32]) {
        for (a, b) in a.iter_mut().zip(b) {
            std::mem::swap(a, b);
        }
    }

    /// Clamps all samples to ±`max`.
    fn limit(samples: &mut [f32], max: f32) {
        for sample in samples {
            *sample = sample.clamp(-max, max);
        }
    }

    /// `a = a · gain_a + b · gain_b`.
    fn mix(a: &mut [f32], gain_a: f32, b: &[f32], gain_b: f32) {
        for (a, b) in a.iter_mut().zip(b) {
            *a = *a * gain_a + b * gain_b;
        }
    }

    /// Raises each peak to the magnitude of its sample.
    fn accumulate_peaks(peaks: &mut [f32], samples: &[f32]) {
        for (peak, sample) in peaks.iter_mut().zip(samples) {
            *peak = peak.max(sample.abs());
        }
    }

    /// Gains that bring peaks down to `ceiling`, 1 for those below.
    fn gains_for_peaks(peaks: &mut [f32], ceiling: f32) {
        for peak in peaks {
            *peak = ceiling / peak.max(ceiling);
        }
    }

    /// Sum of the squares.
    fn energy(samples: &[f32]) -> f32 {
        let (blocks, rest) = samples.as_chunks::<LANES>();
        let mut sums = [0.0f32; LANES];
        for block in blocks {
            for lane in 0..LANES {
                sums[lane] += block[lane] * block[lane];
            }
        }
        rest.iter().fold(sum_lanes(&sums), |sum, s| sum + s * s)
    }

    /// Sum of the magnitudes.
    fn l1_norm(samples: &[f32]) -> f32 {
        let (blocks, rest) = samples.as_chunks::<LANES>();
        let mut sums = [0.0f32; LANES];
        for block in blocks {
            for lane in 0..LANES {
                sums[lane] += block[lane].abs();
            }
        }
        rest.iter().fold(sum_lanes(&sums), |sum, s| sum + s.abs())
    }

    /// Sum of the squares of the deviations from the mean: the energy without DC.
    fn ac_energy(samples: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let mut blocks = samples.chunks_exact(LANES);
        for block in &mut blocks {
            for (sum, sample) in sums.iter_mut().zip(block) {
                *sum += sample;
            }
        }
        let rest = blocks.remainder();
        let mean = (sums.iter().sum::<f32>() + rest.iter().sum::<f32>()) / samples.len().max(1) as f32;
        sums = [0.0; LANES];
        for block in samples.chunks_exact(LANES) {
            for (sum, sample) in sums.iter_mut().zip(block) {
                *sum += (sample - mean) * (sample - mean);
            }
        }
        sums.iter().sum::<f32>() + rest.iter().map(|s| (s - mean) * (s - mean)).sum::<f32>()
    }

    /// Sum of the products.
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let length = a.len().min(b.len());
        let (a, b) = (&a[..length], &b[..length]);
        let mut sums = [0.0f32; LANES];
        let mut blocks = a.chunks_exact(LANES).zip(b.chunks_exact(LANES));
        for (a, b) in &mut blocks {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let done = length / LANES * LANES;
        let rest: f32 = a[done..].iter().zip(&b[done..]).map(|(a, b)| a * b).sum();
        sums.iter().sum::<f32>() + rest
    }

    /// Raises each power to the mean square of its block of the samples, which are cut into as many blocks; returns the peak and
    /// the sum of all squares. Nothing of it means anything unless the peak [is sane](is_sane).
    fn accumulate_block_powers(samples: &[f32], powers: &mut [f32]) -> (f32, f32) {
        let (mut peaks, mut energy) = ([0; BLOCK_LANES], 0.0);
        // Where the length is no multiple, the first blocks are longer by one.
        let (length, longer) = (samples.len() / powers.len(), samples.len() % powers.len());
        if let (0, (groups, [])) = (longer, powers.as_chunks_mut::<BLOCKS_TOGETHER>()) {
            for (samples, powers) in samples.chunks_exact(length * BLOCKS_TOGETHER).zip(groups) {
                energy += if length == 48 {
                    // A millisecond at the usual rate, for which the compiler unrolls the loop.
                    accumulate_powers(samples, 48, powers, &mut peaks)
                } else {
                    accumulate_powers(samples, length, powers, &mut peaks)
                };
            }
        } else {
            let mut rest = samples;
            for (index, power) in powers.iter_mut().enumerate() {
                let (block, later) = rest.split_at(length + usize::from(index < longer));
                energy += accumulate_powers(block, block.len(), std::array::from_mut(power), &mut peaks);
                rest = later;
            }
        }
        (f32::from_bits(peaks.into_iter().fold(0, u32::max)), energy)
    }

    /// Largest magnitude; NaN if there is one.
    fn peak(samples: &[f32]) -> f32 {
        f32::from_bits(max_magnitude_bits(samples))
    }

    /// Number of samples at [`FULL_SCALE_16_BIT`] or beyond.
    fn count_clipped(samples: &[f32]) -> u32 {
        samples.iter().map(|s| u32::from(s.abs() >= FULL_SCALE_16_BIT)).sum()
    }
}

/// Copies values in pieces, from a slice of the same length. The standard copy is right for a frame, but beyond 2 kB it is the C library's choice, which is `rep movsb`
/// on Linux: that begins slowly, and AMD's Zen 3 takes thirty times as long where the addresses are 1 to 31 bytes more than a
/// multiple of 4 kB apart.
#[inline]
pub(crate) fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    const PIECE_BYTES: usize = 1024;
    let piece = PIECE_BYTES / size_of::<T>();
    for (to, from) in to.chunks_mut(piece).zip(from.chunks(piece)) {
        // Otherwise the compiler puts the pieces together again.
        std::hint::black_box(());
        to.copy_from_slice(from);
    }
}

/// Whether samples with this peak are as [`sanitize`] leaves them.
#[inline]
pub(crate) fn is_sane(peak: f32) -> bool {
    peak == 0.0 || (MIN_PEAK..=MAX_SAMPLE).contains(&peak)
}

/// Lower of two numbers: one instruction, as neither is NaN.
#[inline(always)]
pub(crate) fn lower<T: PartialOrd>(a: T, b: T) -> T {
    if a < b { a } else { b }
}

/// Higher of two numbers: one instruction, as neither is NaN.
#[inline(always)]
pub(crate) fn higher<T: PartialOrd>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

/// Bits of the largest magnitude. Magnitudes are in the order of their bits, and for a maximum of integers the compiler
/// finds the best loop by itself.
#[inline(always)]
pub(crate) fn max_magnitude_bits(samples: &[f32]) -> u32 {
    samples.iter().fold(0, |max, s| max.max(s.abs().to_bits()))
}

/// Sets NaN, infinities and magnitudes over [`MAX_SAMPLE`] to zero; returns the bits of the peak of the rest.
#[inline(always)]
fn silence_invalid(samples: &mut [f32]) -> u32 {
    // NaN and infinity, too, have larger bits than any sample.
    let limit = MAX_SAMPLE.to_bits();
    let peak = max_magnitude_bits(samples);
    if peak <= limit {
        return peak;
    }
    for sample in &mut *samples {
        if sample.abs().to_bits() > limit {
            *sample = 0.0;
        }
    }
    max_magnitude_bits(samples)
}

/// Sets all samples to zero where the peak with these bits is below [`MIN_PEAK`]; returns the peak.
#[inline(always)]
fn silence_faint(samples: &mut [f32], peak: u32) -> f32 {
    if peak > 0 && peak < MIN_PEAK.to_bits() {
        samples.fill(0.0);
        return 0.0;
    }
    f32::from_bits(peak)
}

/// Sum of all lanes, a power of two of them, half and half, so that no addition waits for many others. Never inlined: the
/// compiler would cut the loop before it into pairs of lanes, to have the pairs that the last additions want.
#[inline(never)]
pub(crate) fn sum_lanes<const N: usize>(lanes: &[f32; N]) -> f32 {
    let mut lanes = *lanes;
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Raises each power to the mean square of its block of `length` samples, and the bits of each lane's peak; returns the sum of all
/// squares.
#[inline(always)]
fn accumulate_powers<const N: usize>(
    samples: &[f32],
    length: usize,
    powers: &mut [f32; N],
    peaks: &mut [u32; BLOCK_LANES],
) -> f32 {
    let mut blocks = [[0.0; BLOCK_LANES]; N];
    for (block, samples) in blocks.iter_mut().zip(samples.chunks_exact(length)) {
        let (groups, rest) = samples.as_chunks::<BLOCK_LANES>();
        let mut sums = [0.0; BLOCK_LANES];
        for group in groups {
            for lane in 0..BLOCK_LANES {
                sums[lane] += group[lane] * group[lane];
                peaks[lane] = peaks[lane].max(group[lane].abs().to_bits());
            }
        }
        for ((sum, peak), sample) in sums.iter_mut().zip(&mut *peaks).zip(rest) {
            *sum += sample * sample;
            *peak = (*peak).max(sample.abs().to_bits());
        }
        *block = sums;
    }
    accumulate_sums(&blocks, 1.0 / length as f32, powers)
}

/// Raises each power to the weighted sum of the lanes of its block; returns all sums. Never inlined, as [`sum_lanes`].
#[inline(never)]
fn accumulate_sums<const N: usize>(blocks: &[[f32; BLOCK_LANES]; N], weight: f32, powers: &mut [f32; N]) -> f32 {
    let mut energy = 0.0;
    for ([a, b, c, d, e, f, g, h], power) in blocks.iter().zip(powers) {
        let sum = ((a + e) + (c + g)) + ((b + f) + (d + h));
        energy += sum;
        if sum * weight > *power {
            *power = sum * weight;
        }
    }
    energy
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn measuring_agrees_with_the_definition(
            mut samples in prop::collection::vec(-2.0f32..2.0, 0..700), parts in 1usize..21,
        ) {
            let squares = |samples: &[f32]| samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>();
            let close = |found: f32, wanted: f64| (f64::from(found) - wanted).abs() <= 1e-5 * wanted + 1e-12;
            prop_assert!(close(energy(&samples), squares(&samples)));
            prop_assert!(close(l1_norm(&samples), samples.iter().map(|&s| f64::from(s.abs())).sum()));
            let mean = samples.iter().map(|&s| f64::from(s)).sum::<f64>() / samples.len().max(1) as f64;
            prop_assert!(close(ac_energy(&samples), samples.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum()));
            let max = samples.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            prop_assert_eq!(peak(&samples), max);
            prop_assert_eq!(sanitize(&mut samples), max);
            let wanted = samples.iter().filter(|s| s.abs() >= FULL_SCALE_16_BIT).count();
            prop_assert_eq!(count_clipped(&samples) as usize, wanted);

            samples.resize(samples.len().max(parts), 0.1);
            let mut found = vec![0.5; parts];
            let (found_peak, energy) = accumulate_block_powers(&samples, &mut found);
            prop_assert_eq!(found_peak, peak(&samples));
            prop_assert!(close(energy, squares(&samples)));
            let mut rest = &samples[..];
            for (index, power) in found.iter().enumerate() {
                let (part, later) = rest.split_at(rest.len().div_ceil(parts - index));
                prop_assert!(close(*power, (squares(part) / part.len() as f64).max(0.5)));
                rest = later;
            }
        }

        #[test]
        fn only_invalid_samples_are_silenced(bits in prop::collection::vec(any::<u32>(), 0..300)) {
            let before: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
            let mut after = before.clone();
            let max = sanitize(&mut after);
            prop_assert_eq!(max, after.iter().fold(0.0f32, |a, b| a.max(b.abs())));
            let mut scaled = before.clone();
            prop_assert_eq!(sanitize_and_scale(&mut scaled, -0.3), max);
            let wanted: Vec<u32> = after.iter().map(|sample| (sample * -0.3).to_bits()).collect();
            prop_assert!(scaled.iter().zip(wanted).all(|(s, wanted)| s.to_bits() == wanted || (*s == 0.0 && f32::from_bits(wanted) == 0.0)));
            let is_sample = |sample: f32| sample.is_finite() && sample.abs() <= MAX_SAMPLE;
            let is_faint = before.iter().all(|&sample| !is_sample(sample) || sample.abs() < MIN_PEAK);
            let mut counted_samples = before.clone();
            let found = sanitize_and_count(&mut counted_samples);
            let mut counted = SanitizeCounts::default();
            for ((before, after), scrubbed) in before.iter().zip(&after).zip(&counted_samples) {
                let kept = is_sample(*before);
                counted.invalid += u32::from(!kept);
                counted.denormal += u32::from(before.is_subnormal());
                prop_assert_eq!(after.to_bits(), if kept && !is_faint { before.to_bits() } else { 0 });
                prop_assert_eq!(scrubbed.to_bits(), if kept && !before.is_subnormal() { before.to_bits() } else { 0 });
            }
            prop_assert_eq!(found, counted);
        }

        #[test]
        fn element_wise_kernels_agree_with_the_definition(
            pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..200), gain in -2.0f32..2.0,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let check = |found: &[f32], wanted: &dyn Fn(usize) -> f32| {
                found.iter().enumerate().all(|(i, &f)| f == wanted(i))
            };
            let mut out = a.clone();
            accumulate_peaks(&mut out, &b);
            prop_assert!(check(&out, &|i| a[i].max(b[i].abs())));
            out.copy_from_slice(&a);
            scale(&mut out, gain);
            prop_assert!(check(&out, &|i| a[i] * gain));
            out.copy_from_slice(&a);
            multiply(&mut out, &b);
            prop_assert!(check(&out, &|i| a[i] * b[i]));
            copy_scaled(&mut out, &b, gain);
            prop_assert!(check(&out, &|i| b[i] * gain));
            out.copy_from_slice(&a);
            mix(&mut out, gain, &b, 0.25);
            prop_assert!(check(&out, &|i| a[i] * gain + b[i] * 0.25));
            let product: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - product).abs() < 1e-4);
        }
    }
}
