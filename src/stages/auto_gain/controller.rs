//! How loud speech and noise are, and what gain follows from it.

use super::AutoGain;
use crate::core::Frame;
use crate::dsp::kernels;
use crate::dsp::level::{db_to_gain, to_dbfs};
use crate::dsp::speech_level::{ActivityAccumulator, ActivityEnvelope};
use crate::vad::detector::VadFrame;

/// How much speech the level is taken over, in seconds: the time constant of an exponential window that stands still in
/// pauses. Over this much the level of one talker stays within 1 dB, in all recordings tested.
const MEMORY_S: f32 = 6.0;

/// Over how much speech the power is averaged that tells whether the talker has changed, in seconds. In the recordings
/// tested it is 4.6 dB below to 2.2 dB above the active level.
const MEAN_S: f32 = 1.0;

/// How far that power must be off the level for the level to be taken anew, in dB.
const CHANGED_DB: f32 = 6.0;

/// How far 40 ms of speech can be above its level, in dB; 11.1 in the recordings tested.
const LOUDEST_DB: f32 = 12.0;

/// After how much speech above that the level is taken anew, in seconds: more than a knock.
const LOUD_S: f32 = 0.08;

/// How much speech it takes to know the level within 4 dB, in seconds. Before, it is never too low by more than that,
/// but may be too high by [`EARLY_DB`]: a syllable is louder than speech with its pauses.
const FIRST_S: f32 = 0.2;

const EARLY_DB: f32 = 8.0;

/// How much speech it takes to rest, in seconds: the level is then known within 1.5 dB.
const SETTLED_S: f32 = 1.5;

/// How fast the gain rises before it has been right once, in dB a second: 25 dB, for speech of −45 dBov, in the 1.5 s
/// of speech that 3 s contain at least.
const START_DB_PER_S: f32 = 24.0;

/// How much sound before the decision that there is speech belongs to it, in ms: the decision takes that long.
const BEFORE_MS: usize = 200;

/// How fast it creeps at rest, in dB a second: unheard.
const CREEP_DB_PER_S: f32 = 0.8;

/// How fast it approaches its aim: by this share of the distance a second.
const APPROACH_PER_S: f32 = 8.0;

/// The lowest gain, in dB: for speech 20 dB above the overload point.
const LEAST_GAIN_DB: f32 = -40.0;

/// The noise is the median of this many levels, one every 10 ms without speech: taps and clicks do not count, however
/// loud.
const NOISE_LEVELS: usize = 100;

/// How many of them it takes to know the noise.
const FEWEST_LEVELS: usize = 30;

/// How many levels before the decision that there is speech are no noise.
const FRESH_LEVELS: usize = 10;

/// How fast the noise is believed to be less, in dB a second, and by which share of the difference where that is more:
/// what comes and goes does not pump the gain, but a fan that was switched off is forgotten.
const NOISE_FALL_DB_PER_S: f32 = 1.0;
const NOISE_FALL_SHARE_PER_S: f32 = 0.3;

/// Listens to the levels of speech and of noise.
pub(super) struct Listener {
    envelope: ActivityEnvelope,
    tally: ActivityAccumulator,
    /// Power and active thresholds of the last milliseconds without speech, in a ring.
    before: [(f32, usize); BEFORE_MS],
    waiting: usize,
    /// How much speech the tally holds, in seconds.
    heard_s: f32,
    /// The mean power over [`MEAN_S`].
    mean: f32,
    /// The highest power over 40 ms, of the speech that the tally holds.
    loudest: f32,
    loud_s: f32,
    speech_dbov: Option<f32>,
    /// The powers of the last [`NOISE_LEVELS`] without speech, in a ring.
    noise: [f32; NOISE_LEVELS],
    noise_levels: usize,
    /// Those that are not in it yet.
    newest: [f32; FRESH_LEVELS],
    fresh: usize,
    noise_dbfs: Option<f32>,
}

impl Listener {
    pub fn new() -> Self {
        Self {
            envelope: ActivityEnvelope::new(0.001),
            tally: ActivityAccumulator::default(),
            before: [(0.0, 0); BEFORE_MS],
            waiting: 0,
            heard_s: 0.0,
            mean: 0.0,
            loudest: 0.0,
            loud_s: 0.0,
            speech_dbov: None,
            noise: [0.0; NOISE_LEVELS],
            noise_levels: 0,
            newest: [0.0; FRESH_LEVELS],
            fresh: 0,
            noise_dbfs: None,
        }
    }

