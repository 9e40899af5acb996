//! Interpolation filters of the true-peak detector, and how high they can reach.

use super::true_peak::LONG;
use crate::dsp::kernels;

/// Peaks of a block, which are searched or left out together.
pub(super) const BLOCK: usize = 8;

/// Interpolation filters of one length, each with its mirror image.
#[derive(Clone, Debug)]
pub(super) struct FilterBank {
    length: usize,
    /// The first halves of the even part and of the odd part of each filter. Filter and mirror image give e + o and e − o,
    /// the larger magnitude of which is |e| + |o|.
    parts: Box<[f32]>,
}

impl FilterBank {
    /// Filters of the same even length, 32 at most.
    pub fn new(filters: &[Vec<f64>]) -> Self {
        let part = |filter: &[f64], sign: f64| -> Vec<f32> {
            let pairs = filter.iter().zip(filter.iter().rev()).take(filter.len() / 2);
            pairs.map(|(a, b)| (0.5 * (a + sign * b)) as f32).collect()
        };
        let parts = filters.iter().flat_map(|filter| [part(filter, 1.0), part(filter, -1.0)].concat());
        Self { length: filters[0].len(), parts: parts.collect() }
    }

    /// Raises each peak to the largest magnitude that a filter or mirror image gives, the first tap being for the sample
    /// of the same index. Of the blocks only those that are `wanted`.
    pub fn raise_peaks(&self, peaks: &mut [f32], samples: &[f32], wanted: &[bool]) {
        raise_peaks(peaks, samples, self.length / 2, &self.parts, wanted);
    }
}

kernels! {
    /// [`FilterBank::raise_peaks`].
    fn raise_peaks(peaks: &mut [f32], samples: &[f32], half: usize, filters: &[f32], wanted: &[bool]) {
        let mut sums = [[0.0f32; BLOCK]; LONG];
        let mut differences = [[0.0f32; BLOCK]; LONG];
        let half = half.min(LONG);
        let blocks = peaks.as_chunks_mut::<BLOCK>().0.iter_mut().zip(wanted).enumerate();
        for (block, (peaks, _)) in blocks.filter(|(_, (_, wanted))| **wanted) {
            let samples = &samples[block * BLOCK..][..BLOCK + 2 * half - 1];
            for (tap, (sums, differences)) in sums[..half].iter_mut().zip(&mut differences).enumerate() {
                let (early, late) = (&samples[tap..][..BLOCK], &samples[2 * half - 1 - tap..][..BLOCK]);
                for lane in 0..BLOCK {
                    sums[lane] = early[lane] + late[lane];
                    differences[lane] = early[lane] - late[lane];
                }
            }
            for filter in filters.chunks_exact(2 * half) {
                let (mut even, mut odd) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
                let taps = filter[..half].iter().zip(&filter[half..]);
                for ((even_tap, odd_tap), (sums, differences)) in taps.zip(sums.iter().zip(&differences)) {
                    for lane in 0..BLOCK {
                        even[lane] += even_tap * sums[lane];
                        odd[lane] += odd_tap * differences[lane];
                    }
                }
                for lane in 0..BLOCK {
                    peaks[lane] = peaks[lane].max(even[lane].abs() + odd[lane].abs());
                }
            }
        }
    }

    /// Largest of the samples of each block.
    fn find_peaks(found: &mut [f32], samples: &[f32]) {
        for (found, samples) in found.iter_mut().zip(samples.chunks(BLOCK)) {
            *found = samples.iter().fold(0.0, |max, sample| max.max(*sample));
        }
    }

    /// For each block the largest magnitude of its samples and the next one, and that of the second differences of those
    /// and one more.
    fn find_peaks_and_bends(found: &mut [[f32; 2]], samples: &[f32]) {
        for (block, found) in found.iter_mut().enumerate() {
            let Some(samples) = samples[block * BLOCK..].first_chunk::<{ BLOCK + 2 }>() else { return };
            let bends: [f32; BLOCK] = std::array::from_fn(|i| (samples[i] + samples[i + 2]) - 2.0 * samples[i + 1]);
            let peaks: [f32; BLOCK] = std::array::from_fn(|i| samples[i]);
            let max = |values: [f32; BLOCK]| {
                let bits = values.map(|value| value.abs().to_bits());
                let half: [u32; 4] = std::array::from_fn(|i| bits[i].max(bits[i + 4]));
                f32::from_bits(half[0].max(half[2]).max(half[1].max(half[3])))
            };
            *found = [max(peaks).max(samples[BLOCK].abs()), max(bends)];
        }
    }
}

