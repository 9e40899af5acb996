//! Bands of RNNoise 0.1 and 0.2: energies, cosine transform, and the comb filter at the pitch.

use std::f64::consts::PI;

use realfft::num_complex::Complex32;

use super::analyser::Analysis;
use super::stft::{BINS, Spectrum};
use crate::dsp::kernels;

/// Products of the bins of two spectra.
pub type Products = [f32; BINS];

/// Layout of `BANDS` bands, each falling off linearly to the centres of its neighbours.
pub trait BandLayout<const BANDS: usize> {
    /// Scale of a power that the network was trained with, relative to 16-bit PCM.
    const POWER: f32;

    /// Sum of the products in each band.
    fn sum(products: &Products) -> [f32; BANDS];

    /// Value of each bin, linear between the band centres.
    fn interpolate(bands: &[f32; BANDS]) -> [f32; BINS];
}

/// Shares of each bin in the two bands between whose centres it lies.
pub struct Shares {
    /// Share in the lower band, and in the higher one.
    falling: [f32; BINS],
    rising: [f32; BINS],
}

impl Shares {
    /// Shares between `POINTS` band centres; elsewhere 0.
    pub const fn between<const POINTS: usize>(centres: &[usize; POINTS]) -> Self {
        let (mut falling, mut rising) = ([0.0; BINS], [0.0; BINS]);
        let mut band = 0;
        while band < POINTS - 1 {
            let (from, to) = (centres[band], centres[band + 1]);
            let mut bin = from;
            while bin < to {
                rising[bin] = (bin - from) as f32 / (to - from) as f32;
                falling[bin] = 1.0 - rising[bin];
                bin += 1;
            }
            band += 1;
        }
        Self { falling, rising }
    }
}

kernels! {
    /// Real parts of the products of each bin and the conjugate of the other.
    fn multiply_bins(products: &mut Products, a: &Spectrum, b: &Spectrum) {
        for ((product, a), b) in products.iter_mut().zip(a).zip(b) {
            *product = a.re * b.re + a.im * b.im;
        }
    }

    /// Sums of the products for band centres, between which each bin is shared out.
    fn sum_between(sums: &mut [f32], centres: &[usize], shares: &Shares, products: &Products) {
        sums.fill(0.0);
        for (band, edges) in centres.windows(2).enumerate() {
            let range = edges[0]..edges[1];
            let (products, last) = products[range.clone()].as_chunks::<4>();
            let (falling, last_falling) = shares.falling[range.clone()].as_chunks::<4>();
            let (rising, last_rising) = shares.rising[range].as_chunks::<4>();
            let (mut low, mut high) = ([0.0; 4], [0.0; 4]);
            for ((product, falling), rising) in products.iter().zip(falling).zip(rising) {
                for lane in 0..4 {
                    low[lane] += product[lane] * falling[lane];
                    high[lane] += product[lane] * rising[lane];
                }
            }
            for (lane, product) in last.iter().enumerate() {
                low[lane] += product * last_falling[lane];
                high[lane] += product * last_rising[lane];
            }
            sums[band] += (low[0] + low[2]) + (low[1] + low[3]);
            sums[band + 1] += (high[0] + high[2]) + (high[1] + high[3]);
        }
    }

    /// Value of each bin, linear between the band centres; elsewhere unchanged.
    fn interpolate_between(bins: &mut [f32; BINS], centres: &[usize], shares: &Shares, values: &[f32]) {
        for (edges, values) in centres.windows(2).zip(values.windows(2)) {
            let range = edges[0]..edges[1];
            let (bins, last) = bins[range.clone()].as_chunks_mut::<4>();
            let (falling, last_falling) = shares.falling[range.clone()].as_chunks::<4>();
            let (rising, last_rising) = shares.rising[range].as_chunks::<4>();
            for ((bins, falling), rising) in bins.iter_mut().zip(falling).zip(rising) {
                for lane in 0..4 {
                    bins[lane] = falling[lane] * values[0] + rising[lane] * values[1];
                }
            }
            for ((bin, falling), rising) in last.iter_mut().zip(last_falling).zip(last_rising) {
                *bin = falling * values[0] + rising * values[1];
            }
        }
    }

    /// `a = a + strength · b`, and its power, bin by bin.
    fn comb(a: &mut Spectrum, power: &mut Products, b: &Spectrum, strengths: &[f32; BINS]) {
        for (((a, power), b), strength) in a.iter_mut().zip(power).zip(b).zip(strengths) {
            *a = Complex32::new(a.re + b.re * strength, a.im + b.im * strength);
            *power = a.re * a.re + a.im * a.im;
        }
    }

    /// Multiplies each bin by two gains.
    fn scale_bins(spectrum: &mut Spectrum, a: &[f32; BINS], b: &[f32; BINS]) {
        for ((bin, a), b) in spectrum.iter_mut().zip(a).zip(b) {
            let gain = a * b;
            *bin = Complex32::new(bin.re * gain, bin.im * gain);
        }
    }
}

