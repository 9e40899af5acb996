//! Engine that is RNNoise alone.

use crate::dsp::kernels;
use crate::neural::analyser::Analyser;
use crate::neural::rnnoise::RnNoise;
use crate::neural::stft::{FRAME, Scratch, Synthesis, stft};

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
    analyser: Analyser,
    network: RnNoise,
    synthesis: Synthesis,
    scratch: Scratch,
    input: [f32; BLOCK],
    started: bool,
}

impl RnNoiseEngine {
    pub fn new() -> Self {
        Self {
            analyser: Analyser::START,
            network: RnNoise::new(),
            synthesis: Synthesis::START,
            scratch: stft().scratch(),
            input: [0.0; BLOCK],
            started: false,
        }
    }

    /// Replaces a block by the one before it without noise; returns the speech probability, 0 to 1.
    pub fn process(&mut self, block: &mut [f32; BLOCK]) -> f32 {
        kernels::copy_scaled(&mut self.input, block, SCALE);
        kernels::limit(&mut self.input, MAX_INPUT * SCALE);
        let analysis = self.analyser.analyse(&self.input, &mut self.scratch);
        let (mut spectrum, probability) = self.network.process(&analysis);
        self.synthesis.synthesise(&mut spectrum, block, &mut self.scratch);
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
        self.analyser = Analyser::START;
        self.network.reset();
        self.synthesis = Synthesis::START;
        self.started = false;
    }
}
