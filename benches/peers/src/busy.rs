//! A second thread that is busy in memory: what a call on a laptop shares its cache and its memory with.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Size of what it goes through, over and over.
const BYTES: usize = 64 << 20;

/// Words between two looks whether it is to go on.
const BLOCK: usize = 64 << 10;

#[derive(Default)]
struct Shared {
    working: AtomicBool,
    ended: AtomicBool,
    /// Blocks it has gone through.
    blocks: AtomicU64,
}

pub struct BusyThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl BusyThread {
    /// Starts it; it rests until it is [set](Self::set) to work.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || work(&shared)
        });
        Self { shared, thread: Some(thread) }
    }

    /// Lets it work or rest, and returns once it does.
    pub fn set(&self, working: bool) {
        if self.shared.working.swap(working, Ordering::AcqRel) == working {
            return;
        }
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        let before = self.blocks();
        if working {
            while self.blocks() < before + 2 {
                std::hint::spin_loop();
            }
        } else {
            // Longer than a block takes.
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Blocks of half a megabyte that it has gone through.
    pub fn blocks(&self) -> u64 {
        self.shared.blocks.load(Ordering::Relaxed)
    }
}

impl Drop for BusyThread {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared) {
    let mut words = vec![1u64; BYTES / 8];
    let mut next = 0;
    while !shared.ended.load(Ordering::Acquire) {
        if !shared.working.load(Ordering::Acquire) {
            thread::park();
            continue;
        }
        for word in black_box(&mut words[next..next + BLOCK]) {
            *word = word.wrapping_add(1);
        }
        next = (next + BLOCK) % words.len();
        shared.blocks.fetch_add(1, Ordering::Relaxed);
    }
}