/// Highest value that filters can make of samples.
///
/// A filter is a linear interpolation between two of the samples, times the sum of its taps, plus a filter of the second
/// differences. Those are small in a sound whose high frequencies are soft, so this bound is near.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// Largest sum of the magnitudes of the taps: highest value over the peak of the samples.
    of_peak: f32,
    /// Largest sum of the taps.
    sum: f32,
    /// What the second differences near the middle add, over the largest of them, and what the others add.
    of_near_bend: f32,
    of_far_bend: f32,
}

impl Bound {
    /// Bound of filters that interpolate between their two middle taps, 32 taps long at most.
    pub fn new<'a>(filters: impl Iterator<Item = &'a Vec<f64>>) -> Self {
        let (mut of_peak, mut sums) = (1.0f64, 1.0f64);
        // Largest magnitude for each second difference, of any filter and mirror image.
        let mut of_bends = [0.0f64; 2 * LONG];
        for filter in filters {
            let sum: f64 = filter.iter().sum();
            let middle = filter.len() / 2 - 1;
            let behind = filter.iter().enumerate().map(|(i, tap)| i as f64 * tap).sum::<f64>() / sum - middle as f64;
            let (mut slope, mut bend) = (0.0, 0.0);
            for (i, tap) in filter.iter().enumerate() {
                let linear = if i == middle {
                    1.0 - behind
                } else if i == middle + 1 {
                    behind
                } else {
                    0.0
                };
                slope += tap - sum * linear;
                bend += slope;
                let index = i + LONG - 1 - middle;
                for index in [Some(index), (2 * LONG - 3).checked_sub(index)].into_iter().flatten() {
                    of_bends[index] = of_bends[index].max(f64::abs(bend));
                }
            }
            of_peak = of_peak.max(filter.iter().map(|tap| tap.abs()).sum());
            sums = sums.max(sum);
        }
        // Those that lie in the three middle blocks, whichever peak of the block it is.
        let near = &of_bends[BLOCK - 1..3 * BLOCK];
        Self {
            of_peak: of_peak as f32,
            sum: sums as f32,
            of_near_bend: near.iter().sum::<f64>() as f32,
            of_far_bend: (of_bends.iter().sum::<f64>() - near.iter().sum::<f64>()) as f32,
        }
    }

    /// Highest value over the peak of the samples.
    pub fn of_peak(&self) -> f32 {
        self.of_peak
    }

    /// Bound for a block, from the peaks and bends of the five blocks that its filters reach. A little is added for
    /// rounding.
    pub fn of_block(&self, reached: &[[f32; 2]]) -> f32 {
        let highest_bend = |blocks: &[[f32; 2]]| blocks.iter().fold(0.0f32, |max, [_, bend]| max.max(*bend));
        let (near, all) = (highest_bend(&reached[1..4]), highest_bend(reached));
        1.000_01 * (self.sum * reached[2][0] + self.of_near_bend * near + self.of_far_bend * all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn peaks_are_those_of_the_filters_and_their_mirror_images(
            samples in prop::collection::vec(-1.0f32..1.0, 96 + 11), taps in prop::collection::vec(-1.0f64..1.0, 48),
        ) {
            let filters: Vec<Vec<f64>> = taps.chunks(12).map(<[f64]>::to_vec).collect();
            let mut peaks = [0.5f32; 96];
            let mut wanted = [true; 12];
            wanted[5] = false;
            FilterBank::new(&filters).raise_peaks(&mut peaks, &samples, &wanted);
            for (i, peak) in peaks.iter().enumerate() {
                let value = |filter: &mut dyn Iterator<Item = &f64>| {
                    filter.zip(&samples[i..]).map(|(tap, s)| tap * f64::from(*s)).sum::<f64>().abs()
                };
                let of_filters = filters.iter().flat_map(|f| [value(&mut f.iter()), value(&mut f.iter().rev())]);
                let highest = if i / BLOCK == 5 { 0.5 } else { of_filters.fold(0.5, f64::max) };
                prop_assert!((f64::from(*peak) - highest).abs() < 1e-4, "{peak} instead of {highest}");
            }
        }
    }
}
