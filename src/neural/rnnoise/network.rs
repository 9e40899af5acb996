//! Recurrent network of RNNoise: from the features of a frame to the gains of its bands.

use super::features::{BANDS, FEATURES};
use super::weights::{GAINS, INPUT, NOISE, VAD, Weights};
use crate::neural::kernels;

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
    pub fn run(&mut self, weights: &Weights, features: &[f32; FEATURES]) -> ([f32; BANDS], f32) {
        let mut words = [[0.0; FEATURES]; 2];
        let [kept, rest] = &mut words;
        kernels::split_words(kept, rest, features);
        let features = words.as_flattened();
        let mut noise_input = [0.0; INPUT + VAD + 2 * FEATURES];
        let mut gains_input = [0.0; VAD + NOISE + 2 * FEATURES];
        let mut probability = [0.0];
        let mut gains = [0.0; BANDS];

        let input = &mut noise_input[..INPUT];
        weights.input.run(input, features);
        weights.vad.step(&mut self.vad, input);
        weights.vad_output.run(&mut probability, &self.vad);

        noise_input[INPUT..][..VAD].copy_from_slice(&self.vad);
        noise_input[INPUT + VAD..].copy_from_slice(features);
        weights.noise.step(&mut self.noise, &noise_input);

        gains_input[..VAD].copy_from_slice(&self.vad);
        gains_input[VAD..][..NOISE].copy_from_slice(&self.noise);
        gains_input[VAD + NOISE..].copy_from_slice(features);
        weights.gains.step(&mut self.gains, &gains_input);
        weights.gain_output.run(&mut gains, &self.gains);
        (gains, probability[0])
    }
}
