//! LevelReading of a recording, by the meter that a call would use.
//!
//! `cargo run --release --example meter -- fixtures/speech_noisy.wav`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::input::SoundInput;
use common::output::print;
use common::{Of, Result};
use serde_json::json;
use voxframe::level::SILENCE_DBFS;
use voxframe::{Capture, Error, Format, LevelMeter, Live, Processor, Stage};

/// Tells RMS, peak and clipping of a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file, channel by channel, in dBFS: 0 is the RMS of a full-scale square wave.
#[derive(Parser)]
struct Args {
    /// PCM of 8 to 32 bits, integers or floats, 1 to 8 channels, 8 to 192 kHz
    input: PathBuf,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let mut input = SoundInput::open(&args.input)?;
    let header = *input.header();
    // Samples are samples: the meter is told a rate that fits frames, so that nothing is resampled.
    let format = Format::mono(48_000)?;
    let mut channels = Vec::new();
    for _ in 0..header.channels {
        let (meter, reading) = LevelMeter::default().live();
        channels.push((Capture::new(48_000, 1, format)?, meter.prepare(format)?, reading));
    }
    let mut push = |samples: &[f32]| -> Result<(), Error> {
        for (index, (capture, meter, _)) in channels.iter_mut().enumerate() {
            let channel: Vec<f32> = samples.iter().copied().skip(index).step_by(header.channels).collect();
            capture.push_interleaved(&channel[..], |frame| meter.process(frame).map(drop))?;
        }
        Ok(())
    };
    loop {
        let block = input.next_block()?;
        if block.is_empty() {
            break;
        }
        push(block).of(&args.input)?;
    }
    // Silence completes the last frame.
    push(&vec![0.0; header.channels * (format.samples_per_channel() - 1)]).of(&args.input)?;

    let mut text = format!("{header}\n");
    let mut levels = Vec::new();
    for (index, (.., reading)) in channels.iter().enumerate() {
        let reading = reading.reading();
        let (mut rms, peak, clipped) = (reading.overall_rms_dbfs(0), reading.overall_peak_dbfs(0), reading.clipped());
        if rms > SILENCE_DBFS {
            // The silence does not count.
            rms += 10.0 * (reading.samples() as f32 / header.samples as f32).log10();
        }
        text += &format!("channel {}: RMS {rms:.2} dBFS, peak {peak:.2} dBFS, {clipped} clipped\n", index + 1);
        levels.push(json!({ "rms_dbfs": rms, "peak_dbfs": peak, "clipped": clipped }));
    }
    if args.json {
        let json = json!({
            "sample_rate_hz": header.sample_rate_hz,
            "samples": header.samples,
            "seconds": input.seconds(),
            "channels": levels,
        });
        text = format!("{json:#}\n");
    }
    print(&text)
}
