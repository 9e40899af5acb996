//! Resampler for devices whose rate fits no frame: any rate to any rate.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters};

use crate::core::{Error, Format, Result};

/// Windowed-sinc resampler (rubato) with one side of fixed length: a frame.
pub(super) struct DeviceResampler {
    engine: Async<f32>,
    latency: usize,
}

impl DeviceResampler {
    /// Resampler from a device to frames: consumes [`needed`](Self::needed) samples, gives exactly a frame.
    pub fn capture(device_hz: u32, frames: Format) -> Result<Self> {
        Self::new(device_hz, frames.sample_rate_hz(), frames, FixedAsync::Output)
    }

    /// Resampler from frames to a device: consumes exactly a frame, gives at most [`most`](Self::most).
    pub fn playout(frames: Format, device_hz: u32) -> Result<Self> {
        Self::new(frames.sample_rate_hz(), device_hz, frames, FixedAsync::Input)
    }

    fn new(from_hz: u32, to_hz: u32, frames: Format, fixed: FixedAsync) -> Result<Self> {
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        let quality = SincInterpolationParameters::default();
        let length = frames.samples_per_channel();
        let engine = Async::new_sinc(ratio, 1.0, &quality, length, frames.channels(), fixed)
            .map_err(|_| Error::UnsupportedRate { stage: "device", rate_hz: from_hz, advice: "use 48000 Hz" })?;
        // The centre of the filter, less one: the engine steps on before it gives its first sample. (Its own figure
        // leaves that out, and rounds down.)
        let latency = (0.5 * quality.sinc_len as f64 * ratio - 1.0).round().max(0.0) as usize;
        Ok(Self { engine, latency })
    }

    /// Samples per channel that the next call consumes.
    pub fn needed(&self) -> usize {
        self.engine.input_frames_next()
    }

    /// Upper bound on [`needed`](Self::needed).
    pub fn most_needed(&self) -> usize {
        self.engine.input_frames_max()
    }

    /// Upper bound on the samples per channel that a call gives.
    pub fn most(&self) -> usize {
        self.engine.output_frames_max()
    }

    /// Delay in samples per channel at the output rate, rounded to the nearest.
    pub fn latency(&self) -> usize {
        self.latency
    }

    pub fn reset(&mut self) {
        self.engine.reset();
    }

    /// Resamples planar channels that lie `from_stride` and `to_stride` apart. Returns how many samples per channel came
    /// out.
    pub fn process(
        &mut self,
        channels: usize,
        (from, from_stride): (&[f32], usize),
        (to, to_stride): (&mut [f32], usize),
    ) -> Result<usize> {
        let internal = Error::Internal { stage: "device" };
        let from = SequentialSlice::new(from, channels, from_stride).map_err(|_| internal)?;
        let mut to = SequentialSlice::new_mut(to, channels, to_stride).map_err(|_| internal)?;
        let (_, given) = self.engine.process_into_buffer(&from, &mut to, None).map_err(|_| internal)?;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use crate::core::{Format, Frame};
    use crate::device::{Capture, Playout};

    /// Centre of gravity of an impulse response.
    fn centre(response: &[f32]) -> f64 {
        let sum = |weight: fn(usize) -> f64| -> f64 {
            response.iter().enumerate().map(|(index, sample)| weight(index) * f64::from(*sample)).sum()
        };
        sum(|index| index as f64) / sum(|_| 1.0)
    }

    #[test]
    fn latency_is_where_an_impulse_comes_out() {
        for (device_hz, frame_hz) in [
            (8_000, 48_000),
            (11_025, 48_000),
            (22_050, 48_000),
            (44_056, 48_000),
            (44_100, 48_000),
            (48_000, 16_000),
            (192_000, 48_000),
        ] {
            let format = Format::mono(frame_hz).unwrap();
            let mut impulse = vec![0.0; device_hz as usize / 5];
            impulse[0] = 1.0;
            let mut capture = Capture::new(device_hz, 1, format).unwrap();
            let mut response = Vec::new();
            capture.push_interleaved(&impulse, |frame| response.extend_from_slice(frame.samples())).unwrap();
            let off = centre(&response) - capture.latency() as f64;
            assert!(off.abs() < 0.55, "capture {device_hz} -> {frame_hz}: {off}");

            let mut playout = Playout::new(format, device_hz, 1).unwrap();
            let mut frame = Frame::new(format);
            frame.samples_mut()[0] = 1.0;
            let mut response = Vec::new();
            for _ in 0..20 {
                playout.push(&mut frame).unwrap();
                frame.samples_mut().fill(0.0);
                let mut out = vec![0.0; playout.available()];
                playout.pull_interleaved(&mut out).unwrap();
                response.extend(out);
            }
            let off = centre(&response) - playout.latency() as f64;
            assert!(off.abs() < 0.55, "playout {frame_hz} -> {device_hz}: {off}");
        }
    }
}
