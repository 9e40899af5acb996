//! Settings of [`Spectrum`].

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// Longest FFT, in samples.
pub(super) const MAX_FFT_SIZE: usize = 32_768;

/// Spectrum and waveform for displays, by the definition of Web Audio's `AnalyserNode`.
///
/// The sound passes unchanged. Latency: none. The processor only stores the samples; the [`Analyser`](super::Analyser)
/// that [`live`](Self::live) returns computes, on the thread that reads. All settings are the analyser's.
///
/// ```
/// use voxframe::{Format, Frame, Processor, Stage};
/// use voxframe::spectrum::Spectrum;
/// let (spectrum, mut analyser) = Spectrum { fft_size: 512, ..Spectrum::default() }.live();
/// let mut spectrum = spectrum.prepare(Format::mono(48_000)?)?;
/// let mut bars = [0; 256];
/// let drawing = std::thread::spawn(move || {
///     analyser.byte_frequency_data(&mut bars); // once for each picture
///     assert_eq!(analyser.bin_hz(), 93.75);
/// });
/// spectrum.process(&mut Frame::new(spectrum.input_format()))?;
/// # drawing.join().unwrap();
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Spectrum {
    /// FFT length in samples, a power of two from 32 to 32 768. Default 2048 (Web Audio).
    pub fft_size: u32,
    /// Smoothing coefficient: the share of the last spectrum in the next one that is read, 0 (none) to 1 (all). Default
    /// 0.8 (Web Audio).
    pub smoothing: f32,
    /// Level of byte 0, in dB, −300 to below `max_db`. Default −100 (Web Audio).
    pub min_db: f32,
    /// Level of byte 255, in dB, from above `min_db` to 300. Default −30 (Web Audio).
    pub max_db: f32,
}

impl Default for Spectrum {
    fn default() -> Self {
        Self { fft_size: 2048, smoothing: 0.8, min_db: -100.0, max_db: -30.0 }
    }
}

impl Spectrum {
    pub(super) fn check(&self) -> Result<()> {
        let (min, max) = (32, MAX_FFT_SIZE as u32);
        if !self.fft_size.is_power_of_two() || !(min..=max).contains(&self.fft_size) {
            let (value, min, max) = (self.fft_size as f32, min as f32, max as f32);
            return Err(Error::OutOfRange { setting: "Spectrum::fft_size (a power of two)", value, min, max });
        }
        in_range("Spectrum::smoothing", self.smoothing, 0.0, 1.0)?;
        in_range("Spectrum::min_db", self.min_db, -300.0, 300.0)?;
        in_range("Spectrum::max_db", self.max_db, self.min_db.next_up(), 300.0)
    }
}
