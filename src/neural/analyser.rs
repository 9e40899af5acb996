//! Analysis that RNNoise 0.1 and 0.2 share: a high-pass, the spectrum, the pitch, and the spectrum one pitch period earlier.

use realfft::num_complex::Complex32;

use super::pitch::{HISTORY, Past, PitchTracker};
use super::stft::{BINS, FRAME, Spectrum, stft};
use crate::dsp::kernels;

/// Analysis of one frame: of the window that it ends.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Spectrum at the scale of 16-bit PCM, and that of the window one pitch period earlier.
    pub spectra: [Spectrum; 2],
    /// Pitch period in samples.
    pub period: usize,
}

impl Analysis {
    /// Analysis of silence.
    pub const SILENCE: Self = Self { spectra: [[Complex32::ZERO; BINS]; 2], period: 0 };

    /// Becomes another analysis.
    pub fn copy_from(&mut self, other: &Self) {
        for (spectrum, other) in self.spectra.iter_mut().zip(&other.spectra) {
            kernels::copy(spectrum, other);
        }
        self.period = other.period;
    }

    /// Spectrum of the window.
    pub fn spectrum(&self) -> &Spectrum {
        &self.spectra[0]
    }
}

/// Past of one stream.
#[derive(Clone, Debug)]
pub struct Analyser {
    /// Samples that the next frame follows.
    past: [f32; HISTORY - FRAME],
    high_pass: HighPass,
    pitch: PitchTracker,
}

impl Analyser {
    pub const START: Self = Self { past: [0.0; HISTORY - FRAME], high_pass: [0.0; 2], pitch: PitchTracker::START };

    /// Analysis of the next frame, whose samples have the scale of 16-bit PCM (±32768).
    pub fn analyse(&mut self, frame: &[f32; FRAME], analysis: &mut Analysis) {
        let mut history = [0.0; HISTORY];
        kernels::copy(&mut history[..HISTORY - FRAME], &self.past);
        let mut past = Past::new(&history);
        let (_, newest) = history.split_at_mut(HISTORY - FRAME);
        high_pass(&mut self.high_pass, frame, newest, &mut past);
        analysis.period = self.pitch.find(&history, &mut past);
        let windows = [0, analysis.period].map(|lag| history[..HISTORY - lag].last_chunk());
        if let [Some(newest), Some(earlier)] = windows {
            stft().analyse([newest, earlier], &mut analysis.spectra);
        }
        kernels::copy(&mut self.past, &history[FRAME..]);
    }
}

/// State of a filter of second order, in transposed direct form II, of as many bits as an `f32`.
type HighPass = [f64; 2];

kernels! {
    /// High-pass of 22 Hz (−3 dB), whose state is rounded to the bits of an `f32`, as in nnnoiseless. Each sample waits for
    /// the one before, so its products are arranged for the shortest way from state to state, and the past is summed up
    /// meanwhile.
    fn high_pass(state: &mut HighPass, input: &[f32; FRAME], output: &mut [f32], past: &mut Past) {
        const POLES: [f64; 2] = [-1.99599f32 as f64, 0.99600f32 as f64];
        const ZEROS: [f64; 2] = [-2.0, 1.0];
        let mut now = *state;
        let mut sums = past.sums;
        for ((input, output), (value, ahead)) in input.iter().zip(output).zip(past.known()) {
            let (x, past) = (f64::from(*input), now[0]);
            *output = (x + past) as f32;
            let ahead_of_past = [now[1] + (ZEROS[0] - POLES[0]) * x, (ZEROS[1] - POLES[1]) * x];
            for lane in 0..2 {
                let value = ahead_of_past[lane] - POLES[lane] * past;
                // By its integer, which is faster than a conversion there and back.
                now[lane] = f64::from_bits((value.to_bits() + HALF_STEP) & !(2 * HALF_STEP - 1));
            }
            for lane in 0..8 {
                sums[lane] += value * ahead[lane];
            }
        }
        past.sums = sums;
        *state = now;
    }
}

/// Half of the last bit of an `f32`, in the integer of an `f64`.
const HALF_STEP: u64 = 1 << 28;
