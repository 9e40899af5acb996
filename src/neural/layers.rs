//! Layers: weights only, shared by all streams. The state of a recurrent layer is handed in.

// The echo suppressor needs few of them.
#![cfg_attr(not(feature = "hush"), allow(dead_code))]

use super::kernels::{gru_step, multiply};
use super::lockstep::few_at_a_time;
use super::matrix::{MAX_INPUTS, Matrix, Multiply};
use super::products::STREAMS;
use super::weights::Tensor;
use crate::dsp::kernels;

/// Feature map: channels over frequency.
pub type FeatureMap<const MAPS: usize, const WIDTH: usize> = [[f32; WIDTH]; MAPS];

/// Channels that a 1×1 convolution mixes, and most feature maps have.
pub const CHANNELS: usize = 16;

/// 1×1 convolution of 16 channels, rectified.
pub struct PointwiseConv {
    /// A row for each output channel.
    weights: Box<[f32]>,
    bias: Box<[f32]>,
}

impl PointwiseConv {
    /// Layer of these weights, a row for each output channel, and biases. Allocates.
    pub fn new(weights: Tensor, bias: Tensor) -> Self {
        Self { weights: weights.to_floats(), bias: bias.to_floats() }
    }

    /// `output = max(weights · input + bias, 0)`.
    pub fn run<const OUT: usize, const WIDTH: usize>(
        &self,
        input: &FeatureMap<CHANNELS, WIDTH>,
        output: &mut FeatureMap<OUT, WIDTH>,
    ) {
        mix_channels(output.as_flattened_mut(), &self.weights, &self.bias, input.as_flattened(), WIDTH);
    }

    /// `output = output + max(weights · input + bias, 0)`.
    pub fn add<const OUT: usize, const WIDTH: usize>(
        &self,
        input: &FeatureMap<CHANNELS, WIDTH>,
        output: &mut FeatureMap<OUT, WIDTH>,
    ) {
        let mut sum = [[0.0; WIDTH]; OUT];
        self.run(input, &mut sum);
        add_scaled(output.as_flattened_mut(), sum.as_flattened(), 1.0);
    }
}

/// Depthwise separable convolution: three taps over frequency for each channel, then a [`PointwiseConv`].
pub struct DepthwiseConv {
    /// Three taps for each channel.
    taps: Box<[f32]>,
    pointwise: PointwiseConv,
}

impl DepthwiseConv {
    /// Layer of these taps, three for each channel. Allocates.
    pub fn new(taps: Tensor, pointwise: PointwiseConv) -> Self {
        Self { taps: taps.to_floats(), pointwise }
    }

    /// Convolution with a stride of `FROM / TO`: the map stays as wide, or becomes narrower.
    pub fn run<const FROM: usize, const TO: usize>(
        &self,
        input: &FeatureMap<CHANNELS, FROM>,
    ) -> FeatureMap<CHANNELS, TO> {
        let mut filtered = [[0.0; TO]; CHANNELS];
        for ((filtered, input), taps) in filtered.iter_mut().zip(input).zip(self.taps.chunks_exact(3)) {
            for (index, filtered) in filtered.iter_mut().enumerate() {
                let centre = index * (FROM / TO);
                let left = if centre == 0 { 0.0 } else { input[centre - 1] };
                let right = input.get(centre + 1).copied().unwrap_or(0.0);
                *filtered = taps[0] * left + taps[1] * input[centre] + taps[2] * right;
            }
        }
        self.mix(&filtered)
    }

    /// Transposed convolution with a stride of 2: the map becomes twice as wide.
    pub fn run_transposed<const FROM: usize, const TO: usize>(
        &self,
        input: &FeatureMap<CHANNELS, FROM>,
    ) -> FeatureMap<CHANNELS, TO> {
        let mut filtered = [[0.0; TO]; CHANNELS];
        for ((filtered, input), taps) in filtered.iter_mut().zip(input).zip(self.taps.chunks_exact(3)) {
            for (index, pair) in filtered.chunks_exact_mut(2).enumerate() {
                let next = input.get(index + 1).copied().unwrap_or(0.0);
                pair[0] = taps[1] * input[index];
                pair[1] = taps[2] * input[index] + taps[0] * next;
            }
        }
        self.mix(&filtered)
    }

    fn mix<const WIDTH: usize>(&self, filtered: &FeatureMap<CHANNELS, WIDTH>) -> FeatureMap<CHANNELS, WIDTH> {
        let mut output = [[0.0; WIDTH]; CHANNELS];
        self.pointwise.run(filtered, &mut output);
        output
    }
}

/// Frames that a [`Conv2d`] spans.
pub const CONV_FRAMES: usize = 3;

/// 3×3 convolution over frequency and the last three frames.
pub struct Conv2d {
    /// For each output channel three taps over frequency for each frame, the oldest first.
    weights: Box<[f32]>,
    bias: Option<Box<[f32]>>,
}

impl Conv2d {
    /// Layer of these weights, nine for each output channel. Allocates.
    pub fn new(weights: Tensor, bias: Option<Tensor>) -> Self {
        Self { weights: weights.to_floats(), bias: bias.map(Tensor::to_floats) }
    }

