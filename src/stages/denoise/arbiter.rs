//! Arbiter between the networks: what of each is heard.
//!
//! Each network alone drops some voices by 10 dB and more, but not the same ones: Hush soft second talkers, RNNoise 0.2
//! whispers and some narrow-band voices; RNNoise 0.1 hardly any. So where Hush and RNNoise 0.2 pass as much, the mean of
//! both is heard, and else the median of all three ([`Vote`]); and where RNNoise 0.1 keeps a voice that the others drop, it is
//! heard instead ([`Guard`]).

use crate::dsp::kernels;
#[cfg(feature = "hush")]
use crate::dsp::weighted_power::WeightedPower;
use crate::neural::stft::{Spectrum, power_in_lanes};

/// Largest gain of the median of three networks: two that add up to more than the input are wrong.
#[cfg(feature = "hush")]
const MAX_GAIN: f32 = 1.2;

/// Power of a spectrum below which it is digital silence, which teaches nothing; at the scale of 16-bit PCM.
const SILENCE: f32 = 0.04;

kernels! {
    /// Power of a spectrum.
    fn power(spectrum: &Spectrum) -> f32 {
        power_in_lanes::<16>(spectrum)
    }

    /// Mixes `weight` of `other` into a spectrum, in the bins where it is louder.
    fn blend_louder(spectrum: &mut Spectrum, other: &Spectrum, weight: f32) {
        if weight > 0.0 {
            for (bin, other) in spectrum.iter_mut().zip(other) {
                if other.norm_sqr() > bin.norm_sqr() {
                    *bin += (other - *bin) * weight;
                }
            }
        }
    }

    /// Weighted mean of two spectra.
    #[cfg(feature = "hush")]
    fn weighted_mean(mean: &mut Spectrum, spectra: [&Spectrum; 2], weights: [f32; 2]) {
        for ((mean, a), b) in mean.iter_mut().zip(spectra[0]).zip(spectra[1]) {
            mean.re = a.re * weights[0] + b.re * weights[1];
            mean.im = a.im * weights[0] + b.im * weights[1];
        }
    }

    /// Mixes `share` of the median of three gains into a spectrum; the first counts `makeup` times.
    #[cfg(feature = "hush")]
    fn blend_median(spectrum: &mut Spectrum, input: &Spectrum, others: [&Spectrum; 3], makeup: f32, share: f32) {
        let powers = |bin: usize| others.map(|other| other[bin].re * other[bin].re + other[bin].im * other[bin].im);
        for (bin, (value, input)) in spectrum.iter_mut().zip(input).enumerate() {
            let [a, b, c] = powers(bin);
            let a = a * makeup * makeup;
            let median = a.min(b).max(a.max(b).min(c));
            let gain = (median / (input.re * input.re + input.im * input.im + SILENCE * 1e-6)).sqrt().min(MAX_GAIN);
            value.re += (input.re * gain - value.re) * share;
            value.im += (input.im * gain - value.im) * share;
        }
    }

    /// Mixes `share` of `other` into a spectrum.
    fn blend(spectrum: &mut Spectrum, other: &Spectrum, share: f32) {
        if share > 0.0 {
            for (bin, other) in spectrum.iter_mut().zip(other) {
                bin.re += (other.re - bin.re) * share;
                bin.im += (other.im - bin.im) * share;
            }
        }
    }
}

/// Whether a spectrum of this power is digital silence.
pub(super) fn is_silent(power: f32) -> bool {
    power < SILENCE
}

/// Ratio of two powers in dB.
fn ratio_db(a: f32, b: f32) -> f32 {
    10.0 * ((a + SILENCE * 1e-3) / (b + SILENCE * 1e-3)).log10()
}

