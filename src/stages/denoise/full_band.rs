//! Hush on spectra of 48 kHz.
//!
//! Hush was trained at 16 kHz, on spectra of 20 ms every 10 ms, whose bins lie 50 Hz apart. Spectra of 20 ms at 48 kHz
//! have the same bins, and more above them. So nothing is resampled, and what lies above 8 kHz gets a gain that follows
//! from the highest bands below.

use realfft::num_complex::Complex32;

use crate::dsp::dispatch::kernels;
use crate::dsp::level::db_to_gain;
use crate::dsp::weighted_power::WeightedPower;
use crate::neural::hush::{self, BANDS, BINS, FILTERED, Hush, Stream, spread};
use crate::neural::stft::{Spectrum, power_in_lanes};

/// Widths of the highest bands of the mask, in bins. They give the gain of the sound above them.
const HIGHEST_BANDS: [f32; 3] = [14.0, 16.0, 18.0];

/// Level at which Hush judges voices best, in dB of the power of its spectrum. Measured on 59 mixtures: 2 dB more or less
/// cost nothing, 6 dB less cost 1 dB of SI-SDR.
const BEST_LEVEL_DB: f32 = -22.0;

/// Range of the gain towards that level, down and up, in dB: steady noise alone is not lifted to the level of a voice.
const MAX_CUT_DB: f32 = 24.0;
const MAX_BOOST_DB: f32 = 12.0;

/// Time constant of the level, in frames.
const LEVEL_FRAMES: f32 = 300.0;

/// Scale of the spectra that Hush was trained with, relative to ours: 16-bit PCM, and half the transform.
const SCALE: f32 = 1.0 / 65_536.0;

/// Floor of a power, −100 dB.
const SILENCE: f32 = 1e-10;

/// What Hush makes of a spectrum: the bins of its deep filter, and the gains of those above.
#[derive(Clone, Copy, Debug)]
pub(super) struct HushOutput {
    low: [Complex32; FILTERED],
    mask: [f32; BANDS],
    /// Gain of the bins that Hush does not see.
    high_gain: f32,
}

impl HushOutput {
    pub const SILENCE: Self = Self { low: [Complex32::ZERO; FILTERED], mask: [1.0; BANDS], high_gain: 1.0 };

    /// Output that is the input.
    pub fn unchanged(input: &Spectrum) -> Self {
        Self { low: std::array::from_fn(|bin| input[bin]), ..Self::SILENCE }
    }

    /// Whole spectrum, for that of the input.
    pub fn spectrum(&self, input: &Spectrum) -> Spectrum {
        let mut spectrum = input.map(|bin| bin * self.high_gain);
        spectrum[..FILTERED].copy_from_slice(&self.low);
        let seen = spectrum[FILTERED..BINS].iter_mut().zip(&input[FILTERED..]);
        for ((value, input), gain) in seen.zip(&spread(&self.mask)[FILTERED..]) {
            *value = input * gain;
        }
        spectrum
    }
}

/// Hush for one stream of 48 kHz.
pub(super) struct FullBandHush {
    hush: Hush,
    level: WeightedPower,
}

impl FullBandHush {
    pub fn new() -> Self {
        Self { hush: Hush::new(), level: WeightedPower::default() }
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.hush.reset();
        self.level = WeightedPower::default();
    }

    /// Takes in a spectrum, for the network to run.
    pub fn hear<'a>(&'a mut self, spectrum: &Spectrum, memory: &'a mut Memory) -> Stream<'a> {
        let power = scale_low(&mut memory.low, spectrum);
        self.level.add(4.0 * power, 1.0 / LEVEL_FRAMES);
        let level_db = 10.0 * (self.level.power() + SILENCE).log10();
        let sensitivity = db_to_gain((BEST_LEVEL_DB - level_db).clamp(-MAX_CUT_DB, MAX_BOOST_DB));
        self.hush.hear(&memory.low, sensitivity, &mut memory.network)
    }

    /// That spectrum without noise, after the network has run. Bands above 8 kHz suffer less where the speech probability is
    /// high: of an "s" the network sees only the lower edge.
    pub fn filter(&mut self, speech_probability: f32, memory: &Memory) -> HushOutput {
        let low = self.hush.filter(&memory.low, &memory.network).map(|bin| bin * (1.0 / SCALE));
        let mask = *memory.network.mask();
        let tops = mask[BANDS - HIGHEST_BANDS.len()..].iter().zip(HIGHEST_BANDS);
        let top = tops.map(|(gain, width)| gain * width).sum::<f32>() / HIGHEST_BANDS.iter().sum::<f32>();
        HushOutput { low, mask, high_gain: top.powf(1.0 - 0.5 * speech_probability) }
    }
}

