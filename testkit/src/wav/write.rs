//! WAV files of any sample type.

use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};

/// Writes interleaved samples; `bits` 32 means floats, 33 integers of 32 bits.
#[track_caller]
pub fn write(path: &Path, rate_hz: u32, channels: u16, bits: u16, samples: &[f32]) {
    let (bits_per_sample, sample_format) = match bits {
        32 => (32, SampleFormat::Float),
        33 => (32, SampleFormat::Int),
        bits => (bits, SampleFormat::Int),
    };
    let spec = WavSpec { channels, sample_rate: rate_hz, bits_per_sample, sample_format };
    let mut writer = WavWriter::create(path, spec).unwrap();
    let full_scale = 2f32.powi(i32::from(bits_per_sample) - 1);
    for sample in samples {
        match sample_format {
            SampleFormat::Float => writer.write_sample(*sample).unwrap(),
            SampleFormat::Int => writer.write_sample((sample * full_scale).round() as i32).unwrap(),
        }
    }
    writer.finalize().unwrap();
}
