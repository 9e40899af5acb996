//! Interpolation filters of the true-peak detector, and how high they can reach.

use crate::dsp::kernels;

/// Peaks of a block, which are searched or left out together.
pub(super) const BLOCK: usize = 8;

/// Half the lengths of the two kinds of interpolators, in samples.
pub(super) const LONG: usize = 16;
pub(super) const SHORT: usize = 6;

/// Filters of each length.
const FILTERS: usize = 4;

/// Second differences on either side of a point whose magnitudes count by themselves in its bound.
const NEAR: usize = 5;

/// Interpolation filters, each with its mirror image. The last of each length is its own.
#[derive(Clone, Debug)]
pub(super) struct Interpolators {
    long: Taps<LONG>,
    short: Taps<SHORT>,
}

/// First half of the taps of the even part of each filter, and of the odd part, which the last one has not. Filter and mirror
/// image give e + o and e − o, the larger magnitude of which is |e| + |o|.
#[derive(Clone, Debug)]
struct Taps<const HALF: usize> {
    even: [[f32; HALF]; FILTERS],
    odd: [[f32; HALF]; FILTERS - 1],
}

impl Interpolators {
    /// Interpolators of filters that are twice [`LONG`] and twice [`SHORT`] taps long, the last ones symmetric.
    pub fn new(long: &[[f64; 2 * LONG]; FILTERS], short: &[[f64; 2 * SHORT]; FILTERS]) -> Self {
        Self { long: Taps::new(long.each_ref().map(|f| &f[..])), short: Taps::new(short.each_ref().map(|f| &f[..])) }
    }

    /// Raises each peak to the largest magnitude that a filter or mirror image gives, whose middle lies between the sample of
    /// the same index + [`LONG`] − 1 and the next. Of the blocks only those that are `wanted`.
    pub fn raise_peaks(&self, peaks: &mut [f32], samples: &[f32], wanted: &[bool]) {
        raise_peaks(peaks, samples, self, wanted);
    }
}

impl<const HALF: usize> Taps<HALF> {
    fn new(filters: [&[f64]; FILTERS]) -> Self {
        let part = |filter: usize, sign: f64| -> [f32; HALF] {
            let taps = filters[filter];
            std::array::from_fn(|tap| (0.5 * (taps[tap] + sign * taps[2 * HALF - 1 - tap])) as f32)
        };
        Self {
            even: std::array::from_fn(|filter| part(filter, 1.0)),
            odd: std::array::from_fn(|filter| part(filter, -1.0)),
        }
    }

    /// Raises the peaks of a block; the samples begin with that of the first tap.
    #[inline(always)]
    fn raise_block(&self, peaks: &mut [f32; BLOCK], samples: &[f32]) {
        let samples = &samples[..BLOCK + 2 * HALF - 1];
        let (mut sums, mut differences) = ([[0.0; BLOCK]; HALF], [[0.0; BLOCK]; HALF]);
        for tap in 0..HALF {
            // Otherwise the compiler turns the loops round, and puts taps side by side instead of peaks.
            std::hint::black_box(());
            let (early, late) = (&samples[tap..][..BLOCK], &samples[2 * HALF - 1 - tap..][..BLOCK]);
            for lane in 0..BLOCK {
                sums[tap][lane] = early[lane] + late[lane];
                differences[tap][lane] = early[lane] - late[lane];
            }
        }
        for (even, odd) in self.even.iter().zip(&self.odd) {
            let (even, odd) = (filter(even, &sums), filter(odd, &differences));
            for lane in 0..BLOCK {
                peaks[lane] = higher(peaks[lane], even[lane].abs() + odd[lane].abs());
            }
        }
        let even = filter(&self.even[FILTERS - 1], &sums);
        for lane in 0..BLOCK {
            peaks[lane] = higher(peaks[lane], even[lane].abs());
        }
    }
}

/// Sum of the values times the taps.
#[inline(always)]
fn filter<const HALF: usize>(taps: &[f32; HALF], values: &[[f32; BLOCK]; HALF]) -> [f32; BLOCK] {
    let mut sums = [0.0; BLOCK];
    for (tap, values) in taps.iter().zip(values) {
        for lane in 0..BLOCK {
            sums[lane] += tap * values[lane];
        }
    }
    sums
}

