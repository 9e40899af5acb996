//! Short-time Fourier transform that all networks share: 20 ms every 10 ms at 48 kHz, the window of the Vorbis codec.

use std::f64::consts::PI;
use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex32;
use rustfft::algorithm::Dft;
use rustfft::{Fft, FftDirection, FftPlanner};

use crate::dsp::kernels;

/// Samples of a frame: 10 ms at 48 kHz.
pub const FRAME: usize = 480;

/// Samples of a window.
pub const WINDOW: usize = 2 * FRAME;

/// Bins of a spectrum, 50 Hz apart.
pub const BINS: usize = FRAME + 1;

/// Spectrum of a window. A sine of amplitude 1 has a magnitude of 0.6 in its bin.
pub type Spectrum = [Complex32; BINS];

/// Power of some bins, summed up in as many lanes.
#[inline(always)]
pub fn power_in_lanes<const LANES: usize>(bins: &[Complex32]) -> f32 {
    let (blocks, rest) = bins.as_chunks::<LANES>();
    let mut sums = [[0.0f32; 2]; LANES];
    for block in blocks {
        for (sum, bin) in sums.iter_mut().zip(block) {
            sum[0] += bin.re * bin.re;
            sum[1] += bin.im * bin.im;
        }
    }
    let rest: f32 = rest.iter().map(Complex32::norm_sqr).sum();
    // Otherwise the compiler brings the pairs of the last sum together in every block.
    let sums = std::hint::black_box(sums);
    rest + sums.iter().map(|[re, im]| re + im).sum::<f32>()
}

/// Window and transforms, shared by all streams.
pub struct Stft {
    /// Power-complementary window, at half the scale of the forward transform (that of two signals at once), and of the
    /// inverse.
    analysis: [f32; WINDOW],
    synthesis: [f32; WINDOW],
    /// Transform of two real windows, as real and imaginary parts.
    forward: Arc<dyn Fft<f32>>,
    /// Transform to the even and the odd samples of a window, as real and imaginary parts, and the turn of the odd ones.
    inverse: Arc<dyn Fft<f32>>,
    turns: [Complex32; FRAME],
}

/// Window and transforms. Allocates at the first call in a program.
pub fn stft() -> &'static Stft {
    static STFT: OnceLock<Stft> = OnceLock::new();
    STFT.get_or_init(|| {
        let window: [f32; WINDOW] = std::array::from_fn(|i| {
            let sine = (0.5 * PI * (i.min(WINDOW - 1 - i) as f64 + 0.5) / FRAME as f64).sin();
            (0.5 * PI * sine * sine).sin() as f32
        });
        // One over the energy of the window.
        let norm = 1.0 / window.iter().map(|x| x * x).sum::<f32>();
        let turn = |bin: usize| {
            let (sin, cos) = (2.0 * PI * bin as f64 / WINDOW as f64).sin_cos();
            Complex32::new(cos as f32, sin as f32)
        };
        Stft {
            analysis: window.map(|x| 0.5 * x * norm),
            synthesis: window.map(|x| 0.5 * x),
            forward: plan(WINDOW, FftDirection::Forward),
            inverse: plan(FRAME, FftDirection::Inverse),
            turns: std::array::from_fn(turn),
        }
    })
}

/// Transform that needs no more scratch memory than its length: so far the best one of each machine.
fn plan(length: usize, direction: FftDirection) -> Arc<dyn Fft<f32>> {
    let fft = FftPlanner::new().plan_fft(length, direction);
    if fft.get_inplace_scratch_len() <= length { fft } else { Arc::new(Dft::new(length, direction)) }
}

