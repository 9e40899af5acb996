//! The engine of higher quality: Hush, a network of the DeepFilterNet family, kept honest by RNNoise.
//!
//! Hush was trained at 16 kHz, on spectra of 20 ms every 10 ms, whose bins lie 50 Hz apart. Spectra of 20 ms at 48 kHz
//! have the same bins, and more above them: so nothing is resampled, the delay is that of one transform, and what lies
//! above 8 kHz gets a gain that follows from the highest bands below.
//!
//! It was also trained to drop people in the background, and takes some voices for those: alone, it takes 10 dB and more
//! off 3 of 11 recordings of clean speech. So RNNoise runs beside it, [`EngineArbiter`] compares them, and the sound comes from
//! whoever is right.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::arbiter::EngineArbiter;
use super::rnnoise::{BLOCK, RnNoise};
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};
use crate::neural::hush::{BANDS, BINS, Model};

const WINDOW: usize = 2 * BLOCK;

/// The loudest input, +36 dBFS: the squares of its power must stay finite.
const LOUDEST: f32 = 64.0;

/// How wide the highest bands of the mask are, in bins: they tell what becomes of the sound above them.
const HIGHEST_BANDS: [f32; 3] = [14.0, 16.0, 18.0];

/// Hush and RNNoise in blocks of 10 ms at 48 kHz.
pub(super) struct Hush {
    rnnoise: RnNoise,
    model: Model,
    arbiter: EngineArbiter,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Vec<Complex32>,
    window: [f32; WINDOW],
    time: [f32; WINDOW],
    spectrum: Vec<Complex32>,
    last: [f32; BLOCK],
    tail: [f32; BLOCK],
    started: bool,
    /// The gains of Hush and of RNNoise.
    gains: [Ramp; 2],
}

