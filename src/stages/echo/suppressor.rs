//! Suppressor of the residual echo: a gain for each bin.

use super::noise_floor::{self, NoiseFloor};
use super::residual_echo::ResidualEcho;
use super::settings::Suppression;
use super::spectrum::{BINS, Bins, PADDED};

/// How much is suppressed without and with a near end: the two ends between which its presence chooses.
#[derive(Clone, Copy, Debug)]
struct Strength {
    /// Over-estimation of the residual echo, as a power.
    over: [f32; 2],
    /// Lowest gain.
    floor: [f32; 2],
}

const FULL: Strength = Strength { over: [8.0, 0.185], floor: [0.0016, 0.1] };
const LIGHT: Strength = Strength { over: [3.0, 0.185], floor: [0.18, 0.35] };

/// Over-estimation of distortion, which grows faster than the echo, where it is suppressed.
const OVER_DISTORTION: f32 = 8.0;

/// Logarithm of what is left over what is expected, above which there is a near end, and further until it is certain.
const PRESENT: f32 = 0.85;
const CERTAIN: f32 = 0.3;

/// Smoothing of the presence for each block, up and down.
const UP: f32 = 0.542;
const DOWN: f32 = 0.93;

/// Bins from 300 Hz to 5.1 kHz, which tell of a near end, and bins in each band.
const SPEECH: std::ops::Range<usize> = 6..102;
const BAND: usize = 32;

/// Bins from 6 to 8 kHz, by which what is above is suppressed.
const TOP: std::ops::Range<usize> = 120..160;

/// Bins on both sides that tell of the near end in a bin, and their say.
const NEIGHBOURS: usize = 5;
const LOCAL: f32 = 0.519;

/// Weight of the last block in the decision-directed estimate.
const DIRECTED: f32 = 0.9;

/// Bias of the estimate: echo that fluctuates is no near end.
const BIAS: f32 = 1.38;

/// Exponent of the Wiener gain.
const EXPONENT: f32 = 0.482;

/// Rise of a gain from block to block, at most.
const RISE: f32 = 10.0;

/// Suppressor gains.
///
/// Wiener gains by the decision-directed signal-to-echo ratio (Y. Ephraim and D. Malah, 1984), whose over-estimation and
/// floor depend on whether the near end speaks.
pub struct Suppressor {
    gains: Bins,
    /// Power that came out of the last block.
    out: Bins,
    noise: NoiseFloor,
    /// Presence of the near end, 0 to 1.
    near: f32,
}

impl Suppressor {
    pub const NEW: Self = Self { gains: [1.0; PADDED], out: [0.0; PADDED], noise: NoiseFloor::NEW, near: 1.0 };

    /// Gains of the last block.
    pub fn gains(&self) -> &Bins {
        &self.gains
    }

    /// Whether there seems to be no near end.
    pub fn is_alone(&self) -> bool {
        self.near < 0.3
    }

    /// Power of the noise floor.
    pub fn noise(&self) -> &Bins {
        self.noise.power()
    }

    /// Whether all gains are one.
    pub fn is_open(&self) -> bool {
        self.gains[..BINS].iter().all(|&gain| gain == 1.0)
    }

    /// Takes all that comes with the far end for its echo.
    pub fn doubt(&mut self) {
        self.near = 0.0;
    }

    /// Takes in the power of what the filter leaves; `active` while there may be echo in it.
    pub fn update(&mut self, left: &Bins, residual: &ResidualEcho, suppression: Suppression, active: bool) {
        self.noise.update(left);
        if !active {
            self.near = 1.0;
            for (bin, &left) in left[..BINS].iter().enumerate() {
                self.gains[bin] = (self.gains[bin] * RISE + 0.01).min(1.0);
                self.out[bin] = left;
            }
            return;
        }
        let strength = if suppression == Suppression::Full { FULL } else { LIGHT };
        self.listen(residual);
        let between = |two: [f32; 2]| (two[0], (two[1] / two[0]).ln());
        let (over, floor) = (between(strength.over), between(strength.floor));
        let (mut sum_left, mut sum_echo) = (0.0f32, 1e-9f32);
        for bin in 0..BINS + NEIGHBOURS {
            if bin < BINS {
                sum_left += residual.left()[bin];
                sum_echo += self.expected(residual, bin);
            }
            if let Some(gone) = bin.checked_sub(2 * NEIGHBOURS + 1) {
                sum_left -= residual.left()[gone];
                sum_echo -= self.expected(residual, gone);
            }
            let Some(bin) = bin.checked_sub(NEIGHBOURS) else { continue };
            let local = certainty((1.0 + sum_left.max(0.0) / sum_echo.max(1e-9)).ln());
            let near = self.near * (1.0 - LOCAL + LOCAL * local);
            let echo = over.0 * (over.1 * near).exp() * residual.power(bin, OVER_DISTORTION) + 1e-10;
            let new = (left[bin] / echo - BIAS).max(0.0);
            let ratio = DIRECTED * self.out[bin] / echo + (1.0 - DIRECTED) * new;
            let wiener = (ratio / (1.0 + ratio)).powf(EXPONENT);
            let gain = wiener.max(floor.0 * (floor.1 * near).exp()).min(self.gains[bin] * RISE + 0.01);
            self.gains[bin] = gain;
            self.out[bin] = gain * gain * left[bin];
        }
    }

    /// Power of what is no near end in a bin.
    fn expected(&self, residual: &ResidualEcho, bin: usize) -> f32 {
        residual.power(bin, 1.0) + noise_floor::BIAS * self.noise.power()[bin]
    }

    /// Estimates the presence of the near end: how far what is left exceeds the residual echo, over a few bands.
    fn listen(&mut self, residual: &ResidualEcho) {
        let mut presence = 0.0;
        for band in SPEECH.step_by(BAND) {
            let bins = band..band + BAND;
            let left: f32 = residual.left()[bins.clone()].iter().sum();
            let expected: f32 = bins.map(|bin| self.expected(residual, bin)).sum();
            presence += (1.0 + left / (expected + 1e-9)).ln();
        }
        let near = certainty(presence * BAND as f32 / SPEECH.len() as f32);
        let smoothing = if near > self.near { UP } else { DOWN };
        self.near = smoothing * self.near + (1.0 - smoothing) * near;
    }
}

/// Certainty of a near end by the mean presence.
fn certainty(presence: f32) -> f32 {
    ((presence - PRESENT) / CERTAIN).clamp(0.0, 1.0)
}

/// Gain above 8 kHz, where nothing is taken out: what the top bands below lose in all, from 6 to 8 kHz.
pub fn high_gain(left: &Bins, echo: &Bins, gains: &Bins) -> f32 {
    let (mut before, mut after) = (1e-9f32, 1e-9f32);
    for bin in TOP {
        before += left[bin] + echo[bin];
        after += gains[bin] * gains[bin] * left[bin];
    }
    (after / before).sqrt().min(1.0)
}
