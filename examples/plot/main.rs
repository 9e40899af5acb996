//! Before and after on one sheet: waveform, spectrogram, level, speech probability and gain.
//!
//! `cargo run --release --example plot -- fixtures/speech_noisy.wav target/clean.wav target/plot.png`

mod analysis;
mod canvas;
mod sheet;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use analysis::Track;
use clap::Parser;

/// Draws what has become of a recording: waveform, spectrogram, level, speech probability and gain, before and after.
///
/// The two must begin at the same moment, as what the example `process` writes does; rates and lengths may differ.
#[derive(Parser)]
struct Args {
    /// The recording as it was, a WAV file
    before: PathBuf,
    /// The same recording processed, a WAV file
    after: PathBuf,
    /// The picture to write, a PNG file
    picture: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let load = |path: &PathBuf| Track::load(path).map_err(|error| format!("{}: {error}", path.display()));
    let picture = sheet::draw(&load(&args.before)?, &load(&args.after)?)?;
    picture.save(&args.picture).map_err(|error| format!("{}: {error}", args.picture.display()).into())
}
