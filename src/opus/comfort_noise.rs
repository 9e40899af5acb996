//! Comfort noise: the background behind a voice, estimated while sound is received and synthesised in its place.

mod channel;

use crate::core::Format;
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};
use channel::Channel;

/// Length of a block of analysis, in ms.
const BLOCK_MS: f32 = 10.0;

/// Window of the minimum statistics, in ms. The noise floor is the minimum over one to two of them: people pause once in
/// that time.
const WINDOW_MS: f32 = 1600.0;

/// Settling time that is not analysed, in ms: while the codec starts, and while sound fades in after a gap.
const START_MS: f32 = 100.0;
const RETURN_MS: f32 = 10.0;

/// Longest sound between two silences of the sender that is a refresh of the background, in ms: one packet of 60 ms, or
/// three of 20 ms. A voice is sent for longer: libopus waits for 200 ms of silence before it stops.
const MAX_REFRESH_MS: f32 = 60.0;

/// Fade time from noise to sound, in ms.
const FADE_OUT_MS: f32 = 10.0;

/// Comfort noise generator: white noise through an all-pole filter of the background's spectrum, at its level.
pub struct ComfortNoise {
    format: Format,
    /// Samples per channel analysed in this window.
    analysed: usize,
    /// Samples per channel of settling time left.
    settling: usize,
    channels: Box<[Channel]>,
    /// Whether the last block analysed was background in all channels.
    background: bool,
    /// Samples per channel received since there was nothing but noise.
    since_noise: usize,
    /// Share of the noise in the output, 0 to 1.
    share: Ramp,
    /// Interleaved noise, as long as the longest sound.
    noise: Box<[f32]>,
    /// Block of one channel.
    block: Box<[f32]>,
}

impl ComfortNoise {
    /// Generator for sounds of at most `max_length` samples per channel. Allocates.
    pub fn new(format: Format, max_length: usize) -> Self {
        Self {
            format,
            analysed: 0,
            settling: format.samples_in_ms(START_MS),
            channels: (0..format.channels()).map(|index| Channel::new(index as u32)).collect(),
            background: false,
            since_noise: usize::MAX,
            share: Ramp::new(0.0, 1),
            noise: vec![0.0; max_length * format.channels()].into_boxed_slice(),
            block: vec![0.0; format.samples_in_ms(BLOCK_MS)].into_boxed_slice(),
        }
    }

    /// Analyses interleaved sound that was received.
    pub fn analyse(&mut self, sound: &[f32]) {
        let count = self.format.channels();
        if self.share.value() > 0.0 {
            self.settling = self.settling.max(self.format.samples_in_ms(RETURN_MS));
            self.since_noise = 0;
            self.channels.iter_mut().for_each(Channel::begin_refresh);
        }
        self.since_noise = self.since_noise.saturating_add(sound.len() / count);
        for block in sound.chunks(self.format.samples_in_ms(BLOCK_MS) * count) {
            if self.settling > 0 {
                self.settling = self.settling.saturating_sub(block.len() / count);
                continue;
            }
            self.background = true;
            let may_be_refresh = self.since_noise <= self.format.samples_in_ms(MAX_REFRESH_MS);
            for (index, channel) in self.channels.iter_mut().enumerate() {
                let alone = if count == 1 {
                    block
                } else {
                    let alone = &mut self.block[..block.len() / count];
                    alone.iter_mut().zip(block.chunks_exact(count)).for_each(|(to, group)| *to = group[index]);
                    alone
                };
                self.background &= channel.analyse(alone, may_be_refresh);
            }
            self.analysed += block.len() / count;
            if self.analysed >= self.format.samples_in_ms(WINDOW_MS) {
                self.analysed = 0;
                self.channels.iter_mut().for_each(Channel::begin_window);
            }
        }
    }

    /// Takes note that the sender is silent: a short sound since it last was is the background, however loud.
    pub fn sender_is_silent(&mut self) {
        if self.since_noise <= self.format.samples_in_ms(MAX_REFRESH_MS) {
            self.channels.iter_mut().for_each(Channel::take_refresh);
            self.background = true;
        }
        self.since_noise = usize::MAX;
    }

    /// Whether the last block analysed was no louder than the background.
    pub fn ends_in_background(&self) -> bool {
        self.background
    }

