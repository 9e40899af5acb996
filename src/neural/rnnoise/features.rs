//! Analysis of RNNoise: spectra, band energies and the features that the network sees.

use realfft::num_complex::Complex32;

use super::pitch::{HISTORY, PitchTracker};
use super::tables::{BANDS, BINS, FRAME, Tables, WINDOW, tables};

/// Bins of the band centres.
const CENTRES: [usize; BANDS] =
    [0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 136, 160, 192, 240, 312, 400];

/// Features: cepstrum, first and second differences of its first coefficients, cepstrum of the pitch correlation, pitch
/// period, spectral variability.
pub(super) const FEATURES: usize = BANDS + 3 * DIFFERENCES + 2;

/// Cepstral coefficients whose differences are features.
const DIFFERENCES: usize = 6;

/// Cepstra that the spectral variability is taken over.
const CEPSTRA: usize = 8;

/// Sum of the band energies below which a frame is silent, at the scale of 16-bit PCM.
const SILENCE: f32 = 0.04;

/// Energy of each band.
pub(super) type Bands = [f32; BANDS];

/// Spectrum of a window.
pub(super) type Spectrum = [Complex32; BINS];

/// Analysis of one frame.
pub(super) struct Analysis {
    pub spectrum: Spectrum,
    pub energies: Bands,
    /// Spectrum and energies of the window one pitch period earlier.
    pub pitch_spectrum: Spectrum,
    pub pitch_energies: Bands,
    /// Normalised correlation of both, −1 to 1.
    pub correlations: Bands,
    /// `None` where the frame is silent.
    pub features: Option<[f32; FEATURES]>,
}

/// Past of one stream.
#[derive(Clone, Debug)]
pub(super) struct Analyser {
    history: [f32; HISTORY],
    high_pass: [f32; 2],
    pitch: PitchTracker,
    /// Ring of the last cepstra, and the place of the next.
    cepstra: [Bands; CEPSTRA],
    next: usize,
}

impl Analyser {
    pub const START: Self = Self {
        history: [0.0; HISTORY],
        high_pass: [0.0; 2],
        pitch: PitchTracker::START,
        cepstra: [[0.0; BANDS]; CEPSTRA],
        next: 0,
    };

