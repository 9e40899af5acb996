//! A whole downlink, from Opus packets in a file, some of them lost, to a recording.
//!
//! `cargo run --release --example decode -- target/clean.opus target/decoded.wav --loss-trace trace.txt`

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use common::ogg_opus::OpusInput;
use common::output::{all_different, commit, print};
use common::wav::WavOutput;
use common::{Of, Result};
use voxframe::error::CodecError;
use voxframe::{Error, Format, OpusDecode, Packet, Processor, Stage};

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
    let trace = args.loss_trace.as_ref().map_or(Ok(Vec::new()), |path| read_trace(path))?;
    let lost = |index: usize| trace.get(index) == Some(&true);
    let mut input = OpusInput::open(&args.input)?;
    let mut next = input.next_packet()?;
    let channels = next.as_ref().map(|first| first.head.channels).ok_or("no packets in it").of(&args.input)?;
    let format = Format::new(48_000, channels)?;
    all_different([&args.input, &args.output].into_iter().chain(&args.loss_trace))?;
    let mut wav = WavOutput::create(&args.output, format, true, 0)?;

    let mut decoder = OpusDecode::default().prepare(format)?;
    let mut stream = None;
    let (mut index, mut losses) = (0, 0);
    while let Some(now) = next {
        next = input.next_packet()?;
        let follower = next.as_ref().filter(|next| next.stream == now.stream);
        if stream != Some(now.stream) {
            stream = Some(now.stream);
            decoder = OpusDecode { gain_db: now.head.gain_db, ..OpusDecode::default() }.prepare(format)?;
        }
        let mut packet = now.packet;
        let (position, duration) = (packet.position(), packet.duration());
        if lost(index) && !packet.is_lost() {
            // The packet after a lost one may hold a coarse copy of it.
            let copy = follower.filter(|next| !lost(index + 1) && !next.packet.is_lost());
            let after = position + i64::from(duration);
            packet.set_lost(position, duration, copy.map_or(&[][..], |next| next.packet.as_bytes()), after)?;
        }
        losses += u32::from(packet.is_lost());
        let mut play = |packet: &mut Packet| -> Result {
            while !packet.is_empty() {
                match decoder.process(packet) {
                    Ok(Some(frame)) => wav.write(frame, now.end)?,
                    Ok(None) => {}
                    Err(Error::Codec(CodecError::InvalidPacket)) => {
                        // It begins as an Opus packet does, but is none: as good as lost.
                        losses += 1;
                        packet.set_lost(position, duration, &[], 0)?;
                    }
                    Err(error) => return Err(error).of(&args.input),
                }
            }
            Ok(())
        };
        play(&mut packet)?;
        if follower.is_none() {
            // A stream may end within a frame: whatever comes then fills it up.
            packet.set_lost(position + i64::from(duration), 480, &[], 0)?;
            play(&mut packet)?;
        }
        index += 1;
    }
    input.tell_damage();
    let seconds = wav.seconds();
    commit(vec![wav.finish()?])?;
    print(&format!("{seconds:.3} s, {index} packets, {losses} of them lost\n"))
}

/// Zeros and ones, whatever white space is between them.
fn read_trace(path: &Path) -> Result<Vec<bool>> {
    let text = std::fs::read_to_string(path).of(path)?;
    let marks = text.chars().filter(|mark| !mark.is_whitespace()).map(|mark| match mark {
        '0' => Ok(false),
        '1' => Ok(true),
        _ => Err(format!("'{mark}' in a loss trace: it has only 0 and 1")),
    });
    marks.collect::<Result<_, String>>().of(path)
}