kernels! {
    /// Bins that Hush sees, at the scale it was trained with; returns their power.
    fn scale_low(low: &mut [Complex32; BINS], spectrum: &Spectrum) -> f32 {
        for (low, bin) in low.iter_mut().zip(spectrum) {
            *low = Complex32::new(bin.re * SCALE, bin.im * SCALE);
        }
        power_in_lanes::<8>(low)
    }
}

/// Memory for a frame of one stream.
pub(super) struct Memory {
    /// Bins that Hush sees.
    low: [Complex32; BINS],
    network: hush::Memory,
}

impl Memory {
    pub const NEW: Self = Self { low: [Complex32::ZERO; BINS], network: hush::Memory::NEW };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use realfft::RealFftPlanner;

    use super::*;
    use crate::neural::stft::{FRAME as BLOCK, stft};
    use crate::testing::fixture;

    /// Reference: the crate hush-vani, given the same weights.
    #[test]
    fn the_network_agrees_with_hush_vani() {
        // At 16 kHz, which gives the same spectra, sample by sample, with a window of a third.
        const HOP: usize = BLOCK / 3;
        let sound: Vec<f32> = fixture("speech_noisy").chunks_exact(3).map(|s| (s[0] + s[1] + s[2]) / 3.0).collect();
        let (weights, tensors) = hush::for_hush_vani();
        let mut theirs = hush_vani::HushStream::new(Arc::new(hush_vani::Hush::from_bytes(&weights, &tensors).unwrap()));
        let mut planner = RealFftPlanner::<f32>::new();
        let (forward, inverse) = (planner.plan_fft_forward(2 * HOP), planner.plan_fft_inverse(2 * HOP));
        let quarter = std::f32::consts::FRAC_PI_2;
        let window: Vec<f32> =
            (0..2 * HOP).map(|i| (quarter * (quarter * (i as f32 + 0.5) / HOP as f32).sin().powi(2)).sin()).collect();
        let mut network = Hush::new();
        let (mut last, mut tail, mut wanted) = ([0.0; HOP], [0.0; HOP], [0.0; HOP]);
        let (mut signal, mut error) = (0.0f64, 0.0f64);
        for block in sound.chunks_exact(HOP) {
            theirs.process_frame(block, &mut wanted);
            let mut time: Vec<f32> = last.iter().chain(block).zip(&window).map(|(s, w)| s * w).collect();
            last.copy_from_slice(block);
            let mut spectrum = forward.make_output_vec();
            forward.process(&mut time, &mut spectrum).unwrap();
            spectrum.iter_mut().for_each(|bin| *bin /= (2 * HOP) as f32);
            let (seen, mut memory) = (*spectrum.first_chunk().unwrap(), hush::Memory::NEW);
            hush::run(&mut [Some(network.hear(&seen, 1.0, &mut memory))]);
            spectrum.iter_mut().zip(spread(memory.mask())).for_each(|(bin, gain)| *bin *= gain);
            spectrum[..FILTERED].copy_from_slice(&network.filter(&seen, &memory));
            (spectrum[0].im, spectrum[HOP].im) = (0.0, 0.0);
            inverse.process(&mut spectrum, &mut time).unwrap();
            for (i, wanted) in wanted.iter().enumerate() {
                let found = tail[i] + time[i] * window[i];
                tail[i] = time[HOP + i] * window[HOP + i];
                signal += f64::from(*wanted).powi(2);
                error += f64::from(found - wanted).powi(2);
            }
        }
        let distance_db = 10.0 * (signal / error).log10();
        // 57.4 dB is found: inputs are rounded to a byte.
        assert!(distance_db > 55.0, "the distance to hush-vani is {distance_db:.1} dB");
    }

    #[test]
    fn silence_and_any_level_give_finite_spectra() {
        let mut spectra = [[Complex32::ZERO; 481]; 2];
        for level in [0.0, 1e-3, 1.0, 2e6] {
            let mut full_band = FullBandHush::new();
            for block in fixture("speech_noisy").as_chunks::<960>().0.iter().take(50) {
                let sound = block.map(|sample| sample * level * 32_768.0);
                stft().analyse([&sound, &sound], &mut spectra);
                let mut memory = Memory::NEW;
                hush::run(&mut [Some(full_band.hear(&spectra[0], &mut memory))]);
                let output = full_band.filter(0.5, &memory).spectrum(&spectra[0]);
                assert!(output.iter().all(|bin| bin.re.is_finite() && bin.im.is_finite()), "{level}");
            }
        }
    }
}
