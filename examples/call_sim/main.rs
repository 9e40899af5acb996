//! A call in a box: speech → Opus → a bad network → jitter buffer → speech, the same for a seed.
//!
//! `cargo run --release --example call_sim -- IN.wav OUT.wav --loss 0.1 --burst 3 --jitter-ms 60 --fec --plot call.png`

#[path = "../common/mod.rs"]
mod common;
mod log;
mod picture;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::codec::{CodecArgs, packets};
use common::output::{all_different, commit, print};
use common::wav::WavOutput;
use common::{Of, Result, exit};
use log::Log;
use voxframe::{Format, JitterBuffer, Live, Stage};
use voxframe_testkit::call::call;
use voxframe_testkit::network::{Loss, Network};

/// Sends a recording over a simulated network, and tells what arrived.
#[derive(Parser)]
struct Args {
    /// What is spoken, a WAV file
    input: PathBuf,
    /// What the far end hears, from the first packet sent: a WAV file, 48 kHz, 16 bit, mono
    output: PathBuf,
    #[command(flatten)]
    codec: CodecArgs,
    /// The share of packets lost, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = within(0.0..=1.0), conflicts_with = "loss_trace")]
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
    all_different([&args.input, &args.output].into_iter().chain(&args.plot).chain(&args.codec.loss_trace))?;
    let network = Network {
        loss: args.codec.loss()?.unwrap_or(Loss::Bursty { share: args.loss, burst: args.burst }),
        jitter_ms: args.jitter_ms,
        reorder: args.reorder,
        drift_ppm: args.drift_ppm,
        seed: args.seed,
        ..Network::default()
    };
    let format = Format::mono(48_000)?;
    // The sender knows how much is lost.
    let loss_percent = if args.codec.is_redundant() { network.loss.percent().clamp(1, 20) } else { 0 };
    let (packets, _) = packets(&args.input, &mut args.codec.encoder(loss_percent).prepare(format)?)?;

    let mut wav = WavOutput::create(&args.output, format, true, 0)?;
    let mut log = Log::new(&packets, &network);
    let buffer = JitterBuffer { decoder: args.codec.decoder(), ..JitterBuffer::default() };
    let (buffer, control) = buffer.live();
    let (mut input, output) = buffer.open(format)?;
    // What does not fit is counted as refused.
    let push = |sequence, timestamp, ssrc, payload: &[u8]| _ = input.push(sequence, timestamp, ssrc, payload);
    let mut written = Ok(());
    call(&packets, &network, push, output, |heard| {
        log.note(heard.now_ms, heard.delay_ms, control.reading());
        heard.frame.set_position(wav.samples() as i64);
        let all = wav.write(heard.frame, i64::MAX);
        written = std::mem::replace(&mut written, Ok(())).and(all);
    });
    written?;
    let picture = args.plot.as_ref().map(|path| picture::draw(&log).of(path)?.save(path)).transpose()?;
    commit([wav.finish()?].into_iter().chain(picture).collect())?;
    print(&log.to_string())
}
