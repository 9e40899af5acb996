//! Features that the network of RNNoise 0.1 sees.

use std::sync::OnceLock;

use crate::neural::bands::{
    BandAnalysis, BandLayout, CosineTransform, Products, Shares, interpolate_between, sum_between,
};
use crate::neural::stft::BINS;

/// Bands, about as wide as those of the Bark scale.
pub(super) const BANDS: usize = 22;

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

/// Value of each band.
pub(super) type Bands = [f32; BANDS];

/// Layout of the bands: up to 20 kHz, nothing above.
pub(super) struct Layout;

static SHARES: Shares = Shares::between(&CENTRES);

impl BandLayout<BANDS> for Layout {
    const POWER: f32 = 1.0;

    fn sum(products: &Products) -> Bands {
        let mut sums = [0.0; BANDS];
        sum_between(&mut sums, &CENTRES, &SHARES, products);
        // Only half of the first and the last band exists.
        sums[0] *= 2.0;
        sums[BANDS - 1] *= 2.0;
        sums
    }

    fn interpolate(bands: &Bands) -> [f32; BINS] {
        let mut bins = [0.0; BINS];
        interpolate_between(&mut bins, &CENTRES, &SHARES, bands);
        bins
    }
}

/// Cosine transform, shared by all streams. Allocates at the first call in a program.
pub(super) fn cosines() -> &'static CosineTransform<BANDS> {
    static COSINES: OnceLock<CosineTransform<BANDS>> = OnceLock::new();
    COSINES.get_or_init(CosineTransform::new)
}

/// Last cepstra of one stream.
#[derive(Clone, Debug)]
pub(super) struct Cepstra {
    /// Ring, and the place of the next.
    ring: [Bands; CEPSTRA],
    next: usize,
}

impl Cepstra {
    pub const START: Self = Self { ring: [[0.0; BANDS]; CEPSTRA], next: 0 };

    /// Features of a frame; `None`, and nothing remembered, where it is silent.
    pub fn features(&mut self, analysis: &BandAnalysis<BANDS>, period: usize) -> Option<[f32; FEATURES]> {
        if analysis.energies.iter().fold(0.0, |sum, energy| sum + energy) < SILENCE {
            return None;
        }
        let mut cepstrum: Bands = cosines().transform(&analysis.levels());
        cepstrum[0] -= 12.0;
        cepstrum[1] -= 4.0;
        self.ring[self.next] = cepstrum;
        let [_, last, last_but_one] = [0, 1, 2].map(|age| self.ring[(self.next + CEPSTRA - age) % CEPSTRA]);
        self.next = (self.next + 1) % CEPSTRA;

        let mut features = [0.0; FEATURES];
        features[..BANDS].copy_from_slice(&cepstrum);
        for i in 0..DIFFERENCES {
            features[i] = cepstrum[i] + last[i] + last_but_one[i];
            features[BANDS + i] = cepstrum[i] - last_but_one[i];
            features[BANDS + DIFFERENCES + i] = cepstrum[i] - 2.0 * last[i] + last_but_one[i];
        }
        let mut pitch_cepstrum: [f32; DIFFERENCES] = cosines().transform(&analysis.correlations);
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
        for (i, a) in self.ring.iter().enumerate() {
            for (j, b) in self.ring[..i].iter().enumerate() {
                let distance = distance(a, b);
                nearest[i] = nearest[i].min(distance);
                nearest[j] = nearest[j].min(distance);
            }
        }
        nearest.iter().fold(0.0, |sum, distance| sum + distance) / CEPSTRA as f32
    }
}
