//! When to play faster or slower.

use super::sync_buffer::SyncBuffer;
use super::time_stretch::{Splice, Stretch};
use super::{CHUNK_TICKS, TICKS_PER_MS};
use crate::core::format::rescale;
use crate::core::{Format, Frame, Packet};

/// The delay may be so much too long before sound is played faster: the longest period, less the slack of the target.
const TOO_LONG_TICKS: i64 = CHUNK_TICKS;

/// It may be so much too short before sound is played slower.
const TOO_SHORT_TICKS: i64 = CHUNK_TICKS / 2;

/// Off by more, sound is stretched more often and where it is less alike (NetEQ's fast accelerate).
const URGENT_TICKS: i64 = 100 * TICKS_PER_MS;

/// Places so alike that the splice is not heard, and so alike that it is no great harm (NetEQ's): the more the delay
/// is off, the less is asked for.
const ALIKE: f32 = 0.9;
const ALIKE_URGENT: f32 = 0.5;

/// Chunks of 10 ms between two splices, and when it is urgent or silent (NetEQ: 5).
const BETWEEN: u32 = 5;
const BETWEEN_URGENT: u32 = 2;

/// Off by less, it waits for a pause to put that right; but no longer than for so many chunks: 4 s where the delay is
/// too long, 1 s where it is too short and packets may come too late.
const PATIENT_TICKS: i64 = 60 * TICKS_PER_MS;
const PATIENCE_LONG: u32 = 400;
const PATIENCE_SHORT: u32 = 100;

/// Decides in each frame whether to jump, so that the delay comes nearer to where it should be.
pub(super) struct StretchControl {
    format: Format,
    stretch: Stretch,
    /// Chunks since the last splice, and since the delay was right.
    since: u32,
    off: u32,
}

/// How the delay is off in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pressure {
    /// By how much it is too long; too short where negative. In ticks.
    pub excess: i64,
    /// Whether no more than noise is heard.
    pub passive: bool,
}

impl Pressure {
    fn is_urgent(self) -> bool {
        self.excess.abs() > URGENT_TICKS
    }

    fn is_faster(self) -> bool {
        self.excess >= if self.passive { TOO_LONG_TICKS / 2 } else { TOO_LONG_TICKS }
    }
}

impl StretchControl {
    pub fn new(format: Format) -> Self {
        Self { format, stretch: Stretch::new(format), since: 0, off: 0 }
    }

    /// Forgets when it jumped last.
    pub fn reset(&mut self) {
        (self.since, self.off) = (0, 0);
    }

    /// To be called once a frame: the sound that must be ahead for a jump in this frame, if there is to be one.
    pub fn wants(&mut self, pressure: Pressure) -> Option<usize> {
        let chunks = self.format.frame_ms() / 10;
        (self.since, self.off) = (self.since + chunks, self.off + chunks);
        if !pressure.is_faster() && pressure.excess > -TOO_SHORT_TICKS {
            self.off = 0;
            return None;
        }
        let patience = if pressure.excess > 0 { PATIENCE_LONG } else { PATIENCE_SHORT };
        if !pressure.passive && pressure.excess.abs() < PATIENT_TICKS && self.off < patience {
            return None;
        }
        let hurried = pressure.is_urgent() || pressure.passive;
        if self.since < if hurried { BETWEEN_URGENT } else { BETWEEN } {
            return None;
        }
        let samples = self.format.samples_per_channel();
        Some(if pressure.is_faster() { self.stretch.wants(samples) } else { samples })
    }

    /// Where to jump in this frame.
    pub fn splice(&mut self, timeline: &SyncBuffer, pressure: Pressure) -> Option<Splice> {
        let off = pressure.excess.abs();
        let most = rescale(off + TOO_SHORT_TICKS, Packet::CLOCK_HZ, self.format.sample_rate_hz()) as usize;
        let samples = self.format.samples_per_channel();
        let splice = if pressure.is_faster() {
            self.stretch.ahead(timeline, samples, most)?
        } else {
            self.stretch.behind(timeline, samples, most)?
        };
        let urgency = (off as f32 / URGENT_TICKS as f32).min(1.0);
        if !pressure.passive && splice.likeness < ALIKE + (ALIKE_URGENT - ALIKE) * urgency {
            return None;
        }
        self.since = 0;
        Some(splice)
    }

    /// The next frame, with a jump in it or without.
    pub fn take(&mut self, timeline: &mut SyncBuffer, splice: Option<Splice>, frame: &mut Frame) {
        match splice {
            Some(splice) => self.stretch.take(timeline, splice, frame),
            None => timeline.take(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In how many frames of ten seconds there is to be a jump, and the first of them.
    fn jumps(excess_ms: i64, passive: bool) -> (usize, Option<usize>) {
        let format = Format::mono(16_000).unwrap();
        let mut pace = StretchControl::new(format);
        let mut timeline = SyncBuffer::new(format);
        let pressure = Pressure { excess: excess_ms * TICKS_PER_MS, passive };
        // A tone, heard half: everything is alike.
        timeline.append(1200, |_, line| {
            line.iter_mut().enumerate().for_each(|(i, sample)| *sample = (i as f32 * 0.2).sin());
        });
        timeline.advance(600);
        let mut jumps = Vec::new();
        for frame in 0..1000 {
            if pace.wants(pressure).is_some() && pace.splice(&timeline, pressure).is_some() {
                jumps.push(frame);
            }
        }
        (jumps.len(), jumps.first().copied())
    }

    #[test]
    fn what_is_small_waits_for_a_pause_and_what_is_large_does_not() {
        assert_eq!(jumps(9, false), (0, None), "within what is tolerated");
        assert_eq!(jumps(-4, false), (0, None));
        let (few, first) = jumps(30, false);
        assert!((399..=405).contains(&first.unwrap()) && few > 50, "{few} from {first:?}");
        let (few, first) = jumps(-30, false);
        assert!((99..=105).contains(&first.unwrap()) && few > 50, "{few} from {first:?}");
        let (many, first) = jumps(30, true);
        assert!(first.unwrap() < 5 && many > 300, "{many} from {first:?}");
        let (many, first) = jumps(200, false);
        assert!(first.unwrap() < 5 && many > 300, "{many} from {first:?}");
    }
}
