//! Network of RNNoise 0.2: from the features of a frame to the gains of the bands of the frame before.

use super::features::{BANDS, Bands, FEATURES};
use super::weights::{CONV_FRAMES, CONV1, STATE, StateProduct, Weights};
use crate::neural::kernels;

/// All that the network remembers of one stream.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Inputs of the convolutions, the oldest frame first; those of the second rounded to bytes, of which 127 is 0.
    features: [[f32; FEATURES]; CONV_FRAMES],
    conv1: [[u8; CONV1]; CONV_FRAMES],
    grus: [[f32; STATE]; 3],
}

/// What the network computed ahead of the next frame. It belongs to its state: both begin anew together.
#[derive(Clone, Debug)]
pub struct Ahead([StateProduct; 3]);

impl Ahead {
    /// At the start of a stream.
    pub const START: Self = Self([StateProduct::ZERO; 3]);
}

impl State {
    pub const ZERO: Self =
        Self { features: [[0.0; FEATURES]; CONV_FRAMES], conv1: [[127; CONV1]; CONV_FRAMES], grus: [[0.0; STATE]; 3] };

    /// Gains of the bands, 0 to 1, and the speech probability.
    pub fn run(&mut self, weights: &Weights, features: &[f32; FEATURES], ahead: &mut Ahead) -> (Bands, f32) {
        push(&mut self.features, *features);
        let (mut conv1, mut bytes) = ([0.0; CONV1], [0; CONV1]);
        weights.conv1.run(&mut conv1, self.features.as_flattened());
        kernels::tanh(&mut conv1);
        kernels::quantise_to_bytes(&mut bytes, &conv1);
        push(&mut self.conv1, bytes);

        let mut outputs = [[0.0; STATE]; 4];
        weights.conv2.run_bytes(&mut outputs[0], self.conv1.as_flattened());
        kernels::tanh(&mut outputs[0]);
        let grus = weights.grus.iter().zip(&mut self.grus).zip(&mut ahead.0);
        for (index, ((gru, state), product)) in grus.enumerate() {
            gru.step(state, &outputs[index], product);
            outputs[index + 1] = *state;
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
