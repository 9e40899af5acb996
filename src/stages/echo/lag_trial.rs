//! Trial of another lag: the near end may look like an echo from elsewhere for a while.

/// Blocks for which the filter that was kept is compared with those at the new lag, and after which it may win.
const BLOCKS: u32 = 150;
const LEAST: u32 = 10;

/// Smoothing of the energies for each block: 0.3 s.
const KEEP: f32 = 0.97;

/// Energy that the kept filter leaves, over that of the others, below which it is taken back.
const BETTER: f32 = 0.9;

/// Trial of another lag, against a filter that is kept as it was at the old one.
#[derive(Clone, Copy, Debug, Default)]
pub struct LagTrial {
    lag: usize,
    left: u32,
    /// What the filters at the new lag leave of the microphone before they learn from it, and the kept one.
    energies: [f32; 2],
}

impl LagTrial {
    /// Begins, or goes on with the filter that was kept before. Returns whether the present filter is to be kept.
    pub fn begin(&mut self, present_lag: usize) -> bool {
        let is_new = !self.is_running();
        if is_new {
            self.lag = present_lag;
        }
        (self.left, self.energies) = (BLOCKS, [0.0; 2]);
        is_new
    }

    pub fn is_running(&self) -> bool {
        self.left > 0
    }

    /// Lag of the filter that was kept.
    pub fn kept_lag(&self) -> usize {
        self.lag
    }

    /// Counts all lags as `blocks` longer.
    pub fn relabel(&mut self, blocks: i32) {
        self.lag = self.lag.saturating_add_signed(blocks as isize);
    }

    /// Takes in the energies of a block. Returns whether the kept filter is better, which ends the trial.
    pub fn update(&mut self, energies: [f32; 2]) -> bool {
        self.left -= 1;
        self.energies.iter_mut().zip(energies).for_each(|(sum, energy)| *sum = KEEP * *sum + energy);
        let lost = BLOCKS - self.left > LEAST && self.energies[1] < BETTER * self.energies[0];
        if lost {
            self.left = 0;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_filter_comes_back_only_if_it_is_better() {
        let mut trial = LagTrial::default();
        assert!(trial.begin(7) && trial.is_running());
        assert!((0..BLOCKS).all(|_| !trial.update([1.0, 0.95])) && !trial.is_running());
        assert!(trial.begin(7));
        assert!(!trial.begin(9), "the filter that worked stays");
        assert!((0..LEAST).all(|_| !trial.update([1.0, 0.5])));
        assert!(trial.update([1.0, 0.5]) && !trial.is_running());
        assert_eq!(trial.kept_lag(), 7);
    }
}
