//! Delay that makes up for a lower latency, for a while.

use crate::core::{Format, Frame};
use crate::dsp::ramp::{GainCurve, Ramp};

/// Longest delay in ms.
const MAX_MS: f32 = 100.0;

/// Delay of a pipeline whose latency is lower than that of the one before, so that nothing leaps when it is taken in, and
/// the way back to none, by a cross-fade.
pub(super) struct LatencyPad {
    /// Sound of late, in a ring for each channel, and the place in it of the next frame.
    ring: Box<[f32]>,
    at: usize,
    samples: usize,
    fade_samples: usize,
    /// Share of the sound that is not delayed.
    direct: Ramp,
}

impl LatencyPad {
    /// Pad without delay. A fade to none takes `fade_ms`.
    pub fn new(format: Format, fade_ms: f32) -> Self {
        let (frame, fade_samples) = (format.samples_per_channel(), format.samples_in_ms(fade_ms));
        let ring = vec![0.0; (format.samples_in_ms(MAX_MS) + frame) * format.channels()].into_boxed_slice();
        Self { ring, at: 0, samples: 0, fade_samples, direct: Ramp::new(0.0, fade_samples) }
    }

    /// Delay in samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Sets the delay, for a pad that nothing has passed through yet. What is too long is shortened.
    pub fn set(&mut self, samples: usize, format: Format) {
        self.samples = samples.min(format.samples_in_ms(MAX_MS));
    }

    /// Begins to take the delay away.
    pub fn release(&mut self) {
        self.direct.set(1.0, self.fade_samples);
    }

    /// Delays a frame, and its position.
    pub fn process(&mut self, frame: &mut Frame) {
        if self.samples == 0 {
            return;
        }
        let channels = frame.format().channels();
        let (length, capacity) = (frame.format().samples_per_channel(), self.ring.len() / channels);
        let direct = self.direct.advance(length);
        for (channel, ring) in frame.channels_mut().zip(self.ring.chunks_exact_mut(capacity)) {
            for (index, sample) in channel.iter_mut().enumerate() {
                let direct = match direct {
                    GainCurve::Steady(share) => share,
                    GainCurve::Moving(shares) => shares.at(index),
                };
                let now = (self.at + index) % capacity;
                ring[now] = *sample;
                let delayed = ring[(now + capacity - self.samples) % capacity];
                *sample = delayed + (*sample - delayed) * direct;
            }
        }
        self.at = (self.at + length) % capacity;
        frame.set_position(frame.position() - self.samples as i64);
        if self.direct.value() == 1.0 {
            self.clear();
        }
    }

    /// Returns to no delay, and no sound.
    pub fn clear(&mut self) {
        self.ring.fill(0.0);
        (self.at, self.samples) = (0, 0);
        self.direct.jump_to(0.0);
    }
}
