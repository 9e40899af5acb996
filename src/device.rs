//! Where device buffers become frames, and frames device buffers.

mod capture;
mod playout;
mod samples;

pub use capture::Capture;
pub use playout::Playout;
pub use samples::{Samples, SamplesMut};

/// The most channels a device can have.
pub const MAX_DEVICE_CHANNELS: usize = 8;

#[cfg(feature = "resample")]
mod resampler;
#[cfg(not(feature = "resample"))]
#[path = "device/no_resampler.rs"]
mod resampler;

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// Fails unless a device can have this rate and these channels.
fn check_device(rate_hz: u32, channels: usize) -> Result<()> {
    if !(8_000..=192_000).contains(&rate_hz) {
        return Err(Error::UnsupportedRate { stage: "device", rate_hz, advice: "use 8000 to 192000 Hz" });
    }
    in_range("device channels", channels as f32, 1.0, MAX_DEVICE_CHANNELS as f32)
}
