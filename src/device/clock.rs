//! Positions of the frames that a capture makes: over pauses, overruns and device changes, and never backwards.

use crate::core::format::rescale;
use crate::core::{Packet, Processor};

/// Bound on positions and skips, so that no arithmetic on them overflows: 46 years of 192 kHz.
const MOST: i64 = 1 << 48;

/// Clock of a capture: counts samples per channel at the rate of its frames.
pub(super) struct CaptureClock {
    device_hz: u32,
    frame_hz: u32,
    /// Position of the next frame, before the resampler's delay is taken off.
    next: i64,
    /// Samples that the device did not deliver, at its rate.
    skipped: i64,
}

impl CaptureClock {
    pub fn new(device_hz: u32, frame_hz: u32) -> Self {
        Self { device_hz, frame_hz, next: 0, skipped: 0 }
    }

    /// Position of a frame that begins now, which is this long.
    pub fn begin(&mut self, length: usize) -> i64 {
        let start = self.next;
        self.next = (start + length as i64).min(MOST);
        start
    }

    /// Counts sound that the device did not deliver. Exact over any number of skips, whatever the rates.
    pub fn skip(&mut self, samples: u64) {
        let so_far = |skipped: i64| rescale(skipped, self.device_hz, self.frame_hz);
        let skipped = i64::try_from(samples).unwrap_or(MOST).min(MOST - self.skipped) + self.skipped;
        self.next = (self.next + so_far(skipped) - so_far(self.skipped)).min(MOST);
        self.skipped = skipped;
    }

    /// Moves on so far that what leaves `processor` begins at `end` or a little later, in ticks.
    pub fn continue_after(&mut self, end: i64, latency: usize, processor: &impl Processor) {
        let end = end.clamp(-MOST, MOST);
        let (frame_hz, output_hz) = (self.frame_hz, processor.output_format().sample_rate_hz());
        let behind = processor.latency() as i64;
        // Positions are rounded where rates change, so that not every one can be met.
        let comes_out = |start: i64| rescale(rescale(start, frame_hz, output_hz) - behind, output_hz, Packet::CLOCK_HZ);
        let rounding = i64::from(2 * (frame_hz / output_hz + 1));
        let about = rescale(rescale(end, Packet::CLOCK_HZ, output_hz) + behind, output_hz, frame_hz);
        let start = (about - rounding..about + rounding).find(|&start| comes_out(start) >= end);
        self.next = self.next.max(start.unwrap_or(about + rounding) + latency as i64);
    }

    pub fn reset(&mut self) {
        (self.next, self.skipped) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Format, Stage};
    use crate::stages::gain::Gain;

    #[test]
    fn skips_add_up_to_the_sample() {
        let mut clock = CaptureClock::new(44_100, 48_000);
        for _ in 0..441 {
            clock.skip(100);
        }
        assert_eq!(clock.begin(480), 48_000);
        assert_eq!(clock.begin(480), 48_480);
    }

    #[test]
    fn a_position_never_runs_backwards_nor_overflows() {
        let gain = Gain::db(0.0).prepare(Format::mono(16_000).unwrap()).unwrap();
        let mut clock = CaptureClock::new(16_000, 16_000);
        clock.begin(16_000);
        clock.continue_after(300, 0, &gain);
        assert_eq!(clock.begin(160), 16_000);
        clock.continue_after(3 * 16_160 + 30, 7, &gain);
        assert_eq!(clock.begin(160), 16_160 + 10 + 7);
        clock.skip(u64::MAX);
        clock.continue_after(i64::MAX, usize::MAX, &gain);
        clock.skip(u64::MAX);
        let last = clock.begin(160);
        assert!(last > 1 << 40 && clock.begin(160) >= last);
    }
}
