//! Settings and reading of [`NoiseGate`].

use crate::core::Result;
use crate::core::error::in_range;
#[cfg(feature = "serde")]
use crate::dsp::level::serialize;
use crate::dsp::level::{power_to_dbfs, to_dbfs};

/// Noise gate: attenuates the sound while nobody speaks.
///
/// The level is an RMS over `window_ms`, taken every millisecond, the loudest channel counting for all, so that a
/// stereo image stays where it is. The gate opens when the level reaches `open_db`, and closes when it has stayed below
/// `close_db` for `hold_ms`. The gain then follows a smooth curve: from the floor to 1 in `attack_ms`, back in
/// `release_ms`, never faster, whatever is changed meanwhile.
///
/// The gate learns the noise level, and both thresholds move until opening takes a level `above_noise_db` over the
/// noise: up, so that noise does not open it, or down, so that it does not wait for the loud part of a word where there
/// is nothing to keep out. They move by 20 dB at most either way: a voice that the detector misses is not shut out.
///
/// Noise is what a detector upstream (`Denoise`, `VoiceActivity`, `AutoGain`) takes for no speech. Without one it is the
/// softest sound of the last 3 s (minimum statistics), which lowers the thresholds and never raises them.
/// Digital silence teaches nothing. The [far end](crate::Frame::far_end_speech) neither opens the gate nor counts as
/// noise.
///
/// Of real words with noise 20 dB below them, the first 20 ms lose nothing with 10 ms of lookahead, and without it 0.3
/// dB on average and 2.7 dB at worst (`cargo test --test gate -- --nocapture`).
///
/// Latency: `lookahead_ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct NoiseGate {
    /// Open threshold in dBFS (RMS), −120 to 0. Default −40 (between OBS's −26 and a quiet room).
    pub open_db: f32,
    /// Close threshold in dBFS (RMS), −120 to `open_db`. Default −46 (OBS: a hysteresis of 6 dB).
    pub close_db: f32,
    /// Attack: time of the gain from the floor to 1, in ms, 0.1 to 1000. Default 5 (PipeWire).
    pub attack_ms: f32,
    /// Hold: time for which the gate stays open after the level fell, in ms, 0 to 10 000. Default 200 (OBS).
    pub hold_ms: f32,
    /// Release: time of the gain from 1 to the floor, in ms, 0.1 to 10 000. Default 150 (OBS).
    pub release_ms: f32,
    /// Floor: gain of the closed gate in dB, −120 to 0. Default −50.
    pub floor_db: f32,
    /// Time constant of the RMS detector's exponential window in ms, 1 to 100. Default 5.
    pub window_ms: f32,
    /// Level above the learnt noise that opens the gate, in dB, 0 (thresholds stay where they are) to 40. Default 10
    /// (measured: less lets noise open it, more cuts word ends).
    pub above_noise_db: f32,
    /// Lookahead: delay of the sound in ms, 0 to 100, so that the gate is open when a word begins. Default 0. Fixed
    /// while the gate runs.
    pub lookahead_ms: f32,
}

impl Default for NoiseGate {
    fn default() -> Self {
        Self {
            open_db: -40.0,
            close_db: -46.0,
            attack_ms: 5.0,
            hold_ms: 200.0,
            release_ms: 150.0,
            floor_db: -50.0,
            window_ms: 5.0,
            above_noise_db: 10.0,
            lookahead_ms: 0.0,
        }
    }
}

impl NoiseGate {
    pub(super) fn check(&self) -> Result<()> {
        in_range("NoiseGate::open_db", self.open_db, -120.0, 0.0)?;
        in_range("NoiseGate::close_db", self.close_db, -120.0, self.open_db)?;
        in_range("NoiseGate::attack_ms", self.attack_ms, 0.1, 1000.0)?;
        in_range("NoiseGate::hold_ms", self.hold_ms, 0.0, 10_000.0)?;
        in_range("NoiseGate::release_ms", self.release_ms, 0.1, 10_000.0)?;
        in_range("NoiseGate::floor_db", self.floor_db, -120.0, 0.0)?;
        in_range("NoiseGate::window_ms", self.window_ms, 1.0, 100.0)?;
        in_range("NoiseGate::above_noise_db", self.above_noise_db, 0.0, 40.0)?;
        in_range("NoiseGate::lookahead_ms", self.lookahead_ms, 0.0, 100.0)
    }
}

/// Reading of a running [`NoiseGate`].
// A factor and powers inside: the thread that reads takes the logarithms, not the one that plays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NoiseGateReading {
    /// Whether the gate is open, or opening.
    pub open: bool,
    #[cfg_attr(feature = "serde", serde(rename = "gain_db", serialize_with = "serialize::magnitude"))]
    pub(super) gain: f32,
    #[cfg_attr(feature = "serde", serde(rename = "level_dbfs", serialize_with = "serialize::power"))]
    pub(super) power: f32,
    #[cfg_attr(feature = "serde", serde(rename = "noise_dbfs", serialize_with = "serialize::power"))]
    pub(super) noise: f32,
}

impl NoiseGateReading {
    /// Gain at the end of the last frame, in dB.
    pub fn gain_db(&self) -> f32 {
        to_dbfs(self.gain)
    }

    /// RMS level that is compared with the thresholds, in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        power_to_dbfs(self.power)
    }

    /// RMS level of the learnt noise, in dBFS.
    pub fn noise_dbfs(&self) -> f32 {
        power_to_dbfs(self.noise)
    }
}
