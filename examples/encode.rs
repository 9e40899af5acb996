//! A whole uplink, from a recording to Opus packets in a file.
//!
//! `cargo run --release --example encode -- fixtures/speech_noisy.wav target/clean.opus --bitrate-kbps 24`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, value_parser};
use common::identity::all_different;
use common::input::SoundInput;
use common::ogg_opus::OpusOutput;
use common::output::{commit, print};
use common::{Of, Result};
use voxframe::{Processor, Profile};

/// Runs a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file through all of a profile, and writes the packets as an Ogg Opus file of the same length.
#[derive(Parser)]
struct Args {
    /// PCM of 8 to 32 bits, integers or floats, 1 to 8 channels, 8 to 192 kHz
    input: PathBuf,
    /// The Ogg Opus file to write
    output: PathBuf,
    /// low-latency, balanced or high-quality
    #[arg(long, default_value = "balanced")]
    profile: Profile,
    /// Another bit rate than the profile's, 6 to 510
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(6..=510))]
    bitrate_kbps: Option<u32>,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let mut profile = args.profile;
    if let Some(kbps) = args.bitrate_kbps {
        profile.opus.bitrate_bps = 1000 * kbps;
        profile.stereo_bitrate_bps = 1000 * kbps;
    }
    let mut input = SoundInput::open(&args.input)?;
    let mut capture = input.capture()?;
    let (mut uplink, _controls) = profile.uplink(capture.output_format()).of(&args.input)?;

    all_different([&args.input, &args.output])?;
    let mut opus = OpusOutput::create(&args.output, uplink.output_format().channels(), &input)?;
    input.feed(&mut capture, |frame| {
        if let Some(packet) = uplink.process(frame)? {
            opus.write(packet)?;
        }
        Ok(opus.is_full())
    })?;
    let (packets, kbps) = (opus.packets, opus.bitrate_kbps());
    commit(vec![opus.finish()?])?;
    print(&format!("{:.3} s, {packets} packets, {kbps:.1} kb/s\n", input.seconds()))
}
