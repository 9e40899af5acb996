//! Features that the network of Hush sees, and the frequency scale of its input.

use realfft::num_complex::Complex32;

use crate::dsp::dispatch::kernels;

/// Bins of the spectrum, 50 Hz apart: up to 8 kHz.
pub const BINS: usize = 161;

/// Bands of the mask.
pub const BANDS: usize = 32;

/// Bins of the deep filter: up to 3.2 kHz.
pub const FILTERED: usize = 64;

/// Bins in each band.
const BAND_WIDTHS: [usize; BANDS] =
    [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 6, 7, 7, 8, 8, 10, 12, 12, 14, 16, 18];

/// Lowest power of a band: −100 dB.
const MIN_POWER: f32 = 1e-10;

/// Smoothing factor of the means, for each frame of 10 ms: a time constant of 1 s.
const SMOOTHING: f32 = 0.990_049_8;

/// Exponentially smoothed means that normalise the features.
#[derive(Clone, Debug)]
pub struct Features {
    /// Level of each band, in dB.
    bands: [f32; BANDS],
    /// Magnitude of each bin.
    bins: [f32; FILTERED],
}

impl Features {
    /// Means at the start of a stream: those of DeepFilterNet (`libDF`).
    pub fn new() -> Self {
        let between = |from: f32, to: f32, at: usize, of: usize| from + (to - from) * at as f32 / (of - 1) as f32;
        Self {
            bands: std::array::from_fn(|band| between(-60.0, -90.0, band, BANDS)),
            bins: std::array::from_fn(|bin| between(1e-3, 1e-4, bin, FILTERED)),
        }
    }

    /// Level of each band above its mean, in units of 40 dB; the spectrum counts `sensitivity` times.
    pub fn bands(&mut self, spectrum: &[Complex32; BINS], sensitivity: f32) -> [f32; BANDS] {
        let mut powers = [0.0; BINS];
        find_powers(&mut powers, spectrum);
        let mut from = 0;
        std::array::from_fn(|band| {
            let width = BAND_WIDTHS[band];
            let power: f32 = powers[from..from + width].iter().sum();
            from += width;
            let db = 10.0 * (power * sensitivity * sensitivity / width as f32 + MIN_POWER).log10();
            let mean = &mut self.bands[band];
            *mean = db + (*mean - db) * SMOOTHING;
            (db - *mean) / 40.0
        })
    }

    /// Real and imaginary parts of the lower bins, over the root of their mean magnitude.
    pub fn bins(&mut self, spectrum: &[Complex32; BINS], sensitivity: f32) -> [[f32; FILTERED]; 2] {
        let mut parts = [[0.0; FILTERED]; 2];
        normalise(&mut parts, &mut self.bins, spectrum, sensitivity);
        parts
    }
}

kernels! {
    /// Power of each bin.
    fn find_powers(powers: &mut [f32; BINS], spectrum: &[Complex32; BINS]) {
        for (power, bin) in powers.iter_mut().zip(spectrum) {
            *power = bin.re * bin.re + bin.im * bin.im;
        }
    }

    /// [`Features::bins`].
    fn normalise(
        parts: &mut [[f32; FILTERED]; 2],
        means: &mut [f32; FILTERED],
        spectrum: &[Complex32; BINS],
        sensitivity: f32,
    ) {
        let [re, im] = parts;
        for (((re, im), mean), bin) in re.iter_mut().zip(im).zip(means).zip(spectrum) {
            let value = [bin.re * sensitivity, bin.im * sensitivity];
            let magnitude = (value[0] * value[0] + value[1] * value[1]).sqrt();
            *mean = magnitude + (*mean - magnitude) * SMOOTHING;
            let scale = 1.0 / mean.max(1e-20).sqrt();
            (*re, *im) = (value[0] * scale, value[1] * scale);
        }
    }
}

/// Value of each bin: that of its band.
pub fn spread(bands: &[f32; BANDS]) -> [f32; BINS] {
    let mut bins = [0.0; BINS];
    let mut rest = &mut bins[..];
    for (&value, width) in bands.iter().zip(BAND_WIDTHS) {
        let (now, later) = rest.split_at_mut(width);
        now.fill(value);
        rest = later;
    }
    bins
}
