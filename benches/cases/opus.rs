//! Encoder and decoder: one frame is one packet.

use std::hint::black_box;

use voxframe::{Format, OpusDecode, OpusEncode, Packet, Processor, Stage};

use super::{Case, Ring, recording, usual_formats};

pub fn add(cases: &mut Vec<Case>) {
    for format in usual_formats() {
        cases.push(Case::new("opus-encode", format, encode));
        cases.push(Case::new("libopus-encode", format, raw_encode));
        cases.push(Case::new("opus-decode", format, decode));
        cases.push(Case::new("libopus-decode", format, raw_decode));
    }
}

fn settings(format: Format) -> OpusEncode {
    OpusEncode { packet_ms: format.frame_ms() as f32, ..OpusEncode::voip() }
}

fn channels(format: Format) -> opus::Channels {
    if format.channels() == 1 { opus::Channels::Mono } else { opus::Channels::Stereo }
}

fn encode(format: Format) -> impl FnMut() {
    let mut frames = recording(format);
    let mut encoder = settings(format).prepare(format).unwrap();
    // It leaves its input as it was, so it needs no copy.
    move || {
        black_box(encoder.process(black_box(frames.next())).unwrap());
    }
}

/// libopus as [`OpusEncode`] sets it, on sound that is interleaved already.
fn raw_encode(format: Format) -> impl FnMut() {
    let mut frames = recording(format);
    for frame in &mut frames.items {
        let planar = frame.clone();
        planar.copy_to_interleaved(frame.samples_mut()).unwrap();
    }
    let settings = settings(format);
    let mut codec = opus::Encoder::new(format.sample_rate_hz(), channels(format), opus::Application::Voip).unwrap();
    codec.set_bitrate(opus::Bitrate::Bits(settings.bitrate_bps as i32)).unwrap();
    codec.set_vbr(true).unwrap();
    codec.set_vbr_constraint(false).unwrap();
    codec.set_complexity(settings.complexity.into()).unwrap();
    let mut bytes = [0; Packet::MAX_BYTES];
    move || {
        let length = codec.encode_float(black_box(frames.next()).samples(), &mut bytes).unwrap();
        black_box(&mut bytes[..length]);
    }
}

/// The recording in packets.
fn packets(format: Format) -> Ring<Vec<u8>> {
    let mut encoder = settings(format).prepare(format).unwrap();
    let encode = |mut frame| encoder.process(&mut frame).unwrap().unwrap().as_bytes().to_vec();
    Ring::new(recording(format).items.into_iter().map(encode).collect())
}

fn decode(format: Format) -> impl FnMut() {
    let mut packets = packets(format);
    let mut decoder = OpusDecode::default().prepare(format).unwrap();
    let mut packet = Packet::new();
    move || {
        packet.set_bytes(black_box(packets.next()), 0).unwrap();
        black_box(decoder.process(&mut packet).unwrap());
    }
}

/// libopus, which leaves its sound interleaved.
fn raw_decode(format: Format) -> impl FnMut() {
    let mut packets = packets(format);
    let mut codec = opus::Decoder::new(format.sample_rate_hz(), channels(format)).unwrap();
    let mut out = vec![0.0; format.samples_per_channel() * format.channels()];
    move || {
        codec.decode_float(black_box(packets.next()), &mut out, false).unwrap();
        black_box(&mut out);
    }
}
