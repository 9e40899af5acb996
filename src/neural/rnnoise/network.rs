//! Recurrent network of RNNoise: from the features of a frame to the gains of its bands.

use super::features::{BANDS, Bands, FEATURES};
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
}

/// Memory that the network works in, for a frame of one stream.
pub(super) struct Memory {
    /// Gains of the bands, 0 to 1, and the speech probability.
    pub gains: Bands,
    pub probability: [f32; 1],
    /// Features, rounded to words, and what that took.
    features: [[f32; FEATURES]; 2],
    noise_input: [f32; INPUT + VAD + 2 * FEATURES],
    gains_input: [f32; VAD + NOISE + 2 * FEATURES],
}

impl Memory {
    pub const NEW: Self = Self {
        gains: [0.0; BANDS],
        probability: [0.0],
        features: [[0.0; FEATURES]; 2],
        noise_input: [0.0; INPUT + VAD + 2 * FEATURES],
        gains_input: [0.0; VAD + NOISE + 2 * FEATURES],
    };

    pub fn set_features(&mut self, features: &[f32; FEATURES]) {
        let [kept, rest] = &mut self.features;
        kernels::split_words(kept, rest, features);
    }
}

/// Stream with a frame for the network.
pub struct Stream<'a> {
    pub(super) state: &'a mut State,
    pub(super) memory: &'a mut Memory,
}

/// Runs the network for all streams in lockstep: from the features in their memories to gains and probabilities.
pub(super) fn run(weights: &Weights, streams: &mut [Option<Stream<'_>>]) {
    let inputs = streams.iter_mut().flatten().map(|s| &mut *s.memory);
    weights.input.run(inputs.map(|memory| (&mut memory.noise_input[..INPUT], memory.features.as_flattened())));
    let inputs = streams.iter_mut().flatten();
    weights.vad.step(inputs.map(|s| (&mut s.state.vad, &s.memory.noise_input[..INPUT])));
    let states = streams.iter_mut().flatten();
    weights.vad_output.run(states.map(|s| (&mut s.memory.probability[..], &s.state.vad[..])));

    for Stream { state, memory } in streams.iter_mut().flatten() {
        memory.noise_input[INPUT..][..VAD].copy_from_slice(&state.vad);
        memory.noise_input[INPUT + VAD..].copy_from_slice(memory.features.as_flattened());
    }
    weights.noise.step(streams.iter_mut().flatten().map(|s| (&mut s.state.noise, &s.memory.noise_input[..])));

    for Stream { state, memory } in streams.iter_mut().flatten() {
        memory.gains_input[..VAD].copy_from_slice(&state.vad);
        memory.gains_input[VAD..][..NOISE].copy_from_slice(&state.noise);
        memory.gains_input[VAD + NOISE..].copy_from_slice(memory.features.as_flattened());
    }
    weights.gains.step(streams.iter_mut().flatten().map(|s| (&mut s.state.gains, &s.memory.gains_input[..])));
    weights.gain_output.run(streams.iter_mut().flatten().map(|s| (&mut s.memory.gains[..], &s.state.gains[..])));
}
