//! Active speech level of ITU-T P.56, method B.
//!
//! The level of speech is its power while somebody speaks; pauses do not count. What is a pause follows from the sound
//! itself. An envelope (two exponential averages of the magnitude, 30 ms each) is compared with thresholds 6.02 dB
//! apart. For each threshold, the time is added up during which the envelope is above, and 0.2 s of hangover after it
//! fell below. The whole energy divided by that time is a candidate for the level; the active speech level is where the
//! candidate lies 15.9 dB above its threshold.

use crate::dsp::kernels;
use crate::dsp::level::to_dbfs;

/// Time constant of each of the two averages of the envelope, in seconds.
const ENVELOPE_S: f64 = 0.03;

/// Hangover: the time that still counts as speech after the envelope fell below a threshold, in seconds.
const HANGOVER_S: f64 = 0.2;

/// Distance between the level and the threshold that defines it, in dB.
const MARGIN_DB: f64 = 15.9;

/// Distance between two thresholds, in dB: a factor of two.
const STEP_DB: f64 = 6.020_599_913_279_624;

const THRESHOLDS: usize = 24;

/// Exponent of the lowest threshold: −120.4 dBov. The highest is 2³, because sound far beyond full scale has a level
/// too.
const LOWEST_EXPONENT: i32 = -20;

/// Active speech level meter for one channel, by ITU-T P.56, method B.
///
/// dBov is relative to the overload point. A full-scale square wave has 0 dBov, so it is the same scale as
/// [`level`](crate::level)'s dBFS. The level is that of all sound since the start or the last reset, pauses left out.
/// It can be read at any time.
///
/// The envelope is sampled once a millisecond (P.56 asks for 694 Hz at least). Noise counts as speech where it is less
/// than about 16 dB below it: P.56 asks for cleaner recordings than that. Nothing is filtered.
///
/// ```
/// use voxframe::level::SpeechLevel;
/// let mut meter = SpeechLevel::new(16_000);
/// let half_a_second = vec![0.1; 8_000];
/// meter.push(&half_a_second);
/// meter.push(&vec![0.0; 80_000]); // a pause of five seconds
/// let level = meter.dbov().unwrap();
/// assert!((-22.5..-20.0).contains(&level)); // less than 0.1, because the hangover counts
/// assert!((0.1..0.2).contains(&meter.activity()));
/// ```
///
/// # Realtime safety
/// Safe.
#[derive(Clone, Debug)]
pub struct SpeechLevel {
    sample_rate_hz: u32,
    /// Samples in a block of 1 ms, and how many of them have come.
    block: usize,
    filled: usize,
    block_energy: f64,
    block_l1_norm: f64,
    total_energy: f64,
    total_blocks: u64,
    envelope: ActivityEnvelope,
    accumulator: ActivityAccumulator,
}

impl SpeechLevel {
    /// Meter for one channel at this sample rate, in Hz.
    pub fn new(sample_rate_hz: u32) -> Self {
        let block = (sample_rate_hz / 1000).max(1) as usize;
        Self {
            sample_rate_hz,
            block,
            filled: 0,
            block_energy: 0.0,
            block_l1_norm: 0.0,
            total_energy: 0.0,
            total_blocks: 0,
            envelope: ActivityEnvelope::new(block as f64 / f64::from(sample_rate_hz.max(1))),
            accumulator: ActivityAccumulator::default(),
        }
    }

