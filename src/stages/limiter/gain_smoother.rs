//! Gain smoother: from the gain each sample needs to the gain it gets.
//!
//! Each value depends on the one before. So they are taken in groups: what a group makes of itself does not wait for the
//! group before, and what that adds to it is one step.

use super::interpolation::BLOCK;
use super::sliding_min::{GROUP, PART, SlidingMin};
use crate::dsp::kernels;
use crate::dsp::kernels::{higher, lower};

/// One in fixed point: sums of integers cannot drift however long they run. A power of two, so that a gain is scaled exactly, and so small that
/// second differences over [`STEP`] samples fit into 32 bits, and the sums of 20 ms at 192 kHz into the mantissa of a double.
const ONE: i32 = 1 << 25;

/// Bits of the mantissa of an `f32` without the first one, and the exponent of 1.
const MANTISSA: u32 = f32::MANTISSA_DIGITS - 1;
const EXPONENT_OF_ONE: u32 = 1.0f32.to_bits() >> MANTISSA;

/// Missing gain (1 − gain) below which the gain becomes 1 at the end of a frame: 0.0001 dB.
const MIN_MISSING: f64 = 1e-5;

/// Distance in samples of sums that are made of each other: so many do not wait for each other.
const STEP: usize = 4;

/// Values before a sum of sums over [`STEP`] of them.
const BEFORE: usize = 2 * (STEP - 1);

/// Smoother whose gain is nowhere higher than the one needed.
///
/// The lowest gain needed is held for `smoothing + 1 + 2 · margin + hold` samples, then released exponentially, and
/// averaged over `smoothing + 1` samples (twice, over half of it, for a curve without corners). So wherever a gain is
/// needed, it is reached `margin` samples before, and kept `margin + hold` samples after: there an interpolator sees a
/// constant. The delay is `smoothing + margin`.
#[derive(Clone, Debug)]
pub(super) struct GainSmoother {
    hold: SlidingMin,
    /// Release: the shares of the missing gain that are left after 1, 2, … samples, and after a group.
    release: [f32; GROUP],
    group_release: f64,
    /// Missing gain: 1 − gain.
    missing: f64,
    averages: MovingAverages,
    /// Samples in a row with a gain of 1.
    idle_samples: usize,
}

impl GainSmoother {
    pub fn new(smoothing: usize, margin: usize, hold: usize) -> Self {
        let mut smoother = Self {
            hold: SlidingMin::new(smoothing + 1 + 2 * margin + hold),
            release: [0.0; GROUP],
            group_release: 0.0,
            missing: 0.0,
            averages: MovingAverages::new([smoothing / 2 + 1, smoothing - smoothing / 2 + 1]),
            idle_samples: 0,
        };
        smoother.reset();
        smoother
    }

    /// Sets the time in which 63 % of the missing gain comes back, in samples.
    pub fn set_release(&mut self, samples: f64) {
        let share = |after: usize| (-(after as f64) / samples).exp();
        self.release = std::array::from_fn(|index| share(index + 1) as f32);
        self.group_release = share(GROUP);
    }

    /// Share of the missing gain that is left after a [`BLOCK`].
    pub fn decay(&self) -> f32 {
        self.release[BLOCK - 1]
    }

    /// Whether the gain is 1, and will be as long as nothing less is needed.
    pub fn is_idle(&self) -> bool {
        self.idle_samples >= self.hold.length() + self.averages.past()
    }

    /// Replaces gains needed, none above 1, by the smoothed ones; returns the lowest.
    pub fn process(&mut self, gains: &mut [f32]) -> f32 {
        let mut lowest = 1.0;
        for gains in gains.chunks_mut(PART) {
            self.hold.process(gains);
            let fixed = &mut [0; BEFORE + PART][..BEFORE + gains.len()];
            release(gains, &self.release, self.group_release, &mut self.missing);
            to_fixed(&mut fixed[BEFORE..], gains);
            lowest = lower(lowest, self.averages.process(fixed, gains));
        }
        if self.missing < MIN_MISSING {
            self.missing = 0.0;
        }
        self.idle_samples = if lowest == 1.0 { self.idle_samples + gains.len() } else { 0 };
        lowest
    }

    pub fn reset(&mut self) {
        self.hold.reset();
        self.missing = 0.0;
        self.averages.reset();
        self.idle_samples = usize::MAX / 2;
    }
}

