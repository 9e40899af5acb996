//! WAV files out, a block at a time: memory does not grow with the file.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use voxframe::{Format, Frame};
use voxframe_testkit::wav::{WavFormat, WavWriter};

use super::output::Output;
use super::{Of, Result, sound_within};

/// A WAV file being written: 16-bit PCM, or 32-bit floats, which lose nothing of what was finer or louder than that.
pub struct WavOutput {
    // Before the file that it writes to, so that it is dropped first.
    writer: WavWriter<BufWriter<File>>,
    output: Output,
    samples: u64,
    energy: f64,
}

impl WavOutput {
    /// For `samples` samples per channel of the frames' rate and channels, where that is known.
    pub fn create(path: &Path, format: Format, in_16_bits: bool, samples: Option<u64>) -> Result<Self> {
        let (sample_rate_hz, channels) = (format.sample_rate_hz(), format.channels() as u16);
        let (output, file) = Output::create(path)?;
        let format = WavFormat { sample_rate_hz, channels, is_float: !in_16_bits };
        Ok(Self { writer: WavWriter::new(file, format, samples).of(path)?, output, samples: 0, energy: 0.0 })
    }

    /// Writes the samples of a frame whose positions are 0 or more, and less than `end`.
    pub fn write(&mut self, frame: &Frame, end: i64) -> Result {
        let range = sound_within(frame, end);
        for index in range.clone() {
            for channel in frame.channels() {
                self.energy += f64::from(channel[index]).powi(2);
                self.writer.write(channel[index]).of(self.output.path())?;
            }
        }
        self.samples += range.len() as u64;
        Ok(())
    }

    /// Samples per channel so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    pub fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.writer.format().sample_rate_hz)
    }

    /// RMS of all samples so far, before they were rounded.
    pub fn rms(&self) -> f32 {
        let samples = self.samples * u64::from(self.writer.format().channels);
        (self.energy / samples.max(1) as f64).sqrt() as f32
    }

    /// Completes the file, but for its name.
    pub fn finish(self) -> Result<Output> {
        self.writer.finish().of(self.output.path())?;
        Ok(self.output)
    }
}
