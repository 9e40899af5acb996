//! Peaks that the gain smoother holds, beside which lower ones need not be known.

use super::interpolation::{BLOCK, higher};

/// Missing gain below which a peak hides no other: the smoother rounds less than that to none.
const MIN_MISSING: f32 = 1e-4;

/// Missing gain that the peaks of the last blocks are known to leave.
///
/// The smoother holds each peak for as many samples, so it lets go of an earlier one first, and the missing gain falls
/// exponentially until it lets go of a later one. A later peak that needs less than what is left then tells it nothing. Peaks
/// count for as long as the earlier one is still held where the later one sounds, whatever becomes of the release until then.
#[derive(Clone, Debug)]
pub(super) struct HeldPeaks {
    /// Blocks of a run. Peaks of the run before count, and of the one that goes on.
    run: usize,
    /// Missing gain that both leave.
    last: f32,
    now: f32,
    /// Blocks of the run so far.
    blocks: usize,
}

impl HeldPeaks {
    /// Peaks of a smoother that holds them for `hold` samples longer than it must.
    pub fn new(hold: usize) -> Self {
        // From the first sample of a run to the last one of the next.
        Self { run: (hold / BLOCK / 2).max(1), last: 0.0, now: 0.0, blocks: 0 }
    }

    /// Replaces the missing gain that each of the next blocks needs by the gain that the peaks before it leave at most, 1 if they
    /// leave nothing out. `decay` is the share that is left after a block.
    pub fn find_rooms(&mut self, blocks: &mut [f32], decay: f32) {
        for block in blocks {
            let need = *block;
            // From the first sample of a block to the last one of another.
            let left = higher(self.last, self.now) * decay;
            // A little less, for rounding.
            *block = 1.0 - if left < MIN_MISSING { 0.0 } else { left * 0.99999 - 1e-6 };
            self.last *= decay;
            self.now = higher(need, self.now) * decay;
            self.blocks += 1;
            if self.blocks == self.run {
                (self.last, self.now, self.blocks) = (self.now, 0.0, 0);
            }
        }
    }

    /// Forgets all peaks.
    pub fn reset(&mut self) {
        (self.last, self.now, self.blocks) = (0.0, 0.0, 0);
    }
}