    /// Measures the next samples, any number of them.
    pub fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(self.block - self.filled));
            self.block_energy += f64::from(kernels::energy(now));
            self.block_l1_norm += f64::from(kernels::l1_norm(now));
            self.filled += now.len();
            if self.filled == self.block {
                self.finish_block();
            }
            samples = later;
        }
    }

    fn finish_block(&mut self) {
        let samples = self.block as f64;
        let (mut power, mut magnitude) = (self.block_energy / samples, self.block_l1_norm / samples);
        if !power.is_finite() {
            (power, magnitude) = (0.0, 0.0);
        }
        self.accumulator.add(power, self.envelope.push(magnitude));
        self.total_energy += power;
        self.total_blocks += 1;
        (self.block_energy, self.block_l1_norm, self.filled) = (0.0, 0.0, 0);
    }

    /// Active speech level in dBov; `None` where there was nothing above −104 dBov.
    pub fn dbov(&self) -> Option<f32> {
        self.accumulator.dbov()
    }

    /// Activity factor: the share of the time that counts as speech, 0 to 1.
    pub fn activity(&self) -> f32 {
        let mean = self.total_energy / self.total_blocks.max(1) as f64;
        self.dbov().map_or(0.0, |dbov| (mean / 10f64.powf(f64::from(dbov) / 10.0)).min(1.0) as f32)
    }

    /// RMS level of all sound, pauses included, in dBov.
    pub fn rms_dbov(&self) -> f32 {
        to_dbfs((self.total_energy / self.total_blocks.max(1) as f64).sqrt() as f32)
    }

    /// Forgets all past sound.
    pub fn reset(&mut self) {
        *self = Self::new(self.sample_rate_hz);
    }
}

/// Envelope of P.56, with the hangover of each threshold.
#[derive(Clone, Debug)]
pub(crate) struct ActivityEnvelope {
    /// Smoothing coefficient of both averages.
    smoothing: f64,
    hangover_blocks: u32,
    first: f64,
    second: f64,
    /// Blocks since the envelope was last above each threshold.
    blocks_below: [u32; THRESHOLDS],
}

impl ActivityEnvelope {
    /// Envelope for blocks of `block_s` seconds.
    pub fn new(block_s: f64) -> Self {
        let hangover_blocks = (HANGOVER_S / block_s).round() as u32;
        Self {
            smoothing: (-block_s / ENVELOPE_S).exp(),
            hangover_blocks,
            first: 0.0,
            second: 0.0,
            blocks_below: [hangover_blocks + 1; THRESHOLDS],
        }
    }

    /// Takes in the mean magnitude of the next block; returns the number of active thresholds, counted from the lowest.
    pub fn push(&mut self, magnitude: f64) -> usize {
        self.first = magnitude + (self.first - magnitude) * self.smoothing;
        self.second = self.first + (self.second - self.first) * self.smoothing;
        let mut threshold = 2f64.powi(LOWEST_EXPONENT);
        let mut active = 0;
        for below in &mut self.blocks_below {
            *below = if self.second >= threshold { 0 } else { below.saturating_add(1) };
            active += usize::from(*below <= self.hangover_blocks);
            threshold *= 2.0;
        }
        active
    }
}

/// Energy, and active time of each threshold, in blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ActivityAccumulator {
    energy: f64,
    active_blocks: [f64; THRESHOLDS],
}

impl ActivityAccumulator {
    /// Adds a block of this mean power, in which the lowest `active` thresholds were active.
    pub fn add(&mut self, power: f64, active: usize) {
        self.energy += power;
        for count in self.active_blocks.iter_mut().take(active) {
            *count += 1.0;
        }
    }

    /// Multiplies the weight of all blocks so far by `factor`: an exponential window.
    pub fn decay(&mut self, factor: f64) {
        self.energy *= factor;
        self.active_blocks.iter_mut().for_each(|count| *count *= factor);
    }

