//! The engines behind one face.

#[cfg(feature = "hush")]
use super::hush::Hush;
use super::rnnoise::RnNoise;
use super::settings::Engine;

/// A running engine. It takes a block at a time; what it gives back is a block late.
pub(super) enum Network {
    RnNoise(Box<RnNoise>),
    #[cfg(feature = "hush")]
    Hush(Box<Hush>),
}

impl Network {
    pub fn new(engine: Engine) -> Self {
        match engine {
            Engine::RnNoise => Self::RnNoise(Box::new(RnNoise::new())),
            #[cfg(not(feature = "hush"))]
            Engine::Hush => unreachable!("refused by Denoise::check"),
            #[cfg(feature = "hush")]
            Engine::Hush => Self::Hush(Box::new(Hush::new())),
        }
    }

    /// Replaces a block by what the one before it was without noise; how likely that block holds speech, 0 to 1.
    pub fn process(&mut self, block: &mut [f32]) -> f32 {
        match self {
            Self::RnNoise(rnnoise) => rnnoise.process(block),
            #[cfg(feature = "hush")]
            Self::Hush(hush) => hush.process(block),
        }
    }

    /// Forgets everything. Realtime safe four times; later ones allocate.
    pub fn reset(&mut self) {
        match self {
            Self::RnNoise(rnnoise) => rnnoise.reset(),
            #[cfg(feature = "hush")]
            Self::Hush(hush) => hush.reset(),
        }
    }
}
