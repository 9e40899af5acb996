//! Decoded sound, before and behind the moment at which it is played.

use crate::core::{Format, Frame};

/// How far one can look back, in ms: the longest jump.
pub(super) const LOOK_BACK_MS: f32 = 15.0;

/// Sound kept after it was played, in ms: after a jump back one can look back as far again.
const PAST_MS: f32 = 2.0 * LOOK_BACK_MS;

/// Room for sound to be played, in ms: the longest packet, and what else is asked for.
const AHEAD_MS: f32 = 200.0;

/// Planar sound with a read head that can look, and go, back.
pub(super) struct SyncBuffer {
    /// A line for each channel.
    lines: Box<[f32]>,
    stride: usize,
    past: usize,
    look_back: usize,
    read: usize,
    write: usize,
}

impl SyncBuffer {
    pub fn new(format: Format) -> Self {
        let past = format.samples_in_ms(PAST_MS);
        // Twice the room, so that it seldom has to be moved.
        let stride = past + 2 * format.samples_in_ms(AHEAD_MS);
        let lines = vec![0.0; stride * format.channels()].into_boxed_slice();
        let look_back = format.samples_in_ms(LOOK_BACK_MS);
        Self { lines, stride, past, look_back, read: past, write: past }
    }

    /// Forgets all sound.
    pub fn reset(&mut self) {
        self.lines.fill(0.0);
        (self.read, self.write) = (self.past, self.past);
    }

    /// Samples per channel that are ready to be played.
    pub fn ahead(&self) -> usize {
        self.write - self.read
    }

    /// Makes room for `samples` per channel and gives each channel's to `fill`. What does not fit is not asked for.
    pub fn append(&mut self, samples: usize, mut fill: impl FnMut(usize, &mut [f32])) {
        if self.write + samples > self.stride {
            let from = self.read.saturating_sub(self.past);
            for line in self.lines.chunks_exact_mut(self.stride) {
                line.copy_within(from..self.write, 0);
            }
            self.read -= from;
            self.write -= from;
        }
        let end = (self.write + samples).min(self.stride);
        for (channel, line) in self.lines.chunks_exact_mut(self.stride).enumerate() {
            fill(channel, &mut line[self.write..end]);
        }
        self.write = end;
    }

    /// What lies around the read head in each channel, from [`LOOK_BACK_MS`] before it.
    pub fn lines(&self) -> impl Iterator<Item = &[f32]> {
        let (from, to) = (self.read - self.look_back, self.write);
        self.lines.chunks_exact(self.stride).map(move |line| &line[from..to])
    }

    /// The index of the read head in each of [`lines`](Self::lines).
    pub fn head(&self) -> usize {
        self.look_back
    }

    /// Moves the read head on, or back; never beyond what is there.
    pub fn advance(&mut self, samples: isize) {
        self.read = self.read.saturating_add_signed(samples).clamp(self.look_back, self.write);
    }

    /// Copies what comes next into a frame and moves on. What is not there is silent.
    pub fn take(&mut self, frame: &mut Frame) {
        let mut taken = 0;
        for (line, to) in self.lines().zip(frame.channels_mut()) {
            let next = &line[self.look_back..];
            taken = to.len().min(next.len());
            to[..taken].copy_from_slice(&next[..taken]);
            to[taken..].fill(0.0);
        }
        self.advance(taken as isize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_can_be_gone_back_to() {
        let format = Format::stereo(8_000).unwrap();
        let mut timeline = SyncBuffer::new(format);
        let mut frame = Frame::new(format);
        let (mut pushed, mut pulled) = (0, 0);
        for round in 0..500 {
            let length = 1 + round * 37 % 160;
            timeline.append(length, |channel, line| {
                for (i, sample) in line.iter_mut().enumerate() {
                    *sample = (pushed + i) as f32 + channel as f32 * 0.5;
                }
            });
            pushed += length;
            while timeline.ahead() >= 80 {
                timeline.take(&mut frame);
                for (channel, samples) in frame.channels().enumerate() {
                    for (i, &sample) in samples.iter().enumerate() {
                        assert_eq!(sample, (pulled + i) as f32 + channel as f32 * 0.5);
                    }
                }
                pulled += 80;
                if round % 10 == 0 {
                    timeline.advance(-7);
                    pulled -= 7;
                }
            }
        }
        assert!(pulled > 30_000);
    }

    #[test]
    fn it_is_silent_when_nothing_is_there() {
        let format = Format::mono(8_000).unwrap();
        let mut timeline = SyncBuffer::new(format);
        let mut frame = Frame::new(format);
        timeline.append(10, |_, line| line.fill(1.0));
        timeline.take(&mut frame);
        assert_eq!(frame.samples().iter().sum::<f32>(), 10.0);
        assert_eq!(timeline.ahead(), 0);
    }
}
