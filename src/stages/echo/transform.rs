//! Fourier transform of two blocks of 10 ms at any rate, to and from the canceller's bins.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::spectrum::{BINS, PADDED, Spectrum};

/// Samples of two blocks at 16 kHz, to which all spectra are scaled.
const CORE_LENGTH: f32 = 320.0;

/// Fourier transform of 20 ms. Bins are 50 Hz apart at every rate, so that one filter fits all of them.
pub struct Transform {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// Input of `forward`, output of `inverse`.
    time: Box<[f32]>,
    bins: Box<[Complex32]>,
    scratch: Box<[Complex32]>,
}

impl Transform {
    /// Transform of blocks of `block` samples each. Allocates.
    pub fn new(block: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(2 * block), planner.plan_fft_inverse(2 * block));
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        Self {
            time: forward.make_input_vec().into(),
            bins: forward.make_output_vec().into(),
            scratch: vec![Complex32::ZERO; scratch].into(),
            forward,
            inverse,
        }
    }

    /// Samples to transform, or those that came out of [`inverse`](Self::inverse).
    pub fn time(&mut self) -> &mut [f32] {
        &mut self.time
    }

    /// All bins of the last [`forward_all`](Self::forward_all), scaled to `CORE_LENGTH`, which
    /// [`inverse_all`](Self::inverse_all) takes back.
    pub fn bins(&mut self) -> &mut [Complex32] {
        &mut self.bins
    }

    /// Transforms [`time`](Self::time) to all bins.
    pub fn forward_all(&mut self) {
        let scale = CORE_LENGTH / self.time.len() as f32;
        let length = self.forward.get_scratch_len();
        let done = self.forward.process_with_scratch(&mut self.time, &mut self.bins, &mut self.scratch[..length]);
        debug_assert!(done.is_ok(), "the buffers are the planner's");
        if scale != 1.0 {
            self.bins.iter_mut().for_each(|bin| *bin *= scale);
        }
    }

    /// Transforms [`time`](Self::time), and takes the bins up to 8 kHz.
    pub fn forward(&mut self, spectrum: &mut Spectrum) {
        self.forward_all();
        *spectrum = Spectrum::ZERO;
        for (index, bin) in self.bins.iter().take(BINS).enumerate() {
            (spectrum.re[index], spectrum.im[index]) = (bin.re, bin.im);
        }
    }

    /// Transforms all bins back to [`time`](Self::time).
    pub fn inverse_all(&mut self) {
        self.bins[0].im = 0.0;
        if let Some(last) = self.bins.last_mut() {
            last.im = 0.0;
        }
        let length = self.inverse.get_scratch_len();
        let done = self.inverse.process_with_scratch(&mut self.bins, &mut self.time, &mut self.scratch[..length]);
        debug_assert!(done.is_ok(), "the first and the last bin are real");
        self.time.iter_mut().for_each(|sample| *sample *= 1.0 / CORE_LENGTH);
    }

    /// Transforms a spectrum back to [`time`](Self::time), with nothing above 8 kHz.
    pub fn inverse(&mut self, spectrum: &Spectrum) {
        self.bins.fill(Complex32::ZERO);
        for (index, bin) in self.bins.iter_mut().take(BINS.min(PADDED)).enumerate() {
            *bin = Complex32::new(spectrum.re[index], spectrum.im[index]);
        }
        self.inverse_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of 1 kHz over two blocks.
    fn tone(block: usize) -> Vec<f32> {
        (0..2 * block).map(|i| (std::f32::consts::TAU * 10.0 * i as f32 / block as f32).cos()).collect()
    }

    #[test]
    fn a_tone_is_the_same_at_every_rate() {
        for block in [80, 160, 441, 480, 1920] {
            let mut transform = Transform::new(block);
            let mut spectrum = Spectrum::ZERO;
            transform.time().copy_from_slice(&tone(block));
            transform.forward(&mut spectrum);
            assert!((spectrum.power(20).sqrt() - 160.0).abs() < 0.01, "{block}: {}", spectrum.power(20).sqrt());
            assert!((0..BINS).all(|bin| bin == 20 || spectrum.power(bin) < 1e-4), "{block}");
            transform.inverse(&spectrum);
            let worst = transform.time().iter().zip(tone(block)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{block}: {worst}");
        }
    }
}
