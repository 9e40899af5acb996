//! Spectra of the canceller: 161 bins, 50 Hz apart, from 0 to 8 kHz, whatever the sample rate.

/// Number of bins.
pub const BINS: usize = 161;

/// Length of the arrays that hold them: a multiple of eight lanes. What is behind the last bin is zero.
pub const PADDED: usize = 168;

/// One real value for each bin.
pub type Bins = [f32; PADDED];

/// Complex spectrum, real and imaginary parts apart, scaled as an FFT of 320 samples at 16 kHz would be.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    pub re: Bins,
    pub im: Bins,
}

impl Spectrum {
    /// Spectrum of silence.
    pub const ZERO: Self = Self { re: [0.0; PADDED], im: [0.0; PADDED] };

    /// Squared magnitude of a bin.
    pub fn power(&self, bin: usize) -> f32 {
        self.re[bin] * self.re[bin] + self.im[bin] * self.im[bin]
    }
}
