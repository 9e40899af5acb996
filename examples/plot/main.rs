//! Before and after on one sheet: waveform, spectrogram, level, speech probability and gain.
//!
//! `cargo run --release --example plot -- fixtures/speech_noisy.wav target/clean.wav target/plot.png`

mod analysis;
#[path = "../common/mod.rs"]
mod common;
mod sheet;

use std::path::PathBuf;
use std::process::ExitCode;

use analysis::Track;
use clap::Parser;
use common::Result;
use common::canvas::PngOutput;
use common::identity::all_different;
use common::output::commit;

/// Draws what has become of a recording: waveform, spectrogram, level, speech probability and gain, before and after.
///
/// The two must begin at the same moment, as what the example `process` writes does; rates and lengths may differ.
#[derive(Parser)]
struct Args {
    /// The recording as it was, a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file
    before: PathBuf,
    /// The same recording processed, of the same kinds
    after: PathBuf,
    /// The picture to write, a PNG file
    picture: PathBuf,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    all_different([&args.before, &args.picture])?;
    all_different([&args.after, &args.picture])?;
    let (before, after) = (Track::load(&args.before)?, Track::load(&args.after)?);
    commit(vec![PngOutput::create(&args.picture)?.finish(sheet::draw(&before, &after))?])
}
