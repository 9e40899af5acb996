//! Settings and reading of [`HighPass`].

use crate::core::Result;
use crate::core::error::in_range;
use crate::dsp::level::power_to_dbfs;
#[cfg(feature = "serde")]
use crate::dsp::level::serialize;

/// High-pass filter: removes what lies below the voice, as DC offset, rumble, the thump of a hand on the desk, wind.
///
/// The gain is −3.01 dB at `cutoff_hz`, and within 0.1 dB of 1 from 1.875 times that frequency upwards, whatever the
/// order: 150 Hz for the default 80 Hz. Gains in dB and the delay in ms at the default cutoff:
///
/// | order | alignment | 20 Hz | 50 Hz | 60 Hz | 80 Hz | 100 Hz | 150 Hz | 300 Hz | delay at 150, 300 Hz |
/// | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
/// | 2 | Chebyshev, 0.08 dB | −25.2 | −9.4 | −6.6 | −3.01 | −1.27 | −0.08 | +0.07 | 1.0, 0.2 |
/// | 3 | Butterworth | −36.1 | −12.5 | −8.2 | −3.01 | −1.01 | −0.10 | 0.00 | 1.4, 0.3 |
/// | 4 | Butterworth | −48.2 | −16.4 | −10.4 | −3.01 | −0.67 | −0.03 | 0.00 | 1.7, 0.4 |
///
/// (A Butterworth filter of 2nd order would lose 0.34 dB at 150 Hz.) The phase is minimal: an impulse comes out where
/// it went in, and only what lies near the cutoff comes later than the rest, by the delay in the table.
///
/// Latency: none. Channels are filtered alike and apart. Every setting can be changed live; a change takes 20 ms, and
/// one that comes meanwhile waits for its end.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct HighPass {
    /// Cutoff frequency (−3.01 dB) in Hz, 20 to 500. Default 80 (just below a deep male voice; WebRTC: 100).
    pub cutoff_hz: f32,
    /// Filter order: 2, 3 or 4, for 12, 18 or 24 dB an octave. Default 4, the flattest above 150 Hz.
    pub order: u8,
    /// Rumble threshold in dB relative to the voice, −100 to 0. Default −100: always in.
    ///
    /// Above −100 the filter is in only while what lies below half the cutoff is at least this loud. It goes out again
    /// once there is 6 dB less. What is below −60 dBFS is no rumble. Both levels are means, over 0.4 s of the rumble
    /// and over 3 s of the voice, so it takes a moment.
    ///
    /// Any filter without delay that removes 80 Hz turns the phase of the fundamentals above. Nobody hears it, but what
    /// compares waveforms does (the SI-SDR of denoised speech falls by 13 dB, and by 2 dB at a cutoff of 20 Hz). So
    /// profiles leave a voice without rumble as it is.
    pub rumble_db: f32,
    /// Bypass: the sound passes unchanged. Default off.
    pub bypassed: bool,
}

impl HighPass {
    /// [`rumble_db`](Self::rumble_db) of a filter that is always in.
    pub const ALWAYS_DB: f32 = -100.0;

    /// High-pass of 4th order with a cutoff of `cutoff_hz` Hz.
    pub fn hz(cutoff_hz: f32) -> Self {
        Self { cutoff_hz, ..Self::default() }
    }

    pub(super) fn is_always_in(&self) -> bool {
        self.rumble_db <= Self::ALWAYS_DB
    }

    pub(super) fn check(&self) -> Result<()> {
        in_range("HighPass::cutoff_hz", self.cutoff_hz, 20.0, 500.0)?;
        in_range("HighPass::order", f32::from(self.order), 2.0, 4.0)?;
        in_range("HighPass::rumble_db", self.rumble_db, Self::ALWAYS_DB, 0.0)
    }
}

impl Default for HighPass {
    fn default() -> Self {
        Self { cutoff_hz: 80.0, order: 4, rumble_db: Self::ALWAYS_DB, bypassed: false }
    }
}

/// Reading of a running [`HighPass`], of the last frame. The difference of both levels shows the rumble: next to
/// nothing in clean speech, a lot while something thumps.
// Powers inside: the thread that reads takes the logarithms, not the one that plays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HighPassReading {
    #[cfg_attr(feature = "serde", serde(rename = "input_dbfs", serialize_with = "serialize::power"))]
    pub(super) input: f32,
    #[cfg_attr(feature = "serde", serde(rename = "output_dbfs", serialize_with = "serialize::power"))]
    pub(super) output: f32,
}

impl HighPassReading {
    /// RMS level of the louder channel before the filter, in dBFS.
    pub fn input_dbfs(&self) -> f32 {
        power_to_dbfs(self.input)
    }

    /// RMS level of the louder channel behind the filter, in dBFS.
    pub fn output_dbfs(&self) -> f32 {
        power_to_dbfs(self.output)
    }
}
