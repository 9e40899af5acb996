//! Gain controller: the gain that follows from the levels of speech and noise.

use super::noise::NoiseEstimator;
use super::settings::AutoGain;
use super::speech::SpeechEstimator;

/// Correction of an early speech level, in dB: by so much it may be too high.
const EARLY_DB: f32 = 8.0;

/// Rise of the gain before it has been right once, in dB/s: 25 dB, for speech of −45 dBov, in the 1.5 s of speech that
/// 3 s contain at least.
const START_DB_PER_S: f32 = 24.0;

/// Speed of the gain at rest, in dB/s: inaudible.
const CREEP_DB_PER_S: f32 = 0.8;

/// Approach to the wanted gain, as the share of the distance a second.
const APPROACH_PER_S: f32 = 8.0;

/// Minimum gain in dB: for speech 20 dB above the overload point.
const MIN_GAIN_DB: f32 = -40.0;

/// Gain in dB, with the state that decides how fast it moves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GainController {
    gain_db: f32,
    /// Whether the gain moves at full speed, rather than creeps.
    at_full_speed: bool,
    /// Whether the gain has been right once.
    converged: bool,
}

impl GainController {
    /// Controller whose gain has been right.
    pub fn at(gain_db: f32) -> Self {
        Self { gain_db, converged: true, ..Self::default() }
    }

    /// Gain after the last step, in dB.
    pub fn gain_db(&self) -> f32 {
        self.gain_db
    }

    /// Moves at full speed however small the difference, because the settings were changed.
    pub fn start_moving(&mut self) {
        self.at_full_speed = true;
    }

    /// Moves on by a frame of `seconds`.
    pub fn step(
        &mut self,
        settings: &AutoGain,
        speech: &SpeechEstimator,
        noise: &NoiseEstimator,
        speaking: bool,
        seconds: f32,
    ) {
        let noise_dbfs = noise.dbfs().unwrap_or(f32::NEG_INFINITY);
        let max_gain_db = settings.max_gain_db.min((settings.max_noise_dbfs - noise_dbfs).max(0.0));
        let mut rate = 0.0;
        if let (true, Some(level)) = (speaking, speech.dbov()) {
            let early = speech.is_early();
            let level = if early { level - EARLY_DB } else { level };
            let free = (settings.target_dbov - level).max(MIN_GAIN_DB);
            let wanted = free.min(max_gain_db);
            // Held down by the noise, the gain is not right yet.
            let held_down = free > wanted + settings.tolerance_db;
            let distance = wanted - self.gain_db;
            if distance.abs() > settings.tolerance_db {
                self.at_full_speed = true;
            } else if distance.abs() < 0.5 * settings.tolerance_db {
                self.at_full_speed = false;
                self.converged |= !held_down;
            }
            let up = match (early, self.converged) {
                (true, _) => 0.0,
                (false, true) => settings.up_db_per_s,
                (false, false) => settings.up_db_per_s.max(START_DB_PER_S),
            };
            rate = if self.at_full_speed {
                (distance * APPROACH_PER_S).clamp(-settings.down_db_per_s, up)
            } else {
                distance.clamp(-CREEP_DB_PER_S, CREEP_DB_PER_S.min(up))
            };
        }
        let mut step = rate * seconds;
        if self.gain_db > max_gain_db {
            step = step.min((max_gain_db - self.gain_db).max(-settings.down_db_per_s * seconds));
        }
        self.gain_db += step;
    }
}
