//! Settings of resampling. No FFT is needed for them.

/// Changes the sample rate: one frame in, one frame of the same length in time out.
///
/// By FFT (rubato), with a linear phase. At the same rate it passes frames through, at no cost and with no latency.
/// It has no live settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Resample {
    /// The rate that comes out, in Hz: any rate of a [`Format`].
    pub sample_rate_hz: u32,
    /// Latency against sharpness. Default [`Quality::High`].
    pub quality: Quality,
}

/// What a [`Resample`] is asked for: its latency, and with it how much of the band survives.
///
/// The band is given as a share of the lower Nyquist frequency, first for 48 ↔ 16 kHz, then for 44.1 ↔ 48 kHz; it is
/// flat within 0.1 dB (measured by `tests/resample.rs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Quality {
    /// At most 2.5 ms, but 5 ms where the rates have no shorter block in common (44.1 and 16 kHz): flat to 0.85 or
    /// 0.90, aliases and images below −90 dB.
    LowLatency,
    /// 5 ms: flat to 0.90 or 0.95, aliases and images below −110 dB.
    #[default]
    High,
}

impl Resample {
    /// To `sample_rate_hz`, at high quality.
    pub fn to(sample_rate_hz: u32) -> Self {
        Self { sample_rate_hz, quality: Quality::default() }
    }
}
