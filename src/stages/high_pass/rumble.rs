//! Whether there is rumble.

use super::HighPass;
use crate::{Frame, kernels};

/// Over how much time the level of the rumble is taken, and that of the whole sound, in ms.
const RUMBLE_MS: f32 = 400.0;
const SOUND_MS: f32 = 3000.0;

/// Rumble softer than this is none: −60 dBFS, as a power.
const LEAST: f32 = 1e-6;

/// How much less of it there must be for the filter to go out again: 6 dB.
const HYSTERESIS: f32 = 0.25;

/// No sound, as a power.
const NOTHING: f32 = 1e-10;

/// Compares what lies below half the cutoff with the whole sound.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rumble {
    /// A low-pass of second order for the mean of each millisecond, for each channel.
    low: [[f32; 2]; crate::Format::MAX_CHANNELS],
    power: f32,
    /// The mean power of what is loud: a mean weighed by itself, so that it is that of the voice, pauses or not.
    sound: f32,
    squares: f32,
    present: bool,
}

impl Rumble {
    /// Whether there is rumble, after this frame.
    pub fn listen(&mut self, settings: &HighPass, frame: &Frame) -> bool {
        let ms = frame.format().frame_ms() as usize;
        let length = frame.format().samples_per_channel();
        let share = 1.0 - (-std::f32::consts::TAU * 0.5 * settings.cutoff_hz / 1000.0).exp();
        let (mut power, mut sound) = (0.0f32, 0.0f32);
        for (channel, low) in frame.channels().zip(&mut self.low) {
            let mut rumble = 0.0;
            for block in 0..ms {
                // At 44.1 kHz a millisecond is 44 or 45 samples.
                let block = &channel[block * length / ms..(block + 1) * length / ms];
                low[0] += share * (block.iter().sum::<f32>() / block.len() as f32 - low[0]);
                low[1] += share * (low[0] - low[1]);
                rumble += low[1] * low[1] / ms as f32;
            }
            power = power.max(rumble);
            sound = sound.max(kernels::energy(channel) / length as f32);
        }
        self.power += ms as f32 / RUMBLE_MS * (power - self.power);
        self.sound += ms as f32 / SOUND_MS * (sound - self.sound);
        self.squares += ms as f32 / SOUND_MS * (sound * sound - self.squares);

        let bound = 10f32.powf(settings.rumble_db / 10.0) * self.squares / (self.sound + NOTHING);
        let bound = if self.present { bound * HYSTERESIS } else { bound.max(LEAST) };
        self.present = self.power > bound;
        self.present
    }
}
