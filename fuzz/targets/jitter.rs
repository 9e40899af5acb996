//! A jitter buffer through any sequence of operations: its sound stays finite and bounded, and on a good network afterwards
//! it is back to normal.
#![no_main]

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use voxframe::jitter::{JitterBufferInput, JitterBufferOutput};
use voxframe::{Format, Frame, JitterBuffer, Live, OpusEncode, Processor, Source, Stage};

/// Payloads of 20 ms of a tone that comes and goes, with FEC and DTX.
fn payloads() -> &'static [Vec<u8>] {
    static PAYLOADS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PAYLOADS.get_or_init(|| {
        let format = Format::mono(16_000).expect("valid");
        let settings = OpusEncode { fec: true, dtx: true, loss_percent: 20, ..OpusEncode::voip() };
        let mut encoder = settings.prepare(format).expect("valid");
        let mut frame = Frame::new(format);
        let mut packets = Vec::new();
        for index in 0..300 {
            let loudness = if index / 100 % 2 == 0 { 0.3 } else { 0.0 };
            for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
                let t = (index * 160 + i) as f32 / 16_000.0;
                *sample = loudness * (t * 900.0 + (t * 30.0).sin()).sin();
            }
            packets.extend(encoder.process(&mut frame).expect("valid").map(|packet| packet.as_bytes().to_vec()));
        }
        packets
    })
}

/// A sender whose numbers go on, and the buffer.
struct Call {
    input: JitterBufferInput,
    output: JitterBufferOutput,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    sent: usize,
}

impl Call {
    fn payload(&self) -> &'static [u8] {
        &payloads()[self.sent % payloads().len()]
    }

    /// The next packet, or none in a pause.
    fn send(&mut self) {
        let payload = self.payload();
        self.sent += 1;
        if payload.len() > 2 {
            let _ = self.input.push(self.sequence, self.timestamp, self.ssrc, payload);
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.timestamp = self.timestamp.wrapping_add(960);
    }

    fn pull(&mut self, frames: usize) {
        for _ in 0..frames {
            let frame = self.output.pull();
            assert!(frame.samples().iter().all(|sample| sample.abs() <= 12.0), "not finite, or far too loud");
        }
    }
}

fn run(data: &[u8]) -> Result<()> {
    let u = &mut Unstructured::new(data);
    let rate_hz = *u.choose(&[8_000, 16_000, 48_000])?;
    let format = Format::new(rate_hz, u.int_in_range(1..=2)?).expect("valid");
    let settings = JitterBuffer {
        min_delay_ms: *u.choose(&[0.0, 20.0, 100.0, f32::NAN])?,
        max_delay_ms: *u.choose(&[500.0, 100.0, 2000.0])?,
        quantile: *u.choose(&[0.6, 0.1, 0.95])?,
        ..JitterBuffer::default()
    };
    let (stage, handle) = settings.live();
    let Ok((input, output)) = stage.open(format) else { return Ok(()) };
    let (sequence, timestamp) = (u.arbitrary()?, u.arbitrary()?);
    let mut call = Call { input, output, sequence, timestamp, ssrc: 1, sent: 0 };
    while !u.is_empty() {
        match u.int_in_range(0..=11)? {
            0..=3 => {
                for _ in 0..u.int_in_range(1..=20)? {
                    call.send();
                    call.pull(2);
                }
            }
            4 => call.pull(u.int_in_range(1..=150)?),
            5 => (0..u.int_in_range(1..=100)?).for_each(|_| call.send()),
            6 => {
                let lost: u16 = u.int_in_range(1..=300)?;
                call.sequence = call.sequence.wrapping_add(lost);
                call.timestamp = call.timestamp.wrapping_add(u32::from(lost) * 960);
            }
            7 => {
                let (sequence, timestamp, payload) = (u.arbitrary()?, u.arbitrary()?, call.payload());
                let _ = call.input.push(sequence, timestamp, call.ssrc, payload);
            }
            8 => {
                let bytes: Vec<u8> = u.arbitrary()?;
                let _ = call.input.push(call.sequence, call.timestamp, call.ssrc, &bytes);
            }
            9 => (call.ssrc, call.sequence, call.timestamp) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            10 => {
                let (min, max) = (u.int_in_range(0..=1000)? as f32, u.int_in_range(0..=3000)? as f32);
                let _ = handle.update(|buffer| (buffer.min_delay_ms, buffer.max_delay_ms) = (min, max));
            }
            _ => call.output.reset(),
        }
    }
    // From here on the network is a wire.
    let longest_ms = handle.settings().max_delay_ms.max(handle.settings().start_delay_ms) + 240.0;
    for _ in 0..900 {
        call.send();
        call.pull(2);
    }
    let before = handle.reading();
    for _ in 0..200 {
        call.send();
        call.pull(2);
        // In a pause nothing is known of the delay.
        let now = handle.reading();
        let is_talking = now.since_last_packet_ms <= 40.0;
        assert!(!is_talking || now.jitter_buffer_delay_ms <= longest_ms, "{longest_ms} {now:?}");
    }
    let after = handle.reading();
    assert_eq!(after.packets_late, before.packets_late, "late on a wire: {after:?}");
    assert_eq!(after.packets_flushed, before.packets_flushed, "flushed on a wire: {after:?}");
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(data);
});
