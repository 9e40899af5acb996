//! What is computed where it is read.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::{Feed, Spectrum};
use crate::core::Result;

/// Sees what goes through a running [`Spectrum`], from another thread: Web Audio's `AnalyserNode`, where a frame stands
/// for what is called a render quantum there.
///
/// It computes when it is read, from the newest [`fft_size`](Spectrum::fft_size) samples, down-mixed to mono: Blackman
/// window (α = 0.16), discrete Fourier transform divided by its length, magnitude, smoothing. Smoothing thus goes by
/// readings, not by time; read between two frames, it gives the same data again. Before the first frame and after a
/// reset of the processor there is silence.
///
/// A clone smooths on its own from then on: give each display its own.
///
/// # Realtime safety
/// Never waits for the processor, nor the processor for it. Reading does not allocate, but an FFT is not for an audio
/// thread.
#[derive(Clone)]
pub struct Analyser {
    feed: Arc<Feed>,
    settings: Spectrum,
    fft: Arc<dyn RealToComplex<f64>>,
    window: Box<[f64]>,
    /// The newest samples.
    waveform: Box<[f32]>,
    /// The position of the samples that `smoothed` has last taken in.
    seen: Option<u64>,
    /// The magnitudes, smoothed.
    smoothed: Box<[f64]>,
    windowed: Box<[f64]>,
    transformed: Box<[Complex<f64>]>,
    scratch: Box<[Complex<f64>]>,
}

impl Analyser {
    pub(super) fn new(settings: Spectrum, feed: Arc<Feed>) -> Self {
        let length = settings.fft_size as usize;
        let fft = RealFftPlanner::new().plan_fft_forward(length);
        let window = |n| {
            let turn = TAU * n as f64 / length as f64;
            (1.0 - 0.16) / 2.0 - 0.5 * turn.cos() + 0.16 / 2.0 * (2.0 * turn).cos()
        };
        Self {
            feed,
            settings,
            window: (0..length).map(window).collect(),
            waveform: vec![0.0; length].into(),
            seen: None,
            smoothed: vec![0.0; length / 2].into(),
            windowed: fft.make_input_vec().into(),
            transformed: fft.make_output_vec().into(),
            scratch: fft.make_scratch_vec().into(),
            fft,
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Spectrum {
        self.settings
    }

    /// Changes some settings, for this analyser alone. A new [`fft_size`](Spectrum::fft_size) allocates, and begins
    /// smoothing afresh.
    ///
    /// # Errors
    /// A setting out of range; then nothing is changed.
    pub fn update(&mut self, change: impl FnOnce(&mut Spectrum)) -> Result<()> {
        let mut settings = self.settings;
        change(&mut settings);
        settings.validate()?;
        if settings.fft_size == self.settings.fft_size {
            self.settings = settings;
        } else {
            *self = Self::new(settings, Arc::clone(&self.feed));
        }
        Ok(())
    }

    /// How many frequencies there are: half of [`fft_size`](Spectrum::fft_size).
    pub fn bins(&self) -> usize {
        self.smoothed.len()
    }

    /// How far apart they are, in Hz: bin `k` is for `k` times as much. 0 until the stage is prepared.
    pub fn bin_hz(&self) -> f32 {
        self.feed.sample_rate_hz.load(Ordering::Relaxed) as f32 / self.settings.fft_size as f32
    }

    /// The spectrum, in dB: a full-scale sine on a bin's frequency has −13.6 dB there (half of it is in the negative
    /// frequencies, and the window takes its part), silence −∞.
    ///
    /// If `levels` is shorter than [`bins`](Self::bins), the highest frequencies are left out; if it is longer, the
    /// rest stays as it is. So it is with all four.
    pub fn float_frequency_data(&mut self, levels: &mut [f32]) {
        self.analyse();
        for (level, db) in levels.iter_mut().zip(self.decibels()) {
            *level = db as f32;
        }
    }

    /// The spectrum in bytes, from 0 at [`min_db`](Spectrum::min_db) or below to 255 at [`max_db`](Spectrum::max_db) or
    /// above.
    pub fn byte_frequency_data(&mut self, levels: &mut [u8]) {
        self.analyse();
        let (min, max) = (f64::from(self.settings.min_db), f64::from(self.settings.max_db));
        for (level, db) in levels.iter_mut().zip(self.decibels()) {
            *level = byte(255.0 / (max - min) * (db - min));
        }
    }

    /// The newest [`fft_size`](Spectrum::fft_size) samples, oldest first.
    pub fn float_time_domain_data(&mut self, samples: &mut [f32]) {
        self.listen();
        for (to, from) in samples.iter_mut().zip(&self.waveform) {
            *to = *from;
        }
    }

    /// The newest [`fft_size`](Spectrum::fft_size) samples in bytes, oldest first: 0 is −1, 128 is 0, and 255 is 1 and
    /// above.
    pub fn byte_time_domain_data(&mut self, samples: &mut [u8]) {
        self.listen();
        for (to, from) in samples.iter_mut().zip(&self.waveform) {
            *to = byte(128.0 * (1.0 + f64::from(*from)));
        }
    }

    /// Takes over the newest samples; their position.
    fn listen(&mut self) -> Option<u64> {
        self.feed.ring.read(&mut self.waveform)
    }

    /// Takes the newest samples into the spectrum, unless they are in it already.
    fn analyse(&mut self) {
        if self.seen == Some(self.feed.ring.position()) {
            return;
        }
        let Some(position) = self.listen() else { return };
        self.seen = Some(position);
        for ((to, sample), weight) in self.windowed.iter_mut().zip(&self.waveform).zip(&self.window) {
            *to = f64::from(*sample) * weight;
        }
        let done = self.fft.process_with_scratch(&mut self.windowed, &mut self.transformed, &mut self.scratch);
        debug_assert!(done.is_ok(), "the buffers are those it asked for");
        let smoothing = f64::from(self.settings.smoothing);
        let share = (1.0 - smoothing) / f64::from(self.settings.fft_size);
        for (smoothed, bin) in self.smoothed.iter_mut().zip(&self.transformed) {
            *smoothed = smoothing * *smoothed + share * bin.norm();
        }
    }

    fn decibels(&self) -> impl Iterator<Item = f64> {
        self.smoothed.iter().map(|magnitude| 20.0 * magnitude.log10())
    }
}

/// The whole number below, held between 0 and 255.
fn byte(value: f64) -> u8 {
    value.floor() as u8
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Analyser({:?})", self.settings)
    }
}
