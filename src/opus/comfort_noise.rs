//! Comfort noise: the background behind a voice, estimated while sound is received and synthesised in its place.

use crate::core::Format;
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};

/// Order of the all-pole filter that colours the noise: enough for the tilt and the broad humps of a room.
const ORDER: usize = 16;

/// Length of a block of analysis, in ms.
const BLOCK_MS: f32 = 10.0;

/// Window of the minimum statistics, in ms. The noise floor is the minimum over one to two of them: people pause once in
/// that time.
const WINDOW_MS: f32 = 1600.0;

/// Settling time that is not analysed, in ms: while the codec starts, and while sound fades in after a gap.
const START_MS: f32 = 100.0;
const RETURN_MS: f32 = 10.0;

/// Power of a block relative to the floor up to which it counts as background: 6 dB, by which noise varies over 10 ms.
const BACKGROUND: f32 = 4.0;

/// Range of the floor, as a mean square. Below −75 dBFS a block is silent whatever came before; what is louder than
/// −45 dBFS is no background.
const MIN_FLOOR: f32 = 3.16e-8;
const MAX_FLOOR: f32 = 3.16e-5;

/// Largest magnitude of the noise, whatever the filter: 19 dB above the largest floor.
const PEAK: f32 = 0.05;

/// Blocks of background for one update of the noise's spectrum, and the weight of that update: noise does not change
/// fast.
const UPDATE_BLOCKS: u32 = 3;
const UPDATE_WEIGHT: f32 = 0.25;

/// Longest sound between two silences of the sender that is a refresh of the background, in ms: one packet of 60 ms, or
/// three of 20 ms. A voice is sent for longer: libopus waits for 200 ms of silence before it stops.
const MAX_REFRESH_MS: f32 = 60.0;

/// Weight of a refresh: they come every 400 ms, and with this the noise is within 1 dB of a step of 15 dB after 2 s.
const REFRESH_WEIGHT: f32 = 0.5;

/// Power by which a refresh is louder than it was coded, 2 dB: libopus takes 2 to 3.5 dB off steady noise (white noise of
/// −50 dBFS at 16 to 64 kb/s).
const REFRESH_GAIN: f32 = 1.58;

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
            share: Ramp::new(0.0, 1, max_length),
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
            self.channels.iter_mut().for_each(|channel| channel.refresh = Refresh::default());
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
                self.channels.iter_mut().for_each(|channel| channel.minima = [f32::INFINITY, channel.minima[0]]);
            }
        }
    }

    /// Takes note that the sender is silent: a short sound since it last was is the background, however loud.
    pub fn sender_is_silent(&mut self) {
        if self.since_noise <= self.format.samples_in_ms(MAX_REFRESH_MS) {
            self.channels.iter_mut().for_each(Channel::refresh);
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
                for ((sound, noise), share) in sound.chunks_exact_mut(count).zip(noise.chunks_exact(count)).zip(shares)
                {
                    let share = share.clamp(0.0, 1.0);
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

/// Sum of the autocorrelations of blocks that may be a refresh of the background.
#[derive(Clone, Copy, Default)]
struct Refresh {
    correlation: [f32; ORDER + 1],
    blocks: f32,
}

/// Background of one channel.
#[derive(Clone)]
struct Channel {
    /// Minimum of the mean square of a block in this window, and in the one before.
    minima: [f32; 2],
    /// Blocks of background since the last update.
    since_update: u32,
    /// Autocorrelation of the noise, per sample; the first is its mean square.
    correlation: [f32; ORDER + 1],
    refresh: Refresh,
    /// Prediction coefficients and gain of the filter.
    filter: [f32; ORDER],
    gain: f32,
    /// Ring of the filter's last outputs; the oldest is at `oldest`.
    past: [f32; ORDER],
    oldest: usize,
    random: u32,
}

impl Channel {
    fn new(index: u32) -> Self {
        Self {
            minima: [f32::INFINITY; 2],
            since_update: 0,
            correlation: [0.0; ORDER + 1],
            refresh: Refresh::default(),
            filter: [0.0; ORDER],
            gain: 0.0,
            past: [0.0; ORDER],
            oldest: 0,
            random: 0x9e37_79b9 ^ index,
        }
    }

    fn is_background(&self, power: f32) -> bool {
        let floor = self.minima[0].min(self.minima[1]).clamp(MIN_FLOOR, MAX_FLOOR);
        power <= floor * BACKGROUND
    }

    /// Takes the level of a block and, if it is background, its spectrum; returns whether it is. `may_be_refresh` where it
    /// came right behind noise.
    fn analyse(&mut self, block: &[f32], may_be_refresh: bool) -> bool {
        let power = kernels::energy(block) / block.len() as f32;
        if !power.is_finite() {
            return false;
        }
        self.minima[0] = self.minima[0].min(power);
        if may_be_refresh {
            let sum = &mut self.refresh.correlation;
            sum.iter_mut().zip(autocorrelation(block)).for_each(|(sum, value)| *sum += value);
            self.refresh.blocks += 1.0;
        }
        if !self.is_background(power) {
            return false;
        }
        // The first block is taken as it is, and so is a much quieter one: the noise was overestimated.
        let first = self.correlation[0] == 0.0 || power * BACKGROUND < self.correlation[0];
        self.since_update += 1;
        if !first && self.since_update < UPDATE_BLOCKS {
            return true;
        }
        self.since_update = 0;
        self.update(autocorrelation(block), if first { 1.0 } else { UPDATE_WEIGHT });
        true
    }

    fn update(&mut self, correlation: [f32; ORDER + 1], weight: f32) {
        self.correlation.iter_mut().zip(correlation).for_each(|(value, new)| *value += (new - *value) * weight);
    }

    /// Takes what was received for the background.
    fn refresh(&mut self) {
        let Refresh { correlation, blocks } = std::mem::take(&mut self.refresh);
        if blocks > 0.0 {
            let correlation = correlation.map(|sum| sum / blocks * REFRESH_GAIN);
            self.minima = [correlation[0]; 2];
            self.update(correlation, if self.correlation[0] == 0.0 { 1.0 } else { REFRESH_WEIGHT });
        }
    }

    /// Computes the filter whose output has the noise's autocorrelation (Levinson-Durbin).
    fn shape(&mut self) {
        let mut correlation = self.correlation;
        // A white floor 40 dB below keeps the recursion well conditioned and the filter stable.
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

    /// Writes noise for this channel, the one numbered `index` of `count` interleaved ones.
    fn synthesise(&mut self, noise: &mut [f32], index: usize, count: usize) {
        for sample in noise.iter_mut().skip(index).step_by(count) {
            // Xorshift (Marsaglia, 2003); uniform, of unit power.
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

/// Autocorrelation of a block, per sample.
fn autocorrelation(block: &[f32]) -> [f32; ORDER + 1] {
    let length = block.len();
    std::array::from_fn(|lag| {
        kernels::dot(&block[lag.min(length)..], &block[..length.saturating_sub(lag)]) / length as f32
    })
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
