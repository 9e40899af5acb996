//! Playing faster or slower without changing the pitch.

use super::sync_buffer::{LOOK_BACK_MS, SyncBuffer};
use crate::core::{Format, Frame};
use crate::dsp::kernels;

/// The shortest and longest stretch of sound left out or played twice at once, in ms: a period of 400 to 67 Hz.
const SHORTEST_MS: f32 = 2.5;
const LONGEST_MS: f32 = LOOK_BACK_MS;

/// Sound is compared, and cross-faded, over 10 ms: the least length of a frame.
const WINDOW_MS: f32 = 10.0;

/// The search runs at about this rate first.
const COARSE_HZ: usize = 8_000;

/// A place to jump to from the read head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Splice {
    /// How far the place lies ahead, in samples; behind where negative.
    pub jump: isize,
    /// How alike both places sound, −1 to 1: their normalised cross-correlation.
    pub likeness: f32,
}

/// Jumps ahead or back in sound by what is, where there is a voice, a whole number of its periods, and cross-fades
/// (WSOLA: Verhelst and Roelands, 1993).
pub(super) struct Stretch {
    shortest: usize,
    longest: usize,
    window: usize,
    /// Samples to one of the coarse search.
    thin: usize,
    /// The channels' mean around the read head: `longest` before it, the window and `longest` behind it.
    mono: Box<[f32]>,
    coarse: Box<[f32]>,
    /// Rises from 0 to 1 over the window as a raised cosine.
    rise: Box<[f32]>,
}

impl Stretch {
    pub fn new(format: Format) -> Self {
        let window = format.samples_in_ms(WINDOW_MS);
        let longest = format.samples_in_ms(LONGEST_MS);
        let thin = (format.sample_rate_hz() as usize / COARSE_HZ).max(1);
        let around = window + 2 * longest;
        let rise = |i| 0.5 - 0.5 * ((i as f32 + 0.5) * std::f32::consts::PI / window as f32).cos();
        Self {
            shortest: format.samples_in_ms(SHORTEST_MS),
            longest,
            window,
            thin,
            mono: vec![0.0; around].into_boxed_slice(),
            coarse: vec![0.0; around / thin].into_boxed_slice(),
            rise: (0..window).map(rise).collect(),
        }
    }

    /// The sound that must be ahead for the longest jump ahead, with a frame of `samples` after it.
    pub fn wants(&self, samples: usize) -> usize {
        samples + self.longest
    }

    /// The most alike place ahead, at most `most` samples on, that leaves a frame of `samples` behind it.
    pub fn ahead(&mut self, timeline: &SyncBuffer, samples: usize, most: usize) -> Option<Splice> {
        let most = most.min(self.longest).min(timeline.ahead().checked_sub(samples)?);
        self.search(timeline, most, 1)
    }

    /// The most alike place behind, at most `most` samples back.
    pub fn behind(&mut self, timeline: &SyncBuffer, samples: usize, most: usize) -> Option<Splice> {
        if timeline.ahead() < samples {
            return None;
        }
        self.search(timeline, most.min(self.longest), -1)
    }

    /// What is heard of the read head's surroundings.
    fn listen(&mut self, timeline: &SyncBuffer) {
        self.mono.fill(0.0);
        let from = timeline.head() - self.longest;
        for line in timeline.lines() {
            let there = &line[from..line.len().min(from + self.mono.len())];
            kernels::mix(&mut self.mono[..there.len()], 1.0, there, 1.0);
        }
        for (coarse, block) in self.coarse.iter_mut().zip(self.mono.chunks_exact(self.thin)) {
            *coarse = block.iter().sum();
        }
    }

    fn search(&mut self, timeline: &SyncBuffer, most: usize, sign: isize) -> Option<Splice> {
        if most < self.shortest {
            return None;
        }
        self.listen(timeline);
        let thin = self.thin;
        let likeness = |sound: &[f32], head: usize, window: usize, jump: isize| {
            let here = &sound[head..head + window];
            let there = &sound[head.saturating_add_signed(jump)..][..window];
            let energies = kernels::energy(here) * kernels::energy(there);
            if energies > 0.0 { kernels::dot(here, there) / energies.sqrt() } else { 0.0 }
        };
        let best = |from: usize, to: usize, score: &dyn Fn(isize) -> f32| {
            (from..=to)
                .map(|lag| sign * lag as isize)
                .map(|jump| (jump, score(jump)))
                .max_by(|a, b| a.1.total_cmp(&b.1))
        };
        let (head, window) = (self.longest / thin, self.window / thin - 1);
        let (found, _) = best(self.shortest / thin, most / thin, &|jump| likeness(&self.coarse, head, window, jump))?;
        let around = found.unsigned_abs() * thin;
        let (from, to) = ((around - thin).max(self.shortest), (around + thin).min(most));
        let (jump, likeness) = best(from, to, &|jump| likeness(&self.mono, self.longest, self.window, jump))?;
        Some(Splice { jump, likeness })
    }

