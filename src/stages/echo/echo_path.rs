//! Linear part of the canceller for one microphone channel: a slow and a fast filter, of which the better is heard.

use super::clock_drift::Timing;
use super::far_history::FarHistory;
use super::kalman::Kalman;
use super::spectrum::{Bins, Spectrum};
use super::transform::Transform;
use crate::dsp::kernels::energy;

/// State transitions of the slow and the fast filter.
const TRANSITIONS: [f32; 2] = [0.9995, 0.99];

/// Blocks for which the fast filter must be clearly better before the slow one takes over its state, and the other way
/// round.
const TAKE_OVER: u32 = 5;
const GIVE_BACK: u32 = 30;

const SLOW: usize = 0;
const FAST: usize = 1;

/// Filters of one microphone channel.
pub struct EchoPath {
    filters: [Kalman; 2],
    /// Smoothed energy of what each leaves.
    energy: [f32; 2],
    selected: usize,
    /// Blocks for which the fast filter has been better, and the slow one.
    better: [u32; 2],
    echo: Spectrum,
    error: Spectrum,
    left: [Box<[f32]>; 2],
    timing: Timing,
    /// Slow filter as it was before its lag changed.
    kept: Kalman,
    /// Least energy that a filter left of the last block before it learnt from it.
    unlearnt: f32,
}

impl EchoPath {
    /// Filters for blocks of `block` samples. Allocates.
    pub fn new(block: usize) -> Self {
        Self {
            filters: TRANSITIONS.map(Kalman::new),
            energy: [1e-6; 2],
            selected: SLOW,
            better: [0; 2],
            echo: Spectrum::ZERO,
            error: Spectrum::ZERO,
            left: std::array::from_fn(|_| vec![0.0; block].into()),
            timing: Timing::default(),
            kept: Kalman::new(TRANSITIONS[SLOW]),
            unlearnt: 0.0,
        }
    }

    pub fn reset(&mut self) {
        self.filters.iter_mut().for_each(Kalman::reset);
        self.energy = [1e-6; 2];
        self.selected = SLOW;
        self.better = [0; 2];
    }

    /// Begins to look for an echo whose lag changed by `blocks`. The first time it was there before, and both filters move
    /// what they know. Later the slow one keeps it: the better hypothesis wins.
    pub fn change_lag(&mut self, blocks: i32, is_first: bool, return_gain: &Bins) {
        let [slow, fast] = &mut self.filters;
        fast.copy_taps_shifted(slow, blocks);
        if is_first {
            slow.copy_taps(fast);
        }
        self.expect(return_gain);
    }

    /// Keeps the slow filter as it is, while another lag is tried.
    pub fn keep(&mut self) {
        self.kept.copy_from(&self.filters[SLOW]);
    }

    /// Takes back the filter that was kept.
    pub fn take_back(&mut self) {
        self.filters.iter_mut().for_each(|filter| filter.copy_from(&self.kept));
    }

    /// Energies that the better filter left of the last block before it learnt from it, and that the kept one leaves.
    pub fn compare(&mut self, far: &FarHistory, kept_lag: usize, near: &[f32], device: &mut Transform) -> [f32; 2] {
        self.kept.predict(far, kept_lag, &mut self.echo);
        device.inverse(&self.echo);
        [self.unlearnt, energy_left(near, &device.time()[near.len()..])]
    }

    /// Makes the filters expect an echo of some return gain, other than they know.
    pub fn expect(&mut self, return_gain: &Bins) {
        for filter in &mut self.filters {
            filter.inflate(0.3, return_gain);
        }
    }

    /// Bounds what the filters still expect, by the return gain of the echo.
    pub fn cap(&mut self, return_gain: &Bins) {
        for filter in &mut self.filters {
            filter.cap(return_gain);
        }
    }

    /// Takes the echo out of a block. Returns whether the filter has diverged, so that the block is unchanged.
    pub fn process(
        &mut self,
        far: &FarHistory,
        lag: usize,
        adapt: bool,
        block: &mut [f32],
        device: &mut Transform,
        core: &mut Transform,
    ) -> bool {
        for (index, filter) in self.filters.iter_mut().enumerate() {
            filter.predict(far, lag, &mut self.echo);
            if adapt {
                device.inverse(&self.echo);
                let (first, second) = device.time().split_at_mut(block.len());
                let left = energy_left(block, second);
                self.unlearnt = if index == SLOW { left } else { self.unlearnt.min(left) };
                if index == SLOW {
                    self.timing = Timing::measure(second, block);
                }
                first.fill(0.0);
                second.iter_mut().zip(&*block).for_each(|(echo, near)| *echo = near - *echo);
                device.forward(&mut self.error);
                filter.update(far, lag, &self.error, core);
                // A-posteriori output: what the filter leaves now that it has heard this block.
                filter.predict(far, lag, &mut self.echo);
            }
            device.inverse(&self.echo);
            let left = &mut self.left[index];
            let echo = &device.time()[block.len()..];
            left.iter_mut().zip(&*block).zip(echo).for_each(|((left, near), echo)| *left = near - echo);
            // Energies as at 16 kHz.
            let energy = energy(left) * 160.0 / block.len() as f32;
            self.energy[index] = 0.9 * self.energy[index] + 0.1 * energy;
        }
        self.select();
        let left = &self.left[self.selected];
        let diverged = energy(left) > 2.0 * energy(block) + 1e-6;
        if !diverged {
            block.copy_from_slice(left);
        }
        diverged
    }

    fn select(&mut self) {
        let [slow, fast] = self.energy;
        self.selected = if fast < 0.5 * slow { FAST } else { SLOW };
        self.better[FAST] = if self.selected == FAST { self.better[FAST] + 1 } else { 0 };
        self.better[SLOW] = if slow < 0.5 * fast { self.better[SLOW] + 1 } else { 0 };
        let [slow, fast] = &mut self.filters;
        if self.better[FAST] >= TAKE_OVER {
            slow.copy_from(fast);
            self.energy[SLOW] = self.energy[FAST];
            self.better[FAST] = 0;
        }
        if self.better[SLOW] >= GIVE_BACK {
            fast.copy_taps(slow);
            self.energy[FAST] = self.energy[SLOW];
            self.better[SLOW] = 0;
        }
    }

    /// Timing of the slow filter's prediction in the last block that it adapted to.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Variance of the error of the echo that was taken out.
    pub fn uncertainty(&self, far: &FarHistory, lag: usize, uncertainty: &mut Bins) {
        self.filters[self.selected].uncertainty(far, lag, uncertainty);
    }
}

/// Energy of a block without a predicted echo.
fn energy_left(near: &[f32], echo: &[f32]) -> f32 {
    near.iter().zip(echo).map(|(near, echo)| (near - echo) * (near - echo)).sum()
}
