//! Any rate to any rate, for devices whose rate fits no frame.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters};

use crate::{Error, Format, Result};

/// A windowed-sinc resampler (rubato) with one side of fixed length: a frame.
pub(super) struct Rate {
    engine: Async<f32>,
}

impl Rate {
    /// From a device into frames: consumes what [`needed`](Self::needed) says, gives exactly a frame.
    pub fn capture(device_hz: u32, frames: Format) -> Result<Self> {
        Self::new(device_hz, frames.sample_rate_hz(), frames, FixedAsync::Output)
    }

    /// From frames to a device: consumes exactly a frame, gives at most [`most`](Self::most).
    pub fn playout(frames: Format, device_hz: u32) -> Result<Self> {
        Self::new(frames.sample_rate_hz(), device_hz, frames, FixedAsync::Input)
    }

    fn new(from_hz: u32, to_hz: u32, frames: Format, fixed: FixedAsync) -> Result<Self> {
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        let quality = SincInterpolationParameters::default();
        let length = frames.samples_per_channel();
        Async::new_sinc(ratio, 1.0, &quality, length, frames.channels(), fixed)
            .map(|engine| Self { engine })
            .map_err(|_| Error::SampleRate { rate_hz: from_hz })
    }

    /// Samples per channel for the next call.
    pub fn needed(&self) -> usize {
        self.engine.input_frames_next()
    }

    /// The most samples per channel ever needed.
    pub fn most_needed(&self) -> usize {
        self.engine.input_frames_max()
    }

    /// The most samples per channel ever given.
    pub fn most(&self) -> usize {
        self.engine.output_frames_max()
    }

    /// Delay in samples per channel at the output rate.
    pub fn latency(&self) -> usize {
        self.engine.output_delay()
    }

    pub fn reset(&mut self) {
        self.engine.reset();
    }

    /// Resamples planar channels that lie `from_stride` and `to_stride` apart; how many samples per channel came out.
    pub fn process(
        &mut self,
        channels: usize,
        (from, from_stride): (&[f32], usize),
        (to, to_stride): (&mut [f32], usize),
    ) -> Result<usize> {
        let wrong = |expected: usize| Error::WrongLength { expected, actual: from_stride };
        let from = SequentialSlice::new(from, channels, from_stride).map_err(|_| wrong(self.needed()))?;
        let mut to = SequentialSlice::new_mut(to, channels, to_stride).map_err(|_| wrong(to_stride))?;
        let (_, given) = self
            .engine
            .process_into_buffer(&from, &mut to, None)
            .map_err(|_| wrong(self.engine.input_frames_next()))?;
        Ok(given)
    }
}
