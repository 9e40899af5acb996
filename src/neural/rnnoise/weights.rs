//! Weights of RNNoise, read where they lie in the program.
//!
//! `weights.rnn` is the file of that name in the crate nnnoiseless 0.5.2 (see `NOTICE`). Layer after layer it holds the
//! number of inputs, the number of outputs, the activation, and then signed 8-bit integers in units of 1/256: a row of
//! input weights for each input, for recurrent layers a row of recurrent weights for each output, and the biases.

use super::activation::Activation;

/// Fully connected layer.
pub(super) struct Dense {
    pub inputs: usize,
    pub outputs: usize,
    pub activation: Activation,
    pub weights: &'static [u8],
    pub bias: &'static [u8],
}

/// Gated recurrent unit. A row holds the weights of the update gate, the reset gate and the candidate.
pub(super) struct Gru {
    pub inputs: usize,
    pub outputs: usize,
    pub activation: Activation,
    pub input_weights: &'static [u8],
    pub recurrent_weights: &'static [u8],
    pub bias: &'static [u8],
}

/// All layers.
pub(super) struct Weights {
    pub input: Dense,
    pub vad: Gru,
    pub noise: Gru,
    pub gains: Gru,
    pub gain_output: Dense,
    pub vad_output: Dense,
}

/// Weights of RNNoise 0.1, shared by all streams.
pub(super) static WEIGHTS: Weights = {
    let file = include_bytes!("weights.rnn");
    let (input, rest) = dense(file);
    let (vad, rest) = gru(rest);
    let (noise, rest) = gru(rest);
    let (gains, rest) = gru(rest);
    let (gain_output, rest) = dense(rest);
    let (vad_output, rest) = dense(rest);
    assert!(rest.is_empty());
    Weights { input, vad, noise, gains, gain_output, vad_output }
};

const fn dense(bytes: &'static [u8]) -> (Dense, &'static [u8]) {
    let (inputs, outputs, activation, rest) = header(bytes);
    let (weights, rest) = rest.split_at(inputs * outputs);
    let (bias, rest) = rest.split_at(outputs);
    (Dense { inputs, outputs, activation, weights, bias }, rest)
}

const fn gru(bytes: &'static [u8]) -> (Gru, &'static [u8]) {
    let (inputs, outputs, activation, rest) = header(bytes);
    let (input_weights, rest) = rest.split_at(3 * inputs * outputs);
    let (recurrent_weights, rest) = rest.split_at(3 * outputs * outputs);
    let (bias, rest) = rest.split_at(3 * outputs);
    (Gru { inputs, outputs, activation, input_weights, recurrent_weights, bias }, rest)
}

const fn header(bytes: &'static [u8]) -> (usize, usize, Activation, &'static [u8]) {
    let (header, rest) = bytes.split_at(3);
    let activation = match header[2] {
        0 => Activation::Tanh,
        1 => Activation::Sigmoid,
        2 => Activation::Relu,
        _ => panic!("unknown activation"),
    };
    (header[0] as usize, header[1] as usize, activation, rest)
}
