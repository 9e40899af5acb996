//! Packets into a jitter buffer, from which 20 ms are pulled in each step.

use voxframe::jitter::{JitterBufferInput, JitterBufferOutput};
use voxframe::{Format, Frame, JitterBuffer, OpusEncode, Packet, Processor, Source, Stage};
use voxframe_testkit::random::{Random, noise};

use crate::Group;
use crate::cases::Case;

/// Hostile packets beside each honest one.
const BESIDE: u32 = 100;

/// SSRC of the honest stream.
const HONEST: u32 = 1;

fn format() -> Format {
    Format::mono(16_000).unwrap()
}

/// 300 packets of 20 ms of noise.
fn honest_packets() -> Vec<Packet> {
    let mut encoder = OpusEncode { complexity: 1, ..OpusEncode::voip() }.prepare(format()).unwrap();
    let mut frame = Frame::new(format());
    let mut packets = Vec::new();
    for block in noise(1, 300 * 320, 0.3).chunks_exact(160) {
        frame.samples_mut().copy_from_slice(block);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    packets
}

struct Call {
    input: JitterBufferInput,
    output: JitterBufferOutput,
    packets: Vec<Packet>,
    random: Random,
}

impl Call {
    /// A packet with a sound of its own. What is full drops it, as it must.
    fn push(&mut self, sequence: u32, timestamp: u32, ssrc: u32) {
        let payload = self.packets[sequence as usize % self.packets.len()].as_bytes();
        let _ = self.input.push(sequence as u16, timestamp, ssrc, payload);
    }

    fn any(&mut self) -> u32 {
        self.random.between(0.0, 16_777_216.0) as u32
    }
}

/// A case in which `packets_of` sends the packets of each step, by its number.
fn case(name: &'static str, units: u32, packets_of: fn(&mut Call, u32)) -> Case {
    Case::new(name, units as usize, move || {
        let (input, output) = JitterBuffer::default().open(format()).unwrap();
        let mut call = Call { input, output, packets: honest_packets(), random: Random::new(1) };
        let mut step = 0;
        move || {
            packets_of(&mut call, step);
            (0..2).for_each(|_| _ = call.output.pull());
            step += 1;
        }
    })
}

/// A case with an honest packet in each step, and hostile ones beside it.
fn beside(name: &'static str, packets_of: fn(&mut Call, u32)) -> Case {
    case(name, BESIDE, packets_of).beside_honest()
}

fn honest(call: &mut Call, step: u32) {
    call.push(step, step * 960, HONEST);
}

pub fn packets() -> Group {
    let cases = vec![
        case("one talker", 1, honest),
        beside("others with an SSRC for each packet", |call, step| {
            honest(call, step);
            (0..BESIDE).for_each(|index| {
                let any = call.any();
                call.push(any, any.wrapping_mul(257), 2 + step * BESIDE + index);
            });
        }),
        beside("another sender with a right sequence", |call, step| {
            honest(call, step);
            (0..BESIDE).for_each(|index| call.push(step * BESIDE + index, (step * BESIDE + index) * 960, 2));
        }),
        beside("each packet 101 times", |call, step| (0..=BESIDE).for_each(|_| honest(call, step))),
        beside("old packets in any order", |call, step| {
            honest(call, step);
            for _ in 0..BESIDE {
                let number = step.wrapping_sub(call.any() % 100);
                call.push(number, number.wrapping_mul(960), HONEST);
            }
        }),
        beside("timestamps that do not go with their numbers", |call, step| {
            honest(call, step);
            for _ in 0..BESIDE {
                let (number, any) = (step.wrapping_add(call.any() % 100), call.any());
                call.push(number, any.wrapping_mul(257), HONEST);
            }
        }),
        beside("packets without a payload", |call, step| {
            let first = step * (BESIDE + 1);
            call.push(first, step * 960, HONEST);
            (1..=BESIDE).for_each(|index| _ = call.input.push((first + index) as u16, step * 960, HONEST, &[]));
        }),
        case("101 packets in 20 ms", 101, |call, step| {
            (0..=BESIDE).for_each(|index| honest(call, step * (BESIDE + 1) + index));
        }),
        case("packets in reverse order, 100 at a time", 1, |call, step| {
            if step.is_multiple_of(100) {
                (0..100).rev().for_each(|index| honest(call, step + index));
            }
        }),
        case("of 50 packets one comes", 1, |call, step| call.push(step * 50, step * 50 * 960, HONEST)),
        case("3000 numbers on, each time", 1, |call, step| call.push(step * 3000, step * 960, HONEST)),
        case("numbers that leap by 2¹⁵", 1, |call, step| call.push(step << 15, step * 960, HONEST)),
        case("timestamps that leap by 2³¹", 1, |call, step| {
            call.push(step, (step * 960).wrapping_add(step << 31), HONEST);
        }),
        case("a pause, and 2³² ticks less one packet", 1, |call, step| {
            let _ = call.input.push(step as u16, 0u32.wrapping_sub(step * 960), HONEST, &[0xf8]);
        }),
        case("another SSRC every two packets", 1, |call, step| call.push(step, step * 960, HONEST + step / 2)),
        case("what is no Opus", 1, |call, step| {
            let _ = call.input.push(step as u16, step * 960, HONEST, &[0xff; 1500]);
        }),
        case("packets of 48 frames of 2.5 ms", 1, |call, step| {
            let mut payload = [0; 1500];
            payload[..2].copy_from_slice(&[0xe3, 48]);
            let _ = call.input.push(step as u16, step * 960, HONEST, &payload[..2 + 48 * 31]);
        }),
    ];
    Group { name: "jitter buffer, a packet", max_ratio: 5.0, cases }
}
