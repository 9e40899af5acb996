//! The queue from the network thread to the jitter buffer.

use loom::thread;

use super::Model;
use crate::jitter_input::{Arrivals, packet_queue};

pub const QUEUE: Model = Model { name: "received packets", preemptions: None, body: queue };

const PUSHED: u16 = 4;

/// Takes the oldest packet, and hands it back.
fn next(arrivals: &mut Arrivals) -> Option<u16> {
    let packet = arrivals.next()?;
    let sequence = packet.sequence;
    assert_eq!((packet.timestamp, packet.ssrc), (u32::from(sequence) * 960, 7));
    assert_eq!(packet.payload(), vec![sequence as u8; usize::from(sequence)]);
    arrivals.recycle(packet);
    Some(sequence)
}

fn queue() {
    let (mut input, mut arrivals) = packet_queue();
    let network = thread::spawn(move || {
        let pushed = (1..=PUSHED).filter(|&sequence| {
            input.push(sequence, u32::from(sequence) * 960, 7, &vec![sequence as u8; usize::from(sequence)]).is_ok()
        });
        pushed.collect::<Vec<_>>()
    });
    let mut received = Vec::new();
    for _ in 0..3 {
        received.extend(next(&mut arrivals));
    }
    let pushed = network.join().unwrap();
    received.extend(std::iter::from_fn(|| next(&mut arrivals)));
    assert_eq!(received, pushed, "each packet that was taken comes out once, in order");
    assert_eq!(arrivals.refused(), u64::from(PUSHED) - pushed.len() as u64);
}