    /// Whether sound of this mean square in a channel is no louder than the background.
    pub fn is_background(&self, channel: usize, power: f32) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.is_background(power))
    }

    /// Whether the output is nothing but noise.
    pub fn is_alone(&self) -> bool {
        self.share.value() >= 1.0
    }

    /// Fades from interleaved `sound` to noise, within `ms`.
    pub fn fade_in(&mut self, sound: &mut [f32], ms: f32) {
        if self.share.value() == 0.0 {
            self.channels.iter_mut().for_each(Channel::shape);
        }
        self.share.set(1.0, self.format.samples_in_ms(ms));
        self.mix(sound);
    }

    /// Fades from noise back to interleaved `sound`.
    pub fn fade_out(&mut self, sound: &mut [f32]) {
        self.share.set(0.0, self.format.samples_in_ms(FADE_OUT_MS));
        if self.share.value() > 0.0 {
            self.mix(sound);
        }
    }

    fn mix(&mut self, sound: &mut [f32]) {
        let count = self.format.channels();
        let noise = &mut self.noise[..sound.len()];
        for (index, channel) in self.channels.iter_mut().enumerate() {
            channel.synthesise(noise, index, count);
        }
        // Uncorrelated signals: their powers add up.
        match self.share.advance(sound.len() / count) {
            GainCurve::Steady(share) => {
                kernels::mix(sound, (1.0 - share).max(0.0).sqrt(), noise, share.max(0.0).sqrt())
            }
            GainCurve::Moving(shares) => {
                let groups = sound.chunks_exact_mut(count).zip(noise.chunks_exact(count));
                for (index, (sound, noise)) in groups.enumerate() {
                    let share = shares.at(index).clamp(0.0, 1.0);
                    let (keep, add) = ((1.0 - share).sqrt(), share.sqrt());
                    sound.iter_mut().zip(noise).for_each(|(sound, noise)| *sound = *sound * keep + noise * add);
                }
            }
        }
    }

    /// Forgets the background.
    pub fn reset(&mut self) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            *channel = Channel::new(index as u32);
        }
        self.analysed = 0;
        self.settling = self.format.samples_in_ms(START_MS);
        self.background = false;
        self.since_noise = usize::MAX;
        self.share.jump_to(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::channel::PEAK;
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

    /// Correlation of neighbouring samples, −1 to 1: the colour in one figure.
    fn neighbours(sound: &[f32]) -> f32 {
        sound.windows(2).map(|w| w[0] * w[1]).sum::<f32>() / sound.iter().map(|s| s * s).sum::<f32>()
    }

    fn fill(noise: &mut ComfortNoise, gaps: usize, length: usize) -> Vec<f32> {
        let mut filled = Vec::new();
        for _ in 0..gaps {
            let mut gap = vec![0.0; length];
            noise.fade_in(&mut gap, 60.0);
            filled.extend(gap);
        }
        filled
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
        sound.chunks(1920).for_each(|block| noise.analyse(block));
        let made = fill(&mut noise, 50, 1920);
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
        (0..100).for_each(|_| noise.analyse(&[0.0; 320]));
        assert!(noise.ends_in_background() && noise.is_background(0, 1e-9) && !noise.is_background(0, 1e-6));
        assert!(fill(&mut noise, 10, 320).iter().all(|s| s.abs() < 1e-6) && noise.is_alone());
        let mut sound = [0.5; 320];
        noise.fade_out(&mut sound);
        assert!(sound[0] < 0.02 && sound[160..].iter().all(|&s| s == 0.5));
        assert!(sound.windows(2).all(|w| (w[1] - w[0]).abs() < 0.01));
    }

    #[test]
    fn nothing_makes_it_loud() {
        let format = Format::mono(48_000).unwrap();
        let mut noise = ComfortNoise::new(format, 960);
        (0..5).for_each(|_| noise.analyse(&[0.1; 960]));
        for sound in [[1e30; 960], [f32::MAX; 960], [0.0; 960], [1e-30; 960]] {
            noise.analyse(&sound);
            let mut gap = [0.0; 960];
            noise.fade_in(&mut gap, 20.0);
            assert!(gap.iter().all(|s| s.abs() <= PEAK));
            noise.fade_out(&mut gap);
        }
        noise.reset();
        noise.analyse(&(0..96_000).map(|i| (i as f32 * 0.1).sin() * 0.5).collect::<Vec<_>>());
        assert!(!noise.ends_in_background());
        assert!(fill(&mut noise, 50, 960).iter().all(|s| s.abs() < 1e-6), "a loud tone is no background");
    }

    #[test]
    fn it_follows_a_background_that_changes_in_a_pause() {
        let mut noise = ComfortNoise::new(Format::mono(48_000).unwrap(), 960);
        let sound = rumble(5, 480_000, 0.02);
        let mut blocks = sound.chunks_exact(960);
        let mut pause = |noise: &mut ComfortNoise, gain: f32, refreshes: usize| {
            let mut heard = Vec::new();
            for _ in 0..refreshes {
                heard = (0..19)
                    .flat_map(|_| {
                        noise.sender_is_silent();
                        fill(noise, 1, 960)
                    })
                    .collect();
                let mut refresh: Vec<f32> = blocks.next().unwrap().iter().map(|s| s * gain).collect();
                noise.analyse(&refresh);
                noise.fade_out(&mut refresh);
            }
            rms_dbfs(&heard[4800..])
        };
        sound.chunks(960).for_each(|block| noise.analyse(block));
        let before = pause(&mut noise, 1.0, 8);
        for change in [15.0, -15.0, 9.0] {
            let heard = pause(&mut noise, 10f32.powf(change / 20.0), 6) - before;
            assert!((heard - change).abs() < 2.0, "{change} dB: {heard} dB");
        }
        // A voice of more than 60 ms is none of it.
        let mut voice = vec![0.1; 960];
        for _ in 0..4 {
            noise.analyse(&voice);
            noise.fade_out(&mut voice);
        }
        assert!((pause(&mut noise, 10f32.powf(9.0 / 20.0), 1) - before - 9.0).abs() < 2.0);
    }
}
