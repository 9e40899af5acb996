//! Noise level of the gate: learnt from what a detector takes for no speech, or, where there is none, from the softest
//! sound of the last seconds (minimum statistics).

use crate::dsp::kernels::lower;
use crate::dsp::level::SILENCE_POWER;

/// Milliseconds that are taken together: frames are as long, or twice as long.
pub(super) const TOGETHER_MS: usize = 10;

/// Time constant of the estimate by a detector, in ms.
const NOISE_MS: u32 = 500;

/// Amount of noise after which its estimate moves the thresholds, in ms.
const SETTLED_MS: u32 = 200;

/// Upper bound on a noise sample, as a multiple of the current estimate; limits its rise to 9 dB/s, so that a breath,
/// which no detector takes for speech, does not raise the threshold and shut out the word that follows.
const MAX_RATIO: f32 = 2.0;

/// Blocks of the minimum statistics: their length in ms, whole frames of 10 or 20 ms, and their number, for 3 s. No talker goes
/// on longer without a dip.
const BLOCK_MS: u32 = 60;
const BLOCKS: usize = 50;

/// Mean power of a steady noise relative to the softest block of the last seconds, 1 dB.
const MEAN_TO_MIN: f32 = 1.25;

/// What a millisecond of sound is to the estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Noise, by a detector.
    Noise,
    /// Speech, or the far end: nothing to learn.
    None,
    /// Unknown, without a detector.
    Unknown,
}

/// Estimator of the noise level.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoiseEstimate {
    power: f32,
    /// Amount of noise in the estimate, up to [`NOISE_MS`].
    ms: u32,
    /// Digital silence before the first noise, in ms.
    silent_ms: u32,
    /// Sum of the powers of the current block, and its length so far in ms.
    block: f32,
    block_ms: u32,
    /// Mean powers of the last blocks in a ring, and how many there were.
    blocks: [f32; BLOCKS],
    count: usize,
}

impl Default for NoiseEstimate {
    fn default() -> Self {
        Self { power: 0.0, ms: 0, silent_ms: 0, block: 0.0, block_ms: 0, blocks: [f32::INFINITY; BLOCKS], count: 0 }
    }
}

impl NoiseEstimate {
    /// Estimate that begins with a power it was told, and gives that up soon where it is wrong.
    pub fn at(power: f32) -> Self {
        Self { power, ms: SETTLED_MS, ..Self::default() }
    }

    /// Takes in the power of each of some milliseconds; `min` is the noise below which it makes no difference.
    pub fn learn(&mut self, powers: &[f32; TOGETHER_MS], lesson: Lesson, min: f32) {
        let is_silence = |power: f32| power <= SILENCE_POWER;
        let silence = is_silence(powers.iter().copied().fold(f32::INFINITY, lower));
        if silence {
            // Silence teaches nothing, but as long as nothing else is known there is no noise.
            let silent_ms = powers.iter().filter(|&&power| is_silence(power)).count() as u32;
            self.silent_ms = (self.silent_ms + silent_ms).min(SETTLED_MS);
            (self.block, self.block_ms) = (0.0, 0);
        }
        match lesson {
            Lesson::Noise => {
                for &power in powers.iter().filter(|&&power| !is_silence(power)) {
                    self.ms = (self.ms + 1).min(NOISE_MS);
                    let max = if self.ms > SETTLED_MS { min.max(MAX_RATIO * self.power) } else { power };
                    // The division waits for no power.
                    self.power += (power.min(max) - self.power) * (1.0 / self.ms as f32);
                }
            }
            Lesson::Unknown if !silence => {
                self.block += powers.iter().sum::<f32>();
                self.block_ms += powers.len() as u32;
                if self.block_ms >= BLOCK_MS {
                    self.end_block();
                }
            }
            Lesson::None | Lesson::Unknown => {}
        }
    }

    fn end_block(&mut self) {
        self.blocks[self.count % BLOCKS] = self.block / self.block_ms as f32;
        self.count += 1;
        self.ms = (self.ms + self.block_ms).min(NOISE_MS);
        (self.block, self.block_ms) = (0.0, 0);
        self.power = MEAN_TO_MIN * self.blocks.iter().copied().fold(f32::INFINITY, f32::min);
    }

    /// Power of the noise; 0 while it is unknown.
    pub fn power(&self) -> f32 {
        self.power
    }

    /// Whether the thresholds may fall: the noise is known, or there has been silence instead.
    pub fn may_lower(&self) -> bool {
        self.ms >= SETTLED_MS || self.silent_ms >= SETTLED_MS
    }

    /// Whether the thresholds may rise. Without a detector a talker who makes no pause would shut himself out.
    pub fn may_raise(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(noise: &mut NoiseEstimate, power: f32, lesson: Lesson, ms: usize) -> f32 {
        (0..ms / 10).for_each(|_| noise.learn(&[power; TOGETHER_MS], lesson, 1e-7));
        noise.power()
    }

    #[test]
    fn silence_teaches_nothing() {
        for lesson in [Lesson::Noise, Lesson::Unknown] {
            let mut noise = NoiseEstimate::default();
            assert_eq!(learn(&mut noise, 0.0, lesson, 1000), 0.0);
            assert!(noise.may_lower(), "there is no noise yet");
            let heard = learn(&mut noise, 1e-5, lesson, 4000);
            assert!((0.9e-5..1.7e-5).contains(&heard), "{heard}");
            assert_eq!(learn(&mut noise, 0.0, lesson, 60_000), heard);
        }
    }

    #[test]
    fn without_a_detector_the_softest_sound_is_noise() {
        let mut noise = NoiseEstimate::default();
        learn(&mut noise, 1e-3, Lesson::Unknown, 500);
        assert!(noise.may_lower() && !noise.may_raise(), "it may be a talker");
        // Words of 400 ms, with dips of 100 ms between them, for 5 s.
        for _ in 0..10 {
            learn(&mut noise, 1e-3, Lesson::Unknown, 400);
            learn(&mut noise, 1e-6, Lesson::Unknown, 100);
        }
        let heard = noise.power();
        assert!((heard / MEAN_TO_MIN - 1e-6).abs() < 1e-8, "{heard}");
        assert_eq!(learn(&mut noise, 1e-3, Lesson::None, 10_000), heard, "the far end is no noise");
        let fan = learn(&mut noise, 1e-4, Lesson::Unknown, 3100);
        assert!((fan / MEAN_TO_MIN - 1e-4).abs() < 1e-6, "{fan}");
    }
}