impl Hush {
    pub fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(WINDOW);
        let inverse = planner.plan_fft_inverse(WINDOW);
        let scratch = vec![Complex32::ZERO; forward.get_scratch_len().max(inverse.get_scratch_len())];
        // The window it was trained with: Vorbis's.
        let quarter = std::f32::consts::FRAC_PI_2;
        let window = |i: usize| (quarter * (quarter * (i as f32 + 0.5) / BLOCK as f32).sin().powi(2)).sin();
        Self {
            rnnoise: RnNoise::new(),
            model: Model::new(),
            arbiter: EngineArbiter::default(),
            spectrum: forward.make_output_vec(),
            forward,
            inverse,
            scratch,
            window: std::array::from_fn(window),
            time: [0.0; WINDOW],
            last: [0.0; BLOCK],
            tail: [0.0; BLOCK],
            started: false,
            gains: [1.0, 0.0].map(|gain| Ramp::new(gain, BLOCK, BLOCK)),
        }
    }

    /// Replaces a block by what the one before it was without noise; how likely that block holds speech, 0 to 1.
    pub fn process(&mut self, block: &mut [f32]) -> f32 {
        kernels::limit(block, LOUDEST);
        self.analyse(block);
        let probability = self.rnnoise.process(block);

        let Some((low, high)) = self.spectrum.split_first_chunk_mut::<BINS>() else { return probability };
        let power = 4.0 * low.iter().map(Complex32::norm_sqr).sum::<f32>();
        let mask = self.model.process(low, self.arbiter.sensitivity(power));
        // Bands that the network never saw suffer less while there is speech: of an "s" it sees only the lower edge.
        let tops = mask[BANDS - HIGHEST_BANDS.len()..].iter().zip(HIGHEST_BANDS);
        let top = tops.map(|(gain, width)| gain * width).sum::<f32>() / HIGHEST_BANDS.iter().sum::<f32>();
        let top = top.powf(1.0 - 0.5 * probability).min(1.0 / self.arbiter.makeup());
        high.iter_mut().for_each(|bin| *bin *= top);
        self.synthesise();
        if !self.started {
            // From before the sound began: what the gains of a whole window spread there.
            self.tail.fill(0.0);
            self.started = true;
        }

        let energies = [&*block, &self.tail].map(|block| kernels::energy(block) / BLOCK as f32);
        self.arbiter.compare(power, energies);
        for (ramp, gain) in self.gains.iter_mut().zip(self.arbiter.gains()) {
            ramp.set(gain, BLOCK);
        }
        for (sound, ramp) in [&mut self.tail, &mut *block].into_iter().zip(&mut self.gains) {
            match ramp.advance(BLOCK) {
                GainCurve::Steady(gain) => kernels::scale(sound, gain),
                GainCurve::Moving(gains) => kernels::multiply(sound, gains),
            }
        }
        block.iter_mut().zip(&self.tail).for_each(|(sound, more)| *sound += more);
        self.tail.copy_from_slice(&self.time[BLOCK..]);
        probability
    }

    /// The spectrum of the last block and this one.
    fn analyse(&mut self, block: &[f32]) {
        self.time[..BLOCK].copy_from_slice(&self.last);
        self.time[BLOCK..].copy_from_slice(block);
        self.last.copy_from_slice(block);
        kernels::multiply(&mut self.time, &self.window);
        let done = self.forward.process_with_scratch(&mut self.time, &mut self.spectrum, &mut self.scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        self.spectrum.iter_mut().for_each(|bin| *bin /= WINDOW as f32);
    }

    /// Adds the sound of the spectrum to `tail`; what reaches into the next block stays in `time`.
    fn synthesise(&mut self) {
        // What an inverse transform of real sound demands of its ends.
        self.spectrum[0].im = 0.0;
        self.spectrum[WINDOW / 2].im = 0.0;
        let done = self.inverse.process_with_scratch(&mut self.spectrum, &mut self.time, &mut self.scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        kernels::multiply(&mut self.time, &self.window);
        self.tail.iter_mut().zip(&self.time).for_each(|(tail, more)| *tail += more);
    }

    /// Forgets everything; realtime safe as often as [`RnNoise::reset`] is.
    pub fn reset(&mut self) {
        self.rnnoise.reset();
        self.model.reset();
        self.arbiter = EngineArbiter::default();
        self.last.fill(0.0);
        self.tail.fill(0.0);
        self.started = false;
        for (ramp, gain) in self.gains.iter_mut().zip([1.0, 0.0]) {
            ramp.jump_to(gain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixture;

    /// The network is the one of the crate hush-vani, which reads the same weights.
    #[test]
    fn the_network_agrees_with_hush_vani() {
        // What it hears at 16 kHz, and the same spectra, sample by sample, with a window of a third.
        const HOP: usize = BLOCK / 3;
        let sound: Vec<f32> = fixture("speech_noisy").chunks_exact(3).map(|s| (s[0] + s[1] + s[2]) / 3.0).collect();
        let mut theirs = hush_vani::HushStream::new(Arc::new(hush_vani::Hush::new().unwrap()));
        let mut planner = RealFftPlanner::<f32>::new();
        let (forward, inverse) = (planner.plan_fft_forward(2 * HOP), planner.plan_fft_inverse(2 * HOP));
        let quarter = std::f32::consts::FRAC_PI_2;
        let window: Vec<f32> =
            (0..2 * HOP).map(|i| (quarter * (quarter * (i as f32 + 0.5) / HOP as f32).sin().powi(2)).sin()).collect();
        let mut model = Model::new();
        let (mut last, mut tail, mut wanted) = ([0.0; HOP], [0.0; HOP], [0.0; HOP]);
        let (mut signal, mut error) = (0.0f64, 0.0f64);
        for block in sound.chunks_exact(HOP) {
            theirs.process_frame(block, &mut wanted);
            let mut time: Vec<f32> = last.iter().chain(block).zip(&window).map(|(s, w)| s * w).collect();
            last.copy_from_slice(block);
            let mut spectrum = forward.make_output_vec();
            forward.process(&mut time, &mut spectrum).unwrap();
            spectrum.iter_mut().for_each(|bin| *bin /= (2 * HOP) as f32);
            model.process(spectrum.first_chunk_mut().unwrap(), 1.0);
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
        let run = |engine: &mut Hush| -> Vec<f32> {
            let mut out = sound[..BLOCK * 100].to_vec();
            out.chunks_exact_mut(BLOCK).for_each(|block| _ = engine.process(block));
            out
        };
        let mut engine = Hush::new();
        let first = run(&mut engine);
        engine.reset();
        assert!(first == run(&mut engine));
    }
}
