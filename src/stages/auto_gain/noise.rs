//! Noise level estimator.

use crate::dsp::level::power_to_dbfs;
use crate::vad::detector::VadFrame;

/// Powers whose lower fifth is the noise level, one every 10 ms without speech: noise goes on, while breaths, taps and
/// clicks come and go, however loud. Where they do, it is the lower tenth.
const WINDOW: usize = 100;

/// Powers needed for a first estimate.
const MIN_POWERS: usize = 30;

/// Powers held back: those right before the decision that there is speech are no noise.
const HELD_BACK: usize = 10;

/// Fall rate of the estimate: in dB/s, and as a share of the difference a second where that is more. What comes and
/// goes does not pump the gain, but a fan that was switched off is forgotten.
const FALL_DB_PER_S: f32 = 1.0;
const FALL_SHARE_PER_S: f32 = 0.3;

/// Upper fifth of a steady noise relative to its lower fifth, as a power ratio (10 dB) that it stays below, and rise of the
/// estimate in dB/s, and its fall as a share of the difference a second, where a noise does not. Breaths and
/// reverberation are no reason to give way, and what is heard between them is the noise.
const STEADY: f32 = 10.0;
const RISE_DB_PER_S: f32 = 3.0;
const UNSTEADY_FALL_SHARE_PER_S: f32 = 3.0;

/// Powers that make a steady noise of any other sound at once, where they are within this ratio (4 dB).
const STEADY_POWERS: usize = 40;
const STEADY_RATIO: f32 = 2.5;

/// Drop of the softest sound under all noise in the window at which the noise has changed, as a power ratio (6 dB), and
/// for how many ms: then the estimate starts afresh. A suppressor that begins to work leaves a tenth of a white noise.
const CHANGE: f32 = 0.25;
const CHANGE_MS: u32 = 80;

/// Powers that are compared with the softest sound, at least.
const COMPARED: usize = 80;

/// Level of a noise relative to its softest 40 ms, as a power ratio (3 dB).
const NOISE_TO_MIN: f32 = 2.0;

/// Estimator of the noise level between words: a running lower fifth with a slow fall.
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
            let mut quantile =
                |tenths: usize| *powers[..count].select_nth_unstable_by(count * tenths / 10, f32::total_cmp).1;
            let (tenth, fifth) = (quantile(1), quantile(2));
            let is_steady = quantile(8) < STEADY * fifth;
            let recent = self.steady_power();
            let is_steady = is_steady || recent.is_some();
            let now = power_to_dbfs(recent.unwrap_or(if is_steady { fifth } else { tenth }));
            let seconds = ms as f32 / 1000.0;
            let before = self.dbfs.unwrap_or(now);
            let (rise, share) =
                if is_steady { (f32::INFINITY, FALL_SHARE_PER_S) } else { (RISE_DB_PER_S, UNSTEADY_FALL_SHARE_PER_S) };
            // The first estimates are rough.
            let is_first = self.count <= WINDOW;
            let fall = if is_first { f32::INFINITY } else { (share * (before - now)).max(FALL_DB_PER_S) };
            self.dbfs = Some(now.clamp(before - fall * seconds, before + rise * seconds));
        }
    }

    /// Power of the newest sound, where it has been too steady for anything but noise.
    fn steady_power(&self) -> Option<f32> {
        let newest = (self.count.checked_sub(STEADY_POWERS)?..self.count).map(|index| self.powers[index % WINDOW]);
        let (min, max) = newest.fold((f32::INFINITY, 0.0f32), |(min, max), power| (min.min(power), max.max(power)));
        (max < STEADY_RATIO * min).then_some((min * max).sqrt())
    }

    /// Starts afresh where what is heard, speech included, is softer than the noise can be.
    fn watch_for_change(&mut self, floor: f32, ms: u32) {
        let Some(dbfs) = self.dbfs else { return };
        let lowest = dbfs.min(power_to_dbfs(NOISE_TO_MIN * floor));
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
