//! Dispatch to the engine that was chosen.

#[cfg(feature = "hush")]
use super::hush::HushEngine;
use super::rnnoise::{BLOCK, RnNoiseEngine};
use super::settings::Engine;

/// Running [`Engine`]. What it gives back is one block late.
pub(super) enum RunningEngine {
    RnNoise(Box<RnNoiseEngine>),
    #[cfg(feature = "hush")]
    Hush(Box<HushEngine>),
}

impl RunningEngine {
    pub fn new(engine: Engine) -> Self {
        match engine {
            Engine::RnNoise => Self::RnNoise(Box::new(RnNoiseEngine::new())),
            #[cfg(not(feature = "hush"))]
            Engine::Hush => unreachable!("refused by Denoise::check"),
            #[cfg(feature = "hush")]
            Engine::Hush => Self::Hush(Box::new(HushEngine::new())),
        }
    }

    /// Replaces a block by the one before it without noise; returns the speech probability of that, 0 to 1.
    pub fn process(&mut self, block: &mut [f32; BLOCK]) -> f32 {
        match self {
            Self::RnNoise(rnnoise) => rnnoise.process(block),
            #[cfg(feature = "hush")]
            Self::Hush(hush) => hush.process(block),
        }
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        match self {
            Self::RnNoise(rnnoise) => rnnoise.reset(),
            #[cfg(feature = "hush")]
            Self::Hush(hush) => hush.reset(),
        }
    }
}
