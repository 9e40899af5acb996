//! Suppressor of the residual echo: a gain for each bin.

use super::near_end::NearEnd;
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

const FULL: Strength = Strength { over: [16.0, 0.7], floor: [0.0016, 0.1] };
const LIGHT: Strength = Strength { over: [3.0, 0.185], floor: [0.18, 0.35] };

/// Over-estimation of distortion, which grows faster than the echo, where it is suppressed.
const OVER_DISTORTION: f32 = 8.0;

/// Logarithm of what is left over what is expected, above which there may be a near end, and further until it is certain.
const PRESENT: f32 = 0.85;
const SURE: f32 = 0.3;

/// Bins from 300 Hz to 5.1 kHz, which tell of a near end, and bins in each band.
const SPEECH: std::ops::Range<usize> = 6..102;
const BAND: usize = 32;

/// Smoothing of the presence for each block, up and down.
const UP: f32 = 0.542;
const DOWN: f32 = 0.93;

/// Bins from 6 to 8 kHz, by which what is above is suppressed.
const TOP: std::ops::Range<usize> = 120..160;

/// Gains of the network below which there is no near end in a bin, and above which it is certain.
const CERTAIN: [f32; 2] = [0.1, 0.6];

/// Weight of the last block in the decision-directed estimate.
const DIRECTED: f32 = 0.9;

/// Bias of the estimate: echo that fluctuates is no near end.
const BIAS: f32 = 1.38;

/// Exponent of the Wiener gain, and the say that the network's gain has beside it.
const EXPONENT: f32 = 0.482;
const LEARNED: f32 = 0.3;

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
    /// Presence as the power tells it.
    surplus: f32,
}

impl Suppressor {
    pub const NEW: Self =
        Self { gains: [1.0; PADDED], out: [0.0; PADDED], noise: NoiseFloor::NEW, near: 1.0, surplus: 1.0 };

    /// Gains of the last block.
    pub fn gains(&self) -> &Bins {
        &self.gains
    }

    /// Whether there seems to be no near end: by the power that is left, which a loudspeaker that is driven hard deceives
    /// less than the network, or where the network is sure of it.
    pub fn is_alone(&self) -> bool {
        self.surplus < 0.3 || self.near < 0.1
    }

    /// Takes what comes for the far end alone.
    pub fn doubt(&mut self) {
        self.surplus = 0.0;
    }

    /// Certainty that more is left than residual echo and noise, over a few bands.
    fn surplus_of(&self, residual: &ResidualEcho) -> f32 {
        let mut surplus = 0.0;
        for band in SPEECH.step_by(BAND) {
            let bins = band..band + BAND;
            let left: f32 = residual.left()[bins.clone()].iter().sum();
            let expected = bins.map(|bin| residual.power(bin, 1.0) + noise_floor::BIAS * self.noise.power()[bin]);
            surplus += (1.0 + left / (expected.sum::<f32>() + 1e-9)).ln();
        }
        ((surplus * BAND as f32 / SPEECH.len() as f32 - PRESENT) / SURE).clamp(0.0, 1.0)
    }

    /// Power of the noise floor.
    pub fn noise(&self) -> &Bins {
        self.noise.power()
    }

    /// Whether all gains are one.
    pub fn is_open(&self) -> bool {
        self.gains[..BINS].iter().all(|&gain| gain == 1.0)
    }

    /// Takes in the power of what the filter leaves; `active` while there may be echo in it.
    pub fn update(
        &mut self,
        left: &Bins,
        residual: &ResidualEcho,
        near_end: &NearEnd,
        suppression: Suppression,
        active: bool,
    ) {
        self.noise.update(left);
        if !active {
            (self.near, self.surplus) = (1.0, 1.0);
            for (bin, &left) in left[..BINS].iter().enumerate() {
                self.gains[bin] = (self.gains[bin] * RISE + 0.01).min(1.0);
                self.out[bin] = left;
            }
            return;
        }
        let strength = if suppression == Suppression::Full { FULL } else { LIGHT };
        self.near = smoothed(self.near, near_end.presence());
        self.surplus = smoothed(self.surplus, self.surplus_of(residual));
        let correction = near_end.correction(residual);
        let between = |two: [f32; 2]| (two[0], (two[1] / two[0]).ln());
        let (over, floor) = (between(strength.over), between(strength.floor));
        for bin in 0..BINS {
            let local = ((near_end.gains()[bin] - CERTAIN[0]) / (CERTAIN[1] - CERTAIN[0])).clamp(0.0, 1.0);
            let near = self.near * local;
            // Geometric mean of what was estimated and of what the network hears.
            let learned = correction[bin] * residual.power(bin, 1.0) + 1e-12;
            let echo = (residual.power(bin, OVER_DISTORTION) * learned).sqrt();
            let echo = over.0 * (over.1 * near).exp() * echo + 1e-10;
            let new = (left[bin] / echo - BIAS).max(0.0);
            let ratio = DIRECTED * self.out[bin] / echo + (1.0 - DIRECTED) * new;
            let wiener = (ratio / (1.0 + ratio)).powf(EXPONENT * (1.0 - LEARNED)) * near_end.gains()[bin].powf(LEARNED);
            let gain = wiener.max(floor.0 * (floor.1 * near).exp()).min(self.gains[bin] * RISE + 0.01);
            self.gains[bin] = gain;
            self.out[bin] = gain * gain * left[bin];
        }
    }
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

/// Presence, smoothed from block to block.
fn smoothed(last: f32, now: f32) -> f32 {
    let smoothing = if now > last { UP } else { DOWN };
    smoothing * last + (1.0 - smoothing) * now
}