/// Position of `value` in a range, 0 at its lower end and below, 1 at its upper end and above.
fn position_in([low, high]: [f32; 2], value: f32) -> f32 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// Vote of three networks.
#[cfg(feature = "hush")]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vote {
    /// Smoothed powers of Hush and RNNoise 0.2.
    powers: [f32; 2],
    input: WeightedPower,
    /// Smoothed products of the powers of RNNoise 0.1 and Hush, and squares of Hush's. Their ratio is Hush's loss where it
    /// hears speech.
    products: f32,
    squares: f32,
}

#[cfg(feature = "hush")]
impl Vote {
    /// Smoothing coefficient of the powers, for each frame: 200 ms.
    const SMOOTHING: f32 = 0.05;

    /// Difference of Hush and RNNoise 0.2 in dB: up to the first figure their mean is heard, from the second on the median.
    const DOUBT_DB: [f32; 2] = [2.0, 6.0];

    /// Share of Hush in the mean.
    const HUSH: f32 = 0.6;

    /// Largest gain that makes up for Hush's loss: 6 dB.
    const MAX_MAKEUP: f32 = 2.0;

    /// Smoothing coefficients of that loss, 2 s, and of the input level, 3 s.
    const LOSS_SMOOTHING: f32 = 0.005;
    const LEVEL_SMOOTHING: f32 = 1.0 / 300.0;

    /// Power, relative to the input level, at which both are taken to agree at first: −20 dB.
    const PRIOR: f32 = 0.01;

    /// Spectrum of the frame `input` by the vote of Hush, RNNoise 0.2 and RNNoise 0.1.
    pub fn decide(
        &mut self,
        output: &mut Spectrum,
        input: &Spectrum,
        input_power: f32,
        [hush, second, first]: [&Spectrum; 3],
    ) {
        if !is_silent(input_power) {
            self.learn(input_power, [hush, second, first].map(power));
        }
        let prior = (self.input.power() * Self::PRIOR + SILENCE).powi(2);
        let loss = (self.products + prior) / (self.squares + prior);
        let makeup = loss.sqrt().clamp(1.0, Self::MAX_MAKEUP);
        let difference_db = ratio_db(self.powers[0] * makeup * makeup, self.powers[1]);
        let doubt = position_in(Self::DOUBT_DB, difference_db.abs());
        weighted_mean(output, [hush, second], [makeup * Self::HUSH, 1.0 - Self::HUSH]);
        if doubt > 0.0 {
            blend_median(output, input, [hush, second, first], makeup, doubt);
        }
    }

    fn learn(&mut self, input: f32, [hush, second, first]: [f32; 3]) {
        for (mean, power) in self.powers.iter_mut().zip([hush, second]) {
            *mean += Self::SMOOTHING * (power - *mean);
        }
        self.input.add(input, Self::LEVEL_SMOOTHING);
        self.products += Self::LOSS_SMOOTHING * (first * hush - self.products);
        self.squares += Self::LOSS_SMOOTHING * (hush * hush - self.squares);
    }
}

/// What is known of a frame besides the spectra: powers at the scale of 16-bit PCM.
pub(super) struct Heard {
    pub input: f32,
    /// Noise floor of the input.
    pub noise: f32,
    /// Output of RNNoise 0.1, and its speech probability.
    pub kept: f32,
    pub speech_probability: f32,
}

/// Guard of RNNoise 0.1 over the voices that other networks drop.
///
/// Frames are counted, not powers: a click is one loud frame of which RNNoise 0.1 keeps more, a voice that is dropped is a
/// loss in most frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// Last frames, in a ring: the power of RNNoise 0.1, and how certainly it keeps a voice.
    recent: [(f32, f32); Guard::SUSTAINED],
    next: usize,
    /// Smoothed powers of the input and of RNNoise 0.1.
    input: f32,
    kept: f32,
    /// Smoothed share of the frames that stand out from the noise, and of those among them that lose power.
    sounding: f32,
    losing: f32,
}

impl Guard {
    pub const START: Self =
        Self { recent: [(0.0, 0.0); Guard::SUSTAINED], next: 0, input: 0.0, kept: 0.0, sounding: 0.0, losing: 0.0 };

