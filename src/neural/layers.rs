//! Layers: weights only, shared by all streams. The state of a recurrent layer is handed in.

// The echo suppressor needs few of them.
#![cfg_attr(not(feature = "hush"), allow(dead_code))]

use super::kernels::{gru_step, rectify};
use super::lockstep::few_at_a_time;
use super::matrix::{Matrix, Multiply};
use super::products::STREAMS;
use super::weights::Tensor;
use crate::dsp::dispatch::kernels;

/// Fully connected layer without bias.
pub struct Linear {
    parts: Box<[Part]>,
}

/// Outputs whose weights share a scale for each input.
struct Part {
    weights: Matrix,
    /// Scale of each input.
    scales: Box<[f32]>,
}

impl Linear {
    /// Layer of these weights, a row for each of so many inputs. Allocates.
    pub fn new(weights: Tensor, inputs: usize) -> Self {
        // Outputs that share a scale.
        let block = weights.block();
        let width = weights.weights().len() / inputs;
        let part = |first: usize| {
            let weight = |output: usize, input: usize| weights.weights()[input * width + first + output] as i8;
            let scale = |input: usize| f32::from_le_bytes(weights.scales()[(input * width + first) / block]);
            Part {
                weights: Matrix::new(block, &[inputs], weight, |_, _| 1.0),
                scales: (0..inputs).map(scale).collect(),
            }
        };
        Self { parts: (0..width).step_by(block).map(part).collect() }
    }

    /// `output = weights · input` for each stream.
    pub fn run<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
        few_at_a_time::<_, STREAMS>(streams, |alone| self.run_few(alone, |_| ()), |few| self.run_few(few, |_| ()));
    }

    /// `output = max(weights · input, 0)` for each stream.
    pub fn run_rectified<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
        few_at_a_time::<_, STREAMS>(streams, |alone| self.run_few(alone, rectify), |few| self.run_few(few, rectify));
    }

    #[inline]
    fn run_few<const N: usize>(&self, mut streams: [Option<(&mut [f32], &[f32])>; N], activation: impl Fn(&mut [f32])) {
        streams.iter_mut().flatten().for_each(|(output, _)| output.fill(0.0));
        for (index, part) in self.parts.iter().enumerate() {
            let streams = streams.iter_mut().flatten().map(|(output, input)| {
                let block = output.len() / self.parts.len();
                (&mut output[index * block..][..block], *input)
            });
            part.weights.add_all_scaled(streams, Some(&part.scales));
        }
        streams.iter_mut().flatten().for_each(|(output, _)| activation(output));
    }
}

/// Several small fully connected layers side by side, each with its own inputs, rectified.
pub struct Grouped {
    /// For each eight outputs of each layer the weights of each input.
    weights: Box<[[f32; 8]]>,
    inputs: usize,
    outputs: usize,
}

impl Grouped {
    /// Layers of so many inputs and outputs, the latter a multiple of eight; for each a row of weights for each input. Allocates.
    pub fn new(weights: Tensor, [inputs, outputs]: [usize; 2]) -> Self {
        let rows = weights.to_floats();
        let width = outputs / 8;
        let eight = |index: usize| {
            let (layer, first, input) = (index / inputs / width, index / inputs % width * 8, index % inputs);
            std::array::from_fn(|lane| rows[(layer * inputs + input) * outputs + first + lane])
        };
        let weights = (0..rows.len() / 8).map(eight).collect();
        Self { weights, inputs, outputs }
    }

    /// `output = max(weights · input, 0)` of all layers.
    pub fn run(&self, output: &mut [f32], input: &[f32]) {
        multiply_groups(output.as_chunks_mut().0, input, self);
    }
}

/// Fully connected layer with biases.
pub struct Dense<const INPUT: usize, const OUTPUT: usize> {
    weights: Matrix,
    bias: [f32; OUTPUT],
}

impl<const INPUT: usize, const OUTPUT: usize> Dense<INPUT, OUTPUT> {
    /// Layer of these weights, a row for each output, and biases. Allocates.
    pub fn new(weights: Tensor, bias: Tensor) -> Self {
        let mut biases = [0.0; OUTPUT];
        biases.copy_from_slice(&bias.to_floats());
        Self { weights: matrix([OUTPUT, INPUT], weights), bias: biases }
    }

    /// `weights · input + bias`.
    pub fn run(&self, input: &[f32; INPUT]) -> [f32; OUTPUT] {
        let mut output = self.bias;
        self.weights.add(&mut output, input);
        output
    }
}

/// Gated recurrent unit whose reset gate acts behind the matrix (the form of cuDNN and ONNX's `linear_before_reset`).
pub struct Gru<M, const INPUT: usize, const STATE: usize> {
    /// Outputs for the update gate, the reset gate and the candidate.
    input: M,
    recurrent: M,
    /// Biases of both matrices.
    bias: [[[f32; STATE]; 3]; 2],
}