impl Stft {
    /// Spectra of two windows of samples.
    pub fn analyse(&self, samples: [&[f32; WINDOW]; 2], spectra: &mut [Spectrum; 2]) {
        let mut both: [Complex32; WINDOW] =
            std::array::from_fn(|i| Complex32::new(samples[0][i] * self.analysis[i], samples[1][i] * self.analysis[i]));
        // Until they are written, the spectra are free.
        self.forward.process_with_scratch(&mut both, spectra.as_flattened_mut());
        let [first, second] = spectra;
        separate(first, second, &both);
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

    /// Frame that the window of `spectrum` completes: the first half of that window. Nothing is left of the spectrum.
    pub fn synthesise(&mut self, spectrum: &mut Spectrum, output: &mut [f32; FRAME]) {
        let stft = stft();
        let mut pairs = [Complex32::ZERO; FRAME];
        interleave(&mut pairs, spectrum, &stft.turns);
        stft.inverse.process_with_scratch(&mut pairs, spectrum);
        add_overlap(output, &mut self.overlap, &pairs, &stft.synthesis);
    }
}

kernels! {
    /// Spectra of the real and the imaginary parts of what `both` is the doubled spectrum of: its even and its odd part.
    fn separate(first: &mut Spectrum, second: &mut Spectrum, both: &[Complex32; WINDOW]) {
        first[0] = Complex32::new(2.0 * both[0].re, 0.0);
        second[0] = Complex32::new(2.0 * both[0].im, 0.0);
        let mirrored = both[FRAME..].iter().rev();
        for (((first, second), a), b) in first[1..].iter_mut().zip(&mut second[1..]).zip(&both[1..]).zip(mirrored) {
            *first = Complex32::new(a.re + b.re, a.im - b.im);
            *second = Complex32::new(a.im + b.im, b.re - a.re);
        }
    }

    /// Spectrum whose transform has the even samples as real and the odd ones as imaginary parts.
    fn interleave(pairs: &mut [Complex32; FRAME], spectrum: &Spectrum, turns: &[Complex32; FRAME]) {
        let mirrored = spectrum[1..].iter().rev();
        for (((pair, a), b), turn) in pairs.iter_mut().zip(spectrum).zip(mirrored).zip(turns) {
            let even = Complex32::new(a.re + b.re, a.im - b.im);
            let odd = Complex32::new(a.re - b.re, a.im + b.im);
            let (re, im) = (odd.re * turn.re - odd.im * turn.im, odd.re * turn.im + odd.im * turn.re);
            *pair = Complex32::new(even.re - im, even.im + re);
        }
        // The transform of a real signal is real at both ends.
        let (low, high) = (spectrum[0].re, spectrum[FRAME].re);
        pairs[0] = Complex32::new(low + high, low - high);
    }

    /// First half of a window, on top of the second half of the one before.
    fn add_overlap(
        output: &mut [f32; FRAME],
        overlap: &mut [f32; FRAME],
        pairs: &[Complex32; FRAME],
        window: &[f32; WINDOW],
    ) {
        let (first, second) = pairs.split_at(FRAME / 2);
        let (rising, falling) = window.split_at(FRAME);
        let outputs = output.as_chunks_mut::<2>().0.iter_mut().zip(overlap.as_chunks_mut::<2>().0);
        let pairs = first.iter().zip(second).zip(rising.as_chunks::<2>().0.iter().zip(falling.as_chunks::<2>().0));
        for ((output, overlap), ((first, second), (rising, falling))) in outputs.zip(pairs) {
            *output = [first.re * rising[0] + overlap[0], first.im * rising[1] + overlap[1]];
            *overlap = [second.re * falling[0], second.im * falling[1]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_analysed_and_synthesised_is_the_same_one_frame_later() {
        let mut random = fastrand::Rng::with_seed(1);
        let sound: Vec<f32> = (0..20 * FRAME).map(|_| random.f32() - 0.5).collect();
        let mut synthesis = [Synthesis::START; 2];
        let mut spectra = [[Complex32::ZERO; BINS]; 2];
        let mut output = [0.0; FRAME];
        for start in (0..17 * FRAME).step_by(FRAME) {
            let starts = [start, start + 77];
            stft().analyse(starts.map(|start| sound[start..].first_chunk().unwrap()), &mut spectra);
            for ((synthesis, spectrum), start) in synthesis.iter_mut().zip(&mut spectra).zip(starts) {
                synthesis.synthesise(spectrum, &mut output);
                if start >= FRAME {
                    assert!(output.iter().zip(&sound[start..]).all(|(a, b)| (a - b).abs() < 1e-6));
                }
            }
        }
    }

    #[test]
    fn a_sine_has_its_scale_in_its_bin() {
        let sine = |bin: usize| -> [f32; WINDOW] {
            std::array::from_fn(|i| (2.0 * PI * (bin * i) as f64 / WINDOW as f64).sin() as f32)
        };
        let mut spectra = [[Complex32::ZERO; BINS]; 2];
        stft().analyse([&sine(20), &sine(70)], &mut spectra);
        let [spectrum, other] = spectra;
        assert!((spectrum[20].norm_sqr().sqrt() - 0.602).abs() < 1e-3, "{}", spectrum[20]);
        assert!((other[70].norm_sqr().sqrt() - 0.602).abs() < 1e-3, "{}", other[70]);
        assert!(spectrum[70].norm_sqr() < 1e-12 && other[20].norm_sqr() < 1e-12);
    }
}
