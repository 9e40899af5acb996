//! Delay manager: the target delay from a histogram of relative arrival delays, as in NetEQ.

use super::ticks::TICKS_PER_MS;

/// Bucket width of the histogram: 10 ms, the time between two pulls.
const BUCKET_TICKS: i64 = 10 * TICKS_PER_MS;

/// Buckets of the histogram: delays up to 2 s (NetEQ's range).
const BUCKETS: usize = 200;

/// History of delays: the fastest packet is sought among those of the last 2.5 s, so that the measure follows the drift
/// of the clocks and a change of the route (NetEQ: 2 s).
const BLOCK_TICKS: i64 = 100 * TICKS_PER_MS;
const BLOCKS: usize = 25;

/// Interval of which only the longest delay counts, 500 ms (NetEQ's), so that one spike with many packets in it, or one
/// stall, is one event.
const INTERVAL_BLOCKS: usize = 5;

/// Blocks for which an interval waits before it is learnt from: a delay that stays is a step in latency, no jitter.
const GRACE_BLOCKS: usize = 3;

/// Smallest step in latency that begins the history anew: below, playing slower for a moment costs less than a mistake.
const MIN_STEP_TICKS: i64 = 40 * TICKS_PER_MS;

/// Excess of the share of intervals with late packets that is allowed where there is no delay, and the bucket at which it
/// has gone, 120 ms: the shorter the delay, the more is a delay worth that stays short. With one share for all, either
/// short delays are half as long again as NetEQ's or long ones have more late packets.
const MORE_ALLOWED: f32 = 0.75;
const MORE_ALLOWED_BUCKETS: f32 = 12.0;

/// Relative arrival delays of packets, behind the fastest one, and the target delay for which all but a few are in time.
///
/// The arrival delay of a packet is the playout clock when it came, less its timestamp. That clock counts pulled frames,
/// so the delay is measured in what matters: the frame for which the packet was there.
pub(super) struct DelayManager {
    quantile: f32,
    forget_factor: f32,
    /// Target delay until something is known.
    start_delay: i64,
    /// Share of intervals whose longest relative delay fell into each bucket.
    histogram: Box<[f32; BUCKETS]>,
    intervals: u32,
    /// Delays in each of the last blocks, the newest first; `None` where nothing came.
    blocks: [Option<Delays>; BLOCKS],
    block_end: i64,
    blocks_until_learnt: usize,
    /// Minimum delay of the history.
    min_delay: Option<i64>,
    target_delay: i64,
}

/// Shortest and longest arrival delay in a block.
#[derive(Clone, Copy)]
struct Delays {
    min: i64,
    max: i64,
}

impl DelayManager {
    /// `start_delay` in ticks.
    pub fn new(quantile: f32, forget_factor: f32, start_delay: i64) -> Self {
        Self {
            quantile,
            forget_factor,
            start_delay,
            histogram: Box::new([0.0; BUCKETS]),
            intervals: 0,
            blocks: [None; BLOCKS],
            block_end: 0,
            blocks_until_learnt: INTERVAL_BLOCKS,
            min_delay: None,
            target_delay: 0,
        }
    }

    /// Takes on other settings; what is known of the network stays.
    pub fn configure(&mut self, quantile: f32, forget_factor: f32, start_delay: i64) {
        (self.quantile, self.forget_factor, self.start_delay) = (quantile, forget_factor, start_delay);
    }

    /// Forgets the network.
    pub fn reset(&mut self) {
        self.begin_stream();
        self.histogram.fill(0.0);
        self.intervals = 0;
    }

    /// Another stream begins, with other timestamps; what is known of the network stays.
    pub fn begin_stream(&mut self) {
        self.blocks = [None; BLOCKS];
        self.min_delay = None;
    }

    /// Takes note of a packet with this timestamp that came at `now`.
    pub fn packet_arrived(&mut self, now: i64, timestamp: i64) {
        let delay = now - timestamp;
        if self.min_delay.is_none() {
            self.block_end = now + BLOCK_TICKS;
            self.blocks_until_learnt = INTERVAL_BLOCKS;
        }
        let block = self.blocks[0].get_or_insert(Delays { min: delay, max: delay });
        (block.min, block.max) = (block.min.min(delay), block.max.max(delay));
        self.min_delay = fastest(&self.blocks);
    }

    /// To be called once a frame, after all that arrived.
    pub fn advance(&mut self, now: i64) {
        if self.min_delay.is_none() {
            return;
        }
        while now >= self.block_end {
            self.block_end += BLOCK_TICKS;
            self.forget_before_step();
            self.blocks_until_learnt -= 1;
            if self.blocks_until_learnt == 0 {
                self.blocks_until_learnt = INTERVAL_BLOCKS;
                self.update_histogram();
            }
            self.blocks.rotate_right(1);
            self.blocks[0] = None;
            // While nothing comes, what was known last holds.
            self.min_delay = fastest(&self.blocks).or(self.min_delay);
        }
    }

