//! Power of the echo that the linear filter leaves.

use super::distortion::Distortion;
use super::powers::Powers;
use super::spectrum::{BINS, Bins, PADDED};

/// Smoothing of the powers that are compared, and of their means.
const POWER_SMOOTHING: f32 = 0.4;
const MEAN_SMOOTHING: f32 = 0.03;

/// Smoothing of the regression: 1.0 s.
const LEAKAGE_SMOOTHING: f32 = 0.011;

/// Bias of the regression.
const LEAKAGE_BIAS: f32 = 0.632;

/// Bounds of the leakage.
const MIN_LEAKAGE: f32 = 0.0077;
const MAX_LEAKAGE: f32 = 1.5;

/// Bins on both sides over which the regression goes.
const NEIGHBOURS: usize = 3;

/// Share of the filter's own uncertainty.
const UNCERTAINTY: f32 = 0.2;

/// Decay of the reverberation behind the filter for each block, and its share.
const TAIL_DECAY: f32 = 0.911;
const TAIL: f32 = 0.1;

/// Share of the whole echo's mean power that a nonlinear loudspeaker puts into each bin at least.
const MIN_DISTORTION: f32 = 0.00031;

/// Estimator of the residual echo, by how far what is left rises and falls with the echo that was taken out.
pub struct ResidualEcho {
    /// Smoothed powers of what is left and of the echo, and their means.
    left: Bins,
    echo: Bins,
    mean_left: Bins,
    mean_echo: Bins,
    /// Covariance of both, and variance of the echo.
    covariance: Bins,
    variance: Bins,
    leakage: Bins,
    distortion: Distortion,
    tail: Bins,
    /// Power of the echo, and uncertainty of the filter, in the last block.
    last_echo: Bins,
    last_uncertainty: Bins,
    power: Bins,
    /// Part that grows and falls with the whole echo.
    distorted: Bins,
}

impl ResidualEcho {
    pub const NEW: Self = Self {
        left: [0.0; PADDED],
        echo: [0.0; PADDED],
        mean_left: [0.0; PADDED],
        mean_echo: [0.0; PADDED],
        covariance: [0.0; PADDED],
        variance: [0.0; PADDED],
        leakage: [0.3; PADDED],
        distortion: Distortion::NEW,
        tail: [0.0; PADDED],
        last_echo: [0.0; PADDED],
        last_uncertainty: [0.0; PADDED],
        power: [0.0; PADDED],
        distorted: [0.0; PADDED],
    };

    /// Power of the residual echo of a bin in the last block, that of distortion over-estimated by a factor.
    pub fn power(&self, bin: usize, over: f32) -> f32 {
        self.power[bin].max(over * self.distorted[bin])
    }

    /// Smoothed power of what is left.
    pub fn left(&self) -> &Bins {
        &self.left
    }

    /// Power of the residual echo in the last block, distortion as it was estimated.
    pub fn powers(&self) -> Bins {
        let mut powers = [0.0; PADDED];
        powers[..BINS].iter_mut().enumerate().for_each(|(bin, power)| *power = self.power(bin, 1.0));
        powers
    }

    /// Takes in the powers of a block; `learn` while the far end plays.
    pub fn update(&mut self, Powers { left, echo, uncertainty, .. }: &Powers, learn: bool) {
        for bin in 0..BINS {
            self.left[bin] += POWER_SMOOTHING * (left[bin] - self.left[bin]);
            self.echo[bin] += POWER_SMOOTHING * (echo[bin] - self.echo[bin]);
        }
        if learn {
            self.regress();
        }
        let mean = echo[..BINS].iter().sum::<f32>() / BINS as f32;
        let loudest = mean.max(self.echo[..BINS].iter().sum::<f32>() / BINS as f32);
        for bin in 0..BINS {
            let leaking = self.leakage[bin] * self.echo[bin].max(echo[bin]);
            self.distorted[bin] = self.distortion.share()[bin] * loudest;
            let uncertain = UNCERTAINTY * (uncertainty[bin] + self.last_uncertainty[bin]);
            self.tail[bin] = TAIL_DECAY * self.tail[bin] + TAIL * self.leakage[bin] * self.last_echo[bin];
            self.power[bin] = leaking + uncertain + MIN_DISTORTION * mean + self.tail[bin];
        }
        self.last_echo.copy_from_slice(echo);
        self.last_uncertainty.copy_from_slice(uncertainty);
    }

    /// Takes all that is left for echo.
    pub fn doubt(&mut self, left: &Bins) {
        for (bin, &left) in left[..BINS].iter().enumerate() {
            self.power[bin] = self.power[bin].max(left).max(self.left[bin]);
        }
    }

    fn regress(&mut self) {
        let (mut lefts, mut whole) = ([0.0; PADDED], 0.0);
        for (bin, deviation) in lefts[..BINS].iter_mut().enumerate() {
            let (left, echo) = (self.left[bin] - self.mean_left[bin], self.echo[bin] - self.mean_echo[bin]);
            *deviation = left;
            whole += echo / BINS as f32;
            self.mean_left[bin] += MEAN_SMOOTHING * left;
            self.mean_echo[bin] += MEAN_SMOOTHING * echo;
            self.covariance[bin] += LEAKAGE_SMOOTHING * (left * echo - self.covariance[bin]);
            self.variance[bin] += LEAKAGE_SMOOTHING * (echo * echo - self.variance[bin]);
        }
        self.distortion.update(&lefts, whole);
        for bin in 0..BINS {
            let near = bin.saturating_sub(NEIGHBOURS)..(bin + NEIGHBOURS + 1).min(BINS);
            let covariance: f32 = self.covariance[near.clone()].iter().sum();
            let variance: f32 = self.variance[near].iter().sum();
            self.leakage[bin] = (LEAKAGE_BIAS * covariance / (variance + 1e-12)).clamp(MIN_LEAKAGE, MAX_LEAKAGE);
        }
    }
}
