//! Features that the network of RNNoise 0.2 sees.

use std::sync::OnceLock;

use crate::neural::bands::{
    BandAnalysis, BandLayout, CosineTransform, Products, Shares, interpolate_between, sum_between,
};
use crate::neural::stft::BINS;

/// Bands, equally wide on the ERB scale from 100 Hz to 17.8 kHz.
pub(super) const BANDS: usize = 32;

/// Bins of the band centres, and the outer edges of the first and the last band.
const CENTRES: [usize; BANDS + 2] = [
    0, 2, 4, 6, 8, 10, 12, 15, 18, 21, 24, 28, 32, 36, 41, 47, 53, 60, 68, 77, 87, 98, 110, 124, 140, 157, 176, 198,
    223, 251, 282, 317, 356, 400,
];

/// Features: cepstrum, cepstrum of the pitch correlation, pitch period.
pub(super) const FEATURES: usize = 2 * BANDS + 1;

/// Sum of the band energies below which a frame is silent, at half the scale of 16-bit PCM.
const SILENCE: f32 = 0.04;

/// Value of each band.
pub(super) type Bands = [f32; BANDS];

/// Layout of the bands: up to 20 kHz, nothing above.
pub(super) struct Layout;

static SHARES: Shares = Shares::between(&CENTRES);

impl BandLayout<BANDS> for Layout {
    // Spectra have half the scale.
    const POWER: f32 = 0.25;

    fn sum(products: &Products) -> Bands {
        let mut sums = [0.0; BANDS + 2];
        sum_between(&mut sums, &CENTRES, &SHARES, products);
        let mut bands: Bands = std::array::from_fn(|band| sums[band + 1]);
        // The outer bands take in what lies beyond their centres, and are half as wide again.
        bands[0] = (sums[0] + sums[1]) * 2.0 / 3.0;
        bands[BANDS - 1] = (sums[BANDS] + sums[BANDS + 1]) * 2.0 / 3.0;
        bands
    }

    fn interpolate(bands: &Bands) -> [f32; BINS] {
        let mut bins = [0.0; BINS];
        bins[..CENTRES[1]].fill(bands[0]);
        interpolate_between(&mut bins, &CENTRES[1..=BANDS], &SHARES, bands);
        bins[CENTRES[BANDS]..CENTRES[BANDS + 1]].fill(bands[BANDS - 1]);
        bins
    }
}

/// Cosine transform, shared by all streams. Allocates at the first call in a program.
pub(super) fn cosines() -> &'static CosineTransform<BANDS> {
    static COSINES: OnceLock<CosineTransform<BANDS>> = OnceLock::new();
    COSINES.get_or_init(CosineTransform::new)
}

/// Features of a frame; `None` where it is silent.
pub(super) fn features(analysis: &BandAnalysis<BANDS>, period: usize) -> Option<[f32; FEATURES]> {
    if analysis.energies.iter().sum::<f32>() < SILENCE {
        return None;
    }
    let mut cepstrum: Bands = cosines().transform(&analysis.levels());
    cepstrum[0] -= 12.0;
    cepstrum[1] -= 4.0;
    let pitch_cepstrum: Bands = cosines().transform(&analysis.correlations);
    let mut features = [0.0; FEATURES];
    features[..BANDS].copy_from_slice(&cepstrum);
    features[BANDS..2 * BANDS].copy_from_slice(&pitch_cepstrum);
    features[2 * BANDS] = 0.01 * (period as f32 - 300.0);
    Some(features)
}
