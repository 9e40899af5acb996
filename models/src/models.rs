//! The models, and how one is run.

mod hand_over;
mod handle;
mod packet_queue;
mod received_packets;
mod sample_ring;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use crate::shim::REACHED;

/// Threads around one object, and what must hold in every interleaving.
pub struct Model {
    pub name: &'static str,
    /// Preemptions of a thread at most, if that is bounded: switches to another one where it could have gone on.
    preemptions: Option<usize>,
    body: fn(),
}

pub const ALL: [&Model; 8] = [
    &handle::WRITERS_PROCESSOR_READER,
    &handle::LONG,
    &handle::TAKE_OVER,
    &handle::FIXED,
    &packet_queue::QUEUE,
    &received_packets::QUEUE,
    &hand_over::SWITCH,
    &sample_ring::RING,
];

impl Model {
    /// Tries every interleaving within the bound, and returns their count.
    pub fn run(&self) -> usize {
        self.run_bounded(self.preemptions)
    }

    fn run_bounded(&self, preemptions: Option<usize>) -> usize {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let before = COUNT.load(Relaxed);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        let body = self.body;
        builder.check(move || {
            COUNT.fetch_add(1, Relaxed);
            body();
        });
        COUNT.load(Relaxed) - before
    }

    /// [`run`](Self::run), within the bound or without one, and which orderings that came by.
    pub fn run_and_report(&self, is_bounded: bool) -> Vec<bool> {
        REACHED.iter().for_each(|reached| reached.store(false, Relaxed));
        let start = Instant::now();
        let preemptions = self.preemptions.filter(|_| is_bounded);
        let count = self.run_bounded(preemptions);
        let bound =
            preemptions.map_or("all".into(), |preemptions| format!("those with at most {preemptions} preemptions"));
        println!("{}: {count} interleavings, {bound}, {:.1} s", self.name, start.elapsed().as_secs_f32());
        REACHED.iter().map(|reached| reached.load(Relaxed)).collect()
    }
}