impl<M: Multiply, const INPUT: usize, const STATE: usize> Gru<M, INPUT, STATE> {
    /// Unit of a matrix for the input, one for the state, and the biases of both. Allocates.
    pub fn new([input, recurrent]: [M; 2], bias: Tensor) -> Self {
        let mut biases = [[[0.0; STATE]; 3]; 2];
        biases.as_flattened_mut().as_flattened_mut().copy_from_slice(&bias.to_floats());
        Self { input, recurrent, bias: biases }
    }

    /// Moves the state of each stream on by one input.
    pub fn step<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32; STATE], &'a [f32; INPUT])>) {
        few_at_a_time::<_, STREAMS>(streams, |alone| self.step_few(alone), |few| self.step_few(few));
    }

    #[inline]
    fn step_few<const N: usize>(&self, mut streams: [Option<(&mut [f32; STATE], &[f32; INPUT])>; N]) {
        let [mut from_input, mut from_state] = self.bias.map(|bias| [bias; N]);
        let sums = from_input.iter_mut().zip(streams.iter().flatten());
        self.input.add_all(sums.map(|(sums, (_, input))| (sums.as_flattened_mut(), &input[..])));
        let sums = from_state.iter_mut().zip(streams.iter().flatten());
        self.recurrent.add_all(sums.map(|(sums, (state, _))| (sums.as_flattened_mut(), &state[..])));
        for (((state, _), from_input), from_state) in streams.iter_mut().flatten().zip(&mut from_input).zip(&from_state)
        {
            gru_step(&mut state[..], from_input.as_flattened_mut(), from_state.as_flattened());
        }
    }
}

/// Matrix whose tensor has a row for each output.
pub fn matrix([outputs, inputs]: [usize; 2], tensor: Tensor) -> Matrix {
    let block = tensor.block();
    let weight = |output: usize, input: usize| tensor.weights()[output * inputs + input] as i8;
    let scale = |output: usize, index: usize| f32::from_le_bytes(tensor.scales()[output * inputs / block + index]);
    Matrix::new(outputs, &vec![block; inputs / block], weight, scale)
}

kernels! {
    /// [`Grouped::run`]. Every fourth input has sums of its own, so that few additions wait for each other.
    fn multiply_groups(output: &mut [[f32; 8]], input: &[f32], layers: &Grouped) {
        let mut weights = layers.weights.chunks_exact(layers.inputs);
        for (output, input) in output.chunks_exact_mut(layers.outputs / 8).zip(input.chunks_exact(layers.inputs)) {
            for (output, weights) in output.iter_mut().zip(&mut weights) {
                let mut sums = [[0.0; 8]; 4];
                for (weights, input) in weights.as_chunks::<4>().0.iter().zip(input.as_chunks::<4>().0) {
                    for i in 0..4 {
                        for lane in 0..8 {
                            sums[i][lane] += weights[i][lane] * input[i];
                        }
                    }
                }
                for lane in 0..8 {
                    let sum = (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
                    output[lane] = sum.max(0.0);
                }
            }
        }
    }
}

#[cfg(all(test, feature = "hush"))]
mod tests {
    use super::*;

    /// Tensor of any weights, with a scale for each so many.
    fn tensor(random: &mut fastrand::Rng, length: usize, block: usize) -> Tensor {
        let weights: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        let scales: Vec<[u8; 4]> = (0..length / block).map(|_| (0.01 * random.f32()).to_le_bytes()).collect();
        Tensor::new(weights.leak(), scales.leak(), block)
    }

    #[test]
    fn linear_and_grouped_layers_agree_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(1);
        let input: [f32; 128] = std::array::from_fn(|_| random.f32() - 0.5);
        for [layers, inputs, outputs, block] in [[1, 128, 192, 64], [8, 16, 32, 32], [4, 32, 8, 8]] {
            let weights = tensor(&mut random, layers * inputs * outputs, block);
            let mut found = vec![9.0; layers * outputs];
            if layers == 1 {
                Linear::new(weights, inputs).run_rectified(std::iter::once((&mut found[..], &input[..])));
            } else {
                Grouped::new(weights, [inputs, outputs]).run(&mut found, &input);
            }
            let rows = weights.to_floats();
            for (index, found) in found.iter().enumerate() {
                let (layer, output) = (index / outputs, index % outputs);
                let product = |i: usize| rows[(layer * inputs + i) * outputs + output] * input[layer * inputs + i];
                let wanted = (0..inputs).map(product).sum::<f32>().max(0.0);
                assert!((found - wanted).abs() < 2e-3, "{found} {wanted}");
            }
        }
    }
}
