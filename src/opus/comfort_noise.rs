//! The noise behind a voice, learnt and made again.

use crate::core::Format;
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};

/// Order of the filter that gives the noise its colour: enough for the tilt and the broad humps of a room.
const ORDER: usize = 16;

/// The quietest block within one to two of these windows is the floor: people pause once in so long.
const WINDOW_MS: f32 = 1600.0;

/// What comes first, and first after a gap, is not heard: the codec starts up, and fades over from what it made up.
const SETTLING_MS: f32 = 100.0;
const RETURN_MS: f32 = 10.0;

/// How far above the floor a block may be and count as background: 6 dB, what noise varies by over 10 ms.
const BACKGROUND: f32 = 4.0;

/// Below this mean square a block is silent whatever came before: −75 dBFS.
const SILENT: f32 = 3.16e-8;

/// The loudest floor, as a mean square: −45 dBFS. What is louder is no background.
const LOUDEST: f32 = 3.16e-5;

/// No sample of the noise is larger, whatever the filter was made of: 19 dB above the loudest floor.
const PEAK: f32 = 0.05;

/// One in so many blocks of background renews so much of the noise's shape: noise does not change fast.
const RENEWED: u32 = 3;
const RENEWAL: f32 = 0.25;

/// How long it takes to go.
const GO_MS: f32 = 10.0;

/// Comfort noise: what goes on behind a voice that is missing.
///
/// White noise through an all-pole filter of the background's spectrum, at its level.
pub struct ComfortNoise {
    format: Format,
    /// Samples per channel heard in this window.
    heard: usize,
    /// Samples per channel not to be heard.
    settling: usize,
    channels: Box<[Channel]>,
    /// What was heard last was background.
    background: bool,
    /// How much of it stands in for the sound, 0 to 1.
    share: Ramp,
    /// Interleaved, as long as the longest sound.
    noise: Box<[f32]>,
    /// A block of one channel.
    block: Box<[f32]>,
}

impl ComfortNoise {
    /// For sounds of at most `most` samples per channel.
    pub fn new(format: Format, most: usize) -> Self {
        Self {
            format,
            heard: 0,
            settling: format.samples_in_ms(SETTLING_MS),
            channels: (0..format.channels()).map(|index| Channel::new(index as u32)).collect(),
            background: false,
            share: Ramp::new(0.0, 1, most),
            noise: vec![0.0; most * format.channels()].into_boxed_slice(),
            block: vec![0.0; format.samples_in_ms(10.0)].into_boxed_slice(),
        }
    }

    /// Hears interleaved sound that was received.
    pub fn listen(&mut self, sound: &[f32]) {
        let count = self.format.channels();
        if self.share.value() > 0.0 {
            self.settling = self.settling.max(self.format.samples_in_ms(RETURN_MS));
        }
        for block in sound.chunks(self.format.samples_in_ms(10.0) * count) {
            if self.settling > 0 {
                self.settling = self.settling.saturating_sub(block.len() / count);
                continue;
            }
            self.background = true;
            for (index, channel) in self.channels.iter_mut().enumerate() {
                let alone = if count == 1 {
                    block
                } else {
                    let alone = &mut self.block[..block.len() / count];
                    alone.iter_mut().zip(block.chunks_exact(count)).for_each(|(to, group)| *to = group[index]);
                    alone
                };
                self.background &= channel.listen(alone);
            }
            self.heard += block.len() / count;
            if self.heard >= self.format.samples_in_ms(WINDOW_MS) {
                self.heard = 0;
                self.channels.iter_mut().for_each(|channel| channel.quietest = [f32::INFINITY, channel.quietest[0]]);
            }
        }
    }

    /// Whether what was heard last was no louder than the background.
    pub fn heard_background(&self) -> bool {
        self.background
    }

