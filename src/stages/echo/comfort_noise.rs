//! Comfort noise in place of the noise that was suppressed along with the echo.

use realfft::num_complex::Complex32;

use super::noise_floor::BIAS;

/// Generator of comfort noise.
#[derive(Clone, Copy, Debug)]
pub struct ComfortNoise {
    random: u32,
}

impl ComfortNoise {
    pub const NEW: Self = Self { random: 1 };

    /// Adds as much noise as was suppressed, by the gain and the noise floor of each bin.
    pub fn add<'a>(&mut self, bins: &mut [Complex32], gains: impl Iterator<Item = (&'a f32, &'a f32)>) {
        for (bin, (&gain, &noise)) in bins.iter_mut().zip(gains) {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            let magnitude = (BIAS * noise * (1.0 - gain * gain).max(0.0)).sqrt();
            let phase = self.random as f32 * (std::f32::consts::TAU / 4_294_967_296.0);
            *bin += Complex32::from_polar(magnitude, phase);
        }
    }
}