    /// Active speech level in dBov.
    pub fn dbov(&self) -> Option<f32> {
        let margin = 10f64.powf(MARGIN_DB / 10.0);
        let mut threshold = 2f64.powi(2 * LOWEST_EXPONENT);
        let mut lower = None;
        for &active in &self.active_blocks {
            let power = self.energy / active;
            // The counts fall from threshold to threshold: nothing is left above the first one that is 0.
            if !(power > 0.0 && power.is_finite()) {
                break;
            }
            if power <= threshold * margin {
                // Linear interpolation of level and margin, in dB, between this threshold and the one below.
                return lower.map(|below: f64| {
                    let (level, level_below) = (10.0 * power.log10(), 10.0 * below.log10());
                    let threshold_db = 10.0 * threshold.log10();
                    let (missing, spare) =
                        (threshold_db + MARGIN_DB - level, level_below - threshold_db + STEP_DB - MARGIN_DB);
                    (level_below + spare / (spare + missing) * (level - level_below)) as f32
                });
            }
            lower = Some(power);
            threshold *= 4.0;
        }
        lower.map(|power| 10.0 * power.log10() as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level::db_to_gain;
    use crate::testing::recording;

    fn measured(rate: u32, samples: &[f32]) -> SpeechLevel {
        let mut meter = SpeechLevel::new(rate);
        meter.push(samples);
        meter
    }

    #[test]
    fn the_level_agrees_with_the_standard_evaluated_sample_by_sample() {
        // Printed by scripts/p56.py.
        let wanted = [
            ("noise_fan", -33.692, 0.9831),
            ("speech_clean", -23.709, 0.8192),
            ("speech_noisy", -24.023, 0.9823),
            ("speech_room", -24.671, 0.9161),
            ("speech_stereo_44100", -21.039, 0.8297),
        ];
        for (name, dbov, activity) in wanted {
            let (samples, rate) = recording(name);
            let meter = measured(rate, &samples);
            assert!((meter.dbov().unwrap() - dbov).abs() < 0.05, "{name}: {:?}", meter.dbov());
            assert!((meter.activity() - activity).abs() < 0.01, "{name}: {}", meter.activity());
        }
    }

    #[test]
    fn a_gain_moves_the_level_by_as_much() {
        let (samples, rate) = recording("speech_clean");
        for gain_db in [-60.0, -24.0, -3.3, 12.0, 40.0] {
            let louder: Vec<f32> = samples.iter().map(|s| s * db_to_gain(gain_db)).collect();
            let level = measured(rate, &louder).dbov().unwrap();
            // Not to the last digit: the thresholds stay where they are.
            assert!((level - gain_db + 23.709).abs() < 0.2, "{gain_db}: {level}");
        }
    }

    #[test]
    fn pauses_do_not_count() {
        let (speech, rate) = recording("speech_clean");
        let mut meter = measured(rate, &speech);
        let (level, activity) = (meter.dbov().unwrap(), meter.activity());
        meter.push(&vec![0.0; 3 * speech.len()]);
        assert!((meter.dbov().unwrap() - level).abs() < 0.05);
        assert!((meter.activity() - activity / 4.0).abs() < 0.01);
        assert!(meter.rms_dbov() < level - 6.0);
        meter.reset();
        assert_eq!(meter.dbov(), None);
        meter.push(&speech);
        assert!((meter.dbov().unwrap() - level).abs() < 1e-4);
    }

    #[test]
    fn how_the_sound_is_sliced_makes_no_difference() {
        let (samples, rate) = recording("speech_stereo_44100");
        let whole = measured(rate, &samples).dbov().unwrap();
        for length in [1, 43, 44, 45, 441, 5000] {
            let mut meter = SpeechLevel::new(rate);
            samples.chunks(length).for_each(|chunk| meter.push(chunk));
            assert!((meter.dbov().unwrap() - whole).abs() < 1e-4);
        }
    }

    #[test]
    fn silence_and_invalid_samples_have_no_level() {
        assert_eq!(measured(48_000, &[]).dbov(), None);
        assert_eq!(measured(48_000, &[0.0; 48_000]).dbov(), None);
        assert_eq!(measured(0, &[f32::NAN, f32::INFINITY, f32::MAX]).dbov(), None);
        assert!(measured(8_000, &[4e9; 8_000]).dbov().unwrap().is_finite());
    }
}
