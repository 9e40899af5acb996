//! Settings and reading of [`EchoCancel`].

use crate::core::Result;
use crate::core::error::in_range;

/// Acoustic echo cancellation: takes what the loudspeaker plays out of what the microphone hears.
///
/// A linear filter takes out the echo that it can predict from the far end, a suppressor most of the rest, by a small
/// network that hears whether the near end speaks (141 kB of weights). The filter is a
/// partitioned-block frequency-domain Kalman filter of 260 ms up to 8 kHz, in a slow and a fast version of which the
/// better is heard. The delay of the echo, up to 500 ms, is found within 0.2 to 0.7 s, and again when it changes.
/// Clocks of microphone and loudspeaker may differ by 300 ppm.
///
/// The far end comes from another thread: see [`far_end`](super::far_end()). While it is silent, or where no echo is
/// found, as with a headset, the sound passes unchanged and next to nothing is computed. Without a far end
/// ([`with_far_end`](Self::with_far_end)) it always does.
///
/// With suppression, frames in which only the far end speaks are [marked](crate::Frame::far_end_speech), so that no stage
/// behind takes its echo for speech.
///
/// Put it first in an uplink, where the sound is still as linear as the microphone gave it.
///
/// Any rate; both channels of a stereo microphone get the same suppression, so that the image stays. Above 8 kHz there is
/// suppression only. Latency: 10 ms; none with [`Suppression::Off`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct EchoCancel {
    /// Suppression of what the filter leaves. Default [`Full`](Suppression::Full).
    pub suppression: Suppression,
    /// Comfort noise in place of the noise that was suppressed along with the echo. Default on.
    pub comfort_noise: bool,
    /// Expected delay from a far-end frame's push to its echo, in ms, 0 (unknown) to 500: where the filter begins.
    /// Another one is still found. Default 0.
    pub delay_hint_ms: f32,
    /// Bypass: the sound passes unchanged, as late as before. Default off.
    pub bypassed: bool,
}

/// Suppression of what the linear filter leaves of the echo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Suppression {
    /// None: the linear filter alone, without latency.
    Off,
    /// Light: for a neural noise suppression behind it, which takes the rest.
    Light,
    /// Full: for all else.
    #[default]
    Full,
}

impl Default for EchoCancel {
    fn default() -> Self {
        Self { suppression: Suppression::Full, comfort_noise: true, delay_hint_ms: 0.0, bypassed: false }
    }
}

impl EchoCancel {
    pub(super) fn check(&self) -> Result<()> {
        in_range("EchoCancel::delay_hint_ms", self.delay_hint_ms, 0.0, 500.0)
    }
}

/// Reading of a running [`EchoCancel`], by the names of W3C getStats and WebRTC's `AudioProcessingStats`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EchoCancelReading {
    /// Echo return loss: level of the far end over that of its echo at the microphone, in dB. `None` until there was
    /// echo.
    pub echo_return_loss: Option<f32>,
    /// Echo return loss enhancement: level of the microphone over that of the output while the far end plays, in dB. `None` until there was echo.
    pub echo_return_loss_enhancement: Option<f32>,
    /// Delay from a far-end frame's push to its echo, in ms, to 10 ms; `None` until it is found.
    pub delay_ms: Option<f32>,
    /// Share of the last second's blocks for which the filter had diverged and was not used, 0 to 1.
    pub divergent_filter_fraction: f32,
    /// Clock of the far end over that of the microphone, in ppm: positive where the loudspeaker is slower.
    pub drift_ppm: f32,
    /// Whether the far end is to be heard at the microphone, or may be.
    pub far_end_active: bool,
    /// Whether the sound passes unchanged: the far end is silent, or has no echo.
    pub is_transparent: bool,
}
