//! Sizes of RNNoise, and the tables that all streams share: window, cosine transform, Fourier transforms.

use std::f64::consts::PI;
use std::sync::{Arc, OnceLock};

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Samples of a frame: 10 ms at 48 kHz.
pub const FRAME: usize = 480;

/// Samples of a transform, and its bins of 50 Hz.
pub(super) const WINDOW: usize = 2 * FRAME;
pub(super) const BINS: usize = FRAME + 1;

/// Bands, about as wide as those of the Bark scale.
pub(super) const BANDS: usize = 22;

/// Tables and plans.
pub(super) struct Tables {
    /// Power-complementary window of the Vorbis codec.
    pub window: [f32; WINDOW],
    /// One over the energy of the window: scale of the forward transform.
    pub norm: f32,
    /// Cosine transform of type II, a row for each input.
    cosines: [[f32; BANDS]; BANDS],
    pub forward: Arc<dyn RealToComplex<f32>>,
    pub inverse: Arc<dyn ComplexToReal<f32>>,
}

/// The tables. Allocates at the first call in a program.
pub(super) fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(Tables::new)
}

impl Tables {
    fn new() -> Self {
        let half = WINDOW / 2;
        let window: [f32; WINDOW] = std::array::from_fn(|i| {
            let sine = (0.5 * PI * (i.min(WINDOW - 1 - i) as f64 + 0.5) / half as f64).sin();
            (0.5 * PI * sine * sine).sin() as f32
        });
        let cosine = |row: usize, column: usize| {
            let value = ((row as f64 + 0.5) * column as f64 * PI / BANDS as f64).cos() as f32;
            if column == 0 { value * 0.5f32.sqrt() } else { value }
        };
        let mut planner = RealFftPlanner::new();
        Self {
            window,
            norm: 1.0 / window.iter().map(|x| x * x).sum::<f32>(),
            cosines: std::array::from_fn(|row| std::array::from_fn(|column| cosine(row, column))),
            forward: planner.plan_fft_forward(WINDOW),
            inverse: planner.plan_fft_inverse(WINDOW),
        }
    }

    /// Cosine transform of the values of the bands; the first `COUNT` coefficients.
    pub fn cosine_transform<const COUNT: usize>(&self, bands: &[f32; BANDS]) -> [f32; COUNT] {
        let mut sums = [0.0f32; COUNT];
        for (band, row) in bands.iter().zip(&self.cosines) {
            sums.iter_mut().zip(row).for_each(|(sum, cosine)| *sum += band * cosine);
        }
        sums.map(|sum| (f64::from(sum) * (2.0 / BANDS as f64).sqrt()) as f32)
    }
}
