//! The noise behind a voice, learnt and made again.

use crate::Format;
use crate::ramp::{Course, Ramp};

/// Order of the filter that gives the noise its spectrum: enough for the tilt and the few broad humps of a room.
const ORDER: usize = 12;

/// The quietest block within one to two of these windows is taken for the noise alone: people pause once in so long.
const WINDOW_MS: f32 = 800.0;

/// What comes first is not heard: a codec that starts up is quieter than any room.
const SETTLING_MS: f32 = 100.0;

/// Blocks up to so far above the quietest one shape the noise: 3 dB, the spread of noise over 10 ms.
const NEAR: f32 = 2.0;

/// How much of the noise's shape each such block renews.
const RENEWAL: f32 = 0.1;

/// How long it takes to come, and to go.
const COME_MS: f32 = 60.0;
const GO_MS: f32 = 10.0;

/// Comfort noise: what goes on behind a voice that is missing.
pub struct ComfortNoise {
    format: Format,
    /// Samples per channel heard in this window.
    heard: usize,
    /// Samples per channel not to be heard.
    settling: usize,
    channels: Box<[Channel]>,
    /// How much of it stands in for the sound, 0 to 1.
    share: Ramp,
    /// Interleaved, as long as the longest sound.
    noise: Box<[f32]>,
    weights: Box<[f32]>,
}

#[derive(Clone)]
struct Channel {
    /// The least mean square of a block in this window, and in the one before.
    quietest: [f32; 2],
    /// Autocorrelation of the noise, for a sample.
    correlation: [f32; ORDER + 1],
    filter: [f32; ORDER],
    gain: f32,
    /// What the filter put out last, newest first.
    past: [f32; ORDER],
    seed: u32,
}

impl ComfortNoise {
    /// For sounds of at most `most` samples per channel.
    pub fn new(format: Format, most: usize) -> Self {
        let channels = (0..format.channels()).map(|index| Channel::new(index as u32)).collect();
        let length = most * format.channels();
        Self {
            format,
            heard: 0,
            settling: format.samples_in_ms(SETTLING_MS),
            channels,
            share: Ramp::new(0.0, 1, most),
            noise: vec![0.0; length].into_boxed_slice(),
            weights: vec![0.0; length].into_boxed_slice(),
        }
    }

    /// Hears interleaved sound that was received.
    pub fn listen(&mut self, sound: &[f32]) {
        let count = self.format.channels();
        for block in sound.chunks(self.format.samples_in_ms(10.0) * count) {
            if self.settling > 0 {
                self.settling = self.settling.saturating_sub(block.len() / count);
                continue;
            }
            self.heard += block.len() / count;
            let over = self.heard >= self.format.samples_in_ms(WINDOW_MS);
            for (index, channel) in self.channels.iter_mut().enumerate() {
                channel.listen(block, index, count);
                if over {
                    channel.quietest = [f32::INFINITY, channel.quietest[0]];
                }
            }
            if over {
                self.heard = 0;
            }
        }
    }

    /// Goes over from interleaved `sound` to noise where it is `wanted`, and back again where not.
    pub fn stand_in(&mut self, sound: &mut [f32], wanted: bool) {
        let was = self.share.value();
        if wanted && was == 0.0 {
            self.channels.iter_mut().for_each(Channel::shape);
        }
        let (share, ms) = if wanted { (1.0, COME_MS) } else { (0.0, GO_MS) };
        self.share.set(share, self.format.samples_in_ms(ms));
        if share == 0.0 && was == 0.0 {
            return;
        }
        let count = self.format.channels();
        let noise = &mut self.noise[..sound.len()];
        for (index, channel) in self.channels.iter_mut().enumerate() {
            channel.make(noise, index, count);
        }
        match self.share.advance(sound.len() / count) {
            Course::Steady(share) => crate::kernels::mix(sound, 1.0 - share, noise, share),
            Course::Moving(shares) => {
                let weights = &mut self.weights[..sound.len()];
                for (weights, share) in weights.chunks_exact_mut(count).zip(shares) {
                    weights.fill(*share);
                }
                crate::kernels::blend(sound, noise, weights);
            }
        }
    }

    pub fn reset(&mut self) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            *channel = Channel::new(index as u32);
        }
        self.heard = 0;
        self.settling = self.format.samples_in_ms(SETTLING_MS);
        self.share.rest(0.0);
    }
}

impl Channel {
    fn new(index: u32) -> Self {
        Self {
            quietest: [f32::INFINITY; 2],
            correlation: [0.0; ORDER + 1],
            filter: [0.0; ORDER],
            gain: 0.0,
            past: [0.0; ORDER],
            seed: 0x9e37_79b9 ^ index,
        }
    }

    /// Takes note of a block: how quiet it is and, if it is hardly more than the noise, its spectrum.
    fn listen(&mut self, block: &[f32], index: usize, count: usize) {
        let at = |sample: usize| block[sample * count + index];
        let samples = block.len() / count;
        let correlate = |lag: usize| (lag..samples).map(|i| at(i) * at(i - lag)).sum::<f32>() / samples as f32;
        let power = correlate(0);
        if !power.is_finite() {
            return;
        }
        self.quietest[0] = self.quietest[0].min(power);
        let [now, before] = self.quietest;
        if power <= now.min(before) * NEAR {
            // The first is taken as it is; and so is a much quieter one, because the noise has then been overrated.
            let first = self.correlation[0] == 0.0 || power * NEAR < self.correlation[0];
            let renewal = if first { 1.0 } else { RENEWAL };
            for (lag, value) in self.correlation.iter_mut().enumerate() {
                *value += (correlate(lag) - *value) * renewal;
            }
        }
    }

