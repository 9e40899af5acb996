//! A call of many hours with everything that goes wrong in one: clocks 180 ppm apart, jitter, bursts of loss, pauses, mutes,
//! stalls, new streams, other devices and profiles. All numbers begin next to their wrap.
//!
//! `cargo run --release --features rtp --example soak -- fixtures/speech_noisy.wav --hours 1 --plot soak.png`
//!
//! A JSON line tells of each report; whatever breaks a promise ends it with an error.

#[path = "../common/mod.rs"]
mod common;
mod far_end;
mod log;
mod near_end;
mod network;
mod picture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use common::canvas::PngOutput;
use common::identity::all_different;
use common::input::SoundInput;
use common::output::{commit, print};
use common::{Of, Result};
use far_end::FarEnd;
use fastrand::Rng;
use log::Log;
use near_end::NearEnd;
use network::Network;
use voxframe::Profile;

/// Time of a tick, in ms, by the receiver's clock.
const TICK_MS: f64 = 10.0;

/// Calls a recording for hours, by a simulated clock, and checks what is heard.
#[derive(Parser)]
struct Args {
    /// What is spoken, over and over: a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file
    input: PathBuf,
    /// How long the call is, in hours of its own time
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// How often it is told how it goes, in minutes of its own time
    #[arg(long, default_value_t = 10)]
    report_minutes: u64,
    /// The profile to begin with
    #[arg(long, default_value = "balanced")]
    profile: Profile,
    /// The seed of all that happens
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write a picture of the figures over time, a PNG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let speech = read(&args.input)?;
    all_different([&args.input].into_iter().chain(&args.plot))?;
    let mut random = Rng::with_seed(args.seed);
    let mut near = NearEnd::new(speech, args.profile)?;
    let mut network = Network::default();
    let mut far = FarEnd::new()?;
    let png = args.plot.as_ref().map(|path| PngOutput::create(path)).transpose()?;
    let mut log = Log::default();
    let ticks = (args.hours * 360_000.0) as u64;
    let report = (args.report_minutes * 6000).max(1);
    for tick in 1..=ticks {
        let now_ms = tick as f64 * TICK_MS;
        near.run_until(now_ms, &mut random, &mut network)?;
        while let Some(datagram) = network.receive(now_ms) {
            far.receive(&datagram)?;
        }
        far.play(now_ms, network.settled_ms())?;
        if tick % report == 0 || tick == ticks {
            print(&format!("{}\n", log.note(now_ms / 3_600_000.0, &mut near, &mut far)?))?;
        }
    }
    commit(png.map(|png| png.finish(picture::draw(&log))).transpose()?.into_iter().collect())
}

/// The first channel of a recording at 48 kHz.
fn read(path: &Path) -> Result<Vec<f32>> {
    let mut input = SoundInput::open(path)?;
    let mut capture = input.capture()?;
    let (mut samples, length) = (Vec::new(), input.samples_at(48_000) as usize);
    input.feed(&mut capture, |frame| {
        samples.extend(frame.channels().next().unwrap_or_default());
        Ok(samples.len() >= length)
    })?;
    if samples.is_empty() {
        return Err("there is no sound in it").of(path);
    }
    Ok(samples)
}
