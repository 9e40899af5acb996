//! A call in a box: speech → Opus → a bad network → jitter buffer → speech, the same for a seed.
//!
//! `cargo run --release --example call_sim -- IN.wav OUT.wav --loss 0.1 --burst 3 --jitter-ms 60 --fec --plot call.png`

#[allow(dead_code, reason = "it maps colours too")]
#[path = "../plot/canvas.rs"]
mod canvas;
#[path = "../common/mod.rs"]
mod common;
mod log;
#[path = "../common/network.rs"]
mod network;
mod picture;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::output::{all_different, commit, print};
use common::sender::packets;
use common::wav::WavOutput;
use common::{Of, Result, exit};
use log::Log;
use network::{Loss, Network, call};
use voxframe::{Format, JitterBuffer, OpusDecode, OpusEncode, Packet, Stage};

/// Sends a recording over a simulated network, and tells what arrived.
#[derive(Parser)]
struct Args {
    /// What is spoken, a WAV file
    input: PathBuf,
    /// What the far end hears, from the first packet sent: a WAV file, 48 kHz, 16 bit, mono
    output: PathBuf,
    /// A file with a 0 or a 1 for each packet: 1 is lost
    #[arg(long, conflicts_with = "loss")]
    loss_trace: Option<PathBuf>,
    /// The share of packets lost, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = within(0.0..=1.0))]
    loss: f64,
    /// How many are lost in a row, on average
    #[arg(long, default_value_t = 1.0, value_parser = within(1.0..=1e6))]
    burst: f64,
    /// Each packet is delayed by 0 to this
    #[arg(long, default_value_t = 0.0, value_parser = within(0.0..=1e4))]
    jitter_ms: f64,
    /// The share of packets overtaken by later ones, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = within(0.0..=1.0))]
    reorder: f64,
    /// By how much the sender's clock is faster than the receiver's
    #[arg(long, default_value_t = 0.0, value_parser = within(-1e5..=1e5), allow_negative_numbers = true)]
    drift_ppm: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 32)]
    bitrate_kbps: u32,
    /// Forward error correction
    #[arg(long)]
    fec: bool,
    /// Deep redundancy (feature deep-plc)
    #[arg(long, default_value_t = 0)]
    dred_ms: u32,
    /// The decoder's complexity: from 5 deep concealment, from 7 NoLACE (feature deep-plc)
    #[arg(long, default_value_t = 0)]
    complexity: u8,
    /// A picture of the call to write, a PNG file
    #[arg(long)]
    plot: Option<PathBuf>,
}

/// Reads a number in a range.
fn within(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) => Err(format!("must be from {} to {}", range.start(), range.end())),
        Err(_) => Err("not a number".into()),
    }
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    all_different([&args.input, &args.output].into_iter().chain(&args.plot))?;
    let network = Network {
        loss: match &args.loss_trace {
            Some(path) => Loss::read(path).of(path)?,
            None => Loss::Bursty { share: args.loss, burst: args.burst },
        },
        jitter_ms: args.jitter_ms,
        reorder: args.reorder,
        drift_ppm: args.drift_ppm,
        seed: args.seed,
        ..Network::default()
    };
    let packets = encode(args, network.loss.percent())?;

    let format = Format::mono(48_000)?;
    let mut wav = WavOutput::create(&args.output, format, true, 0)?;
    let mut log = Log::new(&packets, &network);
    let decoder = OpusDecode { complexity: args.complexity, ..OpusDecode::default() };
    let mut written = Ok(());
    call(&packets, &network, JitterBuffer { decoder, ..JitterBuffer::default() }, format, |heard| {
        log.note(&heard);
        heard.frame.set_position(wav.samples() as i64);
        let all = wav.write(heard.frame, i64::MAX);
        written = std::mem::replace(&mut written, Ok(())).and(all);
    })?;
    written?;
    if let Some(path) = &args.plot {
        picture::draw(&log).and_then(|canvas| canvas.save(path)).map_err(|error| error.to_string()).of(path)?;
    }
    commit(vec![wav.finish()?])?;
    print(&log.to_string())
}

/// The recording in packets; the sender knows how much is lost.
fn encode(args: &Args, loss_percent: u8) -> Result<Vec<Packet>> {
    let Args { fec, dred_ms, .. } = *args;
    let (bitrate_bps, redundant) = (args.bitrate_kbps.saturating_mul(1000), fec || dred_ms > 0);
    let loss_percent = if redundant { loss_percent.clamp(1, 20) } else { 0 };
    let format = Format::mono(48_000)?;
    let mut encoder = OpusEncode { bitrate_bps, fec, dred_ms, loss_percent, ..OpusEncode::voip() }.prepare(format)?;
    Ok(packets(&args.input, &mut encoder)?.0)
}
