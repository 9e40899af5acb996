//! Settings and reading of noise suppression. They need no network.

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// Noise suppression network. Latency 10 ms, sample rate 48 kHz for each. Default [`RnNoise`](Self::RnNoise).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Engine {
    /// RNNoise 0.1: gains for 22 bands up to 20 kHz.
    #[default]
    RnNoise,
    /// Hush, a network of the DeepFilterNet family: clearly better in noise, at four times the CPU.
    ///
    /// It was trained up to 8 kHz; what lies above gets a gain that follows from the highest bands below. RNNoise runs
    /// beside it, and takes over for voices that Hush takes for background, and where there is hardly any noise.
    /// Feature `hush`.
    Hush,
}

/// Noise suppression by a recurrent neural network.
///
/// What the network removes is added back [`suppression_db`](Self::suppression_db) quieter, aligned to the sample: a
/// trace of the room sounds better than a hole. Each frame that comes out carries its
/// [speech probability](crate::Frame::speech_probability).
///
/// Stereo: the network hears the mid signal, and both channels get the same gains, so that the image does not move.
///
/// Format: 48 kHz, mono or stereo; put `Resample::to(48_000)` before it. Feature `denoise`.
///
/// Latency: 10 ms, bypassed too. The first 10 ms out are silence.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Denoise {
    /// Network. Default [`Engine::RnNoise`]. Fixed while the stage runs.
    pub engine: Engine,
    /// Maximum noise suppression in dB, 0 (none) to 100. Default 18 (WebRTC's levels: 6, 12, 18, 21).
    pub suppression_db: f32,
    /// Bypass: the sound passes unchanged, with the same delay. Default off.
    pub bypassed: bool,
}

impl Denoise {
    /// Noise suppression of at most `suppression_db` dB.
    pub fn db(suppression_db: f32) -> Self {
        Self { suppression_db, ..Self::default() }
    }

    /// Checks the range of each setting, and that the engine was built.
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

/// Reading of a [`Denoise`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DenoiseReading {
    /// Speech probability of the last frame that came out, 0 to 1.
    pub speech_probability: f32,
}
