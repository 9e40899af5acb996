//! Interpolation filters of the true-peak detector, and how high they can reach.

use crate::dsp::kernels;
use crate::dsp::kernels::higher;

/// Peaks of a block, which are searched or left out together.
pub(super) const BLOCK: usize = 8;

/// Half the lengths of the two kinds of interpolators, in samples.
pub(super) const LONG: usize = 16;
pub(super) const SHORT: usize = 6;

/// Filters of each length.
const FILTERS: usize = 4;

/// Second differences on either side of a point whose magnitudes count by themselves in its bound.
pub(super) const NEAR: usize = 5;

/// Interpolation filters, each with its mirror image. The last of each length is its own.
#[derive(Clone, Debug)]
pub(super) struct Interpolators {
    pub long: Taps<LONG>,
    pub short: Taps<SHORT>,
}

/// First half of the taps of all filters of a length.
#[derive(Clone, Debug)]
pub(super) struct Taps<const HALF: usize>([Tap; HALF]);

/// Tap of the even part of each filter, and of the odd part, which the last one has not, for every peak of a block. Filter and mirror image give
/// e + o and e − o, the larger magnitude of which is |e| + |o|.
#[derive(Clone, Copy, Debug)]
struct Tap {
    even: [Lanes; FILTERS],
    odd: [Lanes; FILTERS - 1],
}

/// A value for each peak of a block, aligned so that none of these vectors lies in two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Lanes([f32; BLOCK]);

impl Interpolators {
    /// Interpolators of filters that are twice [`LONG`] and twice [`SHORT`] taps long, the last ones symmetric.
    pub fn new(long: &[[f64; 2 * LONG]; FILTERS], short: &[[f64; 2 * SHORT]; FILTERS]) -> Self {
        Self { long: Taps::new(long.each_ref().map(|f| &f[..])), short: Taps::new(short.each_ref().map(|f| &f[..])) }
    }
}

impl<const HALF: usize> Taps<HALF> {
    fn new(filters: [&[f64]; FILTERS]) -> Self {
        let part = |filter: usize, tap: usize, sign: f64| {
            let taps = filters[filter];
            Lanes([(0.5 * (taps[tap] + sign * taps[2 * HALF - 1 - tap])) as f32; BLOCK])
        };
        Self(std::array::from_fn(|tap| Tap {
            even: std::array::from_fn(|filter| part(filter, tap, 1.0)),
            odd: std::array::from_fn(|filter| part(filter, tap, -1.0)),
        }))
    }

    /// Raises each peak to the largest magnitude that a filter or mirror image gives, whose middle lies between the sample of the same
    /// index + `HALF` − 1 and the next.
    #[inline(always)]
    pub fn raise_peaks(&self, peaks: &mut [f32; BLOCK], samples: &[f32]) {
        let samples = &samples[..BLOCK + 2 * HALF - 1];
        let (mut even, mut odd) = ([[0.0; BLOCK]; FILTERS], [[0.0; BLOCK]; FILTERS - 1]);
        for (tap, taps) in self.0.iter().enumerate() {
            let ends = [tap, 2 * HALF - 1 - tap].map(|start| samples[start..].first_chunk::<BLOCK>());
            // There always are as many. As arrays, not as slices, so that the compiler keeps the lanes of a sum together.
            let [Some(early), Some(late)] = ends else { break };
            let (mut sums, mut differences) = ([0.0; BLOCK], [0.0; BLOCK]);
            for lane in 0..BLOCK {
                sums[lane] = early[lane] + late[lane];
                differences[lane] = early[lane] - late[lane];
            }
            add_products(&mut even, &taps.even, &sums);
            add_products(&mut odd, &taps.odd, &differences);
        }
        for lane in 0..BLOCK {
            let mut highest = higher(peaks[lane], even[FILTERS - 1][lane].abs());
            for (even, odd) in even.iter().zip(&odd) {
                highest = higher(highest, even[lane].abs() + odd[lane].abs());
            }
            peaks[lane] = highest;
        }
    }
}

/// Adds the values times the tap of each filter.
#[inline(always)]
fn add_products<const N: usize>(sums: &mut [[f32; BLOCK]; N], taps: &[Lanes; N], values: &[f32; BLOCK]) {
    for (sums, taps) in sums.iter_mut().zip(taps) {
        for lane in 0..BLOCK {
            sums[lane] += taps.0[lane] * values[lane];
        }
    }
}

