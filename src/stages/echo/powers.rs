//! Powers of each bin in a frame, as means over the microphone's channels.

use realfft::num_complex::Complex32;

use super::noise_floor::ABOVE;
use super::spectrum::{BINS, Bins, PADDED};

/// Powers of a frame.
pub struct Powers {
    /// What the filter leaves; in bin [`ABOVE`] the mean of all that is above 8 kHz.
    pub left: Bins,
    /// Echo that the filter takes out.
    pub echo: Bins,
    pub microphone: Bins,
    /// Variance of the error of the echo.
    pub uncertainty: Bins,
}

impl Powers {
    pub const ZERO: Self =
        Self { left: [0.0; PADDED], echo: [0.0; PADDED], microphone: [0.0; PADDED], uncertainty: [0.0; PADDED] };

    /// Adds the `share` of a channel.
    pub fn add(&mut self, share: f32, left: &[Complex32], echo: &[Complex32], uncertainty: &Bins) {
        for (bin, (left, echo)) in left.iter().zip(echo).take(BINS).enumerate() {
            self.left[bin] += share * left.norm_sqr();
            self.echo[bin] += share * echo.norm_sqr();
            self.microphone[bin] += share * (left + echo).norm_sqr();
        }
        self.uncertainty.iter_mut().zip(uncertainty).for_each(|(sum, own)| *sum += share * own);
        let above = &left[BINS.min(left.len())..];
        self.left[ABOVE] += share * above.iter().map(Complex32::norm_sqr).sum::<f32>() / above.len().max(1) as f32;
    }
}
