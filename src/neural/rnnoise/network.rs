//! Recurrent network of RNNoise: from the features of a frame to the gains of its bands.

use super::activation::sigmoid;
use super::features::{BANDS, FEATURES};
use super::weights::{Dense, Gru, WEIGHTS, Weights};
use crate::neural::kernels;

/// Value of one step of a weight.
const UNIT: f32 = 1.0 / 256.0;

/// Outputs of the recurrent layers: voice activity, noise, gains.
const VAD: usize = 24;
const NOISE: usize = 48;
const GAINS: usize = 96;

/// Outputs of the first layer.
const INPUT: usize = 24;

const _: () = {
    let Weights { input, vad, noise, gains, gain_output, vad_output } = &WEIGHTS;
    assert!(input.inputs == FEATURES && input.outputs == INPUT);
    assert!(vad.inputs == INPUT && vad.outputs == VAD);
    assert!(noise.inputs == INPUT + VAD + FEATURES && noise.outputs == NOISE);
    assert!(gains.inputs == VAD + NOISE + FEATURES && gains.outputs == GAINS);
    assert!(gain_output.inputs == GAINS && gain_output.outputs == BANDS);
    assert!(vad_output.inputs == VAD && vad_output.outputs == 1);
};

/// State of the recurrent layers of one stream.
#[derive(Clone, Debug)]
pub(super) struct State {
    vad: [f32; VAD],
    noise: [f32; NOISE],
    gains: [f32; GAINS],
}

impl State {
    pub const ZERO: Self = Self { vad: [0.0; VAD], noise: [0.0; NOISE], gains: [0.0; GAINS] };

    /// Gains of the bands, 0 to 1, and the speech probability.
    pub fn run(&mut self, features: &[f32; FEATURES]) -> ([f32; BANDS], f32) {
        let mut noise_input = [0.0; INPUT + VAD + FEATURES];
        let mut gains_input = [0.0; VAD + NOISE + FEATURES];
        let mut probability = [0.0];
        let mut gains = [0.0; BANDS];

        let input = &mut noise_input[..INPUT];
        run_dense(&WEIGHTS.input, input, features);
        run_gru(&WEIGHTS.vad, &mut self.vad, input);
        run_dense(&WEIGHTS.vad_output, &mut probability, &self.vad);

        noise_input[INPUT..][..VAD].copy_from_slice(&self.vad);
        noise_input[INPUT + VAD..].copy_from_slice(features);
        run_gru(&WEIGHTS.noise, &mut self.noise, &noise_input);

        gains_input[..VAD].copy_from_slice(&self.vad);
        gains_input[VAD..][..NOISE].copy_from_slice(&self.noise);
        gains_input[VAD + NOISE..].copy_from_slice(features);
        run_gru(&WEIGHTS.gains, &mut self.gains, &gains_input);
        run_dense(&WEIGHTS.gain_output, &mut gains, &self.gains);
        (gains, probability[0])
    }
}

fn run_dense(layer: &Dense, output: &mut [f32], input: &[f32]) {
    kernels::widen(output, layer.bias);
    kernels::add_rows(output, layer.weights, layer.outputs, 0, input);
    output.iter_mut().for_each(|value| *value = layer.activation.apply(*value * UNIT));
}

/// One step of a gated recurrent unit whose reset gate acts on the state before the matrix (Cho et al., 2014).
fn run_gru(layer: &Gru, state: &mut [f32], input: &[f32]) {
    let size = layer.outputs;
    let mut sums = [0.0; 3 * GAINS];
    let sums = &mut sums[..3 * size];
    kernels::widen(sums, layer.bias);
    kernels::add_rows(sums, layer.input_weights, 3 * size, 0, input);
    let (gates, candidate) = sums.split_at_mut(2 * size);
    kernels::add_rows(gates, layer.recurrent_weights, 3 * size, 0, state);
    gates.iter_mut().for_each(|gate| *gate = sigmoid(UNIT * *gate));
    let (update, reset) = gates.split_at_mut(size);
    reset.iter_mut().zip(&*state).for_each(|(reset, state)| *reset *= state);
    kernels::add_rows(candidate, layer.recurrent_weights, 3 * size, 2 * size, reset);
    for ((state, update), candidate) in state.iter_mut().zip(update).zip(candidate) {
        let candidate = layer.activation.apply(UNIT * *candidate);
        *state = *update * *state + (1.0 - *update) * candidate;
    }
}
