//! A call over a network that goes bad and recovers: what the adaptation decides, and why.
//!
//! `cargo run --release --example adapt -- IN.wav --network fixtures/networks/recovers.csv OUT.wav --plot adapt.png`

#[path = "../common/mod.rs"]
mod common;
mod log;
mod network;
mod picture;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::canvas::PngOutput;
use common::identity::all_different;
use common::input::SoundInput;
use common::output::{commit, print};
use common::wav::WavOutput;
use common::{Of, Result};
use log::Log;
use network::Network;
use voxframe::call::{Adaptation, Call, ConnectionReport, Device, DeviceCapability};
use voxframe::{Format, Frame, Profile};

/// Rate of what is heard, in Hz.
const RATE_HZ: u32 = 48_000;

/// Devices take and give 10 ms at a time; a report comes each second, and 1 s more is heard than was spoken.
const TICK_MS: u64 = 10;
const REPORT_MS: u64 = 1000;
const TAIL_MS: u64 = 1000;

/// Sends a recording over a network that changes, and adapts to it.
#[derive(Parser)]
struct Args {
    /// What is spoken, a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file
    input: PathBuf,
    /// What the far end hears, from the first sample spoken: a WAV file, 48 kHz, 16 bit, mono
    output: PathBuf,
    /// The network, a CSV file: a line `seconds,loss,round_trip_ms,jitter_ms` for each change
    #[arg(long)]
    network: PathBuf,
    /// The profile to begin with
    #[arg(long, default_value = "balanced")]
    profile: Profile,
    /// The device's capability
    #[arg(long, default_value = "high")]
    capability: Capability,
    /// The seed of the network's randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write a picture of network and decisions over time, a PNG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Capability {
    Low,
    Medium,
    High,
}

impl From<Capability> for DeviceCapability {
    fn from(capability: Capability) -> Self {
        match capability {
            Capability::Low => Self::Low,
            Capability::Medium => Self::Medium,
            Capability::High => Self::High,
        }
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let mut input = SoundInput::open(&args.input)?;
    let mut network = Network::read(&args.network, args.seed)?;
    all_different([&args.input, &args.network, &args.output].into_iter().chain(&args.plot))?;
    let (rate_hz, channels) = (input.header().sample_rate_hz, input.header().channels);
    let (microphone, loudspeaker) = (Device::new(rate_hz, channels), Device::new(RATE_HZ, 1));
    let mut profile = args.profile;
    // What the loudspeaker plays is nobody's echo here.
    profile.echo_cancel = None;
    let adaptation = Adaptation { capability: args.capability.into(), ..Adaptation::default() };
    let call = Call { profile, adaptation, ..Call::default() };
    let (mut microphone, mut loudspeaker, mut ends, mut controls) =
        call.open(microphone, loudspeaker).of(&args.input)?;

    let ticks = (input.header().samples * 1000).div_ceil(u64::from(rate_hz) * TICK_MS);
    let length = ticks * TICK_MS + TAIL_MS;
    let mut heard = Frame::new(Format::mono(RATE_HZ).of(&args.output)?);
    let samples = length / TICK_MS * heard.samples().len() as u64;
    let mut wav = WavOutput::create(&args.output, heard.format(), true, Some(samples))?;
    let png = args.plot.as_ref().map(|path| PngOutput::create(path)).transpose()?;
    let mut log = Log::new();
    let mut waiting: Vec<f32> = Vec::new();
    for now_ms in (0..length).step_by(TICK_MS as usize) {
        // The samples of this tick, whatever the rate; silence behind the end.
        let until = |ms: u64| (ms * u64::from(rate_hz) / 1000) as usize * channels;
        let wanted = until(now_ms + TICK_MS) - until(now_ms);
        while waiting.len() < wanted {
            match input.next_block()? {
                [] => waiting.resize(wanted, 0.0),
                block => waiting.extend_from_slice(block),
            }
        }
        microphone.callback(&waiting[..wanted]).of(&args.input)?;
        waiting.drain(..wanted);

        network.advance(now_ms as f64);
        while let Some(packet) = ends.outgoing.pop() {
            network.send(now_ms as f64, packet.position(), packet.as_bytes());
        }
        while let Some((sequence, timestamp, payload)) = network.receive(now_ms as f64) {
            ends.incoming.push(sequence, timestamp, 0xa, &payload).of(&args.input)?;
        }
        loudspeaker.callback(heard.samples_mut()).of(&args.output)?;
        heard.set_position((now_ms / TICK_MS) as i64 * heard.samples().len() as i64);
        wav.write(&heard, samples as i64)?;

        if now_ms % REPORT_MS == REPORT_MS - TICK_MS {
            let at = Duration::from_millis(now_ms + TICK_MS);
            controls
                .report(&ConnectionReport {
                    at,
                    packets_lost: Some(network.lost),
                    packets_received: Some(network.received),
                    // RFC 3550's mean deviation of a uniform distribution.
                    jitter_ms: Some((network.jitter_ms() / 3.0) as f32),
                    round_trip_time_ms: Some(network.round_trip_ms() as f32),
                    ..ConnectionReport::default()
                })
                .of(&args.input)?;
            let latency_ms = microphone.latency_ms() + network.round_trip_ms() / 2.0 + loudspeaker.latency_ms();
            log.note(at.as_secs_f64(), &network, &controls, latency_ms);
        }
    }
    let picture = png.map(|png| png.finish(picture::draw(&log))).transpose()?;
    commit([wav.finish()?].into_iter().chain(picture).collect())?;
    print(&log.to_string())
}
