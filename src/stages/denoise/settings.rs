//! Settings and reading of noise suppression. They need no network.

use crate::core::error::in_range;
use crate::core::{Error, Result};

/// Noise suppression engine: which networks run. Latency 20 ms, sample rate 48 kHz for each. Default
/// [`Standard`](Self::Standard).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Engine {
    /// RNNoise 0.1: gains for 22 bands up to 20 kHz. The cheapest; leaves the most noise, and every voice.
    Light,
    /// RNNoise 0.2: gains for 32 bands up to 20 kHz by a network 30 times as large. RNNoise 0.1 runs beside it, and is heard
    /// where 0.2 drops a voice.
    #[default]
    Standard,
    /// Vote of Hush (a network of the DeepFilterNet family, up to 8 kHz), RNNoise 0.2 and RNNoise 0.1: nearest to the clean
    /// voice. Feature `hush`.
    Best,
}

/// Noise suppression by recurrent neural networks.
///
/// What the networks remove is added back [`suppression_db`](Self::suppression_db) quieter, aligned to the sample: a
/// trace of the room sounds better than a hole. Each frame that comes out carries its
/// [speech probability](crate::Frame::speech_probability), the largest that any of the engine's networks gives.
///
/// Stereo: the networks hear the mid signal, and both channels get the same gains, so that the image does not move.
///
/// For music [`bypassed`](Self::bypassed): the networks know voices only.
///
/// Many streams on a server take less time in a `DenoiseBatch`.
///
/// Format: 48 kHz, mono or stereo; put `Resample::to(48_000)` before it. Feature `denoise`.
///
/// Latency: 20 ms with every engine, bypassed too: RNNoise 0.2 looks one frame of 10 ms ahead, and the engine can be
/// changed while it runs. The first 20 ms out are silence.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Denoise {
    /// Networks. Default [`Engine::Standard`]. A change fades over 300 ms, in which the engines of both run.
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
        if self.engine == Engine::Best && !cfg!(feature = "hush") {
            return Err(Error::Unavailable { setting: "Denoise::engine", feature: "hush" });
        }
        in_range("Denoise::suppression_db", self.suppression_db, 0.0, 100.0)
    }
}

impl Default for Denoise {
    fn default() -> Self {
        Self { engine: Engine::Standard, suppression_db: 18.0, bypassed: false }
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
