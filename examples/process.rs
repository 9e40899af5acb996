//! What a profile makes of a recording: its frame stages, each timed, and the encoder behind them.
//!
//! `cargo run --release --example process -- fixtures/speech_noisy.wav target/clean.wav --opus target/clean.opus`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::input::SoundInput;
use common::json::JsonOutput;
use common::ogg_opus::OpusOutput;
use common::output::{all_different, commit, print};
use common::report::Report;
use common::wav::WavOutput;
use common::{Of, Result};
use voxframe::{Processor, Profile, Stage};

/// Runs a WAV, FLAC, MP3 or Ogg Vorbis file through the stages of a profile, and tells what each costs.
///
/// OUTPUT has exactly the length of INPUT, all delays taken off, at the profile's rate: 16-bit PCM if INPUT holds no
/// more than 16 bits, else 32-bit floats; mono, or stereo for two channels and more.
#[derive(Parser)]
struct Args {
    /// PCM of 8 to 32 bits, integers or floats, 1 to 8 channels, 8 to 192 kHz
    input: PathBuf,
    /// The WAV file to write
    output: PathBuf,
    /// low-latency, balanced or high-quality
    #[arg(long, default_value = "balanced")]
    profile: Profile,
    /// Leave the level of the speech as it is: no automatic gain
    #[arg(long)]
    keep_level: bool,
    /// Also write an Ogg Opus file, coded at the rate of OUTPUT (`encode` codes as a call does, at 48 kHz)
    #[arg(long, value_name = "FILE")]
    opus: Option<PathBuf>,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Only see whether all is well: process nothing, leave nothing behind
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let mut input = SoundInput::open(&args.input)?;
    let mut capture = input.capture()?;
    let mut profile = args.profile;
    profile.auto_gain = profile.auto_gain.filter(|_| !args.keep_level);
    let mut pipeline = profile.prepare(capture.output_format()).of(&args.input)?;
    let format = pipeline.output_format();
    let mut encoder = args.profile.encoder(format.channels()).prepare(format).of(&args.input)?;

    all_different([&args.input, &args.output].into_iter().chain(&args.opus).chain(&args.report))?;
    let samples = input.samples_at(format.sample_rate_hz());
    let mut wav = WavOutput::create(&args.output, format, input.fits_16_bits(), samples)?;
    let mut opus = args.opus.as_ref().map(|path| OpusOutput::create(path, format.channels(), &input)).transpose()?;
    let json = args.report.as_ref().map(|path| JsonOutput::create(path)).transpose()?;
    if args.check {
        return print(&format!("{}: {}, all is well\n", args.input.display(), input.header()));
    }

    let mut report = Report::new(&args.profile, &input, &capture, &pipeline);
    let edge = input.feed(&mut capture, |frame| {
        report.count(frame);
        let Some(frame) = report.run_stages(&mut pipeline, frame)? else { return Ok(false) };
        wav.write(frame, samples as i64)?;
        if let Some(opus) = &mut opus
            && let Some(packet) = report.encode(&mut encoder, frame)?
        {
            opus.write(packet)?;
        }
        Ok(wav.samples() == samples && opus.as_ref().is_none_or(OpusOutput::is_full))
    })?;
    report.finish(edge, &wav, opus.as_ref());

    let mut outputs = vec![wav.finish()?];
    outputs.extend(opus.map(OpusOutput::finish).transpose()?);
    outputs.extend(json.map(|json| json.finish(&report.to_json())).transpose()?);
    commit(outputs)?;
    print(&report.to_string())
}
