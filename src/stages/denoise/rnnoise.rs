//! Engine that is RNNoise alone.

use crate::dsp::kernels;
use crate::neural::rnnoise::{FRAME, RnNoise};

/// Samples of a block: RNNoise takes 10 ms at 48 kHz.
pub(super) const BLOCK: usize = FRAME;

/// Delay of every engine in samples: one block, half of RNNoise's analysis window.
pub(super) const LATENCY: usize = BLOCK;

/// Scale of 16-bit PCM, which RNNoise takes.
const SCALE: f32 = 32_768.0;

/// Largest input magnitude, +36 dBFS: the squares of its spectrum must stay finite.
const MAX_INPUT: f32 = 64.0;

/// RNNoise at a full scale of ±1.
pub(super) struct RnNoiseEngine {
    network: RnNoise,
    input: [f32; BLOCK],
    started: bool,
}

impl RnNoiseEngine {
    pub fn new() -> Self {
        Self { network: RnNoise::new(), input: [0.0; BLOCK], started: false }
    }

    /// Replaces a block by the one before it without noise; returns the speech probability, 0 to 1.
    pub fn process(&mut self, block: &mut [f32; BLOCK]) -> f32 {
        kernels::copy_scaled(&mut self.input, block, SCALE);
        kernels::limit(&mut self.input, MAX_INPUT * SCALE);
        let probability = self.network.process(block, &self.input);
        if self.started {
            kernels::scale(block, 1.0 / SCALE);
        } else {
            // The fade-in of the first window, from before the sound began.
            block.fill(0.0);
            self.started = true;
        }
        probability
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.network.reset();
        self.started = false;
    }
}
