//! Settings and reading of [`Limiter`].

use crate::core::Result;
use crate::core::error::in_range;
#[cfg(feature = "serde")]
use crate::dsp::level::serialize;
use crate::dsp::level::to_dbfs;

/// True-peak limiter: keeps peaks under a ceiling, and leaves alone what stays below it.
///
/// With lookahead the peaks are true peaks, those of the waveform between the samples (dBTP). For any input up to +24
/// dBFS the output stays under the ceiling + 0.1 dB by the meter of ITU-R BS.1770-4 and by those of libebur128 and
/// FFmpeg (measured: + 0.00 dB at 48 kHz, + 0.04 dB at 8 kHz). A meter with more points and longer filters agrees up to
/// 0.42 of the sampling rate; white noise that reaches half of it can read 2 dB more there.
///
/// The gain goes down in a smooth curve that ends just before the peak arrives, stays for 10 ms, and comes back
/// exponentially. One gain serves all channels, so that the image does not move. Where nothing reaches the ceiling, the
/// samples come out as they went in, bit for bit. A new ceiling is approached by 0.25 dB a millisecond.
///
/// Without lookahead it holds sample peaks only. No sample is above the ceiling, ever, but the waveform between them
/// may be: by 0.1 to 1.5 dB for speech 6 dB too loud, by 3 dB for a tone at a quarter of the sampling rate. The first
/// rise of a peak is cut off at the ceiling, as if clipped; then the gain stays and comes back as ever, so that nothing
/// jumps.
///
/// Latency: none without lookahead; else `lookahead_ms` (but at least 16 samples), and 20 samples for the peak
/// detector: 1.42 ms at 48 kHz for a lookahead of 1 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Limiter {
    /// Ceiling: the highest peak let through, in dBTP (dBFS without lookahead), −60 to 0. Default −1 (EBU R 128).
    pub ceiling_db: f32,
    /// Lookahead: time in which the gain goes down before a peak, in ms, 0 or 1 to 20. Default 1. Fixed while the
    /// limiter runs.
    pub lookahead_ms: f32,
    /// Release: time in which 63 % of the missing gain comes back, in ms, 1 to 5000. Default 60 (OBS).
    pub release_ms: f32,
}

impl Limiter {
    /// Limiter with its ceiling at `ceiling_db` dBTP.
    pub fn db(ceiling_db: f32) -> Self {
        Self { ceiling_db, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        in_range("Limiter::ceiling_db", self.ceiling_db, -60.0, 0.0)?;
        let min = if self.lookahead_ms == 0.0 { 0.0 } else { 1.0 };
        in_range("Limiter::lookahead_ms", self.lookahead_ms, min, 20.0)?;
        in_range("Limiter::release_ms", self.release_ms, 1.0, 5000.0)
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self { ceiling_db: -1.0, lookahead_ms: 1.0, release_ms: 60.0 }
    }
}

/// Reading of a running [`Limiter`].
// Factors inside: the thread that reads takes the logarithms, not the one that plays.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LimiterReading {
    #[cfg_attr(feature = "serde", serde(rename = "gain_db", serialize_with = "serialize::magnitude"))]
    pub(super) gain: f32,
    #[cfg_attr(feature = "serde", serde(rename = "lowest_gain_db", serialize_with = "serialize::magnitude"))]
    pub(super) lowest_gain: f32,
}

impl Default for LimiterReading {
    fn default() -> Self {
        Self { gain: 1.0, lowest_gain: 1.0 }
    }
}

impl LimiterReading {
    /// Lowest gain in the last frame, in dB: 0 where nothing was limited.
    pub fn gain_db(&self) -> f32 {
        to_dbfs(self.gain)
    }

    /// Lowest gain since the start or the last reset, in dB.
    pub fn lowest_gain_db(&self) -> f32 {
        to_dbfs(self.lowest_gain)
    }
}
