//! A whole downlink, from Opus packets in a file, some of them lost, to a recording.
//!
//! `cargo run --release --example decode -- target/clean.opus target/decoded.wav --loss-trace trace.txt`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::identity::all_different;
use common::opus_sound::OpusSound;
use common::output::{commit, print};
use common::wav::WavOutput;
use common::{Of, Result, note};
use voxframe_testkit::network::read_trace;

/// Decodes an Ogg Opus file, mono or stereo, to a WAV file: 48 kHz, 16-bit PCM.
#[derive(Parser)]
struct Args {
    input: PathBuf,
    /// The WAV file to write
    output: PathBuf,
    /// A text file with a 0 or 1 for each packet: those with a 1 are lost, and concealed; behind its end none is
    #[arg(long, value_name = "FILE")]
    loss_trace: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let trace = args.loss_trace.as_ref().map_or(Ok(Vec::new()), |path| read_trace(path).of(path))?;
    let is_lost = |index: usize| trace.get(index) == Some(&true);
    let mut sound = OpusSound::open(&args.input)?;
    all_different([&args.input, &args.output].into_iter().chain(&args.loss_trace))?;
    let mut wav = WavOutput::create(&args.output, sound.format(), true, Some(sound.samples()))?;
    sound.notes().iter().for_each(|what| note(&args.input, what));
    while sound.next_packet(is_lost, |frame, end| wav.write(frame, end))? {}
    let (packets, lost) = (sound.packets(), sound.lost());
    let seconds = wav.seconds();
    commit(vec![wav.finish()?])?;
    print(&format!("{seconds:.3} s, {packets} packets, {lost} of them lost\n"))
}
