//! Time stretch: faster or slower playing without a change of pitch (WSOLA: Verhelst and Roelands, 1993).

use super::sync_buffer::{LOOK_BACK_MS, SyncBuffer};
use crate::core::{Format, Frame};
use crate::dsp::kernels;

/// Shortest and longest lag, the stretch of sound left out or repeated at once, in ms: a period of 400 to 67 Hz.
const MIN_LAG_MS: f32 = 2.5;
const MAX_LAG_MS: f32 = LOOK_BACK_MS;

/// Window over which sound is correlated, and cross-faded, in ms: the shortest frame.
const WINDOW_MS: f32 = 10.0;

/// Approximate rate of the coarse search, in Hz.
const COARSE_HZ: usize = 8_000;

/// Jump of the play position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Splice {
    /// Lag in samples: forward where positive, back where negative.
    pub lag: isize,
    /// Normalised cross-correlation of the sound at both places, −1 to 1.
    pub correlation: f32,
}

/// Search for splices by what is, where there is a voice, a whole number of its periods, and their cross-fade.
pub(super) struct TimeStretch {
    min_lag: usize,
    max_lag: usize,
    window: usize,
    /// Samples to one of the coarse search.
    decimation: usize,
    /// Mean of the channels around the play position: `max_lag` before it, the window and `max_lag` behind it.
    mono: Box<[f32]>,
    coarse: Box<[f32]>,
    /// Raised cosine from 0 to 1 over the window.
    fade_in: Box<[f32]>,
}

impl TimeStretch {
    pub fn new(format: Format) -> Self {
        let window = format.samples_in_ms(WINDOW_MS);
        let max_lag = format.samples_in_ms(MAX_LAG_MS);
        let decimation = (format.sample_rate_hz() as usize / COARSE_HZ).max(1);
        let around = window + 2 * max_lag;
        let fade_in = |i| 0.5 - 0.5 * ((i as f32 + 0.5) * std::f32::consts::PI / window as f32).cos();
        Self {
            min_lag: format.samples_in_ms(MIN_LAG_MS),
            max_lag,
            window,
            decimation,
            mono: vec![0.0; around].into_boxed_slice(),
            coarse: vec![0.0; around / decimation].into_boxed_slice(),
            fade_in: (0..window).map(fade_in).collect(),
        }
    }

    /// Samples yet to be played that the longest splice forward needs, with a frame of `samples` behind it.
    pub fn required_len(&self, samples: usize) -> usize {
        samples + self.max_lag
    }

    /// The best correlated splice forward, by at most `max_lag` samples, that leaves a frame of `samples` behind it.
    pub fn find_forward(&mut self, buffer: &SyncBuffer, samples: usize, max_lag: usize) -> Option<Splice> {
        let max_lag = max_lag.min(self.max_lag).min(buffer.future_len().checked_sub(samples)?);
        self.search(buffer, max_lag, 1)
    }

    /// The best correlated splice back, by at most `max_lag` samples.
    pub fn find_back(&mut self, buffer: &SyncBuffer, samples: usize, max_lag: usize) -> Option<Splice> {
        if buffer.future_len() < samples {
            return None;
        }
        self.search(buffer, max_lag.min(self.max_lag), -1)
    }

    /// Mixes the channels around the play position down, at both rates.
    fn downmix(&mut self, buffer: &SyncBuffer) {
        self.mono.fill(0.0);
        let from = buffer.next_index() - self.max_lag;
        for channel in buffer.channels() {
            let there = &channel[from..channel.len().min(from + self.mono.len())];
            kernels::mix(&mut self.mono[..there.len()], 1.0, there, 1.0);
        }
        for (coarse, block) in self.coarse.iter_mut().zip(self.mono.chunks_exact(self.decimation)) {
            *coarse = block.iter().sum();
        }
    }

    fn search(&mut self, buffer: &SyncBuffer, max_lag: usize, sign: isize) -> Option<Splice> {
        if max_lag < self.min_lag {
            return None;
        }
        self.downmix(buffer);
        let decimation = self.decimation;
        let correlation = |sound: &[f32], at: usize, window: usize, lag: isize| {
            let here = &sound[at..at + window];
            let there = &sound[at.saturating_add_signed(lag)..][..window];
            let energies = kernels::energy(here) * kernels::energy(there);
            if energies > 0.0 { kernels::dot(here, there) / energies.sqrt() } else { 0.0 }
        };
        let best = |from: usize, to: usize, score: &dyn Fn(isize) -> f32| {
            (from..=to)
                .map(|length| sign * length as isize)
                .map(|lag| (lag, score(lag)))
                .max_by(|a, b| a.1.total_cmp(&b.1))
        };
        let (at, window) = (self.max_lag / decimation, self.window / decimation - 1);
        let coarse = &|lag| correlation(&self.coarse, at, window, lag);
        let (found, _) = best(self.min_lag / decimation, max_lag / decimation, coarse)?;
        let around = found.unsigned_abs() * decimation;
        let (from, to) = ((around - decimation).max(self.min_lag), (around + decimation).min(max_lag));
        let (lag, correlation) = best(from, to, &|lag| correlation(&self.mono, self.max_lag, self.window, lag))?;
        Some(Splice { lag, correlation })
    }

