//! What stages have found out about the samples of a frame, for the stages behind them.

use super::format::Format;

/// A value for each channel; 0 for a channel that is not there.
pub(crate) type OfChannels = [f32; Format::MAX_CHANNELS];

/// Measurements of the samples of a frame, each from when a stage needs it to when the samples may change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measurements {
    /// Peaks, known of samples that have been sanitized.
    pub peaks: Option<OfChannels>,
    /// Energies: sums of the squares.
    pub energies: Option<OfChannels>,
}

/// Frames with the same samples are equal, whatever is known of them.
impl PartialEq for Measurements {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