    /// Begins the history anew where all packets of the last blocks came later than any before.
    fn forget_before_step(&mut self) {
        let (recent, before) = self.blocks.split_at_mut(GRACE_BLOCKS);
        if recent.iter().any(Option::is_none) {
            return;
        }
        if let (Some(recent), Some(fastest)) = (fastest(recent), fastest(before))
            && recent >= fastest + MIN_STEP_TICKS
        {
            before.fill(None);
        }
    }

    fn update_histogram(&mut self) {
        let interval = &self.blocks[GRACE_BLOCKS..GRACE_BLOCKS + INTERVAL_BLOCKS];
        // An interval in which nothing came says nothing.
        let slowest = interval.iter().flatten().map(|block| block.max).max();
        let (Some(slowest), Some(min_delay)) = (slowest, self.min_delay) else { return };
        self.intervals = self.intervals.saturating_add(1);
        // At first nothing need be remembered: the first interval counts in full, later ones ever less (NetEQ's start).
        let keep = self.forget_factor.min(1.0 - 2.0 / (self.intervals as f32 + 1.0)).max(0.0);
        let bucket = ((slowest - min_delay) / BUCKET_TICKS).clamp(0, BUCKETS as i64 - 1) as usize;
        for (index, share) in self.histogram.iter_mut().enumerate() {
            *share = *share * keep + if index == bucket { 1.0 - keep } else { 0.0 };
        }
        let mut beyond: f32 = self.histogram.iter().sum();
        let allowed = beyond * (1.0 - self.quantile);
        let mut target_bucket = 0;
        for (index, share) in self.histogram.iter().enumerate() {
            beyond -= share;
            target_bucket = index;
            let more = MORE_ALLOWED * (1.0 - index as f32 / MORE_ALLOWED_BUCKETS).max(0.0);
            if beyond <= allowed * (1.0 + more) {
                break;
            }
        }
        self.target_delay = target_bucket as i64 * BUCKET_TICKS;
    }

    /// Arrival delay of the fastest packet: no wait at all. `None` until a packet came.
    pub fn min_delay(&self) -> Option<i64> {
        self.min_delay
    }

    /// Target delay of the fastest packets, in ticks.
    pub fn target_delay(&self) -> i64 {
        // One frame of slack: clocks drift, and a packet may come just before a pull now and just after it next time.
        if self.intervals == 0 { self.start_delay } else { self.target_delay + BUCKET_TICKS }
    }
}

/// Delay of the fastest packet in these blocks.
fn fastest(blocks: &[Option<Delays>]) -> Option<i64> {
    blocks.iter().flatten().map(|block| block.min).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Target delay in ms after packets of 20 ms that came late by `late_ms` of their index.
    fn after(seconds: i64, late_ms: impl Fn(i64) -> i64) -> i64 {
        let mut manager = DelayManager::new(0.95, 0.983, 1920);
        let mut arrivals: Vec<(i64, i64)> =
            (0..seconds * 50).map(|i| ((i * 20 + late_ms(i) + 9) / 10 * 480, i * 960)).collect();
        arrivals.sort();
        let mut next = arrivals.into_iter().peekable();
        for frame in 0..seconds * 100 {
            while let Some((at, timestamp)) = next.next_if(|a| a.0 <= frame * 480) {
                manager.packet_arrived(at, timestamp);
            }
            manager.advance(frame * 480);
        }
        manager.target_delay() / 48
    }

    #[test]
    fn the_target_covers_the_jitter_and_a_frame() {
        assert_eq!(after(10, |_| 0), 10);
        assert_eq!(after(10, |_| 70), 10, "a constant delay is no jitter");
        assert_eq!(after(10, |i| i * 7 % 13 * 5), 70);
    }

    #[test]
    fn a_rare_spike_does_not_count_and_many_do() {
        assert_eq!(after(30, |i| if i == 1200 { 300 } else { 0 }), 10);
        assert_eq!(after(30, |i| if i % 100 == 50 { 300 } else { 0 }), 310);
    }

    #[test]
    fn what_is_beyond_the_histogram_counts_at_its_end() {
        assert_eq!(after(60, |i| if i % 50 == 25 { 3000 } else { 0 }), 2000);
    }

    #[test]
    fn jitter_that_is_over_is_forgotten() {
        let jitter = |until: i64| move |i: i64| if i < until && i % 5 == 0 { 100 } else { 0 };
        assert_eq!(after(10, jitter(500)), 110);
        assert_eq!(after(10, jitter(450)), 110, "not within a second");
        assert_eq!(after(120, jitter(500)), 10);
    }

    #[test]
    fn drifting_clocks_are_no_jitter() {
        let mut manager = DelayManager::new(0.95, 0.983, 1920);
        for frame in 0..360_000i64 {
            if frame % 2 == 0 {
                // The sender's clock runs 200 ppm faster than the playout's.
                manager.packet_arrived(frame * 480, frame * 480 + frame * 480 / 5000);
            }
            manager.advance(frame * 480);
        }
        assert!(manager.target_delay() <= 960);
        assert!((manager.min_delay().unwrap() + 360_000 * 480 / 5000).abs() < 960);
    }
}
