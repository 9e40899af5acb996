//! What is lost, and how long it pays to wait for what stands in for it.

use super::{CHUNK_TICKS, TICKS_PER_MS};
use crate::opus::packet::Layout;

/// A share of missing packets above which it pays to wait, and one below which not.
const LOSSY: f32 = 0.02;
const NOT_LOSSY: f32 = 0.005;

/// The share of missing packets is forgotten with a time constant of so many.
const MEMORY_PACKETS: f32 = 100.0;

/// For so long a packet with redundancy makes more of them likely.
const LIKELY_TICKS: i64 = 5000 * TICKS_PER_MS;

/// Of the packets that are missing, deep redundancy shall come in time for so many: with fewer, one loses by what is not
/// rebuilt more than one gains by a shorter delay (0.9: 10 ms less, and three times as many missing for good).
const REBUILT: f32 = 0.95;

/// Gaps are known to 10 ms and up to 500.
const BUCKETS: usize = 50;

/// How much is kept of what is known of the gaps, after each packet that is missing.
const KEEP: f32 = 0.99;

/// So many missing packets tell how long gaps are; before, the longest wait is as good as any.
const KNOWN: u32 = 30;

/// Counts missing packets, and measures the gaps they leave.
pub(super) struct RedundancyWait {
    share: f32,
    lossy: bool,
    /// Missing in a row.
    run: i64,
    /// The shares of missing packets by how long each would have had to wait for the packet after its gap.
    waits: [f32; BUCKETS],
    counted: u32,
    fec_until: i64,
    dred_until: i64,
}

impl RedundancyWait {
    pub fn new() -> Self {
        Self {
            share: 0.0,
            lossy: false,
            run: 0,
            waits: [0.0; BUCKETS],
            counted: 0,
            fec_until: i64::MIN,
            dred_until: i64::MIN,
        }
    }

    /// The share of packets that were missing lately, 0 to 1.
    pub fn share(&self) -> f32 {
        self.share
    }

    /// A packet is not there in time.
    pub fn missing(&mut self) {
        self.count(1.0);
        self.run += 1;
    }

    /// One is, at `now`; packets are `length` long.
    pub fn present(&mut self, payload: &[u8], now: i64, length: i64) {
        self.count(0.0);
        for ahead in 1..=std::mem::take(&mut self.run).min(BUCKETS as i64) {
            self.learn(ahead * length);
        }
        let Some(layout) = Layout::of(payload) else { return };
        if layout.has_fec() {
            self.fec_until = now + LIKELY_TICKS;
        }
        if layout.dred().is_some() {
            self.dred_until = now + LIKELY_TICKS;
        }
    }

    fn count(&mut self, missing: f32) {
        self.share += (missing - self.share) / MEMORY_PACKETS;
        self.lossy = self.share > if self.lossy { NOT_LOSSY } else { LOSSY };
    }

    fn learn(&mut self, wait: i64) {
        self.counted = self.counted.saturating_add(1);
        // At first all is worth the same, later what is new is worth more.
        let keep = KEEP.min(1.0 - 1.0 / self.counted as f32);
        let bucket = ((wait / CHUNK_TICKS) as usize).min(BUCKETS - 1);
        for (index, share) in self.waits.iter_mut().enumerate() {
            *share = *share * keep + if index == bucket { 1.0 - keep } else { 0.0 };
        }
    }

    /// How much longer than it takes to arrive a packet of `length` should wait, for one that comes after it to rebuild
    /// what is missing in front of that.
    pub fn wait(&self, now: i64, length: i64) -> i64 {
        if !self.lossy {
            return 0;
        }
        // Forward error correction is of use only right before a gap ends.
        let least = if now < self.fec_until.max(self.dred_until) { length + CHUNK_TICKS } else { 0 };
        if now >= self.dred_until {
            return least;
        }
        if self.counted < KNOWN {
            return i64::MAX;
        }
        let mut within = 0.0;
        let enough = self.waits.iter().position(|share| {
            within += share;
            within >= REBUILT
        });
        least.max((enough.unwrap_or(0) as i64 + 1) * CHUNK_TICKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: i64 = 960;
    const PLAIN: &[u8] = &[9 << 3, 0, 0];
    /// The flag of a SILK packet of one frame of 20 ms.
    const FEC: &[u8] = &[9 << 3, 0x40, 0];
    /// Two frames of 10 ms, and an extension with DRED in the padding.
    const DRED: &[u8] = &[8 << 3 | 3, 0x40 | 2, 4, 0, 0, 252, b'D', 12, 7];

    /// How long it waits, in ms, after gaps of this many packets, one present between two.
    fn after(gaps: &[usize], every: usize, payload: &[u8]) -> i64 {
        let mut losses = RedundancyWait::new();
        for gap in gaps {
            (0..*gap).for_each(|_| losses.missing());
            (0..every).for_each(|_| losses.present(payload, 0, LENGTH));
        }
        losses.wait(0, LENGTH) / TICKS_PER_MS
    }

    #[test]
    fn it_waits_only_where_that_helps() {
        assert_eq!(after(&[1; 50], 9, PLAIN), 0);
        assert_eq!(after(&[1; 50], 9, FEC), 30);
        assert_eq!(after(&[3; 50], 9, FEC), 30, "the last of three is all it could rebuild");
        assert_eq!(after(&[0; 50], 9, FEC), 0, "nothing is lost");
        assert_eq!(after(&[1, 0, 0, 0, 0, 0], 100, FEC), 0, "hardly anything is lost");
        let mut losses = RedundancyWait::new();
        (0..9).for_each(|_| losses.missing());
        losses.present(FEC, 0, LENGTH);
        assert_eq!(losses.wait(LIKELY_TICKS, LENGTH), 0, "it comes no longer");
    }

    #[test]
    fn with_deep_redundancy_it_waits_for_the_end_of_most_gaps() {
        assert_eq!(after(&[1; 50], 9, DRED), 30);
        assert_eq!(after(&[3; 50], 9, DRED), 70);
        let mostly = [[1; 30].as_slice(), &[3], &[1; 30]].concat();
        assert_eq!(after(&mostly, 9, DRED), 30, "few are in the second place");
        assert_eq!(after(&[1; 9], 9, DRED), i64::MAX / TICKS_PER_MS, "too few to know");
        assert_eq!(after(&[200; 2], 1, DRED), 500, "as far as it looks");
    }
}
