//! How long packets should wait: what the network's jitter asks for.

use super::TICKS_PER_MS;

/// The least unit of delay: 10 ms, the time between two pulls.
const BUCKET_TICKS: i64 = 10 * TICKS_PER_MS;

/// Buckets of the histogram: delays up to 2 s (NetEQ's range).
const BUCKETS: usize = 200;

/// Only the worst packet of each such interval counts (NetEQ's), so that one spike with many packets in it, or one
/// stall, is one event.
const INTERVAL_TICKS: i64 = 500 * TICKS_PER_MS;

/// The fastest packet is sought among those of the last 2 s (NetEQ's), so that the measure follows the drift of the
/// clocks and a change of the route.
const BLOCK_TICKS: i64 = 100 * TICKS_PER_MS;
const BLOCKS: usize = 20;

/// Measures how much later than the fastest packet the others come, and says how long sound has to wait so that
/// all but a few are in time.
///
/// A packet's delay is the playout clock when it arrived less its timestamp. The playout clock counts pulled frames,
/// so the delay is measured in what matters: the frame for which the packet was there.
pub(super) struct DelayManager {
    quantile: f32,
    forgetting: f32,
    start: i64,
    /// The share of intervals whose worst packet came so much later than the fastest.
    histogram: Box<[f32; BUCKETS]>,
    intervals: u32,
    worst: i64,
    interval_end: i64,
    /// The least delay in each of the last blocks; `i64::MAX` where nothing came.
    least: [i64; BLOCKS],
    block_end: i64,
    base: Option<i64>,
    target: i64,
}

impl DelayManager {
    /// `start` ticks are waited for until something is known.
    pub fn new(quantile: f32, forgetting: f32, start: i64) -> Self {
        Self {
            quantile,
            forgetting,
            start,
            histogram: Box::new([0.0; BUCKETS]),
            intervals: 0,
            worst: 0,
            interval_end: 0,
            least: [i64::MAX; BLOCKS],
            block_end: 0,
            base: None,
            target: start,
        }
    }

    /// Forgets the network.
    pub fn reset(&mut self) {
        self.restart();
        self.histogram.fill(0.0);
        (self.intervals, self.target) = (0, self.start);
    }

    /// The stream begins anew, with other timestamps; what is known of the network stays.
    pub fn restart(&mut self) {
        self.least = [i64::MAX; BLOCKS];
        self.base = None;
        self.worst = 0;
    }

    /// A packet with this timestamp arrived at `now`.
    pub fn arrived(&mut self, now: i64, timestamp: i64) {
        let delay = now - timestamp;
        if self.base.is_none() {
            self.block_end = now + BLOCK_TICKS;
            self.interval_end = now + INTERVAL_TICKS;
        }
        self.least[0] = self.least[0].min(delay);
        let base = self.least.iter().copied().min().unwrap_or(delay).min(delay);
        self.base = Some(base);
        self.worst = self.worst.max(delay - base);
    }

    /// To be called once a frame, after all that arrived.
    pub fn advance(&mut self, now: i64) {
        if self.base.is_none() {
            return;
        }
        while now >= self.block_end {
            self.block_end += BLOCK_TICKS;
            self.least.rotate_right(1);
            self.least[0] = i64::MAX;
            let least = self.least.iter().copied().min().unwrap_or(i64::MAX);
            // While nothing comes, what was known last holds.
            if least < i64::MAX {
                self.base = Some(least);
            }
        }
        if now >= self.interval_end {
            self.interval_end = now + INTERVAL_TICKS;
            // An interval in which nothing came says nothing.
            if self.least[..5].iter().any(|&least| least < i64::MAX) {
                self.learn();
            }
            self.worst = 0;
        }
    }

    fn learn(&mut self) {
        self.intervals = self.intervals.saturating_add(1);
        // At first nothing need be remembered: the first interval counts in full, later ones ever less (NetEQ's start).
        let keep = self.forgetting.min(1.0 - 2.0 / (self.intervals as f32 + 1.0)).max(0.0);
        let bucket = ((self.worst / BUCKET_TICKS) as usize).min(BUCKETS - 1);
        for (index, share) in self.histogram.iter_mut().enumerate() {
            *share = *share * keep + if index == bucket { 1.0 - keep } else { 0.0 };
        }
        let mut beyond: f32 = self.histogram.iter().sum();
        let allowed = beyond * (1.0 - self.quantile);
        let mut needed = 0;
        for (index, share) in self.histogram.iter().enumerate() {
            beyond -= share;
            needed = index;
            if beyond <= allowed {
                break;
            }
        }
        self.target = needed as i64 * BUCKET_TICKS;
    }

    /// The delay of the fastest packet: no wait at all. `None` until a packet came.
    pub fn base(&self) -> Option<i64> {
        self.base
    }

    /// How long the fastest packets should wait, in ticks.
    pub fn target(&self) -> i64 {
        // One frame of slack: clocks drift, and a packet may come just before a pull now and just after it next time.
        if self.intervals == 0 { self.start } else { self.target + BUCKET_TICKS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target in ms after packets of 20 ms came late by what `late_ms` says.
    fn after(seconds: i64, late_ms: impl Fn(i64) -> i64) -> i64 {
        let mut target = DelayManager::new(0.95, 0.983, 1920);
        let mut arrivals: Vec<(i64, i64)> =
            (0..seconds * 50).map(|i| ((i * 20 + late_ms(i) + 9) / 10 * 480, i * 960)).collect();
        arrivals.sort();
        let mut next = arrivals.into_iter().peekable();
        for frame in 0..seconds * 100 {
            while let Some((at, timestamp)) = next.next_if(|a| a.0 <= frame * 480) {
                target.arrived(at, timestamp);
            }
            target.advance(frame * 480);
        }
        target.target() / 48
    }

    #[test]
    fn it_covers_the_jitter_and_a_frame() {
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
    fn what_is_over_is_forgotten() {
        let jitter = |until: i64| move |i: i64| if i < until && i % 5 == 0 { 100 } else { 0 };
        assert_eq!(after(10, jitter(500)), 110);
        assert_eq!(after(10, jitter(450)), 110, "not within a second");
        assert_eq!(after(120, jitter(500)), 10);
    }

    #[test]
    fn drifting_clocks_are_no_jitter() {
        let mut target = DelayManager::new(0.95, 0.983, 1920);
        for frame in 0..360_000i64 {
            if frame % 2 == 0 {
                // The sender's clock runs 200 ppm faster than the playout's.
                target.arrived(frame * 480, frame * 480 + frame * 480 / 5000);
            }
            target.advance(frame * 480);
        }
        assert!(target.target() <= 960);
        assert!((target.base().unwrap() + 360_000 * 480 / 5000).abs() < 960);
    }
}
