//! The far end, a frame whenever one is wanted.

use std::collections::VecDeque;
use std::path::Path;

use voxframe::{Capture, Format, Frame};

use crate::common::Result;
use crate::common::input::SoundInput;

/// A sound file that is pulled, and silent at its end.
pub struct FarInput {
    wav: SoundInput,
    capture: Capture,
    /// Frames that are read, but not pulled yet.
    frames: VecDeque<Frame>,
    silence: Frame,
    current: Frame,
    next: i64,
}

impl FarInput {
    pub fn open(path: &Path) -> Result<Self> {
        let wav = SoundInput::open(path)?;
        let capture = wav.capture()?;
        let silence = Frame::new(capture.output_format());
        let current = silence.clone();
        Ok(Self { wav, capture, frames: VecDeque::new(), silence, current, next: 0 })
    }

    pub fn format(&self) -> Format {
        self.silence.format()
    }

    /// The next 10 ms.
    pub fn next_frame(&mut self) -> Result<&Frame> {
        while self.frames.is_empty() {
            let block = self.wav.next_block()?;
            if block.is_empty() {
                break;
            }
            self.capture.push_interleaved(block, |frame| -> Result {
                self.frames.push_back(frame.clone());
                Ok(())
            })?;
        }
        self.current = self.frames.pop_front().unwrap_or_else(|| self.silence.clone());
        self.current.set_position(self.next);
        self.next += self.format().samples_per_channel() as i64;
        Ok(&self.current)
    }
}
