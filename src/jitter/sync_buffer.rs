//! Sync buffer: decoded sound before and behind the moment at which it is played.

use crate::core::{Format, Frame};

/// Reach of a look back, in ms: the longest lag of the time stretch.
pub(super) const LOOK_BACK_MS: f32 = 15.0;

/// Sound kept after it was played, in ms: after a jump back one can look back as far again.
const PAST_MS: f32 = 2.0 * LOOK_BACK_MS;

/// Room for sound to be played, in ms: the longest packet, and what else is asked for.
const FUTURE_MS: f32 = 200.0;

/// Planar sound with a play position that can look, and go, back.
pub(super) struct SyncBuffer {
    /// The channels, `stride` samples each.
    samples: Box<[f32]>,
    stride: usize,
    past: usize,
    look_back: usize,
    /// Index of the next sample to be played.
    read: usize,
    /// Index behind the last sample.
    write: usize,
}

impl SyncBuffer {
    pub fn new(format: Format) -> Self {
        let past = format.samples_in_ms(PAST_MS);
        // Twice the room, so that it seldom has to be moved.
        let stride = past + 2 * format.samples_in_ms(FUTURE_MS);
        let samples = vec![0.0; stride * format.channels()].into_boxed_slice();
        let look_back = format.samples_in_ms(LOOK_BACK_MS);
        Self { samples, stride, past, look_back, read: past, write: past }
    }

    /// Forgets all sound.
    pub fn reset(&mut self) {
        self.samples.fill(0.0);
        (self.read, self.write) = (self.past, self.past);
    }

    /// Samples per channel that are yet to be played.
    pub fn future_len(&self) -> usize {
        self.write - self.read
    }

    /// Makes room for `samples` per channel at the end and gives each channel's to `write`. What does not fit is not
    /// asked for.
    pub fn append(&mut self, samples: usize, mut write: impl FnMut(usize, &mut [f32])) {
        if self.write + samples > self.stride {
            let from = self.read.saturating_sub(self.past);
            for channel in self.samples.chunks_exact_mut(self.stride) {
                channel.copy_within(from..self.write, 0);
            }
            self.read -= from;
            self.write -= from;
        }
        let end = (self.write + samples).min(self.stride);
        for (index, channel) in self.samples.chunks_exact_mut(self.stride).enumerate() {
            write(index, &mut channel[self.write..end]);
        }
        self.write = end;
    }

    /// Sound of each channel from [`LOOK_BACK_MS`] before the play position to the end.
    pub fn channels(&self) -> impl Iterator<Item = &[f32]> {
        let (from, to) = (self.read - self.look_back, self.write);
        self.samples.chunks_exact(self.stride).map(move |channel| &channel[from..to])
    }

    /// Index of the play position in each of [`channels`](Self::channels).
    pub fn next_index(&self) -> usize {
        self.look_back
    }

    /// Moves the play position forward or back, never beyond what is there.
    pub fn seek(&mut self, samples: isize) {
        self.read = self.read.saturating_add_signed(samples).clamp(self.look_back, self.write);
    }

    /// Copies the next samples into a frame and moves on. What is not there is silent.
    pub fn read_frame(&mut self, frame: &mut Frame) {
        let mut copied = 0;
        for (channel, to) in self.channels().zip(frame.channels_mut()) {
            let next = &channel[self.look_back..];
            copied = to.len().min(next.len());
            to[..copied].copy_from_slice(&next[..copied]);
            to[copied..].fill(0.0);
        }
        self.seek(copied as isize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_comes_out_as_it_went_in_and_can_be_gone_back_to() {
        let format = Format::stereo(8_000).unwrap();
        let mut buffer = SyncBuffer::new(format);
        let mut frame = Frame::new(format);
        let (mut pushed, mut pulled) = (0, 0);
        for round in 0..500 {
            let length = 1 + round * 37 % 160;
            buffer.append(length, |channel, samples| {
                for (i, sample) in samples.iter_mut().enumerate() {
                    *sample = (pushed + i) as f32 + channel as f32 * 0.5;
                }
            });
            pushed += length;
            while buffer.future_len() >= 80 {
                buffer.read_frame(&mut frame);
                for (channel, samples) in frame.channels().enumerate() {
                    for (i, &sample) in samples.iter().enumerate() {
                        assert_eq!(sample, (pulled + i) as f32 + channel as f32 * 0.5);
                    }
                }
                pulled += 80;
                if round % 10 == 0 {
                    buffer.seek(-7);
                    pulled -= 7;
                }
            }
        }
        assert!(pulled > 30_000);
    }

    #[test]
    fn an_empty_buffer_is_silent() {
        let format = Format::mono(8_000).unwrap();
        let mut buffer = SyncBuffer::new(format);
        let mut frame = Frame::new(format);
        buffer.append(10, |_, samples| samples.fill(1.0));
        buffer.read_frame(&mut frame);
        assert_eq!(frame.samples().iter().sum::<f32>(), 10.0);
        assert_eq!(buffer.future_len(), 0);
    }
}
