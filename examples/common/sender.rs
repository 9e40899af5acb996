//! What a sender makes of a recording.

use std::path::Path;

use voxframe::device::InputSelection;
use voxframe::opus::OpusEncodeProcessor;
use voxframe::{Capture, Packet, Processor};

use super::wav::WavInput;
use super::{Of, Result};

/// A recording, of any kind, in an encoder's packets; and its length in samples of the encoder's rate.
pub fn packets(path: &Path, encoder: &mut OpusEncodeProcessor) -> Result<(Vec<Packet>, i64)> {
    let mut input = WavInput::open(path)?;
    let header = input.header();
    let mut capture = Capture::new(header.sample_rate_hz, header.channels, encoder.input_format()).of(path)?;
    capture.select(InputSelection::SpeakerDownmix).of(path)?;
    let length = input.samples_at(encoder.input_format().sample_rate_hz()) as i64;
    let end = input.samples_at(Packet::CLOCK_HZ) as i64;
    let mut packets = Vec::new();
    input.feed(&mut capture, |frame| {
        packets.extend(encoder.process(frame)?.cloned());
        Ok(packets.last().is_some_and(|last: &Packet| last.position() + i64::from(last.duration()) >= end))
    })?;
    Ok((packets, length))
}