    /// Finds the filter that turns white noise into noise of this correlation (Levinson and Durbin).
    fn shape(&mut self) {
        let mut correlation = self.correlation;
        // A floor 30 dB below keeps the filter tame.
        correlation[0] = correlation[0] * 1.001 + 1e-20;
        let mut error = correlation[0];
        let mut filter = [0.0f32; ORDER];
        for order in 0..ORDER {
            let past: f32 = (0..order).map(|i| filter[i] * correlation[order - i]).sum();
            let reflection = (correlation[order + 1] - past) / error;
            if reflection.is_nan() || reflection.abs() >= 1.0 {
                break;
            }
            let before = filter;
            filter[order] = reflection;
            for i in 0..order {
                filter[i] = before[i] - reflection * before[order - 1 - i];
            }
            error *= 1.0 - reflection * reflection;
        }
        self.filter = filter;
        // Evenly spread noise in ±1 has a power of a third.
        self.gain = (3.0 * error).sqrt();
        self.past = [0.0; ORDER];
    }

    fn make(&mut self, noise: &mut [f32], index: usize, count: usize) {
        for group in noise.chunks_exact_mut(count) {
            // Numerical Recipes' quick generator; its high bits are good enough for the ear.
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = self.seed as i32 as f32 / 2_147_483_648.0;
            let coloured: f32 = self.filter.iter().zip(&self.past).map(|(a, past)| a * past).sum();
            let sample = white * self.gain + coloured;
            self.past.copy_within(..ORDER - 1, 1);
            self.past[0] = sample;
            group[index] = sample;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::rms_dbfs;

    /// White noise through a one-pole low-pass: power, and how alike neighbours are.
    fn rumble(seed: u32, samples: usize, level: f32) -> Vec<f32> {
        let (mut seed, mut state) = (seed, 0.0);
        let mut next = || {
            seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            state += 0.2 * ((seed >> 8) as f32 / 8_388_608.0 - 1.0 - state);
            state * level
        };
        (0..samples).map(|_| next()).collect()
    }

    fn neighbours(sound: &[f32]) -> f32 {
        sound.windows(2).map(|w| w[0] * w[1]).sum::<f32>() / sound.iter().map(|s| s * s).sum::<f32>()
    }

    #[test]
    fn it_sounds_like_what_was_behind_the_voice_in_each_channel() {
        let format = Format::stereo(48_000).unwrap();
        let mut noise = ComfortNoise::new(format, 960);
        let (left, right) = (rumble(1, 192_000, 0.02), rumble(2, 192_000, 0.002));
        let mut sound: Vec<f32> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
        // A voice speaks in every other 200 ms.
        for (index, sample) in sound.iter_mut().enumerate() {
            if index / 19_200 % 2 == 1 {
                *sample += (index as f32 * 0.02).sin() * 0.3;
            }
        }
        sound.chunks(1920).for_each(|block| noise.listen(block));
        let mut made = Vec::new();
        for _ in 0..50 {
            let mut gap = vec![0.0; 1920];
            noise.stand_in(&mut gap, true);
            made.extend(gap);
        }
        for (index, wanted) in [left, right].iter().enumerate() {
            let heard: Vec<f32> = made.iter().skip(index).step_by(2).copied().collect();
            assert!(rms_dbfs(&heard[..480]) < rms_dbfs(wanted) - 10.0, "it comes gently");
            let heard = &heard[4800..];
            let change = rms_dbfs(heard) - rms_dbfs(wanted);
            assert!(change.abs() < 1.5, "channel {index}: {change} dB");
            let (is, should) = (neighbours(heard), neighbours(wanted));
            assert!((is - should).abs() < 0.05, "channel {index}: {is}, {should}");
        }
    }

    #[test]
    fn silence_stays_silent_and_sound_comes_back_untouched() {
        let format = Format::mono(16_000).unwrap();
        let mut noise = ComfortNoise::new(format, 1920);
        (0..100).for_each(|_| noise.listen(&[0.0; 320]));
        let mut gap = [0.0; 320];
        (0..10).for_each(|_| noise.stand_in(&mut gap, true));
        assert!(gap.iter().all(|s| s.abs() < 1e-6));
        let mut sound = [0.5; 320];
        noise.stand_in(&mut sound, false);
        assert!(sound[0] < 0.01 && sound[160..].iter().all(|&s| s == 0.5));
        assert!(sound.windows(2).all(|w| (w[1] - w[0]).abs() < 0.006));
    }

    #[test]
    fn nothing_makes_it_loud() {
        let format = Format::mono(48_000).unwrap();
        let mut noise = ComfortNoise::new(format, 960);
        (0..5).for_each(|_| noise.listen(&[0.1; 960]));
        for sound in [[1e30; 960], [f32::MAX; 960], [0.0; 960], [1e-30; 960]] {
            noise.listen(&sound);
            let mut gap = [0.0; 960];
            noise.stand_in(&mut gap, true);
            assert!(gap.iter().all(|s| s.is_finite()));
            noise.stand_in(&mut gap, false);
        }
        noise.reset();
        noise.listen(&(0..9600).map(|i| (i as f32 * 0.1).sin() * 0.5).collect::<Vec<_>>());
        let mut gap = vec![0.0; 960];
        (0..50).for_each(|_| noise.stand_in(&mut gap, true));
        assert!(gap.iter().all(|s| s.abs() < 2.0), "a tone makes a filter that rings, but no more");
    }
}
