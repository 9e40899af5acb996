//! Weights of RNNoise 0.2.
//!
//! `weights.bin` holds arrays of the C library as the PyPI package pyrnnoise 0.4.5 ships it, the large matrices of floats
//! rounded to 4 bits by `scripts/four-bits` (see `NOTICE`): first these matrices in the order of [`MATRICES`], tile by tile, then for each of them
//! the scales of each tile and block, and a bias for each output, then the diagonals of the recurrent matrices, then the
//! layers of floats.

use std::sync::OnceLock;

use super::features::{BANDS, FEATURES};
use crate::dsp::kernels::dot;
use crate::neural::int4::Int4Matrix;
use crate::neural::kernels;
use crate::neural::lockstep::few_at_a_time;
use crate::neural::matrix::{Matrix, Multiply};
use crate::neural::products::{MAX_BLOCKS, STEP, STREAMS, TILE};
use crate::neural::weights::Reader;

/// Outputs of the first convolution.
pub(super) const CONV1: usize = 128;

/// Outputs of the second convolution, and state of each recurrent unit.
pub(super) const STATE: usize = 384;

/// Frames that a convolution spans.
pub(super) const CONV_FRAMES: usize = 3;

/// Outputs of each matrix of 4-bit weights: second convolution; input and state of three recurrent units. All have as many
/// inputs as a state.
const MATRICES: [usize; 7] = {
    let gru = 3 * STATE;
    [STATE, gru, gru, gru, gru, gru, gru]
};

/// The file, on a cache line, so that no line of weights lies on two.
#[repr(align(64))]
struct Model([u8; include_bytes!("weights.bin").len()]);

static MODEL: Model = Model(*include_bytes!("weights.bin"));

/// Layer whose weights are 4-bit integers. Inputs are −1 to 1, in steps of 1/127.
pub(super) struct Int4Layer {
    weights: Int4Matrix<{ STATE / MAX_BLOCKS / STEP }>,
    bias: Box<[f32]>,
}

impl Int4Layer {
    /// `output = weights · inputs + bias` for each stream.
    pub fn run<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [i8])>) {
        self.weights.add_bytes(streams.map(|(output, inputs)| {
            output.copy_from_slice(&self.bias);
            (output, inputs)
        }));
    }
}

/// Layer whose weights and inputs are rounded to 16 bits: those that the C library has as floats.
pub(super) struct WordLayer {
    /// For each part of the inputs the upper and the lower bytes of its weights.
    parts: Box<[[Matrix; 2]]>,
    inputs: usize,
    bias: Box<[f32]>,
}

impl WordLayer {
    /// Layer of these weights, a row for each input, with so many inputs in each of its parts. Allocates.
    fn new(weights: &[f32], inputs: usize, bias: Box<[f32]>) -> Self {
        let width = bias.len();
        let part = |weights: &[f32]| {
            let row = |output: usize| weights[output..].iter().step_by(width);
            let peaks = (0..width).map(|output| row(output).fold(1e-20f32, |peak, weight| peak.max(weight.abs())));
            let units: Box<[f32]> = peaks.map(|peak| peak / 32_512.0).collect();
            let word = |output: usize, input: usize| (weights[input * width + output] / units[output]).round() as i32;
            let upper = |output: usize, input: usize| ((word(output, input) + 128) >> 8) as i8;
            let lower = |output: usize, input: usize| word(output, input) as i8;
            [
                Matrix::new(width, &[inputs], upper, |output, _| 256.0 * units[output]),
                Matrix::new(width, &[inputs], lower, |output, _| units[output]),
            ]
        };
        Self { parts: weights.chunks_exact(inputs * width).map(part).collect(), inputs, bias }
    }

    /// `output = weights · input + bias` for each stream.
    pub fn run<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
        few_at_a_time::<_, STREAMS>(streams, |alone| self.run_few(alone), |few| self.run_few(few));
    }

    fn run_few<const N: usize>(&self, mut streams: [Option<(&mut [f32], &[f32])>; N]) {
        streams.iter_mut().flatten().for_each(|(output, _)| output.copy_from_slice(&self.bias));
        for (index, part) in self.parts.iter().enumerate() {
            let inputs = index * self.inputs..(index + 1) * self.inputs;
            for bytes in part {
                let streams = streams.iter_mut().flatten();
                bytes.add_all(streams.map(|(output, input)| (&mut **output, &input[inputs.clone()])));
            }
        }
    }
}

/// Output of a single float.
pub(super) struct SingleOutput {
    weights: Box<[f32]>,
    bias: f32,
}

impl SingleOutput {
    /// `weights · input + bias`.
    pub fn run(&self, input: &[f32]) -> f32 {
        dot(&self.weights, input) + self.bias
    }
}

/// Gated recurrent unit.
pub(super) struct Gru {
    pub input: Int4Layer,
    pub state: Int4Layer,
    /// Diagonals of the matrices of the state, which the integers leave out.
    diagonals: Box<[f32]>,
}

/// What an input or a state gives to the update gate, the reset gate and the candidate.
pub type GateSums = [[f32; STATE]; 3];

/// No sums yet.
pub const NO_SUMS: GateSums = [[0.0; STATE]; 3];

impl Gru {
    /// Adds the products of a state and the diagonals.
    pub fn add_diagonals(&self, sums: &mut GateSums, state: &[f32; STATE]) {
        for (sums, diagonal) in sums.iter_mut().zip(self.diagonals.chunks_exact(STATE)) {
            kernels::add_products(sums, diagonal, state);
        }
    }
}

/// All layers.
pub(super) struct Weights {
    pub conv1: WordLayer,
    pub conv2: Int4Layer,
    pub units: [Gru; 3],
    pub gains: WordLayer,
    pub vad: SingleOutput,
}

/// Weights of RNNoise 0.2, shared by all streams: 1.4 MB where they lie in the program, and 0.3 MB. Allocates
/// at the first call in a program.
pub(super) fn weights() -> &'static Weights {
    static WEIGHTS: OnceLock<Weights> = OnceLock::new();
    WEIGHTS.get_or_init(Weights::new)
}

impl Weights {
    fn new() -> Self {
        let mut model = Reader(&MODEL.0);
        let matrices = MATRICES.map(|outputs| model.tiles(outputs / TILE));
        let layers = matrices.map(|tiles| Int4Layer {
            weights: Int4Matrix::new(tiles, &mut model),
            bias: model.floats(tiles.len() * TILE),
        });
        let [conv2, input1, state1, input2, state2, input3, state3] = layers;
        let units = [(input1, state1), (input2, state2), (input3, state3)].map(|(input, state)| Gru {
            input,
            state,
            diagonals: model.floats(3 * STATE),
        });
        let conv1 = model.floats(CONV_FRAMES * FEATURES * CONV1);
        let conv1 = WordLayer::new(&conv1, CONV_FRAMES * FEATURES, model.floats(CONV1));
        let gains = model.floats(4 * STATE * BANDS);
        let gains = WordLayer::new(&gains, STATE, model.floats(BANDS));
        let vad = SingleOutput { weights: model.floats(4 * STATE), bias: model.floats(1)[0] };
        debug_assert!(model.0.is_empty());
        Self { conv1, conv2, units, gains, vad }
    }
}
