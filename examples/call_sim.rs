//! A call in a box: speech → Opus → a bad network → jitter buffer → speech, the same for a seed.
//!
//! `cargo run --release --example call_sim -- IN.wav OUT.wav --loss 0.1 --burst 3 --jitter-ms 60 --fec`

#[path = "common/network.rs"]
mod network;

use std::path::PathBuf;

use clap::Parser;
use network::{Loss, Network, call};
use voxframe::{Capture, Error, Format, JitterBuffer, OpusEncode, Packet, Processor, Samples, Stage};

#[derive(Parser)]
struct Options {
    /// 16-bit or float WAV.
    input: PathBuf,
    /// What the far end hears: 48 kHz, 16 bit, mono.
    output: PathBuf,
    /// A file with a line for each packet: 1 if it is lost.
    #[arg(long)]
    loss_trace: Option<PathBuf>,
    /// The share of packets lost, 0 to 1, and the mean length of a burst of losses, in packets.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    #[arg(long, default_value_t = 1.0)]
    burst: f64,
    #[arg(long, default_value_t = 0.0)]
    jitter_ms: f64,
    /// The share of packets overtaken by later ones.
    #[arg(long, default_value_t = 0.0)]
    reorder: f64,
    /// By how much the sender's clock is faster.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    drift_ppm: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 32)]
    bitrate_kbps: u32,
    /// Forward error correction.
    #[arg(long)]
    fec: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let format = Format::mono(48_000)?;
    let loss_percent = if options.fec { 20 } else { 0 };
    let bitrate_bps = options.bitrate_kbps * 1000;
    let mut uplink =
        OpusEncode { bitrate_bps, fec: options.fec, loss_percent, ..OpusEncode::voip() }.prepare(format)?;
    let mut packets: Vec<Packet> = Vec::new();
    let mut reader = hound::WavReader::open(&options.input)?;
    let spec = reader.spec();
    let mut samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let scale = 2f32.powi(1 - i32::from(spec.bits_per_sample));
            reader.samples::<i32>().map(|s| s.map(|s| s as f32 * scale)).collect::<Result<_, _>>()?
        }
    };
    // What is still on its way through resampler and encoder comes out with 40 ms of silence.
    samples.resize(samples.len() + spec.sample_rate as usize / 25 * usize::from(spec.channels), 0.0);
    let mut capture = Capture::new(spec.sample_rate, spec.channels.into(), format)?;
    capture.push_interleaved(Samples::F32(&samples), |frame| {
        packets.extend(uplink.process(frame)?.cloned());
        Ok::<(), Error>(())
    })?;

    let loss = match &options.loss_trace {
        Some(path) => Loss::Trace(std::fs::read_to_string(path)?.split_whitespace().map(|w| w == "1").collect()),
        None => Loss::Bursty { share: options.loss, burst: options.burst },
    };
    let Options { jitter_ms, reorder, drift_ppm, seed, .. } = options;
    let network = Network { loss, jitter_ms, reorder, drift_ppm, seed, ..Network::default() };
    let mono = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&options.output, mono)?;
    let mut failed = Ok(());
    println!("time s   end to end ms   waiting ms   target ms   missing %   filled in %");
    let last = call(&packets, &network, JitterBuffer::default(), format, |heard| {
        let reading = heard.reading;
        if heard.now_ms > 0.0 && heard.now_ms % 1000.0 == 0.0 {
            println!(
                "{:6.0} {:15.0} {:12.0} {:11.0} {:11.1} {:13.1}",
                heard.now_ms / 1000.0,
                heard.delay_ms,
                reading.delay_ms,
                reading.target_ms,
                reading.missing_share * 100.0,
                reading.concealed_share * 100.0
            );
        }
        for sample in heard.frame.samples() {
            let sample = (sample * 32_768.0).round() as i16;
            failed = std::mem::replace(&mut failed, Ok(())).and_then(|()| writer.write_sample(sample));
        }
    })?;
    failed?;
    writer.finalize()?;
    println!("sent {} packets\n{last:#?}", packets.len());
    Ok(())
}
