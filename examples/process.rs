//! What a profile makes of a recording: its frame stages, each timed, and the encoder behind them.
//!
//! `cargo run --release --example process -- fixtures/speech_noisy.wav target/clean.wav --opus target/clean.opus`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::identity::all_different;
use common::input::SoundInput;
use common::job::{Job, Processing};
use common::json::JsonOutput;
use common::output::{commit, print};
use common::{Result, one_line};

/// Runs a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file through the stages of a profile, and tells what each costs.
///
/// OUTPUT has exactly the length of INPUT, all delays taken off, at the profile's rate: 16-bit PCM if INPUT holds no
/// more than 16 bits, else 32-bit floats; mono, or stereo for two channels and more.
#[derive(Parser)]
struct Args {
    /// PCM of 8 to 32 bits, integers or floats, 1 to 8 channels, 8 to 192 kHz
    input: PathBuf,
    /// The WAV file to write
    output: PathBuf,
    #[command(flatten)]
    processing: Processing,
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
    all_different([&args.input, &args.output].into_iter().chain(&args.opus).chain(&args.report))?;
    let job = Job::create(&input, &args.processing, &args.output, args.opus.as_ref())?;
    let json = args.report.as_ref().map(|path| JsonOutput::create(path)).transpose()?;
    if args.check {
        return print(&format!("{}: {}, all is well\n", one_line(&args.input.to_string_lossy()), input.header()));
    }
    let (report, mut outputs) = job.run(&mut input, || false)?;
    outputs.extend(json.map(|json| json.finish(&report.to_json())).transpose()?);
    commit(outputs)?;
    print(&report.to_string())
}
