//! The inner loops over samples: each written once, for all stages.
//!
//! On x86-64 every kernel is compiled twice, and the AVX2 one is chosen at run time, so that a stock
//! `cargo build --release` gets it. Sums run in 32 lanes whatever the machine, so that the results are the same bits
//! everywhere.

// The one module with unsafe code: calling a function compiled for AVX2 is unsafe unless the machine is known to have it.
#![allow(unsafe_code)]
// Some kernels serve one optional stage only.
#![cfg_attr(not(feature = "denoise"), allow(dead_code))]

/// Lanes of a running sum: four AVX2 registers, enough to hide the latency of an addition.
const LANES: usize = 32;

/// Beyond this magnitude a number is no sample: 2³², more than any integer PCM that was taken for float reaches.
const NO_SAMPLE: f32 = 4_294_967_296.0;

/// Full scale of 16-bit PCM: its largest positive value.
const CLIPPED: f32 = 32_767.0 / 32_768.0;

/// What [`measure`] finds in some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measure {
    /// The sum of the squares.
    pub energy: f32,
    /// The largest magnitude.
    pub peak: f32,
    /// How many reach the full scale of 16-bit PCM.
    pub clipped: u32,
}

macro_rules! kernels {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn portable($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    portable($($arg),*)
                }
                // SAFETY: the line above has found AVX2 on this machine, and nothing else is asked of the caller.
                return unsafe { avx2($($arg),*) };
            }
            portable($($arg),*)
        }
    )*};
}

kernels! {
    /// Silences NaN, infinities and what is too large to be a sample.
    fn sanitise(samples: &mut [f32]) {
        // Compared as integers: for magnitudes the order is the same, and NaN and infinity come out on top.
        let limit = NO_SAMPLE.to_bits();
        let worst = samples.iter().fold(0, |worst, s| worst.max(s.abs().to_bits()));
        if worst > limit {
            for sample in samples {
                if sample.abs().to_bits() > limit {
                    *sample = 0.0;
                }
            }
        }
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

    /// The sum of the squares.
    fn energy(samples: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let mut blocks = samples.chunks_exact(LANES);
        for block in &mut blocks {
            for (sum, sample) in sums.iter_mut().zip(block) {
                *sum += sample * sample;
            }
        }
        let rest: f32 = blocks.remainder().iter().map(|s| s * s).sum();
        sums.iter().sum::<f32>() + rest
    }

    /// The sum of the magnitudes.
    fn magnitude(samples: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let mut blocks = samples.chunks_exact(LANES);
        for block in &mut blocks {
            for (sum, sample) in sums.iter_mut().zip(block) {
                *sum += sample.abs();
            }
        }
        let rest: f32 = blocks.remainder().iter().map(|s| s.abs()).sum();
        sums.iter().sum::<f32>() + rest
    }

    /// Energy, peak and clipped samples in one pass.
    fn measure(samples: &[f32]) -> Measure {
        let mut sums = [0.0f32; LANES];
        let mut peaks = [0.0f32; LANES];
        let mut clipped = [0u32; LANES];
        let mut blocks = samples.chunks_exact(LANES);
        for block in &mut blocks {
            for lane in 0..LANES {
                let magnitude = block[lane].abs();
                sums[lane] += magnitude * magnitude;
                peaks[lane] = peaks[lane].max(magnitude);
                clipped[lane] += u32::from(magnitude >= CLIPPED);
            }
        }
        let mut all = Measure {
            energy: sums.iter().sum(),
            peak: peaks.iter().fold(0.0, |a, b| a.max(*b)),
            clipped: clipped.iter().sum(),
        };
        for sample in blocks.remainder() {
            all.energy += sample * sample;
            all.peak = all.peak.max(sample.abs());
            all.clipped += u32::from(sample.abs() >= CLIPPED);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn measuring_agrees_with_the_definition(samples in prop::collection::vec(-2.0f32..2.0, 0..700)) {
            let found = measure(&samples);
            let energy: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
            prop_assert!((f64::from(found.energy) - energy).abs() <= 1e-5 * energy + 1e-12);
            prop_assert!((f64::from(super::energy(&samples)) - energy).abs() <= 1e-5 * energy + 1e-12);
            let magnitude: f64 = samples.iter().map(|&s| f64::from(s.abs())).sum();
            prop_assert!((f64::from(super::magnitude(&samples)) - magnitude).abs() <= 1e-5 * magnitude + 1e-12);
            prop_assert_eq!(found.peak, samples.iter().fold(0.0f32, |a, b| a.max(b.abs())));
            prop_assert_eq!(found.clipped as usize, samples.iter().filter(|s| s.abs() >= CLIPPED).count());
        }

        #[test]
        fn only_what_is_no_sample_is_silenced(bits in prop::collection::vec(any::<u32>(), 0..100)) {
            let before: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
            let mut after = before.clone();
            sanitise(&mut after);
            for (before, after) in before.iter().zip(&after) {
                let kept = before.is_finite() && before.abs() <= NO_SAMPLE;
                prop_assert_eq!(after.to_bits(), if kept { before.to_bits() } else { 0 });
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
            slope(&mut out, 0.5, gain, 0.1, 0.9);
            prop_assert!(check(&out, &|i| (0.5 + gain * (i + 1) as f32).clamp(0.1, 0.9)));
        }
    }
}