kernels! {
    /// Lowers gains that are held to those whose missing part falls exponentially.
    fn release(gains: &mut [f32], shares: &[f32; GROUP], group_share: f64, missing: &mut f64) {
        let (groups, rest) = gains.as_chunks_mut::<GROUP>();
        let mut left = *missing;
        for group in groups {
            // A peak is held for long, so most groups have one gain.
            let held = group[0];
            let differences = group.iter().fold(0, |bits, gain| bits | (gain.to_bits() ^ held.to_bits()));
            if differences == 0 {
                for i in 0..GROUP {
                    group[i] = lower(held, 1.0 - left as f32 * shares[i]);
                }
                left = higher(1.0 - f64::from(held), left * group_share);
            } else {
                left = release_from_peaks(group, shares, left);
            }
        }
        for gain in rest {
            left = higher(left * f64::from(shares[0]), 1.0 - f64::from(*gain));
            *gain = lower(*gain, 1.0 - left as f32);
        }
        *missing = left;
    }

    /// Gains from 0 to 1 in fixed point, rounded down: the mantissa, moved as far as the exponent says. The compiler has no vectors for `as i32`.
    fn to_fixed(to: &mut [i32], gains: &[f32]) {
        for (to, gain) in to.iter_mut().zip(gains) {
            let (exponent, mantissa) = (gain.to_bits() >> MANTISSA, gain.to_bits() % (1 << MANTISSA) + (1 << MANTISSA));
            *to = (mantissa << (ONE.ilog2() - MANTISSA) >> EXPONENT_OF_ONE.wrapping_sub(exponent).min(31)) as i32;
        }
    }

    /// Sums of sums over [`STEP`] values; as many as are before the first one begin `values`.
    fn sum_steps(sums: &mut [i32], values: &[i32]) {
        let count = sums.len();
        let from = |start: usize| &values[start..][..count];
        let [v0, v1, v2, v3, v4, v5, v6] = [from(0), from(1), from(2), from(3), from(4), from(5), from(6)];
        for i in 0..count {
            let (two, three) = (v1[i] + v5[i], v2[i] + v4[i]);
            sums[i] = (v0[i] + v6[i]) + 2 * (two + three + 2 * v3[i]) + three;
        }
    }

    /// Second differences of moving sums of the second length of moving sums of the first length. The values begin with as many
    /// of the past as both lengths together.
    fn find_bends(bends: &mut [i32], values: &[i32], lengths: [usize; 2]) {
        let count = bends.len();
        let [first, second] = lengths;
        let from = |start: usize| &values[start..][..count];
        let (new, out_of_first, out_of_second, out_of_both) = (from(first + second), from(second), from(first), from(0));
        for i in 0..count {
            bends[i] = (new[i] - out_of_first[i]) - (out_of_second[i] - out_of_both[i]);
        }
    }

    /// Values times `scale` of curves with these second differences, one curve for each of [`STEP`] values. The last values, and what they have
    /// grown by, are replaced by the new ones. Returns the lowest, 1 at most.
    fn sum_twice(to: &mut [f32], bends: &[i32], slopes: &mut [f64; STEP], sums: &mut [f64; STEP], scale: f64) -> f32 {
        let (mut slope, mut sum, mut lowest) = (*slopes, *sums, [1.0; STEP]);
        let (steps, rest) = to.as_chunks_mut::<STEP>();
        let (bends, rest_bends) = bends.as_chunks::<STEP>();
        for (to, bends) in steps.iter_mut().zip(bends) {
            for i in 0..STEP {
                slope[i] += f64::from(bends[i]);
                sum[i] += slope[i];
                to[i] = (sum[i] * scale) as f32;
                lowest[i] = lower(lowest[i], to[i]);
            }
        }
        for (i, (to, bend)) in rest.iter_mut().zip(rest_bends).enumerate() {
            slope[i] += f64::from(*bend);
            sum[i] += slope[i];
            *to = (sum[i] * scale) as f32;
            lowest[0] = lower(lowest[0], *to);
        }
        slope.rotate_left(rest.len());
        sum.rotate_left(rest.len());
        (*slopes, *sums) = (slope, sum);
        lowest.into_iter().fold(1.0, lower)
    }
}

/// [`release`] of a group in which the gain that is held changes; returns the missing gain behind it. Never inlined, so that the
/// usual case is left to the vectors.
#[inline(never)]
fn release_from_peaks(gains: &mut [f32; GROUP], shares: &[f32; GROUP], missing: f64) -> f64 {
    let mut group = gains.map(|held| 1.0 - held);
    // Counting down to 0 has a shorter chain from sample to sample than counting up to 1, and ends in it.
    for i in 1..GROUP {
        group[i] = higher(group[i], group[i - 1] * shares[0]);
    }
    for i in 0..GROUP {
        group[i] = higher(group[i], missing as f32 * shares[i]);
        // Not above the one held, however that was rounded.
        gains[i] = lower(gains[i], 1.0 - group[i]);
    }
    f64::from(group[GROUP - 1])
}

/// Moving average of a moving average.
#[derive(Clone, Debug)]
struct MovingAverages {
    lengths: [usize; 2],
    scale: f64,
    /// The last values.
    values: [i32; BEFORE],
    /// Sums of sums over [`STEP`] values: the last ones, as many as both lengths together, and those of a part.
    steps: Box<[i32]>,
    /// Last sums of sums of both lengths, and what each has grown by in [`STEP`] samples.
    sums: [f64; STEP],
    slopes: [f64; STEP],
}

