//! Stand-in for the resampler where the feature `resample` is off: there is none, and asking for one is an error.

use crate::core::{Error, Format, Result};

/// Resampler that never exists.
pub(super) enum DeviceResampler {}

impl DeviceResampler {
    pub fn capture(device_hz: u32, _: Format) -> Result<Self> {
        Self::refuse(device_hz)
    }

    pub fn playout(_: Format, device_hz: u32) -> Result<Self> {
        Self::refuse(device_hz)
    }

    fn refuse(rate_hz: u32) -> Result<Self> {
        let advice = "frames of another rate need the feature `resample`";
        Err(Error::UnsupportedRate { stage: "device", rate_hz, advice })
    }

    pub fn needed(&self) -> usize {
        match *self {}
    }

    pub fn most_needed(&self) -> usize {
        match *self {}
    }

    pub fn most(&self) -> usize {
        match *self {}
    }

    pub fn latency(&self) -> usize {
        match *self {}
    }

    pub fn reset(&mut self) {
        match *self {}
    }

    pub fn process(&mut self, _: usize, _: (&[f32], usize), _: (&mut [f32], usize)) -> Result<usize> {
        match *self {}
    }
}
