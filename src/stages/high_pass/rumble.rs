//! Rumble detector.

use super::settings::HighPass;
use crate::core::{Format, Frame};
use crate::dsp::level::SILENCE_POWER;
use crate::dsp::weighted_power::WeightedPower;

/// Time constants of the level of the rumble and of that of the whole sound, in ms.
const RUMBLE_MS: f32 = 400.0;
const SOUND_MS: f32 = 3000.0;

/// Power below which there is no rumble, −60 dBFS.
const MIN_POWER: f32 = 1e-6;

/// Hysteresis, as a power ratio: the filter goes out again 6 dB below the threshold.
const HYSTERESIS: f32 = 0.25;

/// Detector of rumble: compares the power below half the cutoff with that of the whole sound.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RumbleDetector {
    /// Second-order low-pass of the mean of each millisecond, for each channel.
    low: [[f32; 2]; Format::MAX_CHANNELS],
    power: f32,
    sound: WeightedPower,
    present: bool,
}

impl RumbleDetector {
    /// Takes in the next frame, whose power in the louder channel is `sound`; returns whether there is rumble. Digital silence
    /// changes nothing.
    pub fn update(&mut self, settings: &HighPass, frame: &Frame, sound: f32) -> bool {
        let ms = frame.format().frame_ms() as usize;
        let length = frame.format().samples_per_channel();
        let coefficient = 1.0 - (-std::f32::consts::TAU * 0.5 * settings.cutoff_hz / 1000.0).exp();
        let mut power = 0.0f32;
        for (channel, low) in frame.channels().zip(&mut self.low) {
            let mut rumble = 0.0;
            for block in 0..ms {
                // At 44.1 kHz a millisecond is 44 or 45 samples.
                let block = &channel[block * length / ms..(block + 1) * length / ms];
                low[0] += coefficient * (block.iter().sum::<f32>() / block.len() as f32 - low[0]);
                low[1] += coefficient * (low[0] - low[1]);
                rumble += low[1] * low[1] / ms as f32;
            }
            power = power.max(rumble);
        }
        if sound <= SILENCE_POWER {
            return self.present;
        }
        self.power += ms as f32 / RUMBLE_MS * (power - self.power);
        self.sound.add(sound, ms as f32 / SOUND_MS);

        let threshold = 10f32.powf(settings.rumble_db / 10.0) * self.sound.power();
        let threshold = if self.present { threshold * HYSTERESIS } else { threshold.max(MIN_POWER) };
        self.present = self.power > threshold;
        self.present
    }
}
