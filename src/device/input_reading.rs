//! Reading of a device's input channels.

use super::limits::MAX_DEVICE_CHANNELS;
use crate::dsp::level::SILENCE_DBFS;

/// Levels of a device's input channels, and how far they cancel in the mix.
///
/// Powers are smoothed exponentially with a time constant of 400 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct InputReading {
    /// RMS level of each device channel in dBFS, before any weight; −120 for silence and for channels that the device
    /// lacks.
    pub rms_dbfs: [f32; MAX_DEVICE_CHANNELS],
    /// RMS level of what is selected, in dBFS, of the louder channel in stereo frames.
    pub selected_dbfs: f32,
    /// Level of the weighted channels' summed power above that of their mix, in dB, −9 to 100. 0 for a single channel,
    /// for channels that have nothing in common and in silence; −3 for two with the same sound; 100 for two of opposite
    /// polarity. Above 6 the channels cancel: select one of them.
    pub cancellation_db: f32,
}

impl Default for InputReading {
    fn default() -> Self {
        Self { rms_dbfs: [SILENCE_DBFS; MAX_DEVICE_CHANNELS], selected_dbfs: SILENCE_DBFS, cancellation_db: 0.0 }
    }
}

impl InputReading {
    /// Index of the loudest device channel; `None` in silence. What to offer as
    /// [`InputSelection::Channel`](super::InputSelection::Channel) where the mix is much softer than it.
    pub fn loudest(&self) -> Option<usize> {
        let (index, level) = self.rms_dbfs.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        (*level > SILENCE_DBFS).then_some(index)
    }
}
