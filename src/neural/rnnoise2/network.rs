//! Network of RNNoise 0.2: from the features of a frame to the gains of the bands of the frame before.

use super::features::{BANDS, Bands, FEATURES};
use super::weights::{CONV_FRAMES, CONV1, GruState, STATE, Weights};
use crate::neural::kernels;

/// All that the network remembers of one stream.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Inputs of the convolutions, the oldest frame first.
    features: [[f32; FEATURES]; CONV_FRAMES],
    conv1: [[f32; CONV1]; CONV_FRAMES],
    grus: [GruState; 3],
}

impl State {
    pub const ZERO: Self = Self {
        features: [[0.0; FEATURES]; CONV_FRAMES],
        conv1: [[0.0; CONV1]; CONV_FRAMES],
        grus: [GruState::ZERO; 3],
    };

    /// Gains of the bands, 0 to 1, and the speech probability.
    pub fn run(&mut self, weights: &Weights, features: &[f32; FEATURES]) -> (Bands, f32) {
        push(&mut self.features, *features);
        let mut conv1 = [0.0; CONV1];
        weights.conv1.run(&mut conv1, self.features.as_flattened());
        kernels::tanh(&mut conv1);
        push(&mut self.conv1, conv1);

        let mut outputs = [[0.0; STATE]; 4];
        weights.conv2.run(&mut outputs[0], self.conv1.as_flattened());
        kernels::tanh(&mut outputs[0]);
        for (index, (gru, state)) in weights.grus.iter().zip(&mut self.grus).enumerate() {
            outputs[index + 1] = *gru.step(state, &outputs[index]);
        }

        let mut gains = [0.0; BANDS];
        weights.gains.run(&mut gains, outputs.as_flattened());
        let mut probability = [weights.vad.run(outputs.as_flattened())];
        kernels::sigmoid(&mut gains);
        kernels::sigmoid(&mut probability);
        (gains, probability[0])
    }
}

/// Drops the oldest frame and appends the newest.
fn push<T>(frames: &mut [T; CONV_FRAMES], newest: T) {
    frames.rotate_left(1);
    frames[CONV_FRAMES - 1] = newest;
}
