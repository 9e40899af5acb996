//! Analysis that RNNoise 0.1 and 0.2 share: a high-pass, the spectrum, the pitch, and the spectrum one pitch period earlier.

use super::pitch::{HISTORY, PitchTracker};
use super::stft::{FRAME, Scratch, Spectrum, WINDOW, stft};

/// Analysis of one frame: of the window that it ends.
pub struct Analysis {
    /// Spectrum at the scale of 16-bit PCM.
    pub spectrum: Spectrum,
    /// Spectrum of the window one pitch period earlier.
    pub pitch_spectrum: Spectrum,
    /// Pitch period in samples.
    pub period: usize,
}

/// Past of one stream.
#[derive(Clone, Debug)]
pub struct Analyser {
    history: [f32; HISTORY],
    high_pass: [f32; 2],
    pitch: PitchTracker,
}

impl Analyser {
    pub const START: Self = Self { history: [0.0; HISTORY], high_pass: [0.0; 2], pitch: PitchTracker::START };

    /// Analysis of the next frame, whose samples have the scale of 16-bit PCM (±32768).
    pub fn analyse(&mut self, frame: &[f32; FRAME], scratch: &mut Scratch) -> Analysis {
        self.push(frame);
        let spectrum = self.transform(0, scratch);
        let period = self.pitch.find(&self.history);
        Analysis { spectrum, pitch_spectrum: self.transform(period, scratch), period }
    }

    /// Appends a frame behind a high-pass of 22 Hz (−3 dB).
    fn push(&mut self, frame: &[f32; FRAME]) {
        const POLES: [f32; 2] = [-1.99599, 0.99600];
        const ZEROS: [f32; 2] = [-2.0, 1.0];
        let [a1, a2] = POLES.map(f64::from);
        let [b1, b2] = ZEROS.map(f64::from);
        self.history.copy_within(FRAME.., 0);
        for (&input, output) in frame.iter().zip(&mut self.history[HISTORY - FRAME..]) {
            let x = f64::from(input);
            let y = x + f64::from(self.high_pass[0]);
            self.high_pass[0] = (f64::from(self.high_pass[1]) + (b1 * x - a1 * y)) as f32;
            self.high_pass[1] = (b2 * x - a2 * y) as f32;
            *output = y as f32;
        }
    }

    /// Spectrum of the window that ends `lag` samples before the newest.
    fn transform(&self, lag: usize, scratch: &mut Scratch) -> Spectrum {
        let start = HISTORY - WINDOW - lag;
        stft().analyse(&std::array::from_fn(|i| self.history[start + i]), scratch)
    }
}