kernels! {
    /// [`Interpolators::raise_peaks`].
    fn raise_peaks(peaks: &mut [f32], samples: &[f32], interpolators: &Interpolators, wanted: &[bool]) {
        let blocks = peaks.as_chunks_mut::<BLOCK>().0.iter_mut().zip(wanted).enumerate();
        for (block, (peaks, _)) in blocks.filter(|(_, (_, wanted))| **wanted) {
            let samples = &samples[block * BLOCK..];
            interpolators.long.raise_block(peaks, samples);
            interpolators.short.raise_block(peaks, &samples[LONG - SHORT..]);
        }
    }

    /// Missing gain that the largest sample of each block needs.
    fn find_needs(needs: &mut [f32], samples: &[f32], ceiling: f32) {
        for (need, samples) in needs.iter_mut().zip(samples.as_chunks::<BLOCK>().0) {
            *need = samples.iter().fold(ceiling, |max, sample| higher(max, *sample));
        }
        for need in needs {
            *need = 1.0 - ceiling / *need;
        }
    }

    /// Magnitude of the second difference in the middle of each three samples.
    fn find_bends(bends: &mut [f32], samples: &[f32]) {
        for (bend, samples) in bends.iter_mut().zip(samples.windows(3)) {
            *bend = ((samples[0] + samples[2]) - 2.0 * samples[1]).abs();
        }
    }

    /// [`Bound::find_wanted`], where the far bends add `far`.
    fn find_wanted(wanted: &mut [bool], samples: &[f32], bends: &[f32], bound: &Bound, far: f32, rooms: &[f32], ceiling: f32) {
        for (block, (wanted, room)) in wanted.iter_mut().zip(rooms).enumerate() {
            // As above: otherwise it puts blocks side by side.
            std::hint::black_box(());
            let (samples, bends) = (&samples[block * BLOCK..][..BLOCK + 1], &bends[block * BLOCK..][..BLOCK + 2 * NEAR - 1]);
            let mut values = [far; BLOCK];
            for lane in 0..BLOCK {
                values[lane] += bound.sum * higher(samples[lane].abs(), samples[lane + 1].abs());
            }
            for (distance, weight) in bound.of_near_bends.iter().enumerate() {
                let (before, after) = (&bends[NEAR - 1 - distance..][..BLOCK], &bends[NEAR + distance..][..BLOCK]);
                for lane in 0..BLOCK {
                    values[lane] += weight * (before[lane] + after[lane]);
                }
            }
            *wanted = values.iter().fold(false, |wanted, value| wanted | (value * room > ceiling));
        }
    }
}

/// Higher of two numbers: one instruction, as neither is NaN.
#[inline(always)]
pub(super) fn higher<T: PartialOrd>(a: T, b: T) -> T {
    if a > b { a } else { b }
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
    /// What each of the nearest second differences adds, on both sides, and the largest of the others, over its magnitude.
    of_near_bends: [f32; NEAR],
    of_far_bend: f32,
}

impl Bound {
    /// Bound of filters that interpolate between their two middle taps, 32 taps long at most.
    pub fn new<'a>(filters: impl Iterator<Item = &'a [f64]>) -> Self {
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
        // A little more, for rounding.
        let more = |value: f64| (1.000_01 * value) as f32;
        let near = &of_bends[LONG - 1..][..NEAR];
        Self {
            of_peak: of_peak as f32,
            sum: more(sums),
            of_near_bends: std::array::from_fn(|distance| more(near[distance])),
            of_far_bend: more(of_bends.iter().sum::<f64>() - 2.0 * near.iter().sum::<f64>()),
        }
    }

    /// Highest value over the peak of the samples.
    pub fn of_peak(&self) -> f32 {
        self.of_peak
    }

    /// Finds the blocks in which a value may be higher than `ceiling` over its `rooms`. `samples` begin with that of the first
    /// value, which may lie between it and the next; `bends` are those of all samples that the values depend on.
    pub fn find_wanted(&self, wanted: &mut [bool], samples: &[f32], bends: &[f32], rooms: &[f32], ceiling: f32) {
        let far = self.of_far_bend * kernels::peak(bends);
        find_wanted(wanted, samples, &bends[LONG - NEAR..], self, far, rooms, ceiling);
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
            samples in prop::collection::vec(-1.0f32..1.0, 96 + 31), taps in prop::collection::vec(-1.0f64..1.0, 128 + 48),
        ) {
            let (long, short) = taps.split_at(128);
            let mut long: [[f64; 32]; 4] = long.as_chunks().0.try_into().unwrap();
            let mut short: [[f64; 12]; 4] = short.as_chunks().0.try_into().unwrap();
            (0..16).for_each(|tap| long[3][31 - tap] = long[3][tap]);
            (0..6).for_each(|tap| short[3][11 - tap] = short[3][tap]);
            let interpolators = Interpolators::new(&long, &short);
            let mut peaks = [0.5f32; 96];
            let mut wanted = [true; 12];
            wanted[5] = false;
            interpolators.raise_peaks(&mut peaks, &samples, &wanted);
            for (i, peak) in peaks.iter().enumerate() {
                let value = |from: usize, filter: &mut dyn Iterator<Item = &f64>| {
                    filter.zip(&samples[from..]).map(|(tap, s)| tap * f64::from(*s)).sum::<f64>().abs()
                };
                let both = |from: usize, f: &[f64]| [value(from, &mut f.iter()), value(from, &mut f.iter().rev())];
                let of_filters = long.iter().flat_map(|f| both(i, f)).chain(short.iter().flat_map(|f| both(i + 10, f)));
                let highest = if i / BLOCK == 5 { 0.5 } else { of_filters.fold(0.5, f64::max) };
                prop_assert!((f64::from(*peak) - highest).abs() < 1e-4, "{peak} instead of {highest}");
            }
        }
    }
}
