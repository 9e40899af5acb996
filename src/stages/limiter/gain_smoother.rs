//! Gain smoother: from the gain each sample needs to the gain it gets.
//!
//! Each value depends on the one before. So they are taken in groups: what a group makes of itself does not wait for the
//! group before, and what that adds to it is one step.

use super::interpolation::{BLOCK, higher};
use crate::dsp::kernels;

/// One in fixed point: sums of integers cannot drift however long they run, and one does not wait long for the one before. Gains, and
/// differences of two, fit into 32 bits; the averages of 20 ms at 192 kHz make less than 2⁵² of it.
const ONE: f64 = 1_073_741_824.0;

/// Added to a positive number below it, it leaves the integer in the lower bits.
const ROUNDER: f64 = 4_503_599_627_370_496.0;

/// Missing gain (1 − gain) below which the gain becomes 1 at the end of a frame: 0.0001 dB.
const MIN_MISSING: f64 = 1e-5;

/// Values of a group.
const GROUP: usize = 8;

/// Values that are averaged at a time, a whole number of groups: the longer, the more memory it takes, and the shorter, the more
/// often the past is moved.
const PART: usize = 240;

/// Smoother whose gain is nowhere higher than the one needed.
///
/// The lowest gain needed is held for `smoothing + 1 + 2 · margin + hold` samples, then released exponentially, and
/// averaged over `smoothing + 1` samples (twice, over half of it, for a curve without corners). So wherever a gain is
/// needed, it is reached `margin` samples before, and kept `margin + hold` samples after: there an interpolator sees a
/// constant. The delay is `smoothing + margin`.
#[derive(Clone, Debug)]
pub(super) struct GainSmoother {
    hold: SlidingMin,
    /// Release: the shares of the missing gain that are left after 1, 2, … samples.
    release: [f64; GROUP],
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
            missing: 0.0,
            averages: MovingAverages::new([smoothing / 2 + 1, smoothing - smoothing / 2 + 1]),
            idle_samples: 0,
        };
        smoother.reset();
        smoother
    }

    /// Sets the time in which 63 % of the missing gain comes back, in samples.
    pub fn set_release(&mut self, samples: f64) {
        self.release = std::array::from_fn(|index| (-((index + 1) as f64) / samples).exp());
    }

    /// Share of the missing gain that is left after a [`BLOCK`].
    pub fn decay(&self) -> f32 {
        self.release[BLOCK - 1] as f32
    }

    /// Whether the gain is 1, and will be as long as nothing less is needed.
    pub fn is_idle(&self) -> bool {
        self.idle_samples >= self.hold.length() + self.averages.past()
    }

    /// Replaces gains needed, none above 1, by the smoothed ones; returns the lowest.
    pub fn process(&mut self, gains: &mut [f32]) -> f32 {
        self.hold.process(gains);
        let mut lowest = 1.0;
        for gains in gains.chunks_mut(PART) {
            release(self.averages.next(gains.len()), gains, &self.release, &mut self.missing);
            lowest = lower(lowest, self.averages.process(gains));
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
    /// Minimum of each value and all before it, `min` among them, and the one of `behind`, whose place the value takes; returns
    /// the last without that.
    fn running_min(values: &mut [f32], behind: &mut [f32], min: f32) -> f32 {
        let mut min = min;
        let (groups, rest) = values.as_chunks_mut::<GROUP>();
        let (behind, rest_behind) = behind.as_chunks_mut::<GROUP>();
        for (group, behind) in groups.iter_mut().zip(behind) {
            let minima = scan(*group, lower);
            std::mem::swap(group, behind);
            for i in 0..GROUP {
                group[i] = lower(lower(minima[i], min), group[i]);
            }
            min = lower(min, minima[GROUP - 1]);
        }
        for (value, behind) in rest.iter_mut().zip(rest_behind) {
            min = lower(min, *value);
            std::mem::swap(value, behind);
            *value = lower(min, *value);
        }
        min
    }

    /// Replaces each value by the minimum of those behind it.
    fn min_behind(values: &mut [f32]) {
        let mut min = f32::INFINITY;
        let (groups, rest) = values.as_chunks_mut::<GROUP>();
        for value in rest.iter_mut().rev() {
            let behind = min;
            min = lower(min, *value);
            *value = behind;
        }
        for group in groups.iter_mut().rev() {
            let mut behind = *group;
            behind.reverse();
            behind = scan(behind, lower);
            behind.reverse();
            for i in 0..GROUP - 1 {
                group[i] = lower(behind[i + 1], min);
            }
            group[GROUP - 1] = min;
            min = lower(min, behind[0]);
        }
    }

    /// Gains in fixed point, rounded down, whose missing part falls exponentially.
    fn release(to: &mut [i32], held: &[f32], shares: &[f64; GROUP], missing: &mut f64) {
        let (groups, rest) = held.as_chunks::<GROUP>();
        let (to, last) = to.split_at_mut(groups.len() * GROUP);
        let mut left = *missing;
        // Taken for another number than the last of them, it makes the chain from group to group one outside of the vectors.
        let decay = std::hint::black_box(shares[GROUP - 1]);
        for (to, held) in to.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups) {
            // A peak is held for long, so most groups have one gain.
            let differences = held.iter().fold(0, |bits, gain| bits | (gain.to_bits() ^ held[0].to_bits()));
            if differences == 0 {
                let needed = 1.0 - f64::from(held[0]);
                for i in 0..GROUP {
                    to[i] = to_fixed(higher(needed, left * shares[i]));
                }
                left = higher(needed, left * decay);
            } else {
                left = release_from_peaks(to, held, shares, left);
            }
        }
        for (to, held) in last.iter_mut().zip(rest) {
            left = higher(left * shares[0], 1.0 - f64::from(*held));
            *to = to_fixed(left);
        }
        *missing = left;
    }

    /// Second differences of moving sums of the second length of moving sums of the first length. The values begin with as many
    /// of the past as both lengths together.
    fn find_bends(bends: &mut [i64], values: &[i32], lengths: [usize; 2]) {
        let count = bends.len();
        let [first, second] = lengths;
        let from = |start: usize| &values[start..][..count];
        let (new, out_of_first, out_of_second, out_of_both) = (from(first + second), from(second), from(first), from(0));
        for i in 0..count {
            bends[i] = i64::from(new[i] - out_of_first[i]) - i64::from(out_of_second[i] - out_of_both[i]);
        }
    }

    /// Replaces second differences of a curve by its values, and its last slope and value by the new ones.
    fn sum_twice(bends: &mut [i64], slope: &mut i64, value: &mut i64) {
        let (mut last_slope, mut last) = (*slope, *value);
        for bend in bends {
            last_slope += *bend;
            last += last_slope;
            *bend = last;
        }
        (*slope, *value) = (last_slope, last);
    }

    /// `to = from · scale`; returns the lowest, 1 at most.
    fn scale_to_gains(to: &mut [f32], from: &[i64], scale: f64) -> f32 {
        let gain = |sum: i64| ((f64::from_bits(sum as u64 | ROUNDER.to_bits()) - ROUNDER) * scale) as f32;
        let mut lowest = [1.0; GROUP];
        let (groups, rest) = to.as_chunks_mut::<GROUP>();
        let (sums, rest_sums) = from.as_chunks::<GROUP>();
        for (to, sums) in groups.iter_mut().zip(sums) {
            for i in 0..GROUP {
                to[i] = gain(sums[i]);
                lowest[i] = lower(lowest[i], to[i]);
            }
        }
        for (to, sum) in rest.iter_mut().zip(rest_sums) {
            *to = gain(*sum);
            lowest[0] = lower(lowest[0], *to);
        }
        lowest.into_iter().fold(1.0, lower)
    }
}

