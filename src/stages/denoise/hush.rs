//! Engine of higher quality: Hush, with RNNoise beside it.
//!
//! Hush was trained at 16 kHz, on spectra of 20 ms every 10 ms, whose bins lie 50 Hz apart. Spectra of 20 ms at 48 kHz
//! have the same bins, and more above them. So nothing is resampled, the delay is that of one transform, and what lies
//! above 8 kHz gets a gain that follows from the highest bands below.
//!
//! Hush was also trained to drop people in the background, and takes some voices for those: alone it takes 10 dB and
//! more off 3 of 11 recordings of clean speech. So RNNoise runs beside it, and [`EngineArbiter`] mixes the two.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::arbiter::EngineArbiter;
use super::rnnoise::{BLOCK, RnNoiseEngine};
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};
use crate::neural::hush::{BANDS, BINS, Hush};

const WINDOW: usize = 2 * BLOCK;

/// Largest input magnitude, +36 dBFS: the squares of its power must stay finite.
const MAX_INPUT: f32 = 64.0;

/// Widths of the highest bands of the mask, in bins. They give the gain of the sound above them.
const HIGHEST_BANDS: [f32; 3] = [14.0, 16.0, 18.0];

/// Gains of Hush and of RNNoise at the start of a stream.
const START_GAINS: [f32; 2] = [1.0, 0.0];

/// Hush and RNNoise in blocks of 10 ms at 48 kHz.
pub(super) struct HushEngine {
    rnnoise: RnNoiseEngine,
    hush: Hush,
    arbiter: EngineArbiter,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Vec<Complex32>,
    window: [f32; WINDOW],
    time: [f32; WINDOW],
    spectrum: Vec<Complex32>,
    last: [f32; BLOCK],
    /// Hush's output for the block before, as far as it overlaps with this one.
    overlap: [f32; BLOCK],
    started: bool,
    /// Gains of Hush and of RNNoise.
    gains: [Ramp; 2],
}