    /// Frames for which a sound must last: a click is over sooner.
    const SUSTAINED: usize = 8;

    /// Smoothing coefficient of the shares, for each frame: 200 ms.
    const SMOOTHING: f32 = 0.05;

    /// Level of RNNoise 0.1 above the noise floor in dB: from the first figure on a frame begins to count, from the second
    /// on it counts fully. Lower it is as likely to keep noise.
    const ABOVE_NOISE_DB: [f32; 2] = [12.0, 15.0];

    /// Speech probability by RNNoise 0.1, and what it takes off the input in dB, from which and up to which a frame counts
    /// whatever the noise floor: a voice without noise that does not pause hides its floor.
    const SPEECH: [f32; 2] = [0.6, 0.9];
    const UNTOUCHED_DB: [f32; 2] = [-2.0, -0.7];

    /// Smoothing coefficient of the powers, for each frame: 100 ms.
    const POWER_SMOOTHING: f32 = 0.1;

    /// Loss against RNNoise 0.1 in a frame, in dB: where it begins to count, and where it counts fully.
    const LOSS_DB: [f32; 2] = [1.5, 3.0];

    /// Share of the frames that lose power: from the first figure on RNNoise 0.1 is mixed in, from the second on it is heard
    /// wherever it keeps more.
    const LOSING: [f32; 2] = [0.4, 0.7];

    /// Share of the frames that must stand out before anything is concluded.
    const SOUNDING: [f32; 2] = [0.0, 0.1];

    /// Weight of RNNoise 0.1 in a frame, for its speech probability and power and the power of what is guarded.
    pub fn weight(&mut self, heard: &Heard, passed: f32) -> f32 {
        let &Heard { input, noise, kept, speech_probability } = heard;
        self.input += Self::POWER_SMOOTHING * (input - self.input);
        self.kept += Self::POWER_SMOOTHING * (kept - self.kept);
        let untouched = position_in(Self::UNTOUCHED_DB, ratio_db(self.kept, self.input));
        self.recent[self.next] = (kept, untouched * position_in(Self::SPEECH, speech_probability));
        self.next = (self.next + 1) % Self::SUSTAINED;
        let least = |(a, b): (f32, f32), &(c, d): &(f32, f32)| (a.min(c), b.min(d));
        let (sustained, certain) = self.recent.iter().fold((f32::INFINITY, 1.0), least);
        let counts = position_in(Self::ABOVE_NOISE_DB, ratio_db(sustained, noise)).max(certain);
        let loss = position_in(Self::LOSS_DB, ratio_db(kept, passed));
        self.sounding += Self::SMOOTHING * (counts - self.sounding);
        self.losing += Self::SMOOTHING * (counts * loss - self.losing);
        let losing = self.losing / (self.sounding + 1e-9);
        position_in(Self::LOSING, losing) * position_in(Self::SOUNDING, self.sounding)
    }
}

/// Noise floor: minimum of the smoothed input power over the last 3 s.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoiseFloor {
    smoothed: f32,
    /// Minima of spans of half a second, in a ring.
    minima: [f32; SPANS],
    frames: usize,
}

const SPANS: usize = 6;

impl NoiseFloor {
    /// Frames of a span.
    const SPAN: usize = 50;

    /// Smoothing coefficient of the power, for each frame: 100 ms.
    const SMOOTHING: f32 = 0.1;

    pub const START: Self = Self { smoothed: 0.0, minima: [f32::INFINITY; SPANS], frames: 0 };

    /// Takes in the input power of a frame; returns the floor.
    pub fn add(&mut self, power: f32) -> f32 {
        self.smoothed =
            if self.frames == 0 { power } else { self.smoothed + Self::SMOOTHING * (power - self.smoothed) };
        let minimum = &mut self.minima[self.frames / Self::SPAN % SPANS];
        *minimum = if self.frames.is_multiple_of(Self::SPAN) { self.smoothed } else { minimum.min(self.smoothed) };
        self.frames += 1;
        self.minima.iter().fold(f32::INFINITY, |floor, &minimum| floor.min(minimum))
    }
}

