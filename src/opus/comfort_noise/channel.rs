//! Background of one channel: its level and spectrum, and noise like it.

use crate::dsp::kernels;

/// Order of the all-pole filter that colours the noise: enough for the tilt and the broad humps of a room.
const ORDER: usize = 16;

/// Power of a block relative to the floor up to which it counts as background: 6 dB, by which noise varies over 10 ms.
const BACKGROUND: f32 = 4.0;

/// Range of the floor, as a mean square. Below −75 dBFS a block is silent whatever came before; what is louder than
/// −45 dBFS is no background.
const MIN_FLOOR: f32 = 3.16e-8;
const MAX_FLOOR: f32 = 3.16e-5;

/// Largest magnitude of the noise, whatever the filter: 19 dB above the largest floor.
pub const PEAK: f32 = 0.05;

/// Blocks of background for one update of the noise's spectrum, and the weight of that update: noise does not change
/// fast.
const UPDATE_BLOCKS: u32 = 3;
const UPDATE_WEIGHT: f32 = 0.25;

/// Weight of a refresh: they come every 400 ms, and with this the noise is within 1 dB of a step of 15 dB after 2 s.
const REFRESH_WEIGHT: f32 = 0.5;

/// Power by which a refresh is louder than it was coded, 2 dB: libopus takes 2 to 3.5 dB off steady noise (white noise of
/// −50 dBFS at 16 to 64 kb/s).
const REFRESH_GAIN: f32 = 1.58;

/// Sum of the autocorrelations of blocks that may be a refresh of the background.
#[derive(Clone, Copy, Default)]
struct Refresh {
    correlation: [f32; ORDER + 1],
    blocks: f32,
}

/// Background of one channel.
#[derive(Clone)]
pub struct Channel {
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
    pub fn new(index: u32) -> Self {
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

    pub fn is_background(&self, power: f32) -> bool {
        let floor = self.minima[0].min(self.minima[1]).clamp(MIN_FLOOR, MAX_FLOOR);
        power <= floor * BACKGROUND
    }

    /// Takes the level of a block and, if it is background, its spectrum; returns whether it is. `may_be_refresh` where it
    /// came right behind noise.
    pub fn analyse(&mut self, block: &[f32], may_be_refresh: bool) -> bool {
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

    /// Begins another window of the minimum statistics.
    pub fn begin_window(&mut self) {
        self.minima = [f32::INFINITY, self.minima[0]];
    }

    /// Forgets what may have been a refresh: what comes now may be one.
    pub fn begin_refresh(&mut self) {
        self.refresh = Refresh::default();
    }

    /// Takes what may be a refresh for the background.
    pub fn take_refresh(&mut self) {
        let Refresh { correlation, blocks } = std::mem::take(&mut self.refresh);
        if blocks > 0.0 {
            let correlation = correlation.map(|sum| sum / blocks * REFRESH_GAIN);
            self.minima = [correlation[0]; 2];
            self.update(correlation, if self.correlation[0] == 0.0 { 1.0 } else { REFRESH_WEIGHT });
        }
    }

    /// Computes the filter whose output has the noise's autocorrelation (Levinson-Durbin).
    pub fn shape(&mut self) {
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
    pub fn synthesise(&mut self, noise: &mut [f32], index: usize, count: usize) {
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
