//! Noise level estimator.

use crate::dsp::level::power_to_dbfs;
use crate::vad::detector::VadFrame;

/// Powers whose median is the noise level, one every 10 ms without speech: taps and clicks do not count, however loud.
const WINDOW: usize = 100;

/// Powers needed for a first estimate.
const MIN_POWERS: usize = 30;

/// Powers held back: those right before the decision that there is speech are no noise.
const HELD_BACK: usize = 10;

/// Fall rate of the estimate: in dB/s, and as a share of the difference a second where that is more. What comes and
/// goes does not pump the gain, but a fan that was switched off is forgotten.
const FALL_DB_PER_S: f32 = 1.0;
const FALL_SHARE_PER_S: f32 = 0.3;

/// Drop of the softest sound under all noise in the window at which the noise has changed, as a power ratio (6 dB), and
/// for how many ms: then the estimate starts afresh. A suppressor that begins to work leaves a tenth of a white noise.
const CHANGE: f32 = 0.25;
const CHANGE_MS: u32 = 80;

/// Powers that are compared with the softest sound, at least.
const COMPARED: usize = 80;

/// Median of a noise relative to its softest 40 ms, as a power ratio (3 dB).
const MEDIAN_TO_MIN: f32 = 2.0;

/// Estimator of the noise level between words: a running median with a slow fall.
pub(super) struct NoiseEstimator {
    /// Powers of the last [`WINDOW`] steps without speech, in a ring, and how many there were.
    powers: [f32; WINDOW],
    count: usize,
    /// Newest powers, in a ring, and how many there were since the last speech.
    held_back: [f32; HELD_BACK],
    held_back_count: usize,
    /// Time for which the softest sound has been below [`CHANGE`].
    softer_ms: u32,
    dbfs: Option<f32>,
}

impl NoiseEstimator {
    pub fn new() -> Self {
        Self {
            powers: [0.0; WINDOW],
            count: 0,
            held_back: [0.0; HELD_BACK],
            held_back_count: 0,
            softer_ms: 0,
            dbfs: None,
        }
    }

    /// Takes in a frame of `ms` milliseconds.
    pub fn update(&mut self, frame: &VadFrame, speaking: bool, ms: u32) {
        if frame.is_silent() || frame.far_end {
            return;
        }
        if let Some(floor) = frame.floor() {
            self.watch_for_change(floor, ms);
        }
        if speaking {
            self.held_back_count = 0;
        } else if !frame.may_be_speech() {
            (0..ms / 10).for_each(|_| self.push(frame.power));
        }
        let count = self.count.min(WINDOW);
        if count >= MIN_POWERS {
            let mut powers = self.powers;
            let (_, median, _) = powers[..count].select_nth_unstable_by(count / 2, f32::total_cmp);
            let now = power_to_dbfs(*median);
            // The first estimates are rough.
            let before = self.dbfs.filter(|_| self.count > WINDOW).unwrap_or(now);
            let fall = (FALL_SHARE_PER_S * (before - now)).max(FALL_DB_PER_S);
            self.dbfs = Some(now.max(before - fall * (ms as f32 / 1000.0)));
        }
    }

    /// Starts afresh where what is heard, speech included, is softer than the noise can be.
    fn watch_for_change(&mut self, floor: f32, ms: u32) {
        let Some(dbfs) = self.dbfs else { return };
        let lowest = dbfs.min(power_to_dbfs(MEDIAN_TO_MIN * floor));
        let count = self.count.min(WINDOW);
        if count < MIN_POWERS {
            self.dbfs = Some(lowest);
            return;
        }
        // What is compared must be as long as that of which the floor is the softest.
        if count < COMPARED {
            return;
        }
        let softest = self.powers[..count].iter().copied().fold(f32::INFINITY, f32::min);
        self.softer_ms = if floor < CHANGE * softest { self.softer_ms + ms } else { 0 };
        if self.softer_ms >= CHANGE_MS {
            (self.count, self.held_back_count, self.dbfs) = (0, 0, Some(lowest));
        }
    }

    fn push(&mut self, power: f32) {
        // The newest powers may yet turn out to be the beginning of speech.
        let power = std::mem::replace(&mut self.held_back[self.held_back_count % HELD_BACK], power);
        self.held_back_count += 1;
        if self.held_back_count > HELD_BACK {
            self.powers[self.count % WINDOW] = power;
            self.count += 1;
        }
    }

    /// Noise level in dBFS (RMS).
    pub fn dbfs(&self) -> Option<f32> {
        self.dbfs
    }
}
