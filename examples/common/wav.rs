//! WAV files out, a block at a time: memory does not grow with the file.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};
use voxframe::{Format, Frame};

use super::output::Output;
use super::{Of, Result};

/// A WAV file being written: 16-bit PCM, or 32-bit floats, which lose nothing of what was finer or louder than that.
pub struct WavOutput {
    // Before the file that it writes to, so that it is dropped first.
    writer: WavWriter<BufWriter<File>>,
    output: Output,
    samples: u64,
    energy: f64,
}

impl WavOutput {
    /// For `samples` samples per channel of the frames' rate and channels; of which it may be more in the end.
    pub fn create(path: &Path, format: Format, in_16_bits: bool, samples: u64) -> Result<Self> {
        let (bits_per_sample, sample_format) =
            if in_16_bits { (16, SampleFormat::Int) } else { (32, SampleFormat::Float) };
        let sample_rate = format.sample_rate_hz();
        let spec = WavSpec { channels: format.channels() as u16, sample_rate, bits_per_sample, sample_format };
        check_size(&spec, samples).of(path)?;
        let (output, file) = Output::create(path)?;
        Ok(Self { writer: WavWriter::new(file, spec).of(path)?, output, samples: 0, energy: 0.0 })
    }

    /// Writes the samples of a frame whose positions are 0 or more, and less than `end`.
    pub fn write(&mut self, frame: &Frame, end: i64) -> Result {
        let length = frame.format().samples_per_channel();
        let within =
            |position: i64| usize::try_from(position.saturating_sub(frame.position())).unwrap_or(0).min(length);
        let (from, to) = (within(0), within(end.max(0)));
        check_size(&self.writer.spec(), self.samples + (to - from) as u64).of(self.output.path())?;
        for index in from..to {
            for channel in frame.channels() {
                let sample = channel[index];
                self.energy += f64::from(sample).powi(2);
                let written = match self.writer.spec().sample_format {
                    SampleFormat::Float => self.writer.write_sample(sample),
                    // The cast saturates.
                    SampleFormat::Int => self.writer.write_sample((sample * 32_768.0).round() as i16),
                };
                written.of(self.output.path())?;
            }
        }
        self.samples += (to - from) as u64;
        Ok(())
    }

    /// Samples per channel so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    pub fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.writer.spec().sample_rate)
    }

    /// RMS of all samples so far, before they were rounded.
    pub fn rms(&self) -> f32 {
        let samples = self.samples * u64::from(self.writer.spec().channels);
        (self.energy / samples.max(1) as f64).sqrt() as f32
    }

    /// Completes the file, but for its name.
    pub fn finish(self) -> Result<Output> {
        self.writer.finalize().of(self.output.path())?;
        Ok(self.output)
    }
}

/// A WAV file counts its bytes in 32 bits; hound does not look.
fn check_size(spec: &WavSpec, samples: u64) -> Result<(), &'static str> {
    const HEADER: u64 = 68;
    let bytes = samples * u64::from(spec.channels) * u64::from(spec.bits_per_sample / 8);
    if bytes + HEADER <= u32::MAX.into() { Ok(()) } else { Err("would be larger than a WAV file can be (4 GiB)") }
}
