//! The codec of the examples that send a recording over a network.

use std::path::{Path, PathBuf};

use clap::Args;
use voxframe::device::InputSelection;
use voxframe::opus::OpusEncodeProcessor;
use voxframe::{Capture, Frame, OpusDecode, OpusEncode, Packet, Processor};
use voxframe_testkit::network::Loss;

use super::input::SoundInput;
use super::{Of, Result};

/// Encoder, decoder and a recorded loss.
#[derive(Args)]
pub struct CodecArgs {
    /// A file with a 0 or a 1 for each packet: 1 is lost
    #[arg(long)]
    pub loss_trace: Option<PathBuf>,
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
}

impl CodecArgs {
    /// The loss that was recorded, if one was given.
    pub fn loss(&self) -> Result<Option<Loss>> {
        self.loss_trace.as_ref().map(|path| Loss::read(path).of(path)).transpose()
    }

    /// Whether the packets carry redundancy.
    pub fn is_redundant(&self) -> bool {
        self.fec || self.dred_ms > 0
    }

    /// An encoder that expects so much loss.
    pub fn encoder(&self, loss_percent: u8) -> OpusEncode {
        let Self { fec, dred_ms, bitrate_kbps, .. } = *self;
        OpusEncode { bitrate_bps: bitrate_kbps.saturating_mul(1000), fec, dred_ms, loss_percent, ..OpusEncode::voip() }
    }

    pub fn decoder(&self) -> OpusDecode {
        OpusDecode { complexity: self.complexity, ..OpusDecode::default() }
    }
}

/// A recording, of any kind, in an encoder's packets, each frame changed by `change` before; and its length in samples of
/// the encoder's rate.
pub fn packets(
    path: &Path,
    encoder: &mut OpusEncodeProcessor,
    mut change: impl FnMut(&mut Frame),
) -> Result<(Vec<Packet>, i64)> {
    let mut input = SoundInput::open(path)?;
    let header = input.header();
    let mut capture = Capture::new(header.sample_rate_hz, header.channels, encoder.input_format()).of(path)?;
    capture.select(InputSelection::SpeakerDownmix).of(path)?;
    let length = input.samples_at(encoder.input_format().sample_rate_hz()) as i64;
    let end = input.samples_at(Packet::CLOCK_HZ) as i64;
    let mut packets = Vec::new();
    input.feed(&mut capture, |frame| {
        change(frame);
        packets.extend(encoder.process(frame)?.cloned());
        Ok(packets.last().is_some_and(|last: &Packet| last.position() + i64::from(last.duration()) >= end))
    })?;
    Ok((packets, length))
}
