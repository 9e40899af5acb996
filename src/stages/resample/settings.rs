//! Settings of [`Resample`].

/// Sample rate converter: one frame in, one frame of the same length in time out.
///
/// By FFT (rubato), with a linear phase. At the same rate it passes frames unchanged, at no cost and with no latency.
/// It has no live settings.
///
/// Latency: that of the [`Quality`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Resample {
    /// Output sample rate in Hz: any rate of a [`Format`](crate::Format). No default.
    pub sample_rate_hz: u32,
    /// Latency against bandwidth. Default [`Quality::High`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub quality: Quality,
}

/// Latency of a [`Resample`], and with it the bandwidth that is kept.
///
/// The bandwidth is given as a share of the lower Nyquist frequency, first for 48 ↔ 16 kHz, then for 44.1 ↔ 48 kHz; it
/// is flat within 0.1 dB (measured by `tests/resample.rs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Quality {
    /// At most 2.5 ms, but 5 ms where the rates have no shorter block in common (44.1 and 16 kHz). Flat to 0.85 or
    /// 0.90, aliases and images below −90 dB.
    LowLatency,
    /// 5 ms. Flat to 0.90 or 0.95, aliases and images below −110 dB.
    #[default]
    High,
}

impl Resample {
    /// Converter to `sample_rate_hz`, at high quality.
    pub fn to(sample_rate_hz: u32) -> Self {
        Self { sample_rate_hz, quality: Quality::default() }
    }
}