    /// The next frame, on the way to `splice`: it begins where the read head is and ends behind the jump.
    pub fn take(&mut self, timeline: &mut SyncBuffer, splice: Splice, frame: &mut Frame) {
        let head = timeline.head();
        let there = head.saturating_add_signed(splice.jump);
        let alike = splice.likeness.clamp(0.0, 1.0);
        let length = frame.format().samples_per_channel();
        for (line, to) in timeline.lines().zip(frame.channels_mut()) {
            let (Some(old), Some(new)) = (line.get(head..head + self.window), line.get(there..there + length)) else {
                to.fill(0.0);
                continue;
            };
            let (fading, rest) = to.split_at_mut(self.window);
            for (((to, old), new), rise) in fading.iter_mut().zip(old).zip(new).zip(&self.rise) {
                let fall = 1.0 - rise;
                // The level stays, whether both are the same or have nothing in common.
                let power = fall * fall + rise * rise + 2.0 * alike * fall * rise;
                *to = (old * fall + new * rise) / power.sqrt();
            }
            rest.copy_from_slice(&new[self.window..]);
        }
        timeline.advance(splice.jump + length as isize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level::rms_dbfs;

    /// Plays sound, jumping every fifth frame; what is heard, and the mean likeness of the jumps.
    fn stretch(format: Format, channels: &[Vec<f32>], faster: bool) -> (Vec<Vec<f32>>, f32) {
        let mut timeline = SyncBuffer::new(format);
        let mut stretch = Stretch::new(format);
        let length = format.samples_per_channel();
        let mut frame = Frame::new(format);
        let mut heard = vec![Vec::new(); channels.len()];
        let (mut read, mut alike, mut jumps) = (0, 0.0, 0);
        for round in 0.. {
            while timeline.ahead() < stretch.wants(length) {
                if read + length > channels[0].len() {
                    return (heard, alike / jumps as f32);
                }
                timeline.append(length, |c, line| line.copy_from_slice(&channels[c][read..read + length]));
                read += length;
            }
            let most = stretch.longest;
            let splice = match (round % 5 == 4, faster) {
                (false, _) => None,
                (true, true) => stretch.ahead(&timeline, length, most),
                (true, false) => stretch.behind(&timeline, length, most),
            };
            match splice {
                Some(splice) => {
                    stretch.take(&mut timeline, splice, &mut frame);
                    alike += splice.likeness;
                    jumps += 1;
                }
                None => timeline.take(&mut frame),
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

    /// The largest second difference: what a click has and a low tone has not.
    fn roughness(samples: &[f32]) -> f32 {
        samples.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()).fold(0.0, f32::max)
    }

    /// How many times it rises through zero.
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
                    let (heard, alike) = stretch(format, std::slice::from_ref(&tone), faster);
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
                    assert!(alike > 0.99, "{what}: {alike}");
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
            // Over all frames with a jump: every fifth.
            let jumps: Vec<f32> = heard[0].chunks_exact(160).skip(4).step_by(5).flatten().copied().collect();
            let change = rms_dbfs(&jumps) - rms_dbfs(&noise);
            assert!(change.abs() < 0.3, "faster {faster}: {change} dB");
        }
    }

    #[test]
    fn both_channels_jump_together() {
        let format = Format::stereo(16_000).unwrap();
        let left = sine(150.0, 16_000, 32_000);
        let right: Vec<f32> = left.iter().map(|s| s * 0.25).collect();
        let (heard, _) = stretch(format, &[left, right], true);
        assert!(heard[0].iter().zip(&heard[1]).all(|(l, r)| (l * 0.25 - r).abs() < 1e-6));
    }
}
