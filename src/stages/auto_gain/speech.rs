//! Speech level estimator: the active speech level of ITU-T P.56 over the last seconds of speech.

use crate::core::Frame;
use crate::dsp::kernels;
use crate::dsp::level::{db_to_power, power_to_dbfs};
use crate::dsp::speech_level::{ActivityAccumulator, ActivityEnvelope};
use crate::vad::detector::VadFrame;

/// Time constant of the exponential window of the level, in seconds of speech; it stands still in pauses. Over this
/// much speech the level of one talker stays within 1 dB, in all recordings tested.
const WINDOW_S: f32 = 6.0;

/// Time constant of the mean power that shows a change of talker, in seconds of speech. In the recordings tested this
/// mean is 4.6 dB below to 2.2 dB above the active level.
const MEAN_S: f32 = 1.0;

/// Difference between that mean and the level at which the estimate starts afresh, in dB.
const CHANGE_DB: f32 = 6.0;

/// Largest level of 40 ms of speech above the active level, in dB; 11.1 in the recordings tested.
const MAX_CREST_DB: f32 = 12.0;

/// Amount of speech above that after which the estimate starts afresh, in seconds: longer than a knock.
const LOUD_S: f32 = 0.08;

/// Amount of speech from which the level is known within 4 dB, in seconds. Before, the estimate is never too low by
/// more than that, but may be up to 8 dB too high: a syllable is louder than speech with its pauses.
const EARLY_S: f32 = 0.2;

/// Amount of speech from which the level is known within 1.5 dB, in seconds.
const SETTLED_S: f32 = 1.5;

/// Sound before the decision that there is speech that belongs to it, in ms: the decision takes that long.
const LOOKBACK_MS: usize = 200;

/// Estimator of the active speech level, the louder channel counting for both.
pub(super) struct SpeechEstimator {
    envelope: ActivityEnvelope,
    accumulator: ActivityAccumulator,
    /// Powers and active thresholds of the last milliseconds without speech, in rings, and how many there were.
    lookback: ([f32; LOOKBACK_MS], [u8; LOOKBACK_MS]),
    lookback_count: usize,
    /// Speech in the accumulator, in seconds.
    speech_s: f32,
    /// Mean power over [`MEAN_S`].
    mean_power: f32,
    /// Highest power over 40 ms of the speech in the accumulator.
    max_power: f32,
    /// Time for which the speech has been louder than [`MAX_CREST_DB`] allows, in seconds.
    loud_s: f32,
    dbov: Option<f32>,
    /// Level that it began with, which holds until enough was heard.
    told: Option<f32>,
}

impl SpeechEstimator {
    pub fn new() -> Self {
        Self {
            envelope: ActivityEnvelope::new(0.001),
            accumulator: ActivityAccumulator::default(),
            lookback: ([0.0; LOOKBACK_MS], [0; LOOKBACK_MS]),
            lookback_count: 0,
            speech_s: 0.0,
            mean_power: 0.0,
            max_power: 0.0,
            loud_s: 0.0,
            dbov: None,
            told: None,
        }
    }

    /// Estimator that begins with a level it was told.
    pub fn at(dbov: f32) -> Self {
        Self { dbov: Some(dbov), told: Some(dbov), ..Self::new() }
    }

    /// Takes in a frame that holds speech or not. Digital silence and the far end teach nothing.
    pub fn update(&mut self, frame: &Frame, analysis: &VadFrame, speaking: bool) {
        if analysis.far_end {
            self.lookback_count = 0;
        }
        if analysis.far_end || analysis.is_silent() {
            return;
        }
        let blocks = frame.format().frame_ms() as usize;
        let length = frame.format().samples_per_channel();
        let seconds = blocks as f32 / 1000.0;
        if speaking {
            self.accumulator.decay((-seconds / WINDOW_S).exp().into());
            let (powers, active) = &self.lookback;
            for (&power, &active) in powers.iter().zip(active).take(self.lookback_count) {
                self.accumulator.add(power.into(), active.into());
            }
            self.lookback_count = 0;
        }
        let mut mean_power = 0.0;
        for block in 0..blocks {
            // At 44.1 kHz a millisecond is 44 or 45 samples.
            let range = block * length / blocks..(block + 1) * length / blocks;
            let samples = range.len() as f32;
            let (mut power, mut magnitude) = (0.0f32, 0.0f32);
            for channel in frame.channels() {
                power = power.max(kernels::energy(&channel[range.clone()]) / samples);
                magnitude = magnitude.max(kernels::l1_norm(&channel[range.clone()]) / samples);
            }
            mean_power += power / blocks as f32;
            let active = self.envelope.push(magnitude.into());
            if speaking {
                self.accumulator.add(power.into(), active);
            } else {
                let at = self.lookback_count % LOOKBACK_MS;
                (self.lookback.0[at], self.lookback.1[at]) = (power, active as u8);
                self.lookback_count += 1;
            }
        }
        if speaking {
            self.mean_power += (mean_power - self.mean_power) * (1.0 - (-seconds / MEAN_S).exp());
            self.update_level(analysis.power, seconds);
        }
    }

    /// Takes the level from the accumulator, and starts afresh where somebody else speaks.
    fn update_level(&mut self, power: f32, seconds: f32) {
        self.speech_s += seconds;
        self.max_power = self.max_power.max(power);
        let Some(level) = self.accumulator.dbov() else { return };
        // At first the accumulator has the energy of a loud sound, but not yet its time.
        let level = level.min(power_to_dbfs(self.max_power));
        if self.speech_s >= SETTLED_S {
            self.told = None;
        }
        self.dbov = self.told.or(Some(level));
        let loud = power_to_dbfs(power) > level + MAX_CREST_DB;
        self.loud_s = if loud { self.loud_s + seconds } else { 0.0 };
        if self.speech_s < SETTLED_S {
            self.mean_power = db_to_power(level);
        } else if self.loud_s >= LOUD_S || (power_to_dbfs(self.mean_power) - level).abs() > CHANGE_DB {
            self.accumulator = ActivityAccumulator::default();
            (self.speech_s, self.max_power, self.loud_s) = (0.0, 0.0, 0.0);
        }
    }

    /// Active speech level in dBov.
    pub fn dbov(&self) -> Option<f32> {
        self.dbov
    }

    /// Whether so little was heard of this talker that the level may be up to 8 dB too high.
    pub fn is_early(&self) -> bool {
        self.told.is_none() && self.speech_s < EARLY_S
    }
}
