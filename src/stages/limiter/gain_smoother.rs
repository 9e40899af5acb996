//! Gain smoother: from the gain each sample needs to the gain it gets.

/// One in fixed point: sums of such numbers are exact, and cannot drift however long they run.
const ONE: f64 = 4_294_967_296.0;

/// Missing gain (1 − gain) below which the gain becomes 1 at the end of a frame: 0.0001 dB.
const MIN_MISSING: f64 = 1e-5;

/// Smoother whose gain is nowhere higher than the one needed.
///
/// The lowest gain needed is held for `smoothing + 1 + 2 · margin + hold` samples, then released exponentially, and
/// averaged over `smoothing + 1` samples (twice, over half of it, for a curve without corners). So wherever a gain is
/// needed, it is reached `margin` samples before, and kept `margin + hold` samples after: there an interpolator sees a
/// constant. The delay is `smoothing + margin`.
#[derive(Clone, Debug)]
pub(super) struct GainSmoother {
    hold: SlidingMin,
    /// Release: the share of the missing gain that is left after a sample.
    release: f64,
    /// Missing gain: 1 − gain.
    missing: f64,
    averages: [MovingSum; 2],
    scale: f64,
    /// Samples in a row with a gain of 1.
    idle_samples: usize,
}

impl GainSmoother {
    pub fn new(smoothing: usize, margin: usize, hold: usize) -> Self {
        let lengths = [smoothing / 2 + 1, smoothing - smoothing / 2 + 1];
        let mut smoother = Self {
            hold: SlidingMin::new(smoothing + 1 + 2 * margin + hold),
            release: 0.0,
            missing: 0.0,
            averages: lengths.map(MovingSum::new),
            scale: 1.0 / (ONE * (lengths[0] * lengths[1]) as f64),
            idle_samples: 0,
        };
        smoother.reset();
        smoother
    }

    /// Sets the time in which 63 % of the missing gain comes back, in samples.
    pub fn set_release(&mut self, samples: f64) {
        self.release = (-1.0 / samples).exp();
    }

    /// Whether the gain is 1, and will be as long as nothing less is needed.
    pub fn is_idle(&self) -> bool {
        self.idle_samples >= self.hold.length() + self.averages[0].length() + self.averages[1].length()
    }

    /// Replaces gains needed, none above 1, by the smoothed ones.
    pub fn process(&mut self, gains: &mut [f32]) {
        let [first, second] = &mut self.averages;
        for gain in gains.iter_mut() {
            let held = self.hold.next(*gain);
            // Counting down to 0 has a shorter chain from sample to sample than counting up to 1, and ends in it.
            self.missing = (self.missing * self.release).max(1.0 - f64::from(held));
            let sum = second.next(first.next(((1.0 - self.missing) * ONE) as i64));
            *gain = (sum as f64 * self.scale) as f32;
        }
        if self.missing < MIN_MISSING {
            self.missing = 0.0;
        }
        self.idle_samples = if gains.iter().all(|gain| *gain == 1.0) { self.idle_samples + gains.len() } else { 0 };
    }

    pub fn reset(&mut self) {
        self.hold.reset();
        self.missing = 0.0;
        // Unity goes in, the sum of that goes on.
        self.averages[0].fill(ONE as i64);
        self.averages[1].fill(ONE as i64 * self.averages[0].length() as i64);
        self.idle_samples = usize::MAX / 2;
    }
}

/// Sliding minimum at a constant cost (van Herk, Gil and Werman). The values are cut into blocks as long as the window,
/// which then always is the end of one block and the beginning of the next.
#[derive(Clone, Debug)]
struct SlidingMin {
    /// The block that is being filled; from `at` on, the suffix minima of the block before.
    block: Box<[f32]>,
    at: usize,
    /// Minimum of the block that is being filled.
    min: f32,
}

impl SlidingMin {
    fn new(length: usize) -> Self {
        Self { block: vec![1.0; length].into_boxed_slice(), at: 0, min: 1.0 }
    }

    fn length(&self) -> usize {
        self.block.len()
    }

    #[inline(always)]
    fn next(&mut self, value: f32) -> f32 {
        self.min = self.min.min(value);
        self.block[self.at] = value;
        self.at += 1;
        match self.block.get(self.at) {
            Some(&suffix_min) => self.min.min(suffix_min),
            None => {
                let window_min = self.min;
                let mut suffix_min = f32::INFINITY;
                for value in self.block.iter_mut().rev() {
                    suffix_min = suffix_min.min(*value);
                    *value = suffix_min;
                }
                (self.at, self.min) = (0, f32::INFINITY);
                window_min
            }
        }
    }

    fn reset(&mut self) {
        self.block.fill(1.0);
        (self.at, self.min) = (0, f32::INFINITY);
    }
}

/// Moving sum.
#[derive(Clone, Debug)]
struct MovingSum {
    values: Box<[i64]>,
    at: usize,
    sum: i64,
}

impl MovingSum {
    fn new(length: usize) -> Self {
        Self { values: vec![0; length].into_boxed_slice(), at: 0, sum: 0 }
    }

    fn length(&self) -> usize {
        self.values.len()
    }

    #[inline(always)]
    fn next(&mut self, value: i64) -> i64 {
        self.sum += value - std::mem::replace(&mut self.values[self.at], value);
        self.at = if self.at + 1 == self.values.len() { 0 } else { self.at + 1 };
        self.sum
    }

    fn fill(&mut self, value: i64) {
        self.values.fill(value);
        (self.at, self.sum) = (0, value * self.values.len() as i64);
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
            smoothing in 0usize..50, margin in 0usize..6, hold in 0usize..90, release in 10.0f64..500.0,
            peaks in prop::collection::vec((0usize..100, 0.001f32..1.0), 1..20),
        ) {
            let needed = peaks.iter().flat_map(|&(rest, gain)| (0..=rest).map(move |i| if i == rest { gain } else { 1.0 }));
            let needed: Vec<f32> = needed.collect();
            let mut gains = needed.clone();
            let mut smoother = GainSmoother::new(smoothing, margin, hold);
            smoother.set_release(release);
            gains.chunks_mut(80).for_each(|frame| smoother.process(frame));
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
