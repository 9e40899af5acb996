//! Short-time Fourier transform that all networks share: 20 ms every 10 ms at 48 kHz, the window of the Vorbis codec.

use std::f64::consts::PI;
use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Samples of a frame: 10 ms at 48 kHz.
pub const FRAME: usize = 480;

/// Samples of a window.
pub const WINDOW: usize = 2 * FRAME;

/// Bins of a spectrum, 50 Hz apart.
pub const BINS: usize = FRAME + 1;

/// Spectrum of a window. A sine of amplitude 1 has a magnitude of 0.6 in its bin.
pub type Spectrum = [Complex32; BINS];

/// Window and transforms, shared by all streams.
pub struct Stft {
    /// Power-complementary window.
    window: [f32; WINDOW],
    /// One over the energy of the window: scale of the forward transform.
    norm: f32,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

/// Scratch memory of the transforms.
pub type Scratch = Box<[Complex32]>;

/// Window and transforms. Allocates at the first call in a program.
pub fn stft() -> &'static Stft {
    static STFT: OnceLock<Stft> = OnceLock::new();
    STFT.get_or_init(|| {
        let window: [f32; WINDOW] = std::array::from_fn(|i| {
            let sine = (0.5 * PI * (i.min(WINDOW - 1 - i) as f64 + 0.5) / FRAME as f64).sin();
            (0.5 * PI * sine * sine).sin() as f32
        });
        let mut planner = RealFftPlanner::new();
        Stft {
            window,
            norm: 1.0 / window.iter().map(|x| x * x).sum::<f32>(),
            forward: planner.plan_fft_forward(WINDOW),
            inverse: planner.plan_fft_inverse(WINDOW),
        }
    })
}

impl Stft {
    /// Scratch memory for one stream. Allocates.
    pub fn scratch(&self) -> Scratch {
        let length = self.forward.get_scratch_len().max(self.inverse.get_scratch_len());
        vec![Complex32::ZERO; length].into_boxed_slice()
    }

    /// Spectrum of a window of samples.
    pub fn analyse(&self, samples: &[f32; WINDOW], scratch: &mut Scratch) -> Spectrum {
        let mut time: [f32; WINDOW] = std::array::from_fn(|i| samples[i] * self.window[i]);
        let mut spectrum = [Complex32::ZERO; BINS];
        let done = self.forward.process_with_scratch(&mut time, &mut spectrum, scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        spectrum.iter_mut().for_each(|bin| *bin *= self.norm);
        spectrum
    }
}

/// Overlap-add of one stream.
#[derive(Clone, Debug)]
pub struct Synthesis {
    /// Second half of the last window.
    overlap: [f32; FRAME],
}

impl Synthesis {
    pub const START: Self = Self { overlap: [0.0; FRAME] };

    /// Frame that the window of `spectrum` completes: the first half of that window.
    pub fn synthesise(&mut self, spectrum: &mut Spectrum, output: &mut [f32; FRAME], scratch: &mut Scratch) {
        let stft = stft();
        // The transform of a real signal is real at both ends.
        spectrum[0].im = 0.0;
        spectrum[BINS - 1].im = 0.0;
        let mut time = [0.0; WINDOW];
        let done = stft.inverse.process_with_scratch(spectrum, &mut time, scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        for (sample, window) in time.iter_mut().zip(&stft.window) {
            *sample = *sample / 2.0 * window;
        }
        let (first, second) = time.split_at(FRAME);
        for ((output, first), overlap) in output.iter_mut().zip(first).zip(&self.overlap) {
            *output = first + overlap;
        }
        self.overlap.copy_from_slice(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_analysed_and_synthesised_is_the_same_one_frame_later() {
        let mut random = fastrand::Rng::with_seed(1);
        let sound: Vec<f32> = (0..20 * FRAME).map(|_| random.f32() - 0.5).collect();
        let mut scratch = stft().scratch();
        let mut synthesis = Synthesis::START;
        let mut output = [0.0; FRAME];
        for start in (0..18 * FRAME).step_by(FRAME) {
            let mut spectrum = stft().analyse(sound[start..].first_chunk().unwrap(), &mut scratch);
            synthesis.synthesise(&mut spectrum, &mut output, &mut scratch);
            if start > 0 {
                assert!(output.iter().zip(&sound[start..]).all(|(a, b)| (a - b).abs() < 1e-6));
            }
        }
    }

    #[test]
    fn a_sine_has_its_scale_in_its_bin() {
        let sine: [f32; WINDOW] = std::array::from_fn(|i| (0.5 * PI * i as f64 / 12.0).sin() as f32);
        let spectrum = stft().analyse(&sine, &mut stft().scratch());
        assert!((spectrum[20].norm_sqr().sqrt() - 0.602).abs() < 1e-3, "{}", spectrum[20]);
    }
}