    /// Analysis of the next frame. `scratch` is for the transform.
    pub fn analyse(&mut self, frame: &[f32; FRAME], scratch: &mut [Complex32]) -> Analysis {
        let tables = tables();
        self.push(frame);
        let (spectrum, energies) = self.transform(0, tables, scratch);
        let period = self.pitch.find(&self.history);
        let (pitch_spectrum, pitch_energies) = self.transform(period, tables, scratch);
        let mut correlations = band_correlation(&spectrum, &pitch_spectrum);
        for ((correlation, energy), pitch_energy) in correlations.iter_mut().zip(&energies).zip(&pitch_energies) {
            *correlation /= (0.001 + energy * pitch_energy).sqrt();
        }
        let features = self.features(&energies, &correlations, period, tables);
        Analysis { spectrum, energies, pitch_spectrum, pitch_energies, correlations, features }
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

    /// Spectrum and band energies of the window that ends `lag` samples before the newest.
    fn transform(&self, lag: usize, tables: &Tables, scratch: &mut [Complex32]) -> (Spectrum, Bands) {
        let start = HISTORY - WINDOW - lag;
        let mut time: [f32; WINDOW] = std::array::from_fn(|i| self.history[start + i] * tables.window[i]);
        let mut spectrum = [Complex32::ZERO; BINS];
        let done = tables.forward.process_with_scratch(&mut time, &mut spectrum, scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        spectrum.iter_mut().for_each(|bin| *bin *= tables.norm);
        (spectrum, band_correlation(&spectrum, &spectrum))
    }

    /// Features of a frame; `None`, and nothing remembered, where it is silent.
    fn features(
        &mut self,
        energies: &Bands,
        correlations: &Bands,
        period: usize,
        tables: &Tables,
    ) -> Option<[f32; FEATURES]> {
        let (mut max, mut follow) = (-2.0f32, -2.0f32);
        let levels = energies.map(|energy| {
            let level = (1e-2 + energy).log10().max(max - 7.0).max(follow - 1.5);
            max = max.max(level);
            follow = (follow - 1.5).max(level);
            level
        });
        if energies.iter().fold(0.0, |sum, energy| sum + energy) < SILENCE {
            return None;
        }
        let mut cepstrum: Bands = tables.cosine_transform(&levels);
        cepstrum[0] -= 12.0;
        cepstrum[1] -= 4.0;
        self.cepstra[self.next] = cepstrum;
        let [_, last, last_but_one] = [0, 1, 2].map(|age| self.cepstra[(self.next + CEPSTRA - age) % CEPSTRA]);
        self.next = (self.next + 1) % CEPSTRA;

        let mut features = [0.0; FEATURES];
        features[..BANDS].copy_from_slice(&cepstrum);
        for i in 0..DIFFERENCES {
            features[i] = cepstrum[i] + last[i] + last_but_one[i];
            features[BANDS + i] = cepstrum[i] - last_but_one[i];
            features[BANDS + DIFFERENCES + i] = cepstrum[i] - 2.0 * last[i] + last_but_one[i];
        }
        let mut pitch_cepstrum: [f32; DIFFERENCES] = tables.cosine_transform(correlations);
        pitch_cepstrum[0] -= 1.3;
        pitch_cepstrum[1] -= 0.9;
        features[BANDS + 2 * DIFFERENCES..][..DIFFERENCES].copy_from_slice(&pitch_cepstrum);
        features[BANDS + 3 * DIFFERENCES] = 0.01 * (period as f32 - 300.0);
        features[BANDS + 3 * DIFFERENCES + 1] = self.variability() - 2.1;
        Some(features)
    }

    /// Spectral variability: mean squared distance of each cepstrum to the nearest of the others.
    fn variability(&self) -> f32 {
        let distance = |a: &Bands, b: &Bands| a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a - b) * (a - b));
        let mut nearest = [1e15f32; CEPSTRA];
        for (i, a) in self.cepstra.iter().enumerate() {
            for (j, b) in self.cepstra[..i].iter().enumerate() {
                let distance = distance(a, b);
                nearest[i] = nearest[i].min(distance);
                nearest[j] = nearest[j].min(distance);
            }
        }
        nearest.iter().fold(0.0, |sum, distance| sum + distance) / CEPSTRA as f32
    }
}

/// Correlation of two spectra in each band; a band falls off linearly to the centres of its neighbours.
pub(super) fn band_correlation(a: &Spectrum, b: &Spectrum) -> Bands {
    let mut sums = [0.0; BANDS];
    for (band, edges) in CENTRES.windows(2).enumerate() {
        let width = edges[1] - edges[0];
        for (offset, (a, b)) in a[edges[0]..edges[1]].iter().zip(&b[edges[0]..edges[1]]).enumerate() {
            let share = offset as f32 / width as f32;
            let product = a.re * b.re + a.im * b.im;
            sums[band] += (1.0 - share) * product;
            sums[band + 1] += share * product;
        }
    }
    // Only half of the first and the last band exists.
    sums[0] *= 2.0;
    sums[BANDS - 1] *= 2.0;
    sums
}

/// Multiplies each bin by the gain of its place between the band centres; above the last centre, by 0.
pub(super) fn apply_band_gains(spectrum: &mut Spectrum, gains: &Bands) {
    let bins = interpolate(gains);
    spectrum.iter_mut().zip(bins).for_each(|(bin, gain)| *bin *= gain);
}

/// Value of each bin, linear between the band centres; above the last centre, 0.
pub(super) fn interpolate(bands: &Bands) -> [f32; BINS] {
    let mut bins = [0.0; BINS];
    for (edges, values) in CENTRES.windows(2).zip(bands.windows(2)) {
        let width = edges[1] - edges[0];
        for (offset, bin) in bins[edges[0]..edges[1]].iter_mut().enumerate() {
            let share = offset as f32 / width as f32;
            *bin = (1.0 - share) * values[0] + share * values[1];
        }
    }
    bins
}