/// [`release`] of a group in which the gain that is held changes; returns the missing gain behind it. Never inlined, so that the
/// usual case is left to the vectors.
#[inline(never)]
fn release_from_peaks(to: &mut [i32; GROUP], held: &[f32; GROUP], shares: &[f64; GROUP], missing: f64) -> f64 {
    let mut group = held.map(|held| 1.0 - f64::from(held));
    // Counting down to 0 has a shorter chain from sample to sample than counting up to 1, and ends in it.
    for i in 1..GROUP {
        group[i] = higher(group[i], group[i - 1] * shares[0]);
    }
    for i in 0..GROUP {
        group[i] = higher(group[i], missing * shares[i]);
        to[i] = to_fixed(group[i]);
    }
    group[GROUP - 1]
}

/// Gain in fixed point, rounded down, of which so much is missing.
#[inline(always)]
fn to_fixed(missing: f64) -> i32 {
    let gain = (1.0 - missing) * ONE;
    let rounded = gain + ROUNDER;
    (rounded.to_bits() - ROUNDER.to_bits()) as i32 - i32::from(rounded - ROUNDER > gain)
}

/// What `op` makes of each value and all before it, in few steps: pairs, then pairs of pairs.
#[inline(always)]
fn scan<T: Copy, const N: usize>(values: [T; N], op: impl Fn(T, T) -> T) -> [T; N] {
    let (mut values, mut step) = (values, 1);
    while step < N {
        let before = values;
        for i in step..N {
            values[i] = op(before[i], before[i - step]);
        }
        step *= 2;
    }
    values
}

