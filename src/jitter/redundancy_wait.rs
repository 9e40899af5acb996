//! Redundancy wait: how much longer packets should wait, so that redundancy can rebuild missing ones.

use super::ticks::{CHUNK_TICKS, TICKS_PER_MS};
use crate::opus::packet::Layout;

/// Loss rate above which waiting begins to pay, and below which it ends.
const LOSSY_ABOVE: f32 = 0.02;
const LOSSY_UNTIL: f32 = 0.005;

/// Time constant of the loss rate, in packets.
const LOSS_RATE_PACKETS: f32 = 100.0;

/// Time after a packet with redundancy in which more of them are expected.
const EXPECTED_TICKS: i64 = 5000 * TICKS_PER_MS;

/// Share of the missing packets for which DRED shall come in time: with a smaller one, more is lost by what is not
/// rebuilt than won by a shorter delay (0.9: 10 ms less, and three times as many missing for good).
const REBUILT_SHARE: f32 = 0.95;

/// Buckets of the histogram of waits, 10 ms each: up to 500 ms.
const BUCKETS: usize = 50;

/// Share of the histogram that is kept after each missing packet.
const FORGET_FACTOR: f32 = 0.99;

/// Missing packets from which on the histogram is trusted; before, the longest wait is as good as any.
const MIN_MISSING: u32 = 30;

/// Loss rate, and histogram of the waits that DRED would have needed.
pub(super) struct RedundancyWait {
    loss_rate: f32,
    lossy: bool,
    /// Missing packets in a row.
    gap_packets: i64,
    /// Shares of missing packets by how long each would have had to wait for the packet after its gap.
    histogram: [f32; BUCKETS],
    counted: u32,
    fec_expected_until: i64,
    dred_expected_until: i64,
}

impl RedundancyWait {
    pub fn new() -> Self {
        Self {
            loss_rate: 0.0,
            lossy: false,
            gap_packets: 0,
            histogram: [0.0; BUCKETS],
            counted: 0,
            fec_expected_until: i64::MIN,
            dred_expected_until: i64::MIN,
        }
    }

    /// Share of packets that were not there in time lately, 0 to 1.
    pub fn loss_rate(&self) -> f32 {
        self.loss_rate
    }

    /// Takes note of a packet that is not there in time.
    pub fn packet_missing(&mut self) {
        self.update_loss_rate(1.0);
        self.gap_packets += 1;
    }

    /// Takes note of a packet that is there at `now`; packets are `packet_ticks` long.
    pub fn packet_present(&mut self, payload: &[u8], now: i64, packet_ticks: i64) {
        self.update_loss_rate(0.0);
        for ahead in 1..=std::mem::take(&mut self.gap_packets).min(BUCKETS as i64) {
            self.update_histogram(ahead * packet_ticks);
        }
        let Some(layout) = Layout::of(payload) else { return };
        if layout.has_fec() {
            self.fec_expected_until = now + EXPECTED_TICKS;
        }
        if layout.dred().is_some() {
            self.dred_expected_until = now + EXPECTED_TICKS;
        }
    }

    fn update_loss_rate(&mut self, missing: f32) {
        self.loss_rate += (missing - self.loss_rate) / LOSS_RATE_PACKETS;
        self.lossy = self.loss_rate > if self.lossy { LOSSY_UNTIL } else { LOSSY_ABOVE };
    }

    fn update_histogram(&mut self, wait: i64) {
        self.counted = self.counted.saturating_add(1);
        // At first all is worth the same, later what is new is worth more.
        let keep = FORGET_FACTOR.min(1.0 - 1.0 / self.counted as f32);
        let bucket = ((wait / CHUNK_TICKS) as usize).min(BUCKETS - 1);
        for (index, share) in self.histogram.iter_mut().enumerate() {
            *share = *share * keep + if index == bucket { 1.0 - keep } else { 0.0 };
        }
    }

    /// Time in ticks that a packet of `packet_ticks` should wait longer than it takes to arrive, for one after it to
    /// rebuild what is missing in front of that; `i64::MAX` where not enough is known.
    pub fn wait(&self, now: i64, packet_ticks: i64) -> i64 {
        if !self.lossy {
            return 0;
        }
        // Forward error correction is of use only right before a gap ends.
        let expected = now < self.fec_expected_until.max(self.dred_expected_until);
        let min_wait = if expected { packet_ticks + CHUNK_TICKS } else { 0 };
        if now >= self.dred_expected_until {
            return min_wait;
        }
        if self.counted < MIN_MISSING {
            return i64::MAX;
        }
        let mut within = 0.0;
        let bucket = self.histogram.iter().position(|share| {
            within += share;
            within >= REBUILT_SHARE
        });
        min_wait.max((bucket.unwrap_or(0) as i64 + 1) * CHUNK_TICKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET_TICKS: i64 = 960;
    const PLAIN: &[u8] = &[9 << 3, 0, 0];
    /// The flag of a SILK packet of one frame of 20 ms.
    const FEC: &[u8] = &[9 << 3, 0x40, 0];
    /// Two frames of 10 ms, and an extension with DRED in the padding.
    const DRED: &[u8] = &[8 << 3 | 3, 0x40 | 2, 4, 0, 0, 252, b'D', 12, 7];

    /// Wait in ms after gaps of so many packets, each followed by `present` packets with this payload.
    fn after(gaps: &[usize], present: usize, payload: &[u8]) -> i64 {
        let mut redundancy = RedundancyWait::new();
        for gap in gaps {
            (0..*gap).for_each(|_| redundancy.packet_missing());
            (0..present).for_each(|_| redundancy.packet_present(payload, 0, PACKET_TICKS));
        }
        redundancy.wait(0, PACKET_TICKS) / TICKS_PER_MS
    }

    #[test]
    fn it_waits_only_where_that_helps() {
        assert_eq!(after(&[1; 50], 9, PLAIN), 0);
        assert_eq!(after(&[1; 50], 9, FEC), 30);
        assert_eq!(after(&[3; 50], 9, FEC), 30, "the last of three is all it could rebuild");
        assert_eq!(after(&[0; 50], 9, FEC), 0, "nothing is lost");
        assert_eq!(after(&[1, 0, 0, 0, 0, 0], 100, FEC), 0, "hardly anything is lost");
        let mut redundancy = RedundancyWait::new();
        (0..9).for_each(|_| redundancy.packet_missing());
        redundancy.packet_present(FEC, 0, PACKET_TICKS);
        assert_eq!(redundancy.wait(EXPECTED_TICKS, PACKET_TICKS), 0, "it comes no longer");
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