    /// Output for the last three frames of each input channel, the oldest first. Grouped: an input channel feeds
    /// `OUT / IN` consecutive output channels.
    pub fn run<const IN: usize, const OUT: usize, const WIDTH: usize>(
        &self,
        input: [[&[f32; WIDTH]; CONV_FRAMES]; IN],
    ) -> FeatureMap<OUT, WIDTH> {
        let mut output = [[0.0; WIDTH]; OUT];
        for (index, (output, weights)) in output.iter_mut().zip(self.weights.chunks_exact(9)).enumerate() {
            output.fill(self.bias.as_ref().map_or(0.0, |bias| bias[index]));
            for (frame, taps) in input[index / (OUT / IN)].iter().zip(weights.chunks_exact(3)) {
                add_filtered(output, frame, taps);
            }
        }
        output
    }
}

/// Fully connected layer without bias, or several side by side.
pub struct Linear {
    parts: Box<[Part]>,
    groups: usize,
}

/// Outputs whose weights share a scale for each input.
struct Part {
    weights: Matrix,
    /// Scale of each input.
    scales: Box<[f32]>,
}

impl Linear {
    /// Layer of `groups` independent parts of so many inputs and outputs; for each a row of weights for each input. Allocates.
    pub fn new(weights: Tensor, groups: usize, [inputs, outputs]: [usize; 2]) -> Self {
        // Outputs that share a scale.
        let block = weights.block();
        let scales = weights.scales();
        let part = |group: usize, first: usize| {
            let row = |input: usize| (group * inputs + input) * outputs + first;
            let weight = |output: usize, input: usize| weights.weights()[row(input) + output] as i8;
            Part {
                weights: Matrix::new(block, &[inputs], weight, |_, _| 1.0),
                scales: (0..inputs).map(|input| f32::from_le_bytes(scales[row(input) / block])).collect(),
            }
        };
        let firsts = |group| (0..outputs).step_by(block).map(move |first| (group, first));
        Self { parts: (0..groups).flat_map(firsts).map(|(group, first)| part(group, first)).collect(), groups }
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
        let mut scaled = [[0.0; MAX_INPUTS]; N];
        for (index, part) in self.parts.iter().enumerate() {
            let (inputs, group) = (part.scales.len(), index / (self.parts.len() / self.groups));
            let streams = streams.iter_mut().flatten().zip(&mut scaled).map(|((output, input), scaled)| {
                let block = output.len() / self.parts.len();
                let scaled = &mut scaled[..inputs];
                scaled.copy_from_slice(&input[group * inputs..][..inputs]);
                multiply(scaled, &part.scales);
                (&mut output[index * block..][..block], &*scaled)
            });
            part.weights.add_all(streams);
        }
        streams.iter_mut().flatten().for_each(|(output, _)| activation(output));
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
        for (((state, _), from_input), from_state) in streams.iter_mut().flatten().zip(&from_input).zip(&from_state) {
            gru_step(&mut state[..], from_input.as_flattened(), from_state.as_flattened());
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
    /// `output = max(weights · input + bias, 0)` at each place of feature maps of this width, a multiple of 8.
    fn mix_channels(output: &mut [f32], weights: &[f32], bias: &[f32], input: &[f32], width: usize) {
        let wide = width / 32 * 32;
        for at in (0..wide).step_by(32) {
            mix_places::<32>(output, weights, bias, input, width, at);
        }
        for at in (wide..width).step_by(8) {
            mix_places::<8>(output, weights, bias, input, width, at);
        }
    }
}

/// Some neighbours of [`mix_channels`], from place `at` on. They are brought together, as a loop over arrays needs no checks.
#[inline(always)]
fn mix_places<const LANES: usize>(
    output: &mut [f32],
    weights: &[f32],
    bias: &[f32],
    input: &[f32],
    width: usize,
    at: usize,
) {
    let mut places = [[0.0; LANES]; CHANNELS];
    for (places, input) in places.iter_mut().zip(input.chunks_exact(width)) {
        places.copy_from_slice(&input[at..at + LANES]);
    }
    let rows = weights.as_chunks::<CHANNELS>().0.iter().zip(bias);
    for (output, (weights, bias)) in output.chunks_exact_mut(width).zip(rows) {
        let mut sums = [*bias; LANES];
        for channel in 0..CHANNELS {
            for lane in 0..LANES {
                sums[lane] += weights[channel] * places[channel][lane];
            }
        }
        output[at..at + LANES].copy_from_slice(&sums.map(|sum| sum.max(0.0)));
    }
}

/// Adds `input`, filtered by three taps over frequency.
pub fn add_filtered<const WIDTH: usize>(output: &mut [f32; WIDTH], input: &[f32; WIDTH], taps: &[f32]) {
    add_scaled(&mut output[1..], &input[..WIDTH - 1], taps[0]);
    add_scaled(output, input, taps[1]);
    add_scaled(&mut output[..WIDTH - 1], &input[1..], taps[2]);
}

/// `output = output + input · factor`.
pub fn add_scaled(output: &mut [f32], input: &[f32], factor: f32) {
    for (output, input) in output.iter_mut().zip(input) {
        *output += input * factor;
    }
}

/// Rectified linear unit: negative values become 0.
pub fn rectify(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}
