//! Speech through Opus and a lossy network, gaps filled with what arrives later: without a jitter buffer, so the best
//! that can be.
//!
//! `cargo run --release --example opus_loss -- IN.wav OUT.wav --loss-trace FILE --fec`

mod common;
#[path = "common/network.rs"]
mod network;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::output::{all_different, commit, print};
use common::sender::packets;
use common::wav::WavOutput;
use common::{Of, Result, exit};
use network::{Loss, Network};
use voxframe::{Format, Live, OpusDecode, OpusEncode, Packet, Processor, Stage};

/// Codes a recording, loses packets of it, and fills the gaps.
#[derive(Parser)]
struct Args {
    /// What is spoken, a WAV file
    input: PathBuf,
    /// What is heard: a WAV file, 48 kHz, 16 bit, mono
    output: PathBuf,
    /// A file with a 0 or a 1 for each packet: 1 is lost
    #[arg(long)]
    loss_trace: Option<PathBuf>,
    #[arg(long, default_value_t = 32)]
    bitrate_kbps: u32,
    /// What the sender expects
    #[arg(long, default_value_t = 20)]
    loss_percent: u8,
    /// Forward error correction
    #[arg(long)]
    fec: bool,
    /// Deep redundancy (feature deep-plc)
    #[arg(long, default_value_t = 0)]
    dred_ms: u32,
    /// The decoder's complexity: from 5 deep concealment, from 7 NoLACE (feature deep-plc)
    #[arg(long, default_value_t = 0)]
    complexity: u8,
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    all_different([&args.input, &args.output])?;
    let Args { fec, dred_ms, loss_percent, complexity, .. } = *args;
    let format = Format::mono(48_000)?;
    let bitrate_bps = args.bitrate_kbps.saturating_mul(1000);
    let (encode, sender) = OpusEncode { fec, dred_ms, loss_percent, bitrate_bps, ..OpusEncode::voip() }.live();
    let (decode, receiver) = OpusDecode { complexity, ..OpusDecode::default() }.live();
    let (mut encoder, mut decoder) = (encode.prepare(format)?, decode.prepare(format)?);
    let trace = args.loss_trace.as_ref().map(|path| Loss::read(path).of(path)).transpose()?;
    let network = Network { loss: trace.unwrap_or(Network::default().loss), ..Network::default() };

    let (mut packets, length) = packets(&args.input, &mut encoder)?;
    let mut lost = vec![true; packets.len()];
    network.carry(&vec![0.0; packets.len()], 20.0).iter().for_each(|arrival| lost[arrival.packet] = false);

    let mut wav = WavOutput::create(&args.output, format, true, length as u64)?;
    let mut play = |packet: &mut Packet| -> Result {
        while !packet.is_empty() {
            if let Some(frame) = decoder.process(packet)? {
                wav.write(frame, length)?;
            }
        }
        Ok(())
    };
    let mut gap = Packet::new();
    let mut index = 0;
    while index < packets.len() {
        let end = (index..packets.len()).find(|&i| !lost[i]).unwrap_or(packets.len());
        if end > index {
            let (position, duration) =
                (packets[index].position(), packets[index..end].iter().map(Packet::duration).sum());
            match packets.get(end) {
                Some(later) => gap.set_lost(position, duration, later.as_bytes(), later.position()),
                None => gap.set_lost(position, duration, &[], 0),
            }?;
            play(&mut gap)?;
        }
        if let Some(packet) = packets.get_mut(end) {
            play(packet)?;
        }
        index = end + 1;
    }
    commit(vec![wav.finish()?])?;
    let kbps = sender.reading().bytes as f64 * 8.0 / (packets.len() as f64 * 20.0);
    print(&format!("{kbps:.1} kb/s, {:?}, {:?}\n", sender.reading(), receiver.reading()))
}
