//! Streams made to cost memory or time: a hundred thousand senders on one port, and timestamps that leap by up to 2³² ticks.
#![cfg(all(feature = "opus", feature = "rtp"))]

use voxframe::rtcp::{NtpTime, RtcpSession};
use voxframe::rtp::{RtpReceiver, RtpSender};
use voxframe::{Format, Frame, JitterBuffer, Live, OpusEncode, Packet, Processor, Source, Stage};
use voxframe_testkit::alloc::{CountingAllocator, allocations, most_held};
use voxframe_testkit::random::noise;
use voxframe_testkit::signal::level;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Payload type of every stream here.
const TYPE: u8 = 111;

fn format() -> Format {
    Format::mono(16_000).unwrap()
}

/// `count` packets of 20 ms of noise.
fn packets(count: usize) -> Vec<Packet> {
    let mut encoder = OpusEncode { complexity: 1, ..OpusEncode::voip() }.prepare(format()).unwrap();
    let sound = noise(1, count * 320, 0.3);
    let mut packets = Vec::new();
    for (index, block) in sound.chunks_exact(160).enumerate() {
        let mut frame = Frame::new(format());
        frame.set_position(index as i64 * 160);
        frame.samples_mut().copy_from_slice(block);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    packets
}

/// A call of 20 s, and with each of its packets as many of `strangers`, each with an SSRC of its own: what is heard.
fn call_among(strangers: u32) -> Vec<f32> {
    let packets = packets(1000);
    let (jitter_buffer, control) = JitterBuffer::default().live();
    let (mut input, mut output) = jitter_buffer.open(format()).unwrap();
    let mut sound = Vec::with_capacity(packets.len() * 320);
    let count = allocations(|| {
        for (index, packet) in (0u32..).zip(&packets) {
            input.push(index as u16, index * 960, 1, packet.as_bytes()).unwrap();
            for stranger in 0..strangers {
                let ssrc = 2 + index * strangers + stranger;
                let sequence = ssrc.wrapping_mul(40_503) as u16;
                input.push(sequence, ssrc.wrapping_mul(2_654_435_761), ssrc, packet.as_bytes()).unwrap();
            }
            (0..2).for_each(|_| sound.extend_from_slice(output.pull().samples()));
        }
    });
    assert_eq!(count, 0);
    let reading = control.reading();
    assert_eq!((reading.stream_restarts, reading.packets_refused), (0, 0), "{reading:?}");
    sound
}

#[test]
fn a_hundred_thousand_senders_are_not_heard_in_a_call() {
    let alone = call_among(0);
    assert!(level(&alone[16_000..]) > -20.0);
    assert!(call_among(100) == alone);
}

#[test]
fn a_hundred_thousand_senders_take_no_memory() {
    let mut receiver = RtpReceiver::new(TYPE).unwrap();
    let mut session = RtcpSession::new(1, "name");
    let (mut sent, mut received, mut datagram) = (Packet::new(), Packet::new(), [0; 100]);
    sent.set_bytes(&[0xf8, 1, 2], 0).unwrap();
    let start = NtpTime(1 << 40);
    let mut read = |ssrc: u32, receiver: &mut RtpReceiver, session: &mut RtcpSession| {
        let mut sender = RtpSender::new(TYPE, ssrc, ssrc as u16, ssrc.wrapping_mul(2_654_435_761)).unwrap();
        let length = sender.write(&sent, &mut datagram).unwrap().unwrap();
        let header = receiver.read(&datagram[..length], &mut received).unwrap();
        session.received(ssrc, header.sequence, header.timestamp, start.plus_seconds(f64::from(ssrc) * 0.001))
    };
    let first = most_held(|| (2..102).for_each(|ssrc| _ = read(ssrc, &mut receiver, &mut session))).1;
    let ((), held) = most_held(|| {
        for ssrc in 102..100_102 {
            assert!(!read(ssrc, &mut receiver, &mut session), "one packet makes no stream");
        }
    });
    println!("100 senders: {first} bytes, 100 000 more: {held}");
    assert!(held <= first + 1000, "{held} bytes after {first}");
    assert_eq!(receiver.reading().packets_received, 100_100);
    // Who does stay is still found among them.
    let session = &mut session;
    assert!((0..3).any(|index| session.received(
        7,
        index,
        u32::from(index) * 960,
        start.plus_seconds(300.0 + 0.02 * f64::from(index))
    )));
}

#[test]
fn leaps_of_the_timestamp_cost_nothing_and_the_sound_goes_on() {
    // A gap of 2³² ticks is none: timestamps have 32 bits.
    for leap in [1 << 16, 1 << 31, (1 << 31) + 960, u32::MAX - 959, u32::MAX, 0] {
        for dtx in [false, true] {
            let packets = packets(300);
            let (jitter_buffer, control) = JitterBuffer::default().live();
            let (mut input, mut output) = jitter_buffer.open(format()).unwrap();
            let mut sound = Vec::with_capacity(packets.len() * 320);
            let count = allocations(|| {
                for (index, packet) in (0u32..).zip(&packets) {
                    // What comes before the leap may promise a pause.
                    let bytes = packet.as_bytes();
                    let bytes = if dtx && index == 99 { &bytes[..1] } else { bytes };
                    let leap = if index >= 100 { leap } else { 0 };
                    input.push(index as u16, (index * 960).wrapping_add(leap), 1, bytes).unwrap();
                    (0..2).for_each(|_| sound.extend_from_slice(output.pull().samples()));
                }
            });
            let (before, after) = (level(&sound[50 * 320..90 * 320]), level(&sound[200 * 320..]));
            let what = format!("{leap} ticks, DTX {dtx}: {before} dBFS, then {after}; {:?}", control.reading());
            println!("{what}");
            assert_eq!(count, 0, "{what}");
            assert!((before - after).abs() < 1.0, "{what}");
            assert!(control.reading().jitter_buffer_delay_ms < 200.0, "{what}");
        }
    }
}
