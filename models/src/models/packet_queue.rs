//! The queue from the audio callback to the network thread, and its end with packets in it.

use loom::thread;

use super::Model;
use crate::core::Packet;
use crate::device_packet_queue::packet_queue;

pub const QUEUE: Model = Model { name: "packet queue", preemptions: None, body: queue };

fn queue() {
    const PUSHED: u32 = 4;
    let (mut input, mut output) = packet_queue(1);
    let audio = thread::spawn(move || {
        (1..=PUSHED).for_each(|number| input.push(&Packet::with(number)));
        // Packets may be in the queue, and either end may be the first to go.
        input.dropped()
    });
    let mut newest = 0;
    let mut popped = 0;
    for _ in 0..3 {
        if let Some(packet) = output.pop() {
            let number = (newest + 1..=PUSHED).find(|&number| *packet == Packet::with(number));
            newest = number.expect("whole, in order, and no packet twice");
            popped += 1;
        }
    }
    if popped % 2 == 0 {
        drop(output);
        audio.join().unwrap();
        return;
    }
    let dropped = audio.join().unwrap();
    while output.pop().is_some() {
        popped += 1;
    }
    assert_eq!((output.dropped(), popped + dropped), (dropped, u64::from(PUSHED)));
}