    /// Whether sound of this mean square in a channel is no louder than the background.
    pub fn is_background(&self, channel: usize, power: f32) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.is_background(power))
    }

    /// Whether nothing is heard but noise.
    pub fn is_alone(&self) -> bool {
        self.share.value() >= 1.0
    }

    /// Goes over from interleaved `sound` to noise, within `ms`.
    pub fn come(&mut self, sound: &mut [f32], ms: f32) {
        if self.share.value() == 0.0 {
            self.channels.iter_mut().for_each(Channel::shape);
        }
        self.share.set(1.0, self.format.samples_in_ms(ms));
        self.mix(sound);
    }

    /// Goes back to `sound`.
    pub fn go(&mut self, sound: &mut [f32]) {
        self.share.set(0.0, self.format.samples_in_ms(GO_MS));
        if self.share.value() > 0.0 {
            self.mix(sound);
        }
    }

    fn mix(&mut self, sound: &mut [f32]) {
        let count = self.format.channels();
        let noise = &mut self.noise[..sound.len()];
        for (index, channel) in self.channels.iter_mut().enumerate() {
            channel.make(noise, index, count);
        }
        // Both have nothing in common: it is their powers that add up.
        match self.share.advance(sound.len() / count) {
            GainCurve::Steady(share) => {
                kernels::mix(sound, (1.0 - share).max(0.0).sqrt(), noise, share.max(0.0).sqrt())
            }
            GainCurve::Moving(shares) => {
                for ((sound, noise), share) in sound.chunks_exact_mut(count).zip(noise.chunks_exact(count)).zip(shares)
                {
                    let share = share.clamp(0.0, 1.0);
                    let (keep, add) = ((1.0 - share).sqrt(), share.sqrt());
                    sound.iter_mut().zip(noise).for_each(|(sound, noise)| *sound = *sound * keep + noise * add);
                }
            }
        }
    }

    pub fn reset(&mut self) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            *channel = Channel::new(index as u32);
        }
        self.heard = 0;
        self.settling = self.format.samples_in_ms(SETTLING_MS);
        self.background = false;
        self.share.jump_to(0.0);
    }
}

#[derive(Clone)]
struct Channel {
    /// The least mean square of a block in this window, and in the one before.
    quietest: [f32; 2],
    /// Blocks of background since its shape was renewed.
    passed: u32,
    /// Autocorrelation of the noise, for a sample; the first is its mean square.
    correlation: [f32; ORDER + 1],
    filter: [f32; ORDER],
    gain: f32,
    /// What the filter put out last, in a circle; the oldest is at `oldest`.
    past: [f32; ORDER],
    oldest: usize,
    random: u32,
}

impl Channel {
    fn new(index: u32) -> Self {
        Self {
            quietest: [f32::INFINITY; 2],
            passed: 0,
            correlation: [0.0; ORDER + 1],
            filter: [0.0; ORDER],
            gain: 0.0,
            past: [0.0; ORDER],
            oldest: 0,
            random: 0x9e37_79b9 ^ index,
        }
    }

    fn is_background(&self, power: f32) -> bool {
        let floor = self.quietest[0].min(self.quietest[1]).clamp(SILENT, LOUDEST);
        power <= floor * BACKGROUND
    }

    /// Takes note of a block: how quiet it is and, if it is background, its spectrum. Whether it is.
    fn listen(&mut self, block: &[f32]) -> bool {
        let length = block.len() as f32;
        let power = kernels::energy(block) / length;
        if !power.is_finite() {
            return false;
        }
        self.quietest[0] = self.quietest[0].min(power);
        if !self.is_background(power) {
            return false;
        }
        // The first is taken as it is, and so is a much quieter one: the noise was overrated.
        let first = self.correlation[0] == 0.0 || power * BACKGROUND < self.correlation[0];
        self.passed += 1;
        if !first && self.passed < RENEWED {
            return true;
        }
        self.passed = 0;
        let renewal = if first { 1.0 } else { RENEWAL };
        for (lag, value) in self.correlation.iter_mut().enumerate() {
            let product = kernels::dot(&block[lag.min(block.len())..], &block[..block.len().saturating_sub(lag)]);
            *value += (product / length - *value) * renewal;
        }
        true
    }

