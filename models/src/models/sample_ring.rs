//! The ring of samples that a spectrum analyser and an echo canceller read.

use std::sync::Arc;

use loom::thread;

use super::Model;
use crate::sample_ring::SampleRing;

pub const RING: Model = Model { name: "ring of samples", preemptions: None, body: ring };

/// Slots of the ring. The first sample has this position.
const LENGTH: usize = 4;

/// Sample at a position: its own number, and silence before the first.
fn sample_at(position: u64) -> f32 {
    if position < LENGTH as u64 { 0.0 } else { position as f32 }
}

fn write(ring: &SampleRing, count: u64) {
    let start = ring.position();
    ring.write((0..count as usize).map(|i| (start + i as u64) as f32));
}

fn ring() {
    let ring = Arc::new(SampleRing::new(LENGTH));
    let writer = thread::spawn({
        let ring = Arc::clone(&ring);
        move || (0..2).for_each(|_| write(&ring, 2))
    });
    let mut newest = [9.0; 2];
    // One attempt of `read`.
    let end = ring.position();
    if ring.read_at(end - 2, &mut newest) {
        assert_eq!(newest, [sample_at(end - 2), sample_at(end - 1)], "the newest before {end}");
    }
    if ring.read_at(4, &mut newest) {
        assert_eq!(newest, [4.0, 5.0], "what stands at 4");
    }
    writer.join().unwrap();
    assert!(ring.read_at(6, &mut newest) && newest == [6.0, 7.0]);
}
