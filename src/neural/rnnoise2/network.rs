//! Network of RNNoise 0.2: from the features of a frame to the gains of the bands of the frame before.

use super::features::{BANDS, Bands, FEATURES};
use super::weights::{CONV_FRAMES, CONV1, GateSums, Gru, NO_SUMS, STATE, Weights};
use crate::neural::kernels;

/// Recurrent units.
const UNITS: usize = 3;

/// All that the network remembers of one stream.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Inputs of the convolutions, the oldest frame first; those of the second rounded to bytes.
    features: [[f32; FEATURES]; CONV_FRAMES],
    conv1: [[i8; CONV1]; CONV_FRAMES],
    units: [[f32; STATE]; UNITS],
}

impl State {
    pub const ZERO: Self = Self {
        features: [[0.0; FEATURES]; CONV_FRAMES],
        conv1: [[0; CONV1]; CONV_FRAMES],
        units: [[0.0; STATE]; UNITS],
    };
}

/// Memory that the network works in, for a frame of one stream.
pub(super) struct Memory {
    pub features: [f32; FEATURES],
    /// Gains of the bands, 0 to 1, and the speech probability.
    pub gains: Bands,
    pub probability: f32,
    bytes: [i8; STATE],
    /// Outputs of the second convolution and of the units.
    outputs: [[f32; STATE]; UNITS + 1],
    from_input: GateSums,
    from_state: GateSums,
}

impl Memory {
    pub const NEW: Self = Self {
        features: [0.0; FEATURES],
        gains: [0.0; BANDS],
        probability: 0.0,
        bytes: [0; STATE],
        outputs: [[0.0; STATE]; UNITS + 1],
        from_input: NO_SUMS,
        from_state: NO_SUMS,
    };
}

/// Stream with a frame for the network.
pub struct Stream<'a> {
    pub(super) state: &'a mut State,
    pub(super) memory: &'a mut Memory,
}

/// Runs the network for all streams in lockstep: from the features in their memories to gains and probabilities.
pub(super) fn run(weights: &Weights, streams: &mut [Option<Stream<'_>>]) {
    for Stream { state, memory } in streams.iter_mut().flatten() {
        push(&mut state.features, memory.features);
    }
    let conv1 = streams.iter_mut().flatten();
    weights.conv1.run(conv1.map(|s| (&mut s.memory.outputs[0][..CONV1], s.state.features.as_flattened())));
    for Stream { state, memory } in streams.iter_mut().flatten() {
        let (conv1, mut bytes) = (&mut memory.outputs[0][..CONV1], [0; CONV1]);
        kernels::tanh(conv1);
        kernels::quantise_to_bytes(&mut bytes, conv1);
        push(&mut state.conv1, bytes);
    }
    let conv2 = streams.iter_mut().flatten();
    weights.conv2.run(conv2.map(|s| (&mut s.memory.outputs[0][..], s.state.conv1.as_flattened())));
    streams.iter_mut().flatten().for_each(|s| kernels::tanh(&mut s.memory.outputs[0]));

    for (unit, gru) in weights.units.iter().enumerate() {
        step(gru, unit, streams);
    }

    let gains = streams.iter_mut().flatten();
    weights.gains.run(gains.map(|s| (&mut s.memory.gains[..], s.memory.outputs.as_flattened())));
    for Stream { memory, .. } in streams.iter_mut().flatten() {
        let mut probability = [weights.vad.run(memory.outputs.as_flattened())];
        kernels::sigmoid(&mut memory.gains);
        kernels::sigmoid(&mut probability);
        memory.probability = probability[0];
    }
}

/// Moves the states of a recurrent unit on by one input.
fn step(gru: &Gru, unit: usize, streams: &mut [Option<Stream<'_>>]) {
    for Stream { state, memory } in streams.iter_mut().flatten() {
        kernels::quantise_to_bytes(&mut memory.bytes, &state.units[unit]);
    }
    let states = streams.iter_mut().flatten();
    gru.state.run(states.map(|s| (s.memory.from_state.as_flattened_mut(), &s.memory.bytes[..])));
    for Stream { memory, .. } in streams.iter_mut().flatten() {
        kernels::quantise_to_bytes(&mut memory.bytes, &memory.outputs[unit]);
    }
    let inputs = streams.iter_mut().flatten();
    gru.input.run(inputs.map(|s| (s.memory.from_input.as_flattened_mut(), &s.memory.bytes[..])));
    for Stream { state, memory } in streams.iter_mut().flatten() {
        let state = &mut state.units[unit];
        gru.add_diagonals(&mut memory.from_state, state);
        kernels::gru_step(state, memory.from_input.as_flattened_mut(), memory.from_state.as_flattened());
        memory.outputs[unit + 1] = *state;
    }
}

/// Drops the oldest frame and appends the newest.
fn push<T>(frames: &mut [T; CONV_FRAMES], newest: T) {
    frames.rotate_left(1);
    frames[CONV_FRAMES - 1] = newest;
}
