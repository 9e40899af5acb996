//! Weights of RNNoise 0.2.
//!
//! `weights.bin` holds arrays of the C library as the PyPI package pyrnnoise 0.4.5 ships it, byte for byte, put together by
//! `scripts/rnnoise2-weights.py` (see `NOTICE`): first the matrices of 8-bit integers in the order of [`MATRICES`], then a
//! scale and a bias for each of their outputs, then the diagonals of the recurrent matrices, then the layers of floats.

use std::sync::OnceLock;

use super::features::{BANDS, FEATURES};
use crate::dsp::kernels::dot;
use crate::neural::kernels;
use crate::neural::lockstep::few_at_a_time;
use crate::neural::matrix::Matrix;
use crate::neural::products::{Instructions, PANEL, STREAMS};
use crate::neural::weights::Reader;

/// Outputs of the first convolution.
pub(super) const CONV1: usize = 128;

/// Outputs of the second convolution, and state of each recurrent unit.
pub(super) const STATE: usize = 384;

/// Frames that a convolution spans.
pub(super) const CONV_FRAMES: usize = 3;

/// Streams whose inputs stay in the first cache beside a panel of weights.
const GROUP: usize = 16;

/// Inputs and outputs of each integer matrix: second convolution; input and state of three recurrent units.
const MATRICES: [(usize, usize); 7] = {
    let gru = (STATE, 3 * STATE);
    [(CONV_FRAMES * CONV1, STATE), gru, gru, gru, gru, gru, gru]
};

/// The file, on a cache line, so that no group of weights lies on two.
#[repr(align(64))]
struct Model([u8; include_bytes!("weights.bin").len()]);

static MODEL: Model = Model(*include_bytes!("weights.bin"));

/// Layer whose weights and inputs are 8-bit integers. Inputs are −1 to 1, in steps of 1/127.
pub(super) struct Int8Layer {
    weights: &'static [u8],
    /// What an input of 0 adds to each sum, taken off.
    offsets: Box<[i32]>,
    scales: Box<[f32]>,
    bias: Box<[f32]>,
    product: Instructions,
}

impl Int8Layer {
    /// `output = weights · input + bias` for each stream, whose inputs are rounded to bytes.
    pub fn run<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [u8])>) {
        few_at_a_time(streams, |alone| self.run_alone(alone), |group| self.run_group(group));
    }

    /// Layer for one stream: the weights in the order of their bytes, as they come fastest where no cache holds them.
    fn run_alone(&self, [stream]: [Option<(&mut [f32], &[u8])>; 1]) {
        let Some((output, bytes)) = stream else { return };
        let mut sums = [0; 3 * STATE];
        let sums = &mut sums[..output.len()];
        sums.copy_from_slice(&self.offsets);
        self.product.add_bytes(sums, self.weights, bytes);
        kernels::scale_sums(output, sums, &self.scales, &self.bias);
    }

    /// Layer for a group of streams: each panel of weights for all of them, while the first cache holds it.
    fn run_group(&self, mut streams: [Option<(&mut [f32], &[u8])>; GROUP]) {
        let offsets = self.offsets.as_chunks::<PANEL>().0;
        let (scales, biases) = (self.scales.as_chunks::<PANEL>().0, self.bias.as_chunks::<PANEL>().0);
        let panels = self.weights.chunks_exact(self.weights.len() / offsets.len());
        let panels = panels.zip(offsets).zip(scales.iter().zip(biases));
        for (index, ((weights, offsets), (scales, bias))) in panels.enumerate() {
            for (part, few) in streams.chunks_mut(STREAMS).enumerate() {
                let Some((_, first)) = few[0] else { break };
                let inputs = std::array::from_fn(|stream| few[stream].as_ref().map_or(first, |(_, input)| input));
                let mut sums = [*offsets; STREAMS];
                self.product.add_panel(&mut sums, weights, inputs, part);
                for ((output, _), sums) in few.iter_mut().flatten().zip(&sums) {
                    kernels::scale_sums(&mut output[index * PANEL..][..PANEL], sums, scales, bias);
                }
            }
        }
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
    pub input: Int8Layer,
    pub state: Int8Layer,
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
    pub conv2: Int8Layer,
    pub units: [Gru; 3],
    pub gains: WordLayer,
    pub vad: SingleOutput,
}

/// Weights of RNNoise 0.2, shared by all streams: 2.8 MB where they lie in the program, and 0.2 MB. Allocates
/// at the first call in a program.
pub(super) fn weights() -> &'static Weights {
    static WEIGHTS: OnceLock<Weights> = OnceLock::new();
    WEIGHTS.get_or_init(Weights::new)
}

impl Weights {
    fn new() -> Self {
        let mut model = Reader(&MODEL.0);
        let matrices = MATRICES.map(|(inputs, outputs)| model.bytes(inputs * outputs));
        let product = Instructions::new();
        let layers: [Int8Layer; MATRICES.len()] = std::array::from_fn(|i| {
            let (inputs, outputs) = MATRICES[i];
            Int8Layer {
                weights: matrices[i],
                offsets: offsets(matrices[i], inputs, product.middle()),
                scales: model.floats(outputs),
                bias: model.floats(outputs),
                product,
            }
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

/// Sum of the weights of each output times −`middle`.
fn offsets(weights: &[u8], inputs: usize, middle: i32) -> Box<[i32]> {
    weights
        .chunks_exact(8 * inputs)
        .flat_map(|block| {
            let groups = block.as_chunks::<32>().0;
            (0..8).map(|row| {
                let bytes = groups.iter().flat_map(|group| &group[4 * row..4 * row + 4]);
                -middle * bytes.map(|&weight| i32::from(weight as i8)).sum::<i32>()
            })
        })
        .collect()
}

/// Arrays, as they lie in the model.
impl Reader {
    fn floats(&mut self, count: usize) -> Box<[f32]> {
        self.bytes(4 * count).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_neighbours_fit_into_16_bits() {
        let weights = weights();
        let units = weights.units.iter().flat_map(|gru| [&gru.input, &gru.state]);
        for layer in units.chain([&weights.conv2]) {
            for &[a, b] in layer.weights.as_chunks::<2>().0 {
                let [a, b] = [a, b].map(|weight| i32::from(weight as i8));
                assert!(254 * (a.max(0) + b.max(0)).max(-(a.min(0) + b.min(0))) <= 32_767, "{a} {b}");
            }
        }
    }
}
