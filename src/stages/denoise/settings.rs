//! Settings of noise suppression. No network is needed for them.

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// What takes the noise away. Both delay by 10 ms, and take 48 kHz. Default [`RnNoise`](Self::RnNoise).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Engine {
    /// RNNoise, through nnnoiseless.
    #[default]
    RnNoise,
    /// Hush, a network of the DeepFilterNet family: clearly better in noise, at four times the work. It hears up to
    /// 8 kHz; what is above gets a gain that follows from below. RNNoise runs beside it, and steps in for voices that
    /// Hush takes for background, and where there is hardly any noise.
    Hush,
}

/// Takes noise away and leaves speech, by one of two recurrent neural networks.
///
/// It runs at 48 kHz only: put `Resample::to(48_000)` before it. What the network takes away is put back
/// `suppression_db` quieter, aligned to the sample, because a trace of the room sounds better than a hole. Each
/// frame that comes out says how likely it holds speech. Of a stereo sound the network hears the middle, and both
/// channels get the same treatment, so that the image does not move.
///
/// Latency: 10 ms, bypassed too. The first frame out is silence. Realtime safety: a reset is safe four times, then it
/// allocates, because nnnoiseless has none of its own and only so many fresh networks are kept (25 kB each).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Denoise {
    /// What takes the noise away. Default RNNoise. Fixed once the stage runs.
    pub engine: Engine,
    /// By how much noise is suppressed at most, in dB, 0 (not at all) to 100. Default 18 (WebRTC's levels: 6, 12, 18,
    /// 21).
    pub suppression_db: f32,
    /// Whether the sound passes unchanged (but delayed as ever). Default no.
    pub bypassed: bool,
}

impl Denoise {
    /// Suppresses noise by at most `suppression_db` dB.
    pub fn db(suppression_db: f32) -> Self {
        Self { suppression_db, ..Self::default() }
    }

    /// Fails unless every setting is in its range and the engine was built.
    pub(super) fn check(&self) -> Result<()> {
        if self.engine == Engine::Hush && !cfg!(feature = "hush") {
            return Err(Error::Unavailable { setting: "Denoise::engine", feature: "hush" });
        }
        in_range("Denoise::suppression_db", self.suppression_db, 0.0, 100.0)
    }
}

impl Default for Denoise {
    fn default() -> Self {
        Self { engine: Engine::RnNoise, suppression_db: 18.0, bypassed: false }
    }
}

/// What a running [`Denoise`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DenoiseReading {
    /// How likely the last frame that came out holds speech, 0 to 1.
    pub speech_probability: f32,
}
