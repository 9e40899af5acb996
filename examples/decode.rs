//! A whole downlink, from Opus packets in a file, some of them lost, to a recording.
//!
//! `cargo run --release --example decode -- target/clean.opus target/decoded.wav --loss-trace trace.txt`

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::ogg_opus::{FilePacket, OpusInput};
use common::output::{all_different, commit, print};
use common::wav::WavOutput;
use common::{Of, Result};
use voxframe::error::CodecError;
use voxframe::{Error, Format, OpusDecode, Packet, Processor, Stage};
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
    let mut input = OpusInput::open(&args.input)?;
    let mut next = input.next_packet()?;
    let channels = next.as_ref().map(|first| first.head.channels).ok_or("no packets in it").of(&args.input)?;
    let format = Format::new(48_000, channels)?;
    all_different([&args.input, &args.output].into_iter().chain(&args.loss_trace))?;
    let mut wav = WavOutput::create(&args.output, format, true, 0)?;

    let (mut decoder, mut decoding) = (OpusDecode::default().prepare(format)?, None);
    let (mut index, mut losses) = (0, 0);
    while let Some(FilePacket { mut packet, head, stream, end }) = next {
        next = input.next_packet()?;
        let follower = next.as_ref().filter(|next| next.stream == stream);
        if decoding != Some(stream) {
            decoding = Some(stream);
            decoder = OpusDecode { gain_db: head.gain_db, ..OpusDecode::default() }.prepare(format)?;
        }
        let (position, duration) = (packet.position(), packet.duration());
        let after = position + i64::from(duration);
        if is_lost(index) && !packet.is_lost() {
            // The packet after a lost one may hold a coarse copy of it.
            let copy = follower.filter(|next| !is_lost(index + 1) && !next.packet.is_lost());
            packet.set_lost(position, duration, copy.map_or(&[][..], |next| next.packet.as_bytes()), after)?;
        }
        losses += u32::from(packet.is_lost());
        // A stream may end within a frame: whatever comes then fills it up.
        let mut rest = Packet::new();
        if follower.is_none() {
            rest.set_lost(after, 480, &[], 0)?;
        }
        for packet in [&mut packet, &mut rest] {
            while !packet.is_empty() {
                match decoder.process(packet) {
                    Ok(Some(frame)) => wav.write(frame, end)?,
                    Ok(None) => {}
                    Err(Error::Codec(CodecError::InvalidPacket)) => {
                        // It begins as an Opus packet does, but is none: as good as lost.
                        losses += 1;
                        packet.set_lost(position, duration, &[], 0)?;
                    }
                    Err(error) => return Err(error).of(&args.input),
                }
            }
        }
        index += 1;
    }
    input.tell_damage();
    let seconds = wav.seconds();
    commit(vec![wav.finish()?])?;
    print(&format!("{seconds:.3} s, {index} packets, {losses} of them lost\n"))
}