/// Products of the spectra of an [`Analysis`], bin by bin: whatever the bands, each network needs them.
pub struct AnalysisProducts {
    pub power: Products,
    pitch_power: Products,
    /// Product of both spectra.
    correlation: Products,
}

impl AnalysisProducts {
    /// Products of silence.
    pub const SILENCE: Self = Self { power: [0.0; BINS], pitch_power: [0.0; BINS], correlation: [0.0; BINS] };

    /// Becomes the products of an analysis.
    pub fn set(&mut self, analysis: &Analysis) {
        let [spectrum, pitch_spectrum] = &analysis.spectra;
        multiply_bins(&mut self.power, spectrum, spectrum);
        multiply_bins(&mut self.pitch_power, pitch_spectrum, pitch_spectrum);
        multiply_bins(&mut self.correlation, spectrum, pitch_spectrum);
    }
}

/// Bands of an [`Analysis`].
#[derive(Clone, Debug)]
pub struct BandAnalysis<const BANDS: usize> {
    pub energies: [f32; BANDS],
    /// Energies of the window one pitch period earlier.
    pitch_energies: [f32; BANDS],
    /// Normalised correlation of both, −1 to 1.
    pub correlations: [f32; BANDS],
}

impl<const BANDS: usize> BandAnalysis<BANDS> {
    /// Analysis of silence.
    pub const SILENCE: Self = Self { energies: [0.0; BANDS], pitch_energies: [0.0; BANDS], correlations: [0.0; BANDS] };

    pub fn new<L: BandLayout<BANDS>>(products: &AnalysisProducts) -> Self {
        let [energies, pitch_energies, mut correlations] =
            [&products.power, &products.pitch_power, &products.correlation]
                .map(|products| L::sum(products).map(|sum| sum * L::POWER));
        for ((correlation, energy), pitch_energy) in correlations.iter_mut().zip(&energies).zip(&pitch_energies) {
            *correlation /= (0.001 + energy * pitch_energy).sqrt();
        }
        Self { energies, pitch_energies, correlations }
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

    /// Filters a spectrum by a comb filter and band gains. The filter adds the spectrum of one period earlier where a band is
    /// noisier (by the gain that the network gives it) than its pitch correlation, and keeps the energy of each band.
    pub fn filter<L: BandLayout<BANDS>>(
        &self,
        spectrum: &mut Spectrum,
        pitch_spectrum: &Spectrum,
        network_gains: &[f32; BANDS],
        gains: &[f32; BANDS],
    ) {
        let strengths: [f32; BANDS] = std::array::from_fn(|band| {
            let (correlation, gain) = (self.correlations[band], network_gains[band]);
            let strength = if correlation > gain {
                1.0
            } else {
                let (correlation, gain) = (correlation * correlation, gain * gain);
                correlation * (1.0 - gain) / (0.001 + gain * (1.0 - correlation))
            };
            let strength = strength.clamp(0.0, 1.0);
            (strength * self.energies[band] / (1e-8 + self.pitch_energies[band])).sqrt()
        });
        let mut power = [0.0; BINS];
        comb(spectrum, &mut power, pitch_spectrum, &L::interpolate(&strengths));
        let energies = L::sum(&power);
        let corrections = std::array::from_fn(|band| (self.energies[band] / (1e-8 + energies[band] * L::POWER)).sqrt());
        scale_bins(spectrum, &L::interpolate(&corrections), &L::interpolate(gains));
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
