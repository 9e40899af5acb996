//! Ring buffer of the newest samples, written by one thread and read by others without a lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Attempts of a reader to copy samples before they are overwritten.
const ATTEMPTS: usize = 100;

/// Ring buffer of a fixed number of samples: one thread writes, any number read.
#[derive(Debug)]
pub(crate) struct SampleRing {
    /// Bits of the samples.
    slots: Box<[AtomicU32]>,
    /// Samples written, the silence before the first included.
    written: AtomicU64,
    /// Samples written or being written.
    begun: AtomicU64,
}

impl SampleRing {
    /// Ring of `length` samples, full of silence. Allocates.
    pub fn new(length: usize) -> Self {
        Self {
            slots: (0..length).map(|_| AtomicU32::new(0)).collect(),
            written: AtomicU64::new(length as u64),
            begun: AtomicU64::new(length as u64),
        }
    }

    /// Position of the next sample: it tells whether there is anything new.
    pub fn position(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Appends samples. For one thread at a time.
    pub fn write(&self, mut samples: impl ExactSizeIterator<Item = f32>) {
        let start = self.written.load(Ordering::Relaxed);
        let end = start.wrapping_add(samples.len() as u64);
        // Announced first: whoever reads a sample written below finds, when it looks afterwards, that it was.
        self.begun.store(end, Ordering::Relaxed);
        fence(Ordering::Release);
        let first = (start % self.slots.len() as u64) as usize;
        let (before, after) = self.slots.split_at(first);
        for part in [after, before] {
            for (slot, sample) in part.iter().zip(samples.by_ref()) {
                slot.store(sample.to_bits(), Ordering::Relaxed);
            }
        }
        self.written.store(end, Ordering::Release);
    }

    /// Copies the newest samples, oldest first; returns the position after the last of them, or `None` if the writer
    /// was so fast that it overwrote them in every attempt.
    #[cfg_attr(not(feature = "spectrum"), allow(dead_code))]
    pub fn read(&self, newest: &mut [f32]) -> Option<u64> {
        (0..ATTEMPTS).find_map(|_| {
            let end = self.position();
            self.read_at(end.wrapping_sub(newest.len() as u64), newest).then_some(end)
        })
    }

    /// Copies the samples from position `start` on; `false` if they are not written yet, or overwritten already. What
    /// is in `samples` then is of no use.
    pub fn read_at(&self, start: u64, samples: &mut [f32]) -> bool {
        let (length, wanted) = (self.slots.len() as u64, samples.len() as u64);
        let ready = self.position().wrapping_sub(start);
        if !(wanted..=length).contains(&ready) {
            return false;
        }
        let (before, after) = self.slots.split_at((start % length) as usize);
        let mut samples = samples.iter_mut();
        for part in [after, before] {
            for (slot, sample) in part.iter().zip(samples.by_ref()) {
                *sample = f32::from_bits(slot.load(Ordering::Relaxed));
            }
        }
        fence(Ordering::Acquire);
        self.begun.load(Ordering::Relaxed).wrapping_sub(start) <= length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn the_newest_samples_are_read_in_order() {
        let ring = SampleRing::new(16);
        let mut newest = [1.0; 8];
        assert_eq!(ring.read(&mut newest), Some(16));
        assert_eq!(newest, [0.0; 8]);
        for length in [1usize, 3, 8, 5, 16] {
            let start = ring.position();
            ring.write((0..length).map(|i| (start + i as u64) as f32));
            let end = ring.read(&mut newest).unwrap();
            assert_eq!(end, start + length as u64);
            for (sample, position) in newest.iter().rev().zip((16..end).rev()) {
                assert_eq!(*sample, position as f32);
            }
        }
    }

    #[test]
    fn only_what_is_there_is_read_at_a_position() {
        let ring = SampleRing::new(16);
        ring.write((16..30).map(|i| i as f32));
        let mut samples = [0.0; 4];
        assert!(ring.read_at(14, &mut samples) && samples == [0.0, 0.0, 16.0, 17.0]);
        assert!(ring.read_at(26, &mut samples) && samples == [26.0, 27.0, 28.0, 29.0]);
        assert!(!ring.read_at(27, &mut samples), "not written yet");
        assert!(!ring.read_at(13, &mut samples), "overwritten");
    }

    #[test]
    fn samples_overwritten_while_they_were_read_are_not_handed_out() {
        let ring = SampleRing::new(64);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut newest = [0.0; 32];
                let mut whole = 0;
                while !done.load(Ordering::Relaxed) || whole == 0 {
                    if let Some(end) = ring.read(&mut newest) {
                        whole += 1;
                        let start = end - 32;
                        for (position, sample) in (start..).zip(newest) {
                            let wanted = if position < 64 { 0.0 } else { position as f32 };
                            assert_eq!(sample, wanted, "read {start}..{end}");
                        }
                    }
                }
            });
            // Below 2²⁴ every position is a float.
            while ring.position() < 2_000_000 {
                let start = ring.position();
                ring.write((0..8usize).map(|i| (start + i as u64) as f32));
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
