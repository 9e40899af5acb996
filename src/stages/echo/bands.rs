//! Bands of the network: 32 up to 8 kHz, each falling off linearly to the centres of its neighbours.

use super::spectrum::{Bins, PADDED};
use crate::neural::echo::BANDS;

/// Centre of each band, as a bin: 100 Hz apart at first, then about as wide as the ear's.
const CENTRES: [usize; BANDS] = [
    0, 2, 4, 6, 8, 10, 12, 14, 16, 19, 22, 25, 28, 32, 36, 40, 44, 49, 54, 59, 65, 71, 78, 85, 92, 100, 108, 117, 127,
    137, 148, 160,
];

/// Sums of the bins of each band.
pub fn sums(bins: &Bins) -> [f32; BANDS] {
    let mut sums = [0.0; BANDS];
    for (band, edges) in CENTRES.windows(2).enumerate() {
        let width = (edges[1] - edges[0]) as f32;
        for (offset, value) in bins[edges[0]..edges[1]].iter().enumerate() {
            let share = offset as f32 / width;
            sums[band] += (1.0 - share) * value;
            sums[band + 1] += share * value;
        }
    }
    sums[BANDS - 1] += bins[CENTRES[BANDS - 1]];
    sums
}

/// Value of each bin, linear between the centres.
pub fn interpolate(bands: &[f32; BANDS]) -> Bins {
    let mut bins = [0.0; PADDED];
    for (edges, values) in CENTRES.windows(2).zip(bands.windows(2)) {
        let step = (values[1] - values[0]) / (edges[1] - edges[0]) as f32;
        for (offset, bin) in bins[edges[0]..=edges[1]].iter_mut().enumerate() {
            *bin = values[0] + step * offset as f32;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::echo::spectrum::BINS;

    #[test]
    fn bands_share_all_bins_and_give_them_back() {
        let ones = sums(&[1.0; PADDED]);
        assert!((ones.iter().sum::<f32>() - BINS as f32).abs() < 1e-3);
        let bands = std::array::from_fn(|band| band as f32);
        let bins = interpolate(&bands);
        CENTRES.iter().zip(bands).for_each(|(&bin, value)| assert!((bins[bin] - value).abs() < 1e-4));
        assert!((bins[17] - (8.0 + 1.0 / 3.0)).abs() < 1e-4);
        assert!(bins[BINS..].iter().all(|&bin| bin == 0.0));
    }
}