    /// Reads the next frame across `splice`: it begins at the play position and ends behind the jump.
    pub fn read_frame(&mut self, buffer: &mut SyncBuffer, splice: Splice, frame: &mut Frame) {
        let here = buffer.next_index();
        let there = here.saturating_add_signed(splice.lag);
        let correlation = splice.correlation.clamp(0.0, 1.0);
        let samples = frame.format().samples_per_channel();
        for (channel, to) in buffer.channels().zip(frame.channels_mut()) {
            let (Some(old), Some(new)) = (channel.get(here..here + self.window), channel.get(there..there + samples))
            else {
                to.fill(0.0);
                continue;
            };
            let (fading, behind) = to.split_at_mut(self.window);
            for (((to, old), new), fade_in) in fading.iter_mut().zip(old).zip(new).zip(&self.fade_in) {
                let fade_out = 1.0 - fade_in;
                // The level stays, whether both are the same or have nothing in common.
                let power = fade_out * fade_out + fade_in * fade_in + 2.0 * correlation * fade_out * fade_in;
                *to = (old * fade_out + new * fade_in) / power.sqrt();
            }
            behind.copy_from_slice(&new[self.window..]);
        }
        buffer.seek(splice.lag + samples as isize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level::rms_dbfs;

    /// Plays sound with a splice in every fifth frame; the sound heard, and the mean correlation of the splices.
    fn stretch(format: Format, channels: &[Vec<f32>], faster: bool) -> (Vec<Vec<f32>>, f32) {
        let mut buffer = SyncBuffer::new(format);
        let mut time_stretch = TimeStretch::new(format);
        let length = format.samples_per_channel();
        let mut frame = Frame::new(format);
        let mut heard = vec![Vec::new(); channels.len()];
        let (mut read, mut correlation, mut splices) = (0, 0.0, 0);
        for round in 0.. {
            while buffer.future_len() < time_stretch.required_len(length) {
                if read + length > channels[0].len() {
                    return (heard, correlation / splices as f32);
                }
                buffer.append(length, |c, samples| samples.copy_from_slice(&channels[c][read..read + length]));
                read += length;
            }
            let max_lag = time_stretch.max_lag;
            let splice = match (round % 5 == 4, faster) {
                (false, _) => None,
                (true, true) => time_stretch.find_forward(&buffer, length, max_lag),
                (true, false) => time_stretch.find_back(&buffer, length, max_lag),
            };
            match splice {
                Some(splice) => {
                    time_stretch.read_frame(&mut buffer, splice, &mut frame);
                    correlation += splice.correlation;
                    splices += 1;
                }
                None => buffer.read_frame(&mut frame),
            }
            for (to, from) in heard.iter_mut().zip(frame.channels()) {
                to.extend_from_slice(from);
            }
        }
        unreachable!()
    }

    fn sine(hz: f32, rate: u32, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|i| 0.5 * (f64::from(hz) * i as f64 * std::f64::consts::TAU / f64::from(rate)).sin() as f32)
            .collect()
    }

    /// Largest second difference: large for a click, small for a low tone.
    fn roughness(samples: &[f32]) -> f32 {
        samples.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()).fold(0.0, f32::max)
    }

    /// Number of rises through zero.
    fn periods(samples: &[f32]) -> usize {
        samples.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count()
    }

    #[test]
    fn a_tone_keeps_pitch_and_level_and_does_not_click() {
        for rate in [8_000, 16_000, 48_000] {
            let format = Format::mono(rate).unwrap();
            for hz in [70.0, 110.0, 233.0, 400.0, 1230.0] {
                let tone = sine(hz, rate, rate as usize * 2);
                for faster in [true, false] {
                    let (heard, correlation) = stretch(format, std::slice::from_ref(&tone), faster);
                    let heard = &heard[0];
                    let what = format!("{hz} Hz at {rate}, faster {faster}");
                    let change = heard.len() as f32 / tone.len() as f32 - 1.0;
                    assert!(
                        if faster { (-0.35..-0.03).contains(&change) } else { (0.04..0.5).contains(&change) },
                        "{what}: {change}"
                    );
                    let pitch = periods(heard) as f32 * rate as f32 / heard.len() as f32;
                    assert!((pitch / hz - 1.0).abs() < 0.01, "{what}: {pitch} Hz");
                    assert!(
                        rms_dbfs(heard) - rms_dbfs(&tone) > -0.1 && rms_dbfs(heard) - rms_dbfs(&tone) < 0.1,
                        "{what}"
                    );
                    assert!(
                        roughness(heard) < roughness(&tone) * 1.15 + 1e-3,
                        "{what}: {}",
                        roughness(heard) / roughness(&tone)
                    );
                    assert!(correlation > 0.99, "{what}: {correlation}");
                }
            }
        }
    }

    #[test]
    fn noise_keeps_its_level_at_every_moment() {
        let format = Format::mono(16_000).unwrap();
        let mut random = 1u32;
        let noise: Vec<f32> = (0..160_000)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        for faster in [true, false] {
            let (heard, _) = stretch(format, std::slice::from_ref(&noise), faster);
            // Over all frames with a splice: every fifth.
            let splices: Vec<f32> = heard[0].chunks_exact(160).skip(4).step_by(5).flatten().copied().collect();
            let change = rms_dbfs(&splices) - rms_dbfs(&noise);
            assert!(change.abs() < 0.3, "faster {faster}: {change} dB");
        }
    }

    #[test]
    fn both_channels_are_spliced_together() {
        let format = Format::stereo(16_000).unwrap();
        let left = sine(150.0, 16_000, 32_000);
        let right: Vec<f32> = left.iter().map(|s| s * 0.25).collect();
        let (heard, _) = stretch(format, &[left, right], true);
        assert!(heard[0].iter().zip(&heard[1]).all(|(l, r)| (l * 0.25 - r).abs() < 1e-6));
    }
}
