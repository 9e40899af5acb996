//! Limits of a device.

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// Largest number of channels of a device.
pub const MAX_DEVICE_CHANNELS: usize = 8;

/// Fails unless a device can have this rate and these channels.
pub(super) fn check_device(rate_hz: u32, channels: usize) -> Result<()> {
    if !(8_000..=192_000).contains(&rate_hz) {
        return Err(Error::UnsupportedRate { stage: "device", rate_hz, advice: "use 8000 to 192000 Hz" });
    }
    in_range("device channels", channels as f32, 1.0, MAX_DEVICE_CHANNELS as f32)
}
