//! A jitter buffer in a call over a simulated network.
#![cfg(feature = "opus")]

mod delay;
mod dtx;
mod loss;
mod stream;

use std::sync::LazyLock;

use voxframe::jitter::JitterBufferReading;
use voxframe::{Format, Frame, JitterBuffer, Live, OpusEncode, Packet, Processor, Result, Stage};
use voxframe_testkit::call::{self, Call};
use voxframe_testkit::network::Network;
use voxframe_testkit::wav::fixture;

/// Speech at 16 kHz, cut to whole packets, and what it becomes with forward error correction.
static SPEECH: LazyLock<(Vec<f32>, Vec<Packet>)> = LazyLock::new(|| {
    let speech: Vec<f32> =
        fixture("speech_clean.wav")[0].chunks_exact(3).map(|c| c.iter().sum::<f32>() / 3.0).collect();
    let settings = OpusEncode { fec: true, loss_percent: 20, complexity: 5, ..OpusEncode::voip() };
    let packets = encode(settings, &speech[..speech.len() / 320 * 320]);
    (speech, packets)
});

fn format() -> Format {
    Format::mono(16_000).unwrap()
}

fn encode(settings: OpusEncode, speech: &[f32]) -> Vec<Packet> {
    let mut encoder = settings.prepare(format()).unwrap();
    let mut packets = Vec::new();
    for (index, block) in speech.chunks_exact(160).enumerate() {
        let mut frame = Frame::new(format());
        frame.set_position(index as i64 * 160);
        frame.samples_mut().copy_from_slice(block);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    packets
}

/// `count` packets of 20 ms: the speech over and over.
fn packets(count: usize) -> Vec<Packet> {
    let speech = &SPEECH.1;
    let mut packets = Vec::with_capacity(count);
    for index in 0..count {
        let from = &speech[index % speech.len()];
        let mut packet = Packet::new();
        packet.set_bytes(from.as_bytes(), index as i64 * 960).unwrap();
        packets.push(packet);
    }
    packets
}

/// One frame at the far end of a call.
struct Heard<'a> {
    /// When it is played, by the receiver's clock.
    now_ms: f64,
    /// How long ago the sound in it was captured.
    delay_ms: f64,
    frame: &'a Frame,
    reading: JitterBufferReading,
}

/// Plays packets through a jitter buffer; the last reading.
fn call(
    packets: &[Packet],
    network: &Network,
    buffer: JitterBuffer,
    format: Format,
    mut heard: impl FnMut(Heard<'_>),
) -> Result<JitterBufferReading> {
    let (buffer, control) = buffer.live();
    let (mut input, output) = buffer.open(format)?;
    // What does not fit is counted as refused.
    let push = |sequence, timestamp, ssrc, payload: &[u8]| _ = input.push(sequence, timestamp, ssrc, payload);
    Call::over(packets, network).play(push, output, |call::Heard { now_ms, delay_ms, frame }| {
        heard(Heard { now_ms, delay_ms, frame, reading: control.reading() });
    });
    Ok(control.reading())
}

/// What was heard in a call over `network`, frame by frame: delay, reading.
fn run(
    count: usize,
    network: &Network,
    buffer: JitterBuffer,
) -> (Vec<f32>, Vec<(f64, JitterBufferReading)>, JitterBufferReading) {
    let (mut sound, mut log) = (Vec::new(), Vec::new());
    let last = call(&packets(count), network, buffer, format(), |heard: Heard<'_>| {
        assert!(heard.frame.samples().iter().all(|s| s.is_finite() && s.abs() < 2.0));
        sound.extend_from_slice(heard.frame.samples());
        log.push((heard.delay_ms, heard.reading));
    });
    (sound, log, last.unwrap())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}