    /// Takes in a frame, which holds speech or does not.
    pub fn listen(&mut self, frame: &Frame, heard: &VadFrame, speaking: bool) {
        let blocks = frame.format().frame_ms() as usize;
        let length = frame.format().samples_per_channel();
        let seconds = blocks as f32 / 1000.0;
        if speaking {
            self.tally.decay((-seconds / MEMORY_S).exp().into());
            for &(power, active) in &self.before[..self.waiting.min(BEFORE_MS)] {
                self.tally.add(power.into(), active);
            }
            (self.waiting, self.fresh) = (0, 0);
        }
        let mut mean = 0.0;
        for block in 0..blocks {
            // At 44.1 kHz a millisecond is 44 or 45 samples.
            let range = block * length / blocks..(block + 1) * length / blocks;
            let samples = range.len() as f32;
            let (mut power, mut magnitude) = (0.0f32, 0.0f32);
            for channel in frame.channels() {
                power = power.max(kernels::energy(&channel[range.clone()]) / samples);
                magnitude = magnitude.max(kernels::l1_norm(&channel[range.clone()]) / samples);
            }
            mean += power / blocks as f32;
            let active = self.envelope.push(magnitude.into());
            if speaking {
                self.tally.add(power.into(), active);
            } else {
                self.before[self.waiting % BEFORE_MS] = (power, active);
                self.waiting += 1;
            }
        }
        if speaking {
            self.mean += (mean - self.mean) * (1.0 - (-seconds / MEAN_S).exp());
            self.judge(heard.power, seconds);
        } else if !heard.is_doubtful() {
            (0..blocks / 10).for_each(|_| self.hear_noise(heard.power));
        }
        self.follow_noise(seconds);
    }

    /// Tells the level, and takes it anew where somebody else speaks.
    fn judge(&mut self, power: f32, seconds: f32) {
        self.heard_s += seconds;
        self.loudest = self.loudest.max(power);
        let Some(level) = self.tally.dbov() else { return };
        // At first the tally has the energy of a loud sound, but not yet its time.
        let level = level.min(power_dbfs(self.loudest));
        self.speech_dbov = Some(level);
        let loud = power_dbfs(power) > level + LOUDEST_DB;
        self.loud_s = if loud { self.loud_s + seconds } else { 0.0 };
        if self.heard_s < SETTLED_S {
            self.mean = db_to_gain(level).powi(2);
        } else if self.loud_s >= LOUD_S || (power_dbfs(self.mean) - level).abs() > CHANGED_DB {
            self.tally = ActivityAccumulator::default();
            (self.heard_s, self.loudest, self.loud_s) = (0.0, 0.0, 0.0);
        }
    }

    /// The active level of the speech of late, in dBov.
    pub fn speech_dbov(&self) -> Option<f32> {
        self.speech_dbov
    }

    /// Takes in the power of 10 ms of noise.
    fn hear_noise(&mut self, power: f32) {
        // What is fresh may yet turn out to be the beginning of speech.
        let power = std::mem::replace(&mut self.newest[self.fresh % FRESH_LEVELS], power);
        self.fresh += 1;
        if self.fresh > FRESH_LEVELS {
            self.noise[self.noise_levels % NOISE_LEVELS] = power;
            self.noise_levels += 1;
        }
    }

    fn follow_noise(&mut self, seconds: f32) {
        let held = self.noise_levels.min(NOISE_LEVELS);
        if held >= FEWEST_LEVELS {
            let mut levels = self.noise;
            let (_, median, _) = levels[..held].select_nth_unstable_by(held / 2, f32::total_cmp);
            let now = power_dbfs(*median);
            let before = self.noise_dbfs.unwrap_or(now);
            let fall = (NOISE_FALL_SHARE_PER_S * (before - now)).max(NOISE_FALL_DB_PER_S);
            self.noise_dbfs = Some(now.max(before - fall * seconds));
        }
    }

    /// The level of the noise of late, in dBFS.
    pub fn noise_dbfs(&self) -> Option<f32> {
        self.noise_dbfs
    }
}

/// The gain, and how it moves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GainController {
    gain_db: f32,
    /// Whether it goes for its aim at full speed.
    moving: bool,
    /// Whether it has been there once.
    arrived: bool,
}

impl GainController {
    /// The gain now, in dB.
    pub fn gain_db(&self) -> f32 {
        self.gain_db
    }

    /// Goes for its aim at full speed, however near: it has been changed by hand.
    pub fn wake(&mut self) {
        self.moving = true;
    }

    /// Moves on by a frame.
    pub fn step(&mut self, settings: &AutoGain, listener: &Listener, speaking: bool, seconds: f32) {
        let noise_dbfs = listener.noise_dbfs().unwrap_or(f32::NEG_INFINITY);
        let most = settings.max_gain_db.min((settings.noise_dbfs - noise_dbfs).max(0.0));
        let mut rate = 0.0;
        if let (true, Some(level)) = (speaking, listener.speech_dbov()) {
            let early = listener.heard_s < FIRST_S;
            let level = if early { level - EARLY_DB } else { level };
            let aim = (settings.target_dbov - level).max(LEAST_GAIN_DB).min(most);
            let off = aim - self.gain_db;
            if off.abs() > settings.tolerance_db {
                self.moving = true;
            } else if off.abs() < 0.5 * settings.tolerance_db {
                self.moving = false;
                self.arrived = true;
            }
            let up = match (early, self.arrived) {
                (true, _) => 0.0,
                (false, true) => settings.up_db_per_s,
                (false, false) => settings.up_db_per_s.max(START_DB_PER_S),
            };
            rate = if self.moving {
                (off * APPROACH_PER_S).clamp(-settings.down_db_per_s, up)
            } else {
                off.clamp(-CREEP_DB_PER_S, CREEP_DB_PER_S.min(up))
            };
        }
        let mut step = rate * seconds;
        if self.gain_db > most {
            step = step.min((most - self.gain_db).max(-settings.down_db_per_s * seconds));
        }
        self.gain_db += step;
    }
}

fn power_dbfs(power: f32) -> f32 {
    to_dbfs(power.sqrt())
}
