//! Bands of RNNoise 0.1 and 0.2: energies, cosine transform, and the comb filter at the pitch.

use std::f64::consts::PI;

use super::stft::{BINS, Spectrum};

/// Layout of `BANDS` bands, each falling off linearly to the centres of its neighbours.
pub trait BandLayout<const BANDS: usize> {
    /// Correlation of two spectra in each band.
    fn correlate(a: &Spectrum, b: &Spectrum) -> [f32; BANDS];

    /// Value of each bin, linear between the band centres.
    fn interpolate(bands: &[f32; BANDS]) -> [f32; BINS];

    /// Multiplies each bin by the gain of its place between the band centres.
    fn apply(spectrum: &mut Spectrum, gains: &[f32; BANDS]) {
        let bins = Self::interpolate(gains);
        spectrum.iter_mut().zip(bins).for_each(|(bin, gain)| *bin *= gain);
    }
}

/// Sums of the products of two spectra for `POINTS` band centres, between which each bin is shared out.
pub fn correlate_between<const POINTS: usize>(centres: &[usize; POINTS], a: &Spectrum, b: &Spectrum) -> [f32; POINTS] {
    let mut sums = [0.0; POINTS];
    for (band, edges) in centres.windows(2).enumerate() {
        let width = edges[1] - edges[0];
        for (offset, (a, b)) in a[edges[0]..edges[1]].iter().zip(&b[edges[0]..edges[1]]).enumerate() {
            let share = offset as f32 / width as f32;
            let product = a.re * b.re + a.im * b.im;
            sums[band] += (1.0 - share) * product;
            sums[band + 1] += share * product;
        }
    }
    sums
}

/// Value of each bin, linear between the band centres; elsewhere 0.
pub fn interpolate_between(centres: &[usize], values: &[f32]) -> [f32; BINS] {
    let mut bins = [0.0; BINS];
    for (edges, values) in centres.windows(2).zip(values.windows(2)) {
        let width = edges[1] - edges[0];
        for (offset, bin) in bins[edges[0]..edges[1]].iter_mut().enumerate() {
            let share = offset as f32 / width as f32;
            *bin = (1.0 - share) * values[0] + share * values[1];
        }
    }
    bins
}

/// Spectra of one frame and what they hold in each band.
#[derive(Clone, Debug)]
pub struct BandAnalysis<const BANDS: usize> {
    pub spectrum: Spectrum,
    pub energies: [f32; BANDS],
    /// Spectrum and energies of the window one pitch period earlier.
    pitch_spectrum: Spectrum,
    pitch_energies: [f32; BANDS],
    /// Normalised correlation of both, −1 to 1.
    pub correlations: [f32; BANDS],
}

impl<const BANDS: usize> BandAnalysis<BANDS> {
    /// Analysis of silence.
    pub const SILENCE: Self = {
        let spectrum = [realfft::num_complex::Complex32::ZERO; BINS];
        let zeros = [0.0; BANDS];
        Self { spectrum, energies: zeros, pitch_spectrum: spectrum, pitch_energies: zeros, correlations: zeros }
    };

    /// Analysis of a spectrum and of the one a pitch period earlier.
    pub fn new<L: BandLayout<BANDS>>(spectrum: Spectrum, pitch_spectrum: Spectrum) -> Self {
        let energies = L::correlate(&spectrum, &spectrum);
        let pitch_energies = L::correlate(&pitch_spectrum, &pitch_spectrum);
        let mut correlations = L::correlate(&spectrum, &pitch_spectrum);
        for ((correlation, energy), pitch_energy) in correlations.iter_mut().zip(&energies).zip(&pitch_energies) {
            *correlation /= (0.001 + energy * pitch_energy).sqrt();
        }
        Self { spectrum, energies, pitch_spectrum, pitch_energies, correlations }
    }

    /// Logarithm of each band's energy, at most 7 below the highest of the bands below it, and at most 1.5 below the one
    /// before.
    pub fn levels(&self) -> [f32; BANDS] {
        let (mut max, mut follow) = (-2.0f32, -2.0f32);
        self.energies.map(|energy| {
            let level = (1e-2 + energy).log10().max(max - 7.0).max(follow - 1.5);
            max = max.max(level);
            follow = (follow - 1.5).max(level);
            level
        })
    }

    /// Comb filter: adds the spectrum of one period earlier where a band is noisier than its pitch correlation, and keeps
    /// the energy of each band.
    pub fn filter_pitch<L: BandLayout<BANDS>>(&mut self, gains: &[f32; BANDS]) {
        let strengths: [f32; BANDS] = std::array::from_fn(|band| {
            let (correlation, gain) = (self.correlations[band], gains[band]);
            let strength = if correlation > gain {
                1.0
            } else {
                let (correlation, gain) = (correlation * correlation, gain * gain);
                correlation * (1.0 - gain) / (0.001 + gain * (1.0 - correlation))
            };
            let strength = strength.clamp(0.0, 1.0).sqrt();
            strength * (self.energies[band] / (1e-8 + self.pitch_energies[band])).sqrt()
        });
        let bins = L::interpolate(&strengths);
        for ((bin, pitch), strength) in self.spectrum.iter_mut().zip(&self.pitch_spectrum).zip(bins) {
            *bin += pitch * strength;
        }
        let energies = L::correlate(&self.spectrum, &self.spectrum);
        let corrections: [f32; BANDS] =
            std::array::from_fn(|band| (self.energies[band] / (1e-8 + energies[band])).sqrt());
        L::apply(&mut self.spectrum, &corrections);
    }
}

/// Cosine transform of type II. The scale is that of 22 bands, for 32 of them too.
pub struct CosineTransform<const BANDS: usize> {
    /// A row for each input.
    rows: [[f32; BANDS]; BANDS],
}

impl<const BANDS: usize> CosineTransform<BANDS> {
    pub fn new() -> Self {
        let cosine = |row: usize, column: usize| {
            let value = ((row as f64 + 0.5) * column as f64 * PI / BANDS as f64).cos() as f32;
            if column == 0 { value * 0.5f32.sqrt() } else { value }
        };
        Self { rows: std::array::from_fn(|row| std::array::from_fn(|column| cosine(row, column))) }
    }

    /// First `COUNT` coefficients of the values of the bands.
    pub fn transform<const COUNT: usize>(&self, bands: &[f32; BANDS]) -> [f32; COUNT] {
        let mut sums = [0.0f32; COUNT];
        for (band, row) in bands.iter().zip(&self.rows) {
            sums.iter_mut().zip(row).for_each(|(sum, cosine)| *sum += band * cosine);
        }
        sums.map(|sum| (f64::from(sum) * (2.0f64 / 22.0).sqrt()) as f32)
    }
}