    /// Finds the filter that turns white noise into noise of this correlation (Levinson and Durbin).
    fn shape(&mut self) {
        let mut correlation = self.correlation;
        // A floor 40 dB below keeps the recursion well-conditioned and the filter stable.
        correlation[0] = correlation[0] * 1.0001 + 1e-20;
        let mut error = correlation[0];
        let mut filter = [0.0f32; ORDER];
        for order in 0..ORDER {
            let past: f32 = (0..order).map(|i| filter[i] * correlation[order - i]).sum();
            let reflection = (correlation[order + 1] - past) / error;
            if reflection.is_nan() || reflection.abs() >= 0.999 {
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
        self.gain = error.max(0.0).sqrt();
        self.past = [0.0; ORDER];
    }

    fn make(&mut self, noise: &mut [f32], index: usize, count: usize) {
        for sample in noise.iter_mut().skip(index).step_by(count) {
            // Xorshift (Marsaglia, 2003); evenly spread, of unit power.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            let white = (self.random as i32) as f32 * (1.732_050_8 / 2_147_483_648.0);
            let coloured: f32 = self
                .filter
                .iter()
                .enumerate()
                .map(|(lag, tap)| tap * self.past[(self.oldest + ORDER - 1 - lag) % ORDER])
                .sum();
            let value = (white * self.gain + coloured).clamp(-PEAK, PEAK);
            self.past[self.oldest] = value;
            self.oldest = (self.oldest + 1) % ORDER;
            *sample = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level::rms_dbfs;

    /// White noise through a one-pole low-pass.
    fn rumble(seed: u32, samples: usize, level: f32) -> Vec<f32> {
        let (mut seed, mut state) = (seed, 0.0);
        let mut next = || {
            seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            state += 0.2 * ((seed >> 8) as f32 / 8_388_608.0 - 1.0 - state);
            state * level
        };
        (0..samples).map(|_| next()).collect()
    }

    /// How alike neighbouring samples are, −1 to 1: the colour in one figure.
    fn neighbours(sound: &[f32]) -> f32 {
        sound.windows(2).map(|w| w[0] * w[1]).sum::<f32>() / sound.iter().map(|s| s * s).sum::<f32>()
    }

    fn make(noise: &mut ComfortNoise, gaps: usize, length: usize) -> Vec<f32> {
        let mut made = Vec::new();
        for _ in 0..gaps {
            let mut gap = vec![0.0; length];
            noise.come(&mut gap, 60.0);
            made.extend(gap);
        }
        made
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
        let made = make(&mut noise, 50, 1920);
        let channel = |index: usize| made.iter().skip(index).step_by(2).copied().collect::<Vec<f32>>();
        for (index, wanted) in [left, right].iter().enumerate() {
            let heard = channel(index);
            assert!(rms_dbfs(&heard[..480]) < rms_dbfs(wanted) - 10.0, "it comes gently");
            let heard = &heard[4800..];
            let change = rms_dbfs(heard) - rms_dbfs(wanted);
            assert!(change.abs() < 1.0, "channel {index}: {change} dB");
            let (is, should) = (neighbours(heard), neighbours(wanted));
            assert!((is - should).abs() < 0.03, "channel {index}: {is}, {should}");
        }
        let alike: f32 = channel(0).iter().zip(channel(1)).map(|(a, b)| a * b).sum();
        let powers = channel(0).iter().map(|s| s * s).sum::<f32>() * channel(1).iter().map(|s| s * s).sum::<f32>();
        assert!(alike.abs() < 0.05 * powers.sqrt(), "channels are independent");
    }

    #[test]
    fn silence_stays_silent_and_sound_comes_back_untouched() {
        let format = Format::mono(16_000).unwrap();
        let mut noise = ComfortNoise::new(format, 1920);
        (0..100).for_each(|_| noise.listen(&[0.0; 320]));
        assert!(noise.heard_background() && noise.is_background(0, 1e-9) && !noise.is_background(0, 1e-6));
        assert!(make(&mut noise, 10, 320).iter().all(|s| s.abs() < 1e-6) && noise.is_alone());
        let mut sound = [0.5; 320];
        noise.go(&mut sound);
        assert!(sound[0] < 0.02 && sound[160..].iter().all(|&s| s == 0.5));
        assert!(sound.windows(2).all(|w| (w[1] - w[0]).abs() < 0.01));
    }

    #[test]
    fn nothing_makes_it_loud() {
        let format = Format::mono(48_000).unwrap();
        let mut noise = ComfortNoise::new(format, 960);
        (0..5).for_each(|_| noise.listen(&[0.1; 960]));
        for sound in [[1e30; 960], [f32::MAX; 960], [0.0; 960], [1e-30; 960]] {
            noise.listen(&sound);
            let mut gap = [0.0; 960];
            noise.come(&mut gap, 20.0);
            assert!(gap.iter().all(|s| s.abs() <= PEAK));
            noise.go(&mut gap);
        }
        noise.reset();
        noise.listen(&(0..96_000).map(|i| (i as f32 * 0.1).sin() * 0.5).collect::<Vec<_>>());
        assert!(!noise.heard_background());
        assert!(make(&mut noise, 50, 960).iter().all(|s| s.abs() < 1e-6), "a loud tone is no background");
    }
}
