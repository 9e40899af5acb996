//! What the network is told of each spectrum.

use realfft::num_complex::Complex32;

use super::{BANDS, BINS, FILTERED};

/// How many bins make each band.
const BAND_WIDTHS: [usize; BANDS] =
    [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 6, 7, 7, 8, 8, 10, 12, 12, 14, 16, 18];

/// The least power that is told: −100 dB.
const LEAST: f32 = 1e-10;

/// How much of a mean is left after a frame: a time constant of 1 s.
const MEMORY: f32 = 0.990_049_8;

/// Running means, against which each frame is told.
pub(super) struct Features {
    /// Of the level of each band, in dB.
    bands: [f32; BANDS],
    /// Of the magnitude of each bin.
    bins: [f32; FILTERED],
}

impl Features {
    pub fn new() -> Self {
        let between = |from: f32, to: f32, at: usize, of: usize| from + (to - from) * at as f32 / (of - 1) as f32;
        Self {
            bands: std::array::from_fn(|band| between(-60.0, -90.0, band, BANDS)),
            bins: std::array::from_fn(|bin| between(1e-3, 1e-4, bin, FILTERED)),
        }
    }

    /// The level of each band above its mean, in units of 40 dB.
    pub fn bands(&mut self, spectrum: &[Complex32; BINS], sensitivity: f32) -> [f32; BANDS] {
        let mut from = 0;
        std::array::from_fn(|band| {
            let width = BAND_WIDTHS[band];
            let power: f32 = spectrum[from..from + width].iter().map(Complex32::norm_sqr).sum();
            from += width;
            let db = 10.0 * (power * sensitivity * sensitivity / width as f32 + LEAST).log10();
            let mean = &mut self.bands[band];
            *mean = db + (*mean - db) * MEMORY;
            (db - *mean) / 40.0
        })
    }

    /// The lower bins over the root of their mean, as real and imaginary parts.
    pub fn bins(&mut self, spectrum: &[Complex32; BINS], sensitivity: f32) -> [[f32; FILTERED]; 2] {
        let mut parts = [[0.0; FILTERED]; 2];
        for (bin, mean) in self.bins.iter_mut().enumerate() {
            let value = spectrum[bin] * sensitivity;
            let magnitude = value.norm_sqr().sqrt();
            *mean = magnitude + (*mean - magnitude) * MEMORY;
            let scale = 1.0 / mean.max(1e-20).sqrt();
            parts[0][bin] = value.re * scale;
            parts[1][bin] = value.im * scale;
        }
        parts
    }
}

/// Gives each bin what its band has.
pub(super) fn spread(bands: &[f32; BANDS]) -> [f32; BINS] {
    let mut bins = [0.0; BINS];
    let mut rest = &mut bins[..];
    for (&value, width) in bands.iter().zip(BAND_WIDTHS) {
        let (now, later) = rest.split_at_mut(width);
        now.fill(value);
        rest = later;
    }
    bins
}
