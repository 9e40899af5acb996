//! Delay line.

use crate::core::{Format, Frame};
use crate::dsp::kernels;

/// Delay line of a fixed length for all channels of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Delay {
    samples: usize,
    /// Ring buffers of `samples` each, one channel after the other.
    buffers: Box<[f32]>,
    /// Index of the oldest sample in each ring buffer.
    oldest: usize,
}

impl Delay {
    pub fn new(format: Format, samples: usize) -> Self {
        Self { samples, buffers: vec![0.0; samples * format.channels()].into_boxed_slice(), oldest: 0 }
    }

    /// Replaces each sample by the one that came `samples` before it.
    pub fn process(&mut self, frame: &mut Frame) {
        if self.samples == 0 {
            return;
        }
        let mut oldest = self.oldest;
        for (channel, buffer) in frame.channels_mut().zip(self.buffers.chunks_exact_mut(self.samples)) {
            oldest = self.oldest;
            let mut rest = channel;
            while !rest.is_empty() {
                let run = rest.len().min(self.samples - oldest);
                let (now, later) = rest.split_at_mut(run);
                kernels::swap(now, &mut buffer[oldest..oldest + run]);
                rest = later;
                oldest = (oldest + run) % self.samples;
            }
        }
        self.oldest = oldest;
    }

    pub fn reset(&mut self) {
        self.buffers.fill(0.0);
        self.oldest = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_delay_is_exact_in_every_channel() {
        let format = Format::stereo(8_000).unwrap();
        for samples in [0, 1, 79, 80, 81, 500] {
            let mut delay = Delay::new(format, samples);
            for frame_index in 0..10 {
                let mut frame = Frame::new(format);
                for (c, channel) in frame.channels_mut().enumerate() {
                    for (i, s) in channel.iter_mut().enumerate() {
                        *s = (1 + frame_index * 80 + i) as f32 * if c == 0 { 1.0 } else { -1.0 };
                    }
                }
                delay.process(&mut frame);
                for (c, channel) in frame.channels().enumerate() {
                    for (i, s) in channel.iter().enumerate() {
                        let came = 1 + frame_index as i64 * 80 + i as i64 - samples as i64;
                        let wanted = came.max(0) as f32 * if c == 0 { 1.0 } else { -1.0 };
                        assert_eq!(*s, wanted, "delay {samples}");
                    }
                }
            }
        }
    }
}