/// Lower of two numbers: one instruction, as neither is NaN.
#[inline(always)]
fn lower(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// Sliding minimum at a constant cost (van Herk, Gil and Werman). The values are cut into blocks as long as the window,
/// which then always is the end of one block and the beginning of the next.
#[derive(Clone, Debug)]
struct SlidingMin {
    /// The block that is being filled, up to `at`; then, of the block before, the minimum of the values behind each one.
    block: Box<[f32]>,
    at: usize,
    /// Minimum of the block that is being filled.
    min: f32,
}

impl SlidingMin {
    fn new(length: usize) -> Self {
        Self { block: vec![1.0; length].into(), at: 0, min: f32::INFINITY }
    }

    fn length(&self) -> usize {
        self.block.len()
    }

    fn process(&mut self, mut values: &mut [f32]) {
        while !values.is_empty() {
            let count = values.len().min(self.length() - self.at);
            let (now, later) = values.split_at_mut(count);
            self.min = running_min(now, &mut self.block[self.at..self.at + count], self.min);
            self.at += count;
            if self.at == self.length() {
                min_behind(&mut self.block);
                (self.at, self.min) = (0, f32::INFINITY);
            }
            values = later;
        }
    }

    fn reset(&mut self) {
        self.block.fill(1.0);
        (self.at, self.min) = (0, f32::INFINITY);
    }
}

/// Moving average of a moving average.
#[derive(Clone, Debug)]
struct MovingAverages {
    lengths: [usize; 2],
    scale: f64,
    /// The last values, as many as both lengths together, and those of a part.
    values: Box<[i32]>,
    /// Last sum of sums, and what it has grown by.
    sum: i64,
    slope: i64,
}

impl MovingAverages {
    fn new(lengths: [usize; 2]) -> Self {
        Self {
            lengths,
            scale: 1.0 / (ONE * (lengths[0] * lengths[1]) as f64),
            values: vec![0; lengths[0] + lengths[1] + PART].into_boxed_slice(),
            sum: 0,
            slope: 0,
        }
    }

    /// Number of values that averages depend on, and the first one before them.
    fn past(&self) -> usize {
        self.lengths[0] + self.lengths[1]
    }

    /// Place for the next values.
    fn next(&mut self, count: usize) -> &mut [i32] {
        let past = self.past();
        &mut self.values[past..][..count]
    }

    /// Writes the averages that end with those values; returns the lowest, 1 at most.
    fn process(&mut self, averages: &mut [f32]) -> f32 {
        let (count, past) = (averages.len(), self.past());
        let sums = &mut [0; PART][..count];
        find_bends(sums, &self.values, self.lengths);
        sum_twice(sums, &mut self.slope, &mut self.sum);
        self.values.copy_within(count..count + past, 0);
        scale_to_gains(averages, sums, self.scale)
    }

    /// Unity goes in, the sums of that go on.
    fn reset(&mut self) {
        self.values.fill(ONE as i32);
        self.sum = ONE as i64 * (self.lengths[0] * self.lengths[1]) as i64;
        self.slope = 0;
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
            gains.chunks_mut(600).for_each(|frame| {
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