impl HushEngine {
    pub fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(WINDOW);
        let inverse = planner.plan_fft_inverse(WINDOW);
        let scratch = vec![Complex32::ZERO; forward.get_scratch_len().max(inverse.get_scratch_len())];
        // The window of the Vorbis codec, with which Hush was trained.
        let quarter = std::f32::consts::FRAC_PI_2;
        let window = |i: usize| (quarter * (quarter * (i as f32 + 0.5) / BLOCK as f32).sin().powi(2)).sin();
        Self {
            rnnoise: RnNoiseEngine::new(),
            hush: Hush::new(),
            arbiter: EngineArbiter::default(),
            spectrum: forward.make_output_vec(),
            forward,
            inverse,
            scratch,
            window: std::array::from_fn(window),
            time: [0.0; WINDOW],
            last: [0.0; BLOCK],
            overlap: [0.0; BLOCK],
            started: false,
            gains: START_GAINS.map(|gain| Ramp::new(gain, BLOCK, BLOCK)),
        }
    }

    /// Replaces a block by the one before it without noise; returns the speech probability of that, 0 to 1.
    pub fn process(&mut self, block: &mut [f32; BLOCK]) -> f32 {
        kernels::limit(block, MAX_INPUT);
        self.analyse(block);
        let probability = self.rnnoise.process(block);

        let Some((low, high)) = self.spectrum.split_first_chunk_mut::<BINS>() else { return probability };
        let power = 4.0 * low.iter().map(Complex32::norm_sqr).sum::<f32>();
        let mask = self.hush.process(low, self.arbiter.sensitivity(power));
        // Of an "s" the network sees only the lower edge, so bands above it suffer less while there is speech.
        let tops = mask[BANDS - HIGHEST_BANDS.len()..].iter().zip(HIGHEST_BANDS);
        let top = tops.map(|(gain, width)| gain * width).sum::<f32>() / HIGHEST_BANDS.iter().sum::<f32>();
        let top = top.powf(1.0 - 0.5 * probability).min(1.0 / self.arbiter.makeup());
        high.iter_mut().for_each(|bin| *bin *= top);
        self.synthesise();
        if !self.started {
            // The first window reaches back to before the sound began.
            self.overlap.fill(0.0);
            self.started = true;
        }

        let powers = [&*block, &self.overlap].map(|block| kernels::energy(block) / BLOCK as f32);
        self.arbiter.compare(power, powers);
        for (ramp, gain) in self.gains.iter_mut().zip(self.arbiter.gains()) {
            ramp.set(gain, BLOCK);
        }
        for (sound, ramp) in [&mut self.overlap, &mut *block].into_iter().zip(&mut self.gains) {
            match ramp.advance(BLOCK) {
                GainCurve::Steady(gain) => kernels::scale(sound, gain),
                GainCurve::Moving(gains) => kernels::multiply(sound, gains),
            }
        }
        block.iter_mut().zip(&self.overlap).for_each(|(sound, hush)| *sound += hush);
        self.overlap.copy_from_slice(&self.time[BLOCK..]);
        probability
    }

    /// Spectrum of the last block and this one.
    fn analyse(&mut self, block: &[f32; BLOCK]) {
        self.time[..BLOCK].copy_from_slice(&self.last);
        self.time[BLOCK..].copy_from_slice(block);
        self.last.copy_from_slice(block);
        kernels::multiply(&mut self.time, &self.window);
        let done = self.forward.process_with_scratch(&mut self.time, &mut self.spectrum, &mut self.scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        self.spectrum.iter_mut().for_each(|bin| *bin /= WINDOW as f32);
    }

    /// Overlap-add: completes `overlap` by the sound of the spectrum. What reaches into the next block stays in `time`.
    fn synthesise(&mut self) {
        // The transform of a real signal is real at both ends.
        self.spectrum[0].im = 0.0;
        self.spectrum[WINDOW / 2].im = 0.0;
        let done = self.inverse.process_with_scratch(&mut self.spectrum, &mut self.time, &mut self.scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        kernels::multiply(&mut self.time, &self.window);
        self.overlap.iter_mut().zip(&self.time).for_each(|(overlap, sound)| *overlap += sound);
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.rnnoise.reset();
        self.hush.reset();
        self.arbiter = EngineArbiter::default();
        self.last.fill(0.0);
        self.overlap.fill(0.0);
        self.started = false;
        for (ramp, gain) in self.gains.iter_mut().zip(START_GAINS) {
            ramp.jump_to(gain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixture;

    /// Reference: the crate hush-vani, which reads the same weights.
    #[test]
    fn the_network_agrees_with_hush_vani() {
        // At 16 kHz, which gives the same spectra, sample by sample, with a window of a third.
        const HOP: usize = BLOCK / 3;
        let sound: Vec<f32> = fixture("speech_noisy").chunks_exact(3).map(|s| (s[0] + s[1] + s[2]) / 3.0).collect();
        let mut theirs = hush_vani::HushStream::new(Arc::new(hush_vani::Hush::new().unwrap()));
        let mut planner = RealFftPlanner::<f32>::new();
        let (forward, inverse) = (planner.plan_fft_forward(2 * HOP), planner.plan_fft_inverse(2 * HOP));
        let quarter = std::f32::consts::FRAC_PI_2;
        let window: Vec<f32> =
            (0..2 * HOP).map(|i| (quarter * (quarter * (i as f32 + 0.5) / HOP as f32).sin().powi(2)).sin()).collect();
        let mut hush = Hush::new();
        let (mut last, mut tail, mut wanted) = ([0.0; HOP], [0.0; HOP], [0.0; HOP]);
        let (mut signal, mut error) = (0.0f64, 0.0f64);
        for block in sound.chunks_exact(HOP) {
            theirs.process_frame(block, &mut wanted);
            let mut time: Vec<f32> = last.iter().chain(block).zip(&window).map(|(s, w)| s * w).collect();
            last.copy_from_slice(block);
            let mut spectrum = forward.make_output_vec();
            forward.process(&mut time, &mut spectrum).unwrap();
            spectrum.iter_mut().for_each(|bin| *bin /= (2 * HOP) as f32);
            hush.process(spectrum.first_chunk_mut().unwrap(), 1.0);
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
        assert!(distance_db > 60.0, "the distance to hush-vani is {distance_db:.1} dB");
    }

    #[test]
    fn a_reset_engine_is_a_new_one() {
        let sound = fixture("speech_noisy");
        let (blocks, _) = sound[..BLOCK * 100].as_chunks::<BLOCK>();
        let run = |engine: &mut HushEngine| -> Vec<_> {
            let process = |block: &[f32; BLOCK]| {
                let mut block = *block;
                let probability = engine.process(&mut block);
                (block, probability)
            };
            blocks.iter().map(process).collect()
        };
        let mut engine = HushEngine::new();
        let fresh = run(&mut engine);
        for _ in 0..6 {
            engine.reset();
            assert!(run(&mut engine) == fresh);
        }
    }
}
