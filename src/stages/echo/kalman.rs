//! Partitioned-block frequency-domain Kalman filter, diagonalised.
//!
//! G. Enzner and P. Vary, "Frequency-domain adaptive Kalman filter for acoustic echo control in hands-free telephones",
//! Signal Processing 86 (2006); F. Kuech, E. Mabande and G. Enzner, "State-space architecture of the partitioned-block-based
//! acoustic echo controller", ICASSP 2014.

use super::far_history::{FarHistory, PARTITIONS};
use super::kernels;
use super::spectrum::{BINS, Bins, PADDED, Spectrum};
use super::transform::Transform;

/// Partitions whose gradient constraint is applied in each block.
const CONSTRAINED: usize = 3;

/// Smoothing of the observation noise.
const NOISE_SMOOTHING: f32 = 0.9;

/// Prior variance of the first partitions, for an echo as loud as the far end.
const PRIOR: f32 = 0.32;

/// Decay of the prior in each partition behind the third, as an exponent.
const PRIOR_DECAY: f32 = 0.17;

/// Kalman filter of one echo path.
pub struct Kalman {
    taps: Box<[Spectrum]>,
    /// Variance of the error of each tap.
    variance: Box<[Bins]>,
    /// Variance of the observation noise: the near end.
    noise: Bins,
    /// Squared state transition: how much of the echo path is left after a block.
    keep: f32,
    /// Partition that is constrained next.
    next: usize,
}

/// Prior variance of a partition.
fn prior(partition: usize) -> f32 {
    PRIOR * (-PRIOR_DECAY * (partition as f32 - 2.0).max(0.0)).exp()
}

impl Kalman {
    /// Filter whose echo path keeps `transition` of itself from block to block. Allocates.
    pub fn new(transition: f32) -> Self {
        let mut filter = Self {
            taps: vec![Spectrum::ZERO; PARTITIONS].into(),
            variance: vec![[0.0; PADDED]; PARTITIONS].into(),
            noise: [0.0; PADDED],
            keep: transition * transition,
            next: 0,
        };
        filter.reset();
        filter
    }

    pub fn reset(&mut self) {
        self.taps.fill(Spectrum::ZERO);
        for (partition, variance) in self.variance.iter_mut().enumerate() {
            variance[..BINS].fill(prior(partition));
        }
        self.noise[..BINS].fill(1e-4);
        self.next = 0;
    }

    /// Echo, predicted from the far end `lag` blocks ago and before.
    pub fn predict(&self, far: &FarHistory, lag: usize, echo: &mut Spectrum) {
        *echo = Spectrum::ZERO;
        for (partition, taps) in self.taps.iter().enumerate() {
            kernels::add_product(echo, far.spectrum(lag + partition), taps);
        }
    }

    /// Variance of the predicted echo's error.
    pub fn uncertainty(&self, far: &FarHistory, lag: usize, uncertainty: &mut Bins) {
        *uncertainty = [0.0; PADDED];
        for (partition, variance) in self.variance.iter().enumerate() {
            kernels::add_weighted(uncertainty, variance, far.power(lag + partition));
        }
    }

    /// Takes in the error of the prediction, whose first block is zero. `core` transforms blocks at 16 kHz.
    pub fn update(&mut self, far: &FarHistory, lag: usize, error: &Spectrum, core: &mut Transform) {
        let mut uncertainty = [0.0; PADDED];
        self.uncertainty(far, lag, &mut uncertainty);
        let (mut weighted, mut inverse) = (Spectrum::ZERO, [0.0; PADDED]);
        for bin in 0..BINS {
            let power = error.power(bin);
            // What the filter does not know yet is no noise.
            let observed = (power - 0.25 * uncertainty[bin]).max(0.02 * power);
            self.noise[bin] = NOISE_SMOOTHING * self.noise[bin] + (1.0 - NOISE_SMOOTHING) * observed + 1e-12;
            inverse[bin] = 1.0 / (uncertainty[bin] + self.noise[bin] + 1e-6);
            weighted.re[bin] = error.re[bin] * inverse[bin];
            weighted.im[bin] = error.im[bin] * inverse[bin];
        }
        for (partition, (taps, variance)) in self.taps.iter_mut().zip(&mut self.variance).enumerate() {
            let (spectrum, power) = (far.spectrum(lag + partition), far.power(lag + partition));
            kernels::kalman_step(taps, variance, spectrum, power, &weighted, &inverse, self.keep);
            variance[BINS..].fill(0.0);
        }
        for _ in 0..CONSTRAINED {
            self.constrain(core);
        }
    }

    /// Gradient constraint of the next partition: its taps last one block.
    fn constrain(&mut self, core: &mut Transform) {
        let taps = &mut self.taps[self.next];
        self.next = (self.next + 1) % PARTITIONS;
        core.inverse(taps);
        let time = core.time();
        let half = time.len() / 2;
        time[half..].fill(0.0);
        // What is no tap would become a denormal number.
        time.iter_mut().filter(|tap| tap.abs() < 1e-12).for_each(|tap| *tap = 0.0);
        core.forward(taps);
    }

    /// Raises the variance to `factor` of the prior, for an echo as loud as `return_gain` of the far end.
    pub fn inflate(&mut self, factor: f32, return_gain: &Bins) {
        self.bound(factor, return_gain, f32::max);
    }

    /// Bounds the variance by the prior, for an echo as loud as `return_gain` of the far end.
    pub fn cap(&mut self, return_gain: &Bins) {
        self.bound(1.0, return_gain, f32::min);
    }

    fn bound(&mut self, factor: f32, return_gain: &Bins, choose: fn(f32, f32) -> f32) {
        for (partition, variance) in self.variance.iter_mut().enumerate() {
            let prior = factor * prior(partition);
            for (variance, gain) in variance[..BINS].iter_mut().zip(return_gain) {
                *variance = choose(*variance, prior * gain);
            }
        }
    }

    /// Takes over taps and variance of another filter.
    pub fn copy_from(&mut self, other: &Self) {
        self.copy_taps(other);
        self.variance.copy_from_slice(&other.variance);
    }

    /// Takes over the taps of another filter.
    pub fn copy_taps(&mut self, other: &Self) {
        self.taps.clone_from_slice(&other.taps);
    }

    /// Takes over the taps of another filter, as they are for a far end that is read `blocks` earlier.
    pub fn copy_taps_shifted(&mut self, other: &Self, blocks: i32) {
        for (partition, taps) in self.taps.iter_mut().enumerate() {
            let from = usize::try_from(partition as i32 + blocks).ok().and_then(|from| other.taps.get(from));
            taps.clone_from(from.unwrap_or(&Spectrum::ZERO));
        }
    }
}