kernels! {
    /// Bounds of the values behind each sample: of all filters, and of the long ones. `magnitudes` are those of the samples and the next;
    /// `bends` begin [`NEAR`] − 1 before that in the middle of the first sample, and none of all is above `max_bend`.
    fn find_bounds(of_all: &mut [f32], of_long: &mut [f32], magnitudes: &[f32], bends: &[f32], max_bend: f32, bounds: &Bounds) {
        let count = of_all.len();
        let (this, next, of_long) = (&magnitudes[..count], &magnitudes[1..][..count], &mut of_long[..count]);
        let pairs: [_; NEAR] =
            std::array::from_fn(|distance| (&bends[NEAR - 1 - distance..][..count], &bends[NEAR + distance..][..count]));
        let [long, short] = [&bounds.long, &bounds.short];
        let far = [long.of_far_bend * max_bend, short.of_far_bend * max_bend];
        for i in 0..count {
            let line = higher(this[i], next[i]);
            let (mut by_long, mut by_short) = (far[0] + long.sum * line, far[1] + short.sum * line);
            for ((before, after), (in_long, in_short)) in pairs.iter().zip(long.of_near_bends.iter().zip(short.of_near_bends)) {
                let bends = before[i] + after[i];
                by_long += in_long * bends;
                by_short += in_short * bends;
            }
            of_long[i] = by_long;
            of_all[i] = higher(by_long, by_short);
        }
    }

    /// Raises each value to the magnitude of the second difference in the middle of three samples; returns the largest.
    fn raise_bends(bends: &mut [f32], samples: &[f32]) -> f32 {
        let count = bends.len();
        let (before, middle, after) = (&samples[..count], &samples[1..][..count], &samples[2..][..count]);
        let mut max = 0;
        for i in 0..count {
            // Magnitudes are in the order of their bits, and a maximum of integers the compiler finds in vectors.
            let bend = ((before[i] + after[i]) - 2.0 * middle[i]).abs().to_bits().max(bends[i].to_bits());
            bends[i] = f32::from_bits(bend);
            max = max.max(bend);
        }
        f32::from_bits(max)
    }
}

/// Highest value that filters can make of samples.
///
/// A filter is a linear interpolation between two of the samples, times the sum of its taps, plus a filter of the second
/// differences. Those are small in a sound whose high frequencies are soft, so this bound is near.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// Largest sum of the taps.
    sum: f32,
    /// What each of the nearest second differences adds, on both sides, and the largest of the others, over its magnitude.
    of_near_bends: [f32; NEAR],
    of_far_bend: f32,
}

impl Bound {
    /// Bound of filters that interpolate between their two middle taps, 32 taps long at most.
    pub fn new<'a>(filters: impl Iterator<Item = &'a [f64]>) -> Self {
        let mut sums = 1.0f64;
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
            sums = sums.max(sum);
        }
        // A little more, for rounding.
        let more = |value: f64| (1.000_01 * value) as f32;
        let near = &of_bends[LONG - 1..][..NEAR];
        Self {
            sum: more(sums),
            of_near_bends: std::array::from_fn(|distance| more(near[distance])),
            of_far_bend: more(of_bends.iter().sum::<f64>() - 2.0 * near.iter().sum::<f64>()),
        }
    }
}

/// Bounds of the long and of the short filters.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub long: Bound,
    pub short: Bound,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn peaks_are_those_of_the_filters_and_their_mirror_images(
            samples in prop::collection::vec(-1.0f32..1.0, 96 + 31), taps in prop::collection::vec(-1.0f64..1.0, 128 + 48),
        ) {
            let (long, short) = taps.split_at(128);
            let mut long: [[f64; 32]; 4] = long.as_chunks().0.try_into().unwrap();
            let mut short: [[f64; 12]; 4] = short.as_chunks().0.try_into().unwrap();
            (0..16).for_each(|tap| long[3][31 - tap] = long[3][tap]);
            (0..6).for_each(|tap| short[3][11 - tap] = short[3][tap]);
            let interpolators = Interpolators::new(&long, &short);
            let mut peaks = [0.5f32; 96];
            for (block, peaks) in peaks.as_chunks_mut().0.iter_mut().enumerate() {
                interpolators.short.raise_peaks(peaks, &samples[BLOCK * block + LONG - SHORT..]);
                if block != 5 {
                    interpolators.long.raise_peaks(peaks, &samples[BLOCK * block..]);
                }
            }
            for (i, peak) in peaks.iter().enumerate() {
                let value = |from: usize, filter: &mut dyn Iterator<Item = &f64>| {
                    filter.zip(&samples[from..]).map(|(tap, s)| tap * f64::from(*s)).sum::<f64>().abs()
                };
                let both = |from: usize, f: &[f64]| [value(from, &mut f.iter()), value(from, &mut f.iter().rev())];
                let of_long = long.iter().filter(|_| i / BLOCK != 5).flat_map(|f| both(i, f));
                let highest = of_long.chain(short.iter().flat_map(|f| both(i + 10, f))).fold(0.5, f64::max);
                prop_assert!((f64::from(*peak) - highest).abs() < 1e-4, "{peak} instead of {highest}");
            }
        }
    }
}
