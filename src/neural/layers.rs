//! Layers: weights only, shared by all streams. The state of a recurrent layer is handed in.

// The echo suppressor needs few of them.
#![cfg_attr(not(feature = "hush"), allow(dead_code))]

use super::kernels;
use super::weights::Tensor;

/// Feature map: channels over frequency.
pub type FeatureMap<const CHANNELS: usize, const WIDTH: usize> = [[f32; WIDTH]; CHANNELS];

/// 1×1 convolution, rectified.
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
    pub fn run<const IN: usize, const OUT: usize, const WIDTH: usize>(
        &self,
        input: &FeatureMap<IN, WIDTH>,
        output: &mut FeatureMap<OUT, WIDTH>,
    ) {
        for ((output, weights), bias) in output.iter_mut().zip(self.weights.chunks_exact(IN)).zip(&self.bias) {
            output.fill(*bias);
            for (input, weight) in input.iter().zip(weights) {
                add_scaled(output, input, *weight);
            }
            rectify(output);
        }
    }

    /// `output = output + max(weights · input + bias, 0)`.
    pub fn add<const IN: usize, const OUT: usize, const WIDTH: usize>(
        &self,
        input: &FeatureMap<IN, WIDTH>,
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
    pub fn run<const CHANNELS: usize, const FROM: usize, const TO: usize>(
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
    pub fn run_transposed<const CHANNELS: usize, const FROM: usize, const TO: usize>(
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

    fn mix<const CHANNELS: usize, const WIDTH: usize>(
        &self,
        filtered: &FeatureMap<CHANNELS, WIDTH>,
    ) -> FeatureMap<CHANNELS, WIDTH> {
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
        input: &[[[f32; WIDTH]; CONV_FRAMES]; IN],
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
    /// For each group a row for each input.
    weights: Tensor,
    groups: usize,
}

impl Linear {
    /// Layer of `groups` independent parts.
    pub fn new(weights: Tensor, groups: usize) -> Self {
        Self { weights, groups }
    }

    /// `output = weights · input`.
    pub fn run(&self, input: &[f32], output: &mut [f32]) {
        let (inputs, outputs) = (input.len() / self.groups, output.len() / self.groups);
        let block = self.weights.block();
        let weights = self.weights.weights().chunks_exact(inputs * outputs);
        let scales = self.weights.scales().chunks_exact(inputs * outputs / block);
        let groups = input.chunks_exact(inputs).zip(output.chunks_exact_mut(outputs));
        for ((weights, scales), (input, output)) in weights.zip(scales).zip(groups) {
            kernels::combine_rows(output, weights, scales, block, input);
        }
    }

    /// `output = max(weights · input, 0)`.
    pub fn run_rectified(&self, input: &[f32], output: &mut [f32]) {
        self.run(input, output);
        rectify(output);
    }
}

/// Fully connected layer with biases.
pub struct Dense<const INPUT: usize, const OUTPUT: usize> {
    /// A row for each output.
    weights: Tensor,
    bias: [f32; OUTPUT],
}

impl<const INPUT: usize, const OUTPUT: usize> Dense<INPUT, OUTPUT> {
    /// Layer of these weights and biases. Scales of the weights must belong to blocks of [`kernels::BLOCK`]. Allocates
    /// for a moment.
    pub fn new(weights: Tensor, bias: Tensor) -> Self {
        let mut biases = [0.0; OUTPUT];
        biases.copy_from_slice(&bias.to_floats());
        Self { weights, bias: biases }
    }

    /// `weights · input + bias`.
    pub fn run(&self, input: &[f32; INPUT]) -> [f32; OUTPUT] {
        let mut output = self.bias;
        add_product(&mut output, &self.weights, input);
        output
    }
}

/// Gated recurrent unit whose reset gate acts behind the matrix (the form of cuDNN and ONNX's `linear_before_reset`).
pub struct Gru<const INPUT: usize, const STATE: usize> {
    /// Rows of the update gate, the reset gate and the candidate.
    input_weights: Tensor,
    recurrent_weights: Tensor,
    /// Biases of both matrices.
    bias: [[[f32; STATE]; 3]; 2],
}

impl<const INPUT: usize, const STATE: usize> Gru<INPUT, STATE> {
    /// Unit of a matrix for the input, one for the state, and the biases of both. Scales must belong to blocks of
    /// [`kernels::BLOCK`] weights. Allocates for a moment.
    pub fn new(input_weights: Tensor, recurrent_weights: Tensor, bias: Tensor) -> Self {
        let mut biases = [[[0.0; STATE]; 3]; 2];
        biases.as_flattened_mut().as_flattened_mut().copy_from_slice(&bias.to_floats());
        Self { input_weights, recurrent_weights, bias: biases }
    }

    /// Moves `state` on by one input.
    pub fn step(&self, state: &mut [f32; STATE], input: &[f32; INPUT]) {
        let [mut from_input, mut from_state] = self.bias;
        add_product(from_input.as_flattened_mut(), &self.input_weights, input);
        add_product(from_state.as_flattened_mut(), &self.recurrent_weights, state);
        kernels::gru_step(state, from_input.as_flattened(), from_state.as_flattened());
    }
}

/// `output = output + weights · input`, with the input rounded to 16 bits.
fn add_product<const INPUT: usize>(output: &mut [f32], weights: &Tensor, input: &[f32; INPUT]) {
    let mut rounded = [0; INPUT];
    let unit = kernels::quantise(&mut rounded, input);
    kernels::add_product(output, weights.weights(), weights.scales(), &rounded, unit);
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
