//! All that is peculiar to nnnoiseless.

use nnnoiseless::DenoiseState;

use crate::kernels;

/// The network takes exactly 10 ms at 48 kHz.
pub(super) const BLOCK: usize = DenoiseState::FRAME_SIZE;

/// Its output comes one block late: half of its analysis window.
pub(super) const LATENCY: usize = BLOCK;

/// nnnoiseless wants the scale of 16-bit PCM.
const SCALE: f32 = 32_768.0;

/// The loudest input it gets, +36 dBFS: the squares of its spectrum must stay finite.
const LOUDEST: f32 = 64.0;

/// nnnoiseless cannot be reset, and a new state allocates. So some are kept ready.
const SPARES: usize = 4;

/// RNNoise at ±1.0, and with a reset.
pub(super) struct Network {
    state: Box<DenoiseState<'static>>,
    spares: Vec<Box<DenoiseState<'static>>>,
    input: [f32; BLOCK],
    started: bool,
}

impl Network {
    pub fn new() -> Self {
        let spares = (0..SPARES).map(|_| DenoiseState::new()).collect();
        Self { state: DenoiseState::new(), spares, input: [0.0; BLOCK], started: false }
    }

    /// Replaces a block by what the one before it was without noise; how likely that block holds speech, 0 to 1.
    pub fn process(&mut self, block: &mut [f32]) -> f32 {
        kernels::copy_scaled(&mut self.input, block, SCALE);
        kernels::limit(&mut self.input, LOUDEST * SCALE);
        let probability = self.state.process_frame(block, &self.input);
        if self.started {
            kernels::scale(block, 1.0 / SCALE);
        } else {
            // What comes out first is the fade-in of its window, from before the sound began.
            block.fill(0.0);
            self.started = true;
        }
        probability
    }

    /// Forgets everything. Realtime safe four times; later ones allocate.
    pub fn reset(&mut self) {
        self.state = self.spares.pop().unwrap_or_else(DenoiseState::new);
        self.started = false;
    }
}
