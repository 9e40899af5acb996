//! Gated integrated loudness (ITU-R BS.1770-4) of a programme of any length, in constant memory.

use ebur128::energy_to_loudness;

/// Absolute gate of BS.1770, in LUFS: blocks at or below it never count.
const GATE_LUFS: f64 = -70.0;
/// Relative gate of BS.1770: a block 10 LU below the mean of the others does not count either.
const RELATIVE_GATE: f64 = 0.1;
/// Resolution of the histogram, 0.1 LU, from the absolute gate to +30 LUFS; what is louder goes into the last bin.
const BINS_PER_LU: f64 = 10.0;
const BINS: usize = 1000;

/// Histogram of gating blocks by loudness.
///
/// A list of all blocks would grow for ever. The sums of each bin keep every mean exact; of the blocks that share a bin
/// with the relative gate, all pass or none.
#[derive(Clone, Debug)]
pub(super) struct GatedLoudness {
    bins: Box<[Bin]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    power: f64,
    count: f64,
}

impl Bin {
    fn plus(self, other: &Self) -> Self {
        Self { power: self.power + other.power, count: self.count + other.count }
    }
}

impl GatedLoudness {
    pub fn new() -> Self {
        Self { bins: vec![Bin::default(); BINS].into() }
    }

    /// Adds the K-weighted power of a gating block of 400 ms.
    pub fn add(&mut self, power: f64) {
        let above = energy_to_loudness(power) - GATE_LUFS;
        if above > 0.0 {
            let bin = ((above * BINS_PER_LU) as usize).min(BINS - 1);
            self.bins[bin] = self.bins[bin].plus(&Bin { power, count: 1.0 });
        }
    }

    /// Mean power of the blocks that pass both gates; 0 if there are none.
    pub fn power(&self) -> f64 {
        let all = self.bins.iter().fold(Bin::default(), Bin::plus);
        let passed = self
            .bins
            .iter()
            // The mean of a bin is compared with the mean of all, both multiplied by the counts.
            .filter(|bin| bin.power * all.count > RELATIVE_GATE * all.power * bin.count)
            .fold(Bin::default(), Bin::plus);
        if passed.count > 0.0 { passed.power / passed.count } else { 0.0 }
    }

    pub fn reset(&mut self) {
        self.bins.fill(Bin::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn power(lufs: f64) -> f64 {
        10f64.powf((lufs + 0.691) / 10.0)
    }

    /// By the text of BS.1770-4, with a list. `None` where a block is so close to the gate that it may fall on either
    /// side.
    fn by_the_text(lufs: &[f64]) -> Option<f64> {
        let mean = |blocks: &[f64]| blocks.iter().map(|&l| power(l)).sum::<f64>() / blocks.len() as f64;
        let loud: Vec<f64> = lufs.iter().copied().filter(|&l| l > -70.0).collect();
        let gate = energy_to_loudness(mean(&loud)) - 10.0;
        let close = loud.iter().any(|l| (l - gate).abs() < 0.1);
        let passed: Vec<f64> = loud.into_iter().filter(|&l| l > gate).collect();
        (!close).then(|| energy_to_loudness(mean(&passed)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_the_mean_that_the_standard_defines(lufs in prop::collection::vec(-90.0..5.0, 1..60)) {
            let mut gated = GatedLoudness::new();
            lufs.iter().for_each(|&l| gated.add(power(l)));
            if lufs.iter().all(|&l| l <= -70.0) {
                prop_assert_eq!(gated.power(), 0.0);
            } else if let Some(wanted) = by_the_text(&lufs) {
                prop_assert!((energy_to_loudness(gated.power()) - wanted).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn nothing_counts_below_the_absolute_gate_and_after_a_reset() {
        let mut gated = GatedLoudness::new();
        assert_eq!(gated.power(), 0.0);
        gated.add(0.0);
        gated.add(power(-70.01));
        assert_eq!(gated.power(), 0.0);
        gated.add(power(-69.99));
        gated.add(power(1000.0));
        assert!(gated.power() > power(990.0));
        gated.reset();
        assert_eq!(gated.power(), 0.0);
    }
}