#[cfg(test)]
mod tests {
    use realfft::num_complex::Complex32;

    use super::*;
    use crate::neural::stft::BINS;

    /// Weights of RNNoise 0.1 in 3 s of syllables (sound for so many frames of 30), of which it keeps all and the guarded
    /// network `passed`; the noise lies this much under the speech.
    fn weights(sound: usize, passed: f32, noise: f32, speech_probability: f32) -> Vec<f32> {
        let (mut guard, mut floor) = (Guard::START, NoiseFloor::START);
        (0..300)
            .map(|frame| {
                let kept = if (30 - sound..30).contains(&(frame % 30)) { 1e6 } else { 0.0 };
                let input = kept + noise * 1e6;
                guard.weight(&Heard { input, noise: floor.add(input), kept, speech_probability }, kept * passed)
            })
            .collect()
    }

    #[test]
    fn a_voice_that_is_dropped_is_handed_over_within_half_a_second() {
        assert!(weights(20, 0.9, 1e-4, 0.0).iter().all(|&weight| weight == 0.0), "it is kept");
        assert!(weights(20, 0.1, 1e-4, 0.0)[50..].iter().all(|&weight| weight > 0.99), "it is dropped");
        assert!(weights(20, 0.1, 1.0, 0.9).iter().all(|&weight| weight == 0.0), "in loud noise nobody is sure");
        assert!(weights(3, 0.1, 1e-4, 0.0).iter().all(|&weight| weight == 0.0), "clicks");
        assert!(weights(30, 0.1, 0.0, 0.95)[50..].iter().all(|&weight| weight > 0.99), "it never pauses");
        assert!(weights(30, 0.1, 0.0, 0.5).iter().all(|&weight| weight == 0.0), "a steady sound is noise");
    }

    #[test]
    fn only_louder_bins_are_mixed_in() {
        let mut spectrum = [Complex32::new(1.0, 0.0); BINS];
        let mut other = [Complex32::new(0.5, 0.0); BINS];
        other[3].re = 3.0;
        blend_louder(&mut spectrum, &other, 0.5);
        assert_eq!((spectrum[2].re, spectrum[3].re), (1.0, 2.0));
    }

    #[test]
    fn the_noise_floor_follows_within_three_seconds_and_falls_at_once() {
        let mut floor = NoiseFloor::START;
        let mut run = |power: f32, frames: usize| (0..frames).fold(0.0, |_, _| floor.add(power));
        assert_eq!(run(1.0, 100), 1.0);
        assert!(run(100.0, 200) < 2.0 && run(100.0, 150) > 99.0);
        assert!(run(1.0, 60) < 2.0);
    }

    #[cfg(feature = "hush")]
    #[test]
    fn the_vote_is_the_mean_where_two_agree_and_else_the_median() {
        let [input, kept, dropped] = [4.0, 3.0, 0.3].map(|value| [Complex32::new(0.0, value); BINS]);
        let after = |hush: &Spectrum, second: &Spectrum, first: &Spectrum| {
            let mut vote = Vote::default();
            let mut output = input;
            (0..100).for_each(|_| vote.decide(&mut output, &input, power(&input), [hush, second, first]));
            output[7].im
        };
        assert!((after(&kept, &kept, &dropped) - 3.0).abs() < 1e-4);
        assert!((after(&dropped, &kept, &kept) - 3.0).abs() < 1e-4, "Hush is voted down");
        assert!((after(&kept, &dropped, &kept) - 3.0).abs() < 1e-4, "RNNoise 0.2 is voted down");
        assert!((after(&kept, &dropped, &dropped) - 0.3).abs() < 1e-4);
    }
}