impl MovingAverages {
    fn new(lengths: [usize; 2]) -> Self {
        Self {
            lengths,
            scale: 1.0 / (f64::from(ONE) * (lengths[0] * lengths[1]) as f64),
            values: [0; BEFORE],
            steps: vec![0; lengths[0] + lengths[1] + PART].into_boxed_slice(),
            sums: [0.0; STEP],
            slopes: [0.0; STEP],
        }
    }

    /// Number of values that averages depend on, and of some before them.
    fn past(&self) -> usize {
        self.lengths[0] + self.lengths[1] + BEFORE
    }

    /// Writes the averages that end with those values, before which there is room for the last ones; returns the lowest, 1 at most.
    fn process(&mut self, values: &mut [i32], averages: &mut [f32]) -> f32 {
        let (count, past) = (averages.len(), self.lengths[0] + self.lengths[1]);
        values[..BEFORE].copy_from_slice(&self.values);
        self.values.copy_from_slice(&values[count..]);
        sum_steps(&mut self.steps[past..][..count], values);
        let bends = &mut values[..count];
        find_bends(bends, &self.steps, self.lengths);
        self.steps.copy_within(count..count + past, 0);
        sum_twice(averages, bends, &mut self.slopes, &mut self.sums, self.scale)
    }

    /// Unity goes in, the sums of that go on.
    fn reset(&mut self) {
        self.values.fill(ONE);
        self.steps.fill((STEP * STEP) as i32 * ONE);
        self.sums.fill(f64::from(ONE) * (self.lengths[0] * self.lengths[1]) as f64);
        self.slopes.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: hold, release, and two averages, each written down as it is said.
    fn definition(needed: &[f32], smoothing: usize, hold: usize, release: f64) -> Vec<f64> {
        let window = |values: &[f64], end: usize, length: usize| -> Vec<f64> {
            (0..length).map(|back| if back > end { 1.0 } else { values[end - back] }).collect()
        };
        let average = |values: &[f64], length: usize| -> Vec<f64> {
            (0..values.len()).map(|i| window(values, i, length).iter().sum::<f64>() / length as f64).collect()
        };
        let needed: Vec<f64> = needed.iter().map(|&gain| f64::from(gain)).collect();
        let mut gain = 1.0f64;
        let released: Vec<f64> = (0..needed.len())
            .map(|i| {
                let held = window(&needed, i, hold).into_iter().fold(1.0, f64::min);
                gain = (1.0 - (1.0 - gain) * (-1.0 / release).exp()).min(held);
                gain
            })
            .collect();
        average(&average(&released, smoothing / 2 + 1), smoothing - smoothing / 2 + 1)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_its_definition(
            smoothing in 0usize..50, margin in 0usize..6, hold in GROUP..90, release in 10.0f64..500.0,
            frame in 1usize..600,
            peaks in prop::collection::vec((0usize..100, 0.001f32..1.0), 1..20),
        ) {
            let needed = peaks.iter().flat_map(|&(rest, gain)| (0..=rest).map(move |i| if i == rest { gain } else { 1.0 }));
            let needed: Vec<f32> = needed.collect();
            let mut gains = needed.clone();
            let mut smoother = GainSmoother::new(smoothing, margin, hold);
            smoother.set_release(release);
            gains.chunks_mut(frame).for_each(|frame| {
                smoother.process(frame);
            });
            let wanted = definition(&needed, smoothing, smoothing + 1 + 2 * margin + hold, release);
            for (i, (found, wanted)) in gains.iter().zip(wanted).enumerate() {
                prop_assert!((f64::from(*found) - wanted).abs() < 1e-6 + MIN_MISSING, "sample {i}: {found}, not {wanted}");
            }
            // And so no peak gets more than it can take, nor do its neighbours.
            for (i, gain) in needed.iter().enumerate() {
                for near in i..=i + 2 * margin + hold {
                    prop_assert!(gains.get(near + smoothing).is_none_or(|given| given <= gain));
                }
            }
        }
    }

    #[test]
    fn fixed_point_is_never_more_than_the_gain() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut gains: Vec<f32> = (0..1000).map(|_| random.f32() * 0.5f32.powi(random.i32(0..40))).collect();
        gains.extend([0.0, 1.0, 0.5, 1.0 - f32::EPSILON / 2.0, f32::MIN_POSITIVE, 1e-40]);
        let mut fixed = vec![0; gains.len()];
        to_fixed(&mut fixed, &gains);
        for (gain, fixed) in gains.iter().zip(fixed) {
            assert_eq!(f64::from(fixed), (f64::from(*gain) * f64::from(ONE)).floor(), "{gain}");
        }
    }

    #[test]
    fn it_comes_back_to_exactly_one_and_then_rests() {
        let mut smoother = GainSmoother::new(48, 4, 20);
        smoother.set_release(480.0);
        assert!(smoother.is_idle());
        let mut gains = [1.0f32; 480];
        gains[7] = 0.1;
        smoother.process(&mut gains);
        assert!(!smoother.is_idle());
        for _ in 0..20 {
            gains.fill(1.0);
            smoother.process(&mut gains);
        }
        assert!(smoother.is_idle());
        assert_eq!(gains, [1.0; 480]);
    }
}
