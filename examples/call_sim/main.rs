//! A call in a box: speech → Opus → a bad network → jitter buffer → speech, the same for a seed.
//!
//! `cargo run --release --example call_sim -- IN.wav OUT.wav --loss 0.1 --burst 3 --jitter-ms 60 --fec --plot call.png`
//!
//! `--report FILE.json` has the figures of the table. `--trace FILE` takes the packets of a real call instead of the
//! simulated network: `fixtures/traces`.

mod background;
#[path = "../common/mod.rs"]
mod common;
mod log;
mod picture;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

use background::BackgroundArgs;
use clap::Parser;
use common::canvas::PngOutput;
use common::codec::{CodecArgs, packets};
use common::identity::all_different;
use common::json::JsonOutput;
use common::output::{commit, print};
use common::wav::WavOutput;
use common::{Of, Result, exit};
use log::Log;
use voxframe::{Format, JitterBuffer, Live, OpusEncode, Stage};
use voxframe_testkit::call::{Call, PlayoutStall};
use voxframe_testkit::network::{Loss, Network};
use voxframe_testkit::packet_trace::PacketTrace;

/// Sends a recording over a simulated network, and tells what arrived.
#[derive(Parser)]
struct Args {
    /// What is spoken, a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file
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
    /// By how much later all packets come from --step-at on: another way through the network
    #[arg(long, default_value_t = 0.0, value_parser = within(0.0..=1e5))]
    step_ms: f64,
    /// When that begins, in s
    #[arg(long, default_value_t = 6.0, value_parser = within(0.0..=1e6))]
    step_at: f64,
    /// The share of padding-only packets among all RTP packets, 0 to 0.9
    #[arg(long, default_value_t = 0.0, value_parser = within(0.0..=0.9))]
    padding: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The packets of a real call in place of a simulated network: a file with a line for each that arrived,
    /// `arrival_ms sequence timestamp payload_bytes`
    #[arg(long, conflicts_with_all = ["loss", "loss_trace", "jitter_ms", "reorder", "drift_ppm", "step_ms", "padding"])]
    trace: Option<PathBuf>,
    /// Nothing is sent while there is nothing to hear
    #[arg(long)]
    dtx: bool,
    #[command(flatten)]
    background: BackgroundArgs,
    /// How long the playout thread sleeps
    #[arg(long, default_value_t = 0.0, value_parser = within(0.0..=1e5))]
    stall_ms: f64,
    /// When it does, in s
    #[arg(long, default_value_t = 6.0, value_parser = within(0.0..=1e6))]
    stall_at: f64,
    /// How much the loudspeaker's buffer holds: so much of the stall is made up for at once, the rest is silence
    #[arg(long, default_value_t = 1000.0, value_parser = within(0.0..=1e5))]
    device_ms: f64,
    /// A picture of the call to write, a PNG file
    #[arg(long)]
    plot: Option<PathBuf>,
    /// The figures of the call to write, a JSON file
    #[arg(long)]
    report: Option<PathBuf>,
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
    let read = [&args.input].into_iter().chain(&args.codec.loss_trace).chain(&args.trace);
    all_different(read.chain([&args.output]).chain(&args.plot).chain(&args.report))?;
    let network = Network {
        loss: args.codec.loss()?.unwrap_or(Loss::Bursty { share: args.loss, burst: args.burst }),
        jitter_ms: args.jitter_ms,
        reorder: args.reorder,
        drift_ppm: args.drift_ppm,
        step: Some((args.step_at * 1000.0, args.step_ms)),
        padding: args.padding,
        seed: args.seed,
        ..Network::default()
    };
    let trace = args.trace.as_ref().map(|path| PacketTrace::read(path).of(path)).transpose()?;
    let format = Format::mono(48_000)?;
    // The sender knows how much is lost.
    let loss_percent = if args.codec.is_redundant() { network.loss.percent().clamp(1, 20) } else { 0 };
    let mut encoder = OpusEncode { dtx: args.dtx, ..args.codec.encoder(loss_percent) };
    if let Some(trace) = &trace {
        encoder.packet_ms = trace.packet_ticks() as f32 / 48.0;
    }
    let mut background = args.background.noise();
    let (packets, _) = packets(&args.input, &mut encoder.prepare(format)?, |frame| {
        background.iter_mut().for_each(|background| background.add(frame));
    })?;
    let stall = PlayoutStall { at_ms: args.stall_at * 1000.0, length_ms: args.stall_ms, device_ms: args.device_ms };
    let call = match &trace {
        Some(trace) => Call::traced(&packets, trace),
        None => Call::over(&packets, &network),
    };
    let call = call.with_stall(Some(stall));

    let mut wav = WavOutput::create(&args.output, format, true, None)?;
    let json = args.report.as_ref().map(|path| JsonOutput::create(path)).transpose()?;
    let png = args.plot.as_ref().map(|path| PngOutput::create(path)).transpose()?;
    let mut log = Log::new(&call);
    let buffer = JitterBuffer { decoder: args.codec.decoder(), ..JitterBuffer::default() };
    let (buffer, control) = buffer.live();
    let (mut input, output) = buffer.open(format)?;
    // What does not fit is counted as refused.
    let push = |sequence, timestamp, ssrc, payload: &[u8]| _ = input.push(sequence, timestamp, ssrc, payload);
    let mut written = Ok(());
    call.play(push, output, |heard| {
        log.note(heard.now_ms, heard.delay_ms, control.reading());
        heard.frame.set_position(wav.samples() as i64);
        let all = wav.write(heard.frame, i64::MAX);
        written = std::mem::replace(&mut written, Ok(())).and(all);
    });
    written?;
    let picture = png.map(|png| png.finish(picture::draw(&log))).transpose()?;
    let json = json.map(|json| json.finish(&log.to_json())).transpose()?;
    commit([wav.finish()?].into_iter().chain(picture).chain(json).collect())?;
    print(&log.to_string())
}
