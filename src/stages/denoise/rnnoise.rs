//! All that is peculiar to nnnoiseless.

use nnnoiseless::DenoiseState;

use crate::dsp::kernels;

/// The network takes exactly 10 ms at 48 kHz.
pub(super) const BLOCK: usize = DenoiseState::FRAME_SIZE;

/// Its output comes one block late: half of its analysis window.
pub(super) const LATENCY: usize = BLOCK;

/// nnnoiseless wants the scale of 16-bit PCM.
const SCALE: f32 = 32_768.0;

/// The loudest input it gets, +36 dBFS: the squares of its spectrum must stay finite.
const LOUDEST: f32 = 64.0;

/// nnnoiseless cannot be reset, and a new state allocates. So some are kept ready: this many resets are free.
const SPARES: usize = 4;

/// RNNoise at ±1.0, and with a reset.
pub(super) struct RnNoise {
    /// The states used up by resets (freeing them is not realtime safe either), the one in use, and fresh ones.
    states: Vec<Box<DenoiseState<'static>>>,
    current: usize,
    input: [f32; BLOCK],
    started: bool,
}

impl RnNoise {
    pub fn new() -> Self {
        let states = (0..=SPARES).map(|_| DenoiseState::new()).collect();
        Self { states, current: 0, input: [0.0; BLOCK], started: false }
    }

    /// Replaces a block by what the one before it was without noise; how likely that block holds speech, 0 to 1.
    pub fn process(&mut self, block: &mut [f32]) -> f32 {
        kernels::copy_scaled(&mut self.input, block, SCALE);
        kernels::limit(&mut self.input, LOUDEST * SCALE);
        let probability = self.states[self.current].process_frame(block, &self.input);
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
        if self.current < SPARES {
            self.current += 1;
        } else {
            self.states[self.current] = DenoiseState::new();
        }
        self.started = false;
    }
}
