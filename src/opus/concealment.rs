//! Limits of what libopus makes up: of concealed sound, and of packets that are none.

use crate::core::Format;
use crate::dsp::kernels;

/// Largest magnitude of decoded sound, 18 dB above full scale. Bytes that are no packet, or a broken one, make libopus
/// put out up to 10⁶, and filters further on would ring for long.
const MAX_MAGNITUDE: f32 = 8.0;

/// Time over which the level before a gap is measured, in ms.
const LEVEL_MS: f32 = 20.0;

/// Fade time of the concealment limiter, in and out, in ms.
const FADE_MS: f32 = 1.0;

/// Silences NaN and infinities, and clips to [`MAX_MAGNITUDE`].
pub fn clip(sound: &mut [f32]) {
    if kernels::sanitize(sound) > MAX_MAGNITUDE {
        kernels::limit(sound, MAX_MAGNITUDE);
    }
}

/// Concealment limiter: keeps concealed sound from getting louder than the sound before it.
///
/// libopus may guess a rise at first. In CELT it fades for 100 ms and then begins anew with noise of the last spectrum,
/// 12 dB louder.
#[derive(Clone, Copy, Debug)]
pub struct ConcealmentLimiter {
    /// Mean square of the sound before.
    power: f32,
    gain: f32,
}

impl ConcealmentLimiter {
    pub const START: Self = Self { power: 0.0, gain: 1.0 };

    /// Takes the level of interleaved sound that is not concealed, and fades the limiter out.
    pub fn release(&mut self, sound: &mut [f32], format: Format) {
        self.fade(sound, 1.0, format);
        let last = sound.len().saturating_sub(format.samples_in_ms(LEVEL_MS) * format.channels());
        self.power = mean_square(&sound[last..]);
    }

    /// Limits interleaved sound that is concealed.
    pub fn limit(&mut self, sound: &mut [f32], format: Format) {
        let power = mean_square(sound);
        let gain = if power > self.power { (self.power / power).sqrt() } else { 1.0 };
        self.fade(sound, gain, format);
        self.power = self.power.min(power);
    }

    fn fade(&mut self, sound: &mut [f32], gain: f32, format: Format) {
        if self.gain == 1.0 && gain == 1.0 {
            return;
        }
        let (count, steps) = (format.channels(), format.samples_in_ms(FADE_MS));
        let slope = (gain - self.gain) / steps as f32;
        let (moving, steady) = sound.split_at_mut(sound.len().min(steps * count));
        for (index, samples) in moving.chunks_exact_mut(count).enumerate() {
            let gain = self.gain + slope * (index + 1) as f32;
            samples.iter_mut().for_each(|sample| *sample *= gain);
        }
        kernels::scale(steady, gain);
        self.gain = gain;
    }
}

fn mean_square(sound: &[f32]) -> f32 {
    kernels::energy(sound) / sound.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concealed_sound_only_gets_quieter_and_nothing_steps() {
        let format = Format::stereo(8_000).unwrap();
        let mut limiter = ConcealmentLimiter::START;
        let mut sound = vec![0.1; 320];
        limiter.release(&mut sound, format);
        assert!(sound.iter().all(|&s| s == 0.1), "untouched");
        let mut heard = sound;
        for level in [0.2, 0.05, 0.4] {
            let mut concealed = vec![level; 320];
            limiter.limit(&mut concealed, format);
            heard.extend(concealed);
        }
        let mut back = vec![0.3; 320];
        limiter.release(&mut back, format);
        heard.extend(back);
        let ends: Vec<f32> = heard.chunks(320).map(|block| block[319]).collect();
        let wanted = [0.1, 0.1, 0.05, 0.05, 0.3];
        assert!(ends.iter().zip(wanted).all(|(is, should)| (is - should).abs() < 1e-6), "{ends:?}");
        // 1 ms is 8 samples: no step is larger than an eighth of the largest change of the gain, 1 to 1/8.
        let left: Vec<f32> = heard.iter().step_by(2).copied().collect();
        let gains = [0.1, 0.2, 0.05, 0.4, 0.3].iter().flat_map(|&level| [level; 160]);
        let gains: Vec<f32> = left.iter().zip(gains).map(|(sound, level)| sound / level).collect();
        assert!(gains.windows(2).all(|w| (w[1] - w[0]).abs() <= 0.125), "the gain steps");
    }

    #[test]
    fn sound_that_is_none_is_clipped() {
        let mut sound = [0.5, f32::NAN, 1e6, -1e6, f32::INFINITY];
        clip(&mut sound);
        assert_eq!(sound, [0.5, 0.0, 8.0, -8.0, 0.0]);
    }
}
