//! The inner loops over samples: each written once, for all stages.
//!
//! On x86-64 every kernel is compiled twice, and the AVX2 one is chosen at run time, so that a stock
//! `cargo build --release` gets it. Sums run in the same lanes whatever the machine, so that the results are the same
//! bits everywhere.

// Some kernels serve one optional stage only.
#![cfg_attr(not(all(feature = "denoise", feature = "opus")), allow(dead_code))]

use super::dispatch::kernels;

/// Lanes of a running sum: four AVX2 registers, enough to hide the latency of an addition.
pub(crate) const LANES: usize = 32;

/// The most taps of [`raise_to_interpolated`].
const MOST_TAPS: usize = 32;

/// Beyond this magnitude a number is no sample: 2³², more than any integer PCM that was taken for float reaches.
pub(crate) const NO_SAMPLE: f32 = 4_294_967_296.0;

/// Full scale of 16-bit PCM: its largest positive value.
pub(crate) const CLIPPED: f32 = 32_767.0 / 32_768.0;

/// What [`scrub`] finds in some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scrubbed {
    /// How many are no sound.
    pub invalid: u32,
    /// How many are denormal.
    pub denormal: u32,
}

kernels! {
    /// Silences NaN, infinities and what is too large to be a sample; the largest magnitude that is left.
    fn sanitise(samples: &mut [f32]) -> f32 {
        // NaN and infinity, too, have larger bits than any sample.
        let limit = NO_SAMPLE.to_bits();
        let worst = most_bits(samples);
        if worst <= limit {
            return f32::from_bits(worst);
        }
        for sample in &mut *samples {
            if sample.abs().to_bits() > limit {
                *sample = 0.0;
            }
        }
        f32::from_bits(most_bits(samples))
    }

    /// [`sanitise`], with denormal numbers silenced too, and all counted.
    fn scrub(samples: &mut [f32]) -> Scrubbed {
        let (limit, normal) = (NO_SAMPLE.to_bits(), f32::MIN_POSITIVE.to_bits());
        let (mut invalid, mut denormal) = (0, 0);
        for sample in samples {
            let magnitude = sample.abs().to_bits();
            let (high, low) = (magnitude > limit, magnitude != 0 && magnitude < normal);
            invalid += u32::from(high);
            denormal += u32::from(low);
            *sample = if high | low { 0.0 } else { *sample };
        }
        Scrubbed { invalid, denormal }
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

    /// Bends a straight way from 0 to 1 into a smooth one from `floor` to 1.
    fn ease(gains: &mut [f32], floor: f32) {
        for gain in gains {
            *gain = floor + (1.0 - floor) * (*gain * *gain * (3.0 - 2.0 * *gain));
        }
    }

    /// Writes a gain that moves by `step` a sample from `start` (the gain before the first sample), held between the
    /// two bounds.
    fn slope(gains: &mut [f32], start: f32, step: f32, least: f32, most: f32) {
        for (index, gain) in gains.iter_mut().enumerate() {
            *gain = (start + step * (index as i32 + 1) as f32).min(most).max(least);
        }
    }

    /// `to = from · gain`.
    fn copy_scaled(to: &mut [f32], from: &[f32], gain: f32) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from * gain;
        }
    }

    /// Holds all samples between ±`most`.
    fn limit(samples: &mut [f32], most: f32) {
        for sample in samples {
            *sample = sample.clamp(-most, most);
        }
    }

    /// `a = a · gain_a + b · gain_b`.
    fn mix(a: &mut [f32], gain_a: f32, b: &[f32], gain_b: f32) {
        for (a, b) in a.iter_mut().zip(b) {
            *a = *a * gain_a + b * gain_b;
        }
    }

    /// `a = a + (b − a) · weight`, each sample with its own weight.
    fn blend(a: &mut [f32], b: &[f32], weights: &[f32]) {
        for ((a, b), weight) in a.iter_mut().zip(b).zip(weights) {
            *a += (b - *a) * weight;
        }
    }

    /// `curve[i] = from + rise · s(t)` with the smoothstep `s(t) = t²(3 − 2t)`, where `t` grows by `step` a sample from
    /// `start · step` (the one before the first sample) up to 1.
    fn smoothstep(curve: &mut [f32], from: f32, rise: f32, start: usize, step: f32) {
        for (index, value) in curve.iter_mut().enumerate() {
            let t = ((start as i32 + index as i32 + 1) as f32 * step).min(1.0);
            *value = from + rise * t * t * (3.0 - 2.0 * t);
        }
    }

    /// Raises each peak to the magnitude of its sample.
    fn raise_to_magnitude(peaks: &mut [f32], samples: &[f32]) {
        for (peak, sample) in peaks.iter_mut().zip(samples) {
            *peak = peak.max(sample.abs());
        }
    }

    /// Raises each peak to what FIR filters of `2 · half` taps give, the first tap being for the sample of the same
    /// index, and to what their mirror images give. Where no sample is above `quiet` it may leave the peaks as they are.
    ///
    /// Each row of `filters` is the even part of one and then its odd part: their values are e + o and e − o, so that the
    /// larger magnitude is |e| + |o|. There must be a whole number of [`LANES`] peaks, and `2 · half − 1` samples more.
    fn raise_to_interpolated(peaks: &mut [f32], samples: &[f32], half: usize, filters: &[f32], quiet: f32) {
        let mut sums = [[0.0f32; LANES]; MOST_TAPS / 2];
        let mut differences = [[0.0f32; LANES]; MOST_TAPS / 2];
        let half = half.min(MOST_TAPS / 2);
        for (block, peaks) in peaks.chunks_exact_mut(LANES).enumerate() {
            let samples = &samples[block * LANES..][..LANES + 2 * half - 1];
            if samples.iter().all(|sample| sample.abs() <= quiet) {
                continue;
            }
            for (tap, (sums, differences)) in sums[..half].iter_mut().zip(&mut differences).enumerate() {
                let (early, late) = (&samples[tap..][..LANES], &samples[2 * half - 1 - tap..][..LANES]);
                for lane in 0..LANES {
                    sums[lane] = early[lane] + late[lane];
                    differences[lane] = early[lane] - late[lane];
                }
            }
            for filter in filters.chunks_exact(2 * half) {
                let (mut even, mut odd) = ([0.0f32; LANES], [0.0f32; LANES]);
                let taps = filter[..half].iter().zip(&filter[half..]);
                for ((even_tap, odd_tap), (sums, differences)) in taps.zip(sums.iter().zip(&differences)) {
                    for lane in 0..LANES {
                        even[lane] += even_tap * sums[lane];
                        odd[lane] += odd_tap * differences[lane];
                    }
                }
                for lane in 0..LANES {
                    peaks[lane] = peaks[lane].max(even[lane].abs() + odd[lane].abs());
                }
            }
        }
    }

    /// The sum of the squares.
    fn energy(samples: &[f32]) -> f32 {
        let (blocks, rest) = samples.as_chunks::<LANES>();
        let mut sums = [0.0f32; LANES];
        for block in blocks {
            for lane in 0..LANES {
                sums[lane] += block[lane] * block[lane];
            }
        }
        rest.iter().fold(sum(&sums), |sum, s| sum + s * s)
    }

    /// The sum of the magnitudes.
    fn magnitude(samples: &[f32]) -> f32 {
        let (blocks, rest) = samples.as_chunks::<LANES>();
        let mut sums = [0.0f32; LANES];
        for block in blocks {
            for lane in 0..LANES {
                sums[lane] += block[lane].abs();
            }
        }
        rest.iter().fold(sum(&sums), |sum, s| sum + s.abs())
    }

    /// The sum of the squares of the deviations from the mean.
    fn spread(samples: &[f32]) -> f32 {
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

    /// The sum of the products.
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

    /// Raises each power to the mean square of its part of the samples, which are cut into as many parts.
    fn powers(samples: &[f32], powers: &mut [f32]) {
        // Where they are no multiple, the first parts are longer by one.
        let (length, longer) = (samples.len() / powers.len(), samples.len() % powers.len());
        let (first, last) = samples.split_at(longer * (length + 1));
        let (first_powers, last_powers) = powers.split_at_mut(longer);
        raise_powers(first, length + 1, first_powers);
        raise_powers(last, length, last_powers);
    }

    /// The largest magnitude; NaN if there is one.
    fn peak(samples: &[f32]) -> f32 {
        f32::from_bits(most_bits(samples))
    }

    /// How many reach the full scale of 16-bit PCM, of samples with this peak.
    fn clipped(samples: &[f32], peak: f32) -> u32 {
        if peak < CLIPPED { 0 } else { samples.iter().map(|s| u32::from(s.abs() >= CLIPPED)).sum() }
    }
}

