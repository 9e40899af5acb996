//! From the gain each sample needs to the gain it gets.

/// One in fixed point: sums of such numbers are exact, and cannot drift however long they run.
const ONE: f64 = 4_294_967_296.0;

/// What is missing from a gain of 1 below this (0.0001 dB) is let go at the end of a frame.
const NOTHING: f64 = 1e-5;

/// Makes a smooth gain that is nowhere higher than the one needed.
///
/// The lowest gain needed is held for `smoothing + 1 + 2 · margin + hold` samples, then let go exponentially, and averaged
/// over `smoothing + 1` samples (twice, over half of it, for a curve without corners). So wherever a gain is needed, it is
/// reached `margin` samples before, and kept `margin + hold` samples after: there an interpolator sees a constant. The
/// delay is `smoothing + margin`.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    hold: Hold,
    /// How much of the missing gain is left after a sample.
    keep: f64,
    missing: f64,
    averages: [Average; 2],
    scale: f64,
    /// How many samples in a row have had a gain of 1.
    calm: usize,
}

impl Envelope {
    pub fn new(smoothing: usize, margin: usize, hold: usize) -> Self {
        let lengths = [smoothing / 2 + 1, smoothing - smoothing / 2 + 1];
        let mut envelope = Self {
            hold: Hold::new(smoothing + 1 + 2 * margin + hold),
            keep: 0.0,
            missing: 0.0,
            averages: lengths.map(Average::new),
            scale: 1.0 / (ONE * (lengths[0] * lengths[1]) as f64),
            calm: 0,
        };
        envelope.reset();
        envelope
    }

    /// Sets the time in which 63 % of the missing gain comes back, in samples.
    pub fn set_release(&mut self, samples: f64) {
        self.keep = (-1.0 / samples).exp();
    }

    /// Whether the gain is 1, and will be as long as nothing less is needed.
    pub fn is_idle(&self) -> bool {
        self.calm >= self.hold.length() + self.averages[0].length() + self.averages[1].length()
    }

    /// Swaps gains needed, none above 1, for those given.
    pub fn process(&mut self, gains: &mut [f32]) {
        let [first, second] = &mut self.averages;
        for gain in gains.iter_mut() {
            let held = self.hold.next(*gain);
            // Counting down to 0 has a shorter way from sample to sample than counting up to 1, and ends in it.
            self.missing = (self.missing * self.keep).max(1.0 - f64::from(held));
            let sum = second.next(first.next(((1.0 - self.missing) * ONE) as i64));
            *gain = (sum as f64 * self.scale) as f32;
        }
        if self.missing < NOTHING {
            self.missing = 0.0;
        }
        self.calm = if gains.iter().all(|gain| *gain == 1.0) { self.calm + gains.len() } else { 0 };
    }

    pub fn reset(&mut self) {
        self.hold.reset();
        self.missing = 0.0;
        // Unity goes in, the sum of that goes on.
        self.averages[0].fill(ONE as i64);
        self.averages[1].fill(ONE as i64 * self.averages[0].length() as i64);
        self.calm = usize::MAX / 2;
    }
}

/// The least of the last values, at a constant cost (van Herk, Gil and Werman): the values are cut into blocks as long as
/// the window, which then always is the end of one block and the beginning of the next.
#[derive(Clone, Debug)]
struct Hold {
    /// The block that is being filled; behind `at`, the least of each value of the block before and all that followed it.
    block: Box<[f32]>,
    at: usize,
    /// The least of the block that is being filled.
    least: f32,
}

impl Hold {
    fn new(length: usize) -> Self {
        Self { block: vec![1.0; length].into_boxed_slice(), at: 0, least: 1.0 }
    }

    fn length(&self) -> usize {
        self.block.len()
    }

    #[inline(always)]
    fn next(&mut self, value: f32) -> f32 {
        self.least = self.least.min(value);
        self.block[self.at] = value;
        self.at += 1;
        match self.block.get(self.at) {
            Some(&before) => self.least.min(before),
            None => {
                let all = self.least;
                let mut least = f32::INFINITY;
                for value in self.block.iter_mut().rev() {
                    least = least.min(*value);
                    *value = least;
                }
                (self.at, self.least) = (0, f32::INFINITY);
                all
            }
        }
    }

    fn reset(&mut self) {
        self.block.fill(1.0);
        (self.at, self.least) = (0, f32::INFINITY);
    }
}

/// The sum of the last values.
#[derive(Clone, Debug)]
struct Average {
    values: Box<[i64]>,
    at: usize,
    sum: i64,
}

impl Average {
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
        fn it_is_what_its_definition_says(
            smoothing in 0usize..50, margin in 0usize..6, hold in 0usize..90, release in 10.0f64..500.0,
            peaks in prop::collection::vec((0usize..100, 0.001f32..1.0), 1..20),
        ) {
            let needed = peaks.iter().flat_map(|&(rest, gain)| (0..=rest).map(move |i| if i == rest { gain } else { 1.0 }));
            let needed: Vec<f32> = needed.collect();
            let mut gains = needed.clone();
            let mut envelope = Envelope::new(smoothing, margin, hold);
            envelope.set_release(release);
            gains.chunks_mut(80).for_each(|frame| envelope.process(frame));
            let wanted = definition(&needed, smoothing, smoothing + 1 + 2 * margin + hold, release);
            for (i, (found, wanted)) in gains.iter().zip(wanted).enumerate() {
                prop_assert!((f64::from(*found) - wanted).abs() < 1e-6 + NOTHING, "sample {i}: {found}, not {wanted}");
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
        let mut envelope = Envelope::new(48, 4, 20);
        envelope.set_release(480.0);
        assert!(envelope.is_idle());
        let mut gains = [1.0f32; 480];
        gains[7] = 0.1;
        envelope.process(&mut gains);
        assert!(!envelope.is_idle());
        for _ in 0..20 {
            gains.fill(1.0);
            envelope.process(&mut gains);
        }
        assert!(envelope.is_idle());
        assert_eq!(gains, [1.0; 480]);
    }
}
