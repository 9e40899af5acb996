//! Speech through Opus and a lossy network, gaps filled with what arrives later: without a jitter buffer, so the best
//! that can be.
//!
//! `cargo run --release --example opus_loss -- IN.wav OUT.wav --loss-trace FILE --fec`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::codec::{CodecArgs, packets};
use common::identity::all_different;
use common::output::{commit, print};
use common::wav::WavOutput;
use common::{Result, exit};
use voxframe::{Format, Live, Packet, Processor, Stage};
use voxframe_testkit::network::Network;

/// Codes a recording, loses packets of it, and fills the gaps.
#[derive(Parser)]
struct Args {
    /// What is spoken, a WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis or Ogg Opus file
    input: PathBuf,
    /// What is heard: a WAV file, 48 kHz, 16 bit, mono
    output: PathBuf,
    #[command(flatten)]
    codec: CodecArgs,
    /// What the sender expects
    #[arg(long, default_value_t = 20)]
    loss_percent: u8,
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    all_different([&args.input, &args.output].into_iter().chain(&args.codec.loss_trace))?;
    let format = Format::mono(48_000)?;
    let (encode, sender) = args.codec.encoder(args.loss_percent).live();
    let (decode, receiver) = args.codec.decoder().live();
    let (mut encoder, mut decoder) = (encode.prepare(format)?, decode.prepare(format)?);
    let good = Network::default();
    let network = Network { loss: args.codec.loss()?.unwrap_or(good.loss.clone()), ..good };

    let (mut packets, length) = packets(&args.input, &mut encoder, |_| ())?;
    let mut lost = vec![true; packets.len()];
    network.carry(&vec![0.0; packets.len()], 20.0).iter().for_each(|arrival| lost[arrival.packet] = false);

    let mut wav = WavOutput::create(&args.output, format, true, Some(length as u64))?;
    let mut play = |packet: &mut Packet| -> Result {
        while !packet.is_empty() {
            if let Some(frame) = decoder.process(packet)? {
                wav.write(frame, length)?;
            }
        }
        Ok(())
    };
    let (mut gap, mut begin, mut ticks) = (Packet::new(), 0, 0);
    for (packet, lost) in packets.iter_mut().zip(lost) {
        if lost {
            begin = if ticks == 0 { packet.position() } else { begin };
            ticks += packet.duration();
            continue;
        }
        if ticks > 0 {
            gap.set_lost(begin, ticks, packet.as_bytes(), packet.position())?;
            play(&mut gap)?;
            ticks = 0;
        }
        play(packet)?;
    }
    if ticks > 0 {
        gap.set_lost(begin, ticks, &[], 0)?;
        play(&mut gap)?;
    }
    commit(vec![wav.finish()?])?;
    let kbps = sender.reading().bytes as f64 * 8.0 / (packets.len() as f64 * 20.0);
    print(&format!("{kbps:.1} kb/s, {:?}, {:?}\n", sender.reading(), receiver.reading()))
}