/// The bits of the largest magnitude. Magnitudes are in the order of their bits, and for the largest of some integers
/// the compiler finds the best loop by itself.
#[inline(always)]
fn most_bits(samples: &[f32]) -> u32 {
    samples.iter().fold(0, |most, s| most.max(s.abs().to_bits()))
}

/// The sum of all lanes, half and half, so that no addition waits for more than four others. Never inlined: the
/// compiler would then cut the loop before it into pairs of lanes, to have the pairs that the last additions want.
#[inline(never)]
fn sum(lanes: &[f32; LANES]) -> f32 {
    let mut lanes = *lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Raises each power to the mean square of its part of the samples, `length` each.
#[inline(always)]
fn raise_powers(samples: &[f32], length: usize, powers: &mut [f32]) {
    let share = 1.0 / length as f32;
    for (part, power) in samples.chunks_exact(length).zip(powers) {
        // Eight lanes: a part is too short for more.
        let (blocks, rest) = part.as_chunks::<8>();
        let mut sums = [0.0f32; 8];
        for block in blocks {
            for lane in 0..8 {
                sums[lane] += block[lane] * block[lane];
            }
        }
        let mean = rest.iter().fold(sums.iter().sum::<f32>(), |sum, s| sum + s * s) * share;
        if mean > *power {
            *power = mean;
        }
    }
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
            prop_assert!(close(magnitude(&samples), samples.iter().map(|&s| f64::from(s.abs())).sum()));
            let mean = samples.iter().map(|&s| f64::from(s)).sum::<f64>() / samples.len().max(1) as f64;
            prop_assert!(close(spread(&samples), samples.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum()));
            let most = samples.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            prop_assert_eq!(peak(&samples), most);
            prop_assert_eq!(sanitise(&mut samples), most);
            let wanted = samples.iter().filter(|s| s.abs() >= CLIPPED).count();
            prop_assert_eq!(clipped(&samples, most) as usize, wanted);

            samples.resize(samples.len().max(parts), 0.1);
            let mut found = vec![0.5; parts];
            powers(&samples, &mut found);
            let mut rest = &samples[..];
            for (index, power) in found.iter().enumerate() {
                let (part, later) = rest.split_at(rest.len().div_ceil(parts - index));
                prop_assert!(close(*power, (squares(part) / part.len() as f64).max(0.5)));
                rest = later;
            }
        }

        #[test]
        fn only_what_is_no_sample_is_silenced(bits in prop::collection::vec(any::<u32>(), 0..100)) {
            let before: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
            let mut after = before.clone();
            let most = sanitise(&mut after);
            prop_assert_eq!(most, after.iter().fold(0.0f32, |a, b| a.max(b.abs())));
            let mut scrubbed = before.clone();
            let found = scrub(&mut scrubbed);
            let mut counted = Scrubbed::default();
            for ((before, after), scrubbed) in before.iter().zip(&after).zip(&scrubbed) {
                let kept = before.is_finite() && before.abs() <= NO_SAMPLE;
                counted.invalid += u32::from(!kept);
                counted.denormal += u32::from(before.is_subnormal());
                prop_assert_eq!(after.to_bits(), if kept { before.to_bits() } else { 0 });
                prop_assert_eq!(scrubbed.to_bits(), if before.is_subnormal() { 0 } else { after.to_bits() });
            }
            prop_assert_eq!(found, counted);
        }

        #[test]
        fn interpolated_peaks_are_those_of_the_filters_and_their_mirror_images(
            samples in prop::collection::vec(-1.0f32..1.0, 96 + 11), parts in prop::collection::vec(-1.0f32..1.0, 24),
        ) {
            let mut peaks = [0.5f32; 96];
            raise_to_interpolated(&mut peaks, &samples, 6, &parts, 0.0);
            for (i, peak) in peaks.iter().enumerate() {
                let mut wanted = 0.5f32;
                for filter in parts.chunks_exact(12) {
                    let taps: [f32; 12] = std::array::from_fn(|t| match t {
                        0..6 => filter[t] + filter[6 + t],
                        _ => filter[11 - t] - filter[6 + 11 - t],
                    });
                    let value: f32 = taps.iter().zip(&samples[i..]).map(|(t, s)| t * s).sum();
                    let mirrored: f32 = taps.iter().rev().zip(&samples[i..]).map(|(t, s)| t * s).sum();
                    wanted = wanted.max(value.abs()).max(mirrored.abs());
                }
                prop_assert!((peak - wanted).abs() < 1e-4, "{peak} instead of {wanted}");
            }
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
            raise_to_magnitude(&mut out, &b);
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
            out.copy_from_slice(&a);
            blend(&mut out, &b, &vec![0.5; a.len()]);
            prop_assert!(check(&out, &|i| a[i] + (b[i] - a[i]) * 0.5));
            out.copy_from_slice(&a);
            ease(&mut out, 0.1);
            prop_assert!(check(&out, &|i| 0.1 + 0.9 * (a[i] * a[i] * (3.0 - 2.0 * a[i]))));
            let product: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - product).abs() < 1e-4);
            slope(&mut out, 0.5, gain, 0.1, 0.9);
            prop_assert!(check(&out, &|i| (0.5 + gain * (i + 1) as f32).clamp(0.1, 0.9)));
        }
    }
}
