//! Peak that the gain smoother holds, beside which lower ones need not be known.

use super::interpolation::BLOCK;
use crate::dsp::kernels::lower;

/// Missing gain that a peak must leave to hide one that needs none: the smoother rounds less than a tenth of that to none.
const MARGIN: f32 = 1e-4;

/// Missing gain that the last peak is known to leave.
///
/// The smoother holds each peak for as many samples, so it lets go of an earlier one first, and the missing gain falls
/// exponentially until it lets go of a later one. A later peak that needs less than what is left then tells it nothing. A peak
/// counts for as long as it is still held where the later one sounds, whatever becomes of the release until then. The last one
/// that told the smoother something needed more than those before it leave, so they count no more.
#[derive(Clone, Debug)]
pub(super) struct HeldPeak {
    /// Blocks for which a peak counts, its own among them.
    duration: usize,
    /// Blocks for which this one still counts.
    blocks: usize,
    /// Missing gain that it leaves.
    left: f32,
}

impl HeldPeak {
    /// Peak of a smoother that holds it for `hold` samples longer than it must.
    pub fn new(hold: usize) -> Self {
        // From the first sample of a block to the last one of another.
        Self { duration: hold / BLOCK, blocks: 0, left: 0.0 }
    }

    /// Highest gain that the peak leaves in the next block, 1 if it hides nothing there. `decay` is the share of the missing gain
    /// that is left after a block.
    #[inline(always)]
    pub fn next_gain(&mut self, decay: f32) -> f32 {
        self.left *= decay;
        if self.blocks == 0 {
            self.left = 0.0;
        } else {
            self.blocks -= 1;
        }
        // A little more, for rounding.
        lower(1.0, 1.0 + MARGIN - 0.99999 * self.left)
    }

    /// Takes a peak in that block for the one that is held, which lets so much gain be missing.
    #[inline(always)]
    pub fn set(&mut self, missing: f32, decay: f32) {
        (self.blocks, self.left) = (self.duration.saturating_sub(1), missing * decay);
    }

    /// Forgets the peak.
    pub fn reset(&mut self) {
        self.blocks = 0;
    }
}
