//! The kinds of layers the network is made of.

use super::hush::weights::{GruTensors, PointwiseTensors, Tensor};
use super::kernels;

/// Channels of every map.
pub(super) const CHANNELS: usize = 16;

/// What a recurrent unit remembers.
pub(super) const STATE: usize = 256;

/// A map: each channel over frequency.
pub(super) type FeatureMap<const WIDTH: usize> = [[f32; WIDTH]; CHANNELS];

/// A 1×1 convolution, rectified.
pub(super) struct PointwiseConv {
    weights: Box<[f32]>,
    bias: Box<[f32]>,
}

impl PointwiseConv {
    pub fn new([weights, bias]: PointwiseTensors) -> Self {
        Self { weights: weights.values(), bias: bias.values() }
    }

    /// Any number of channels out.
    pub fn run<const WIDTH: usize>(&self, from: &FeatureMap<WIDTH>, to: &mut [[f32; WIDTH]]) {
        for ((to, weights), bias) in to.iter_mut().zip(self.weights.chunks_exact(CHANNELS)).zip(&self.bias) {
            to.fill(*bias);
            for (from, weight) in from.iter().zip(weights) {
                add_scaled(to, from, *weight);
            }
            rectify(to);
        }
    }

    /// Adds to what is there.
    pub fn add<const WIDTH: usize>(&self, from: &FeatureMap<WIDTH>, to: &mut FeatureMap<WIDTH>) {
        let mut more = [[0.0; WIDTH]; CHANNELS];
        self.run(from, &mut more);
        add_scaled(to.as_flattened_mut(), more.as_flattened(), 1.0);
    }
}

/// A convolution of each channel with three taps of its own, and then a mix.
pub(super) struct DepthwiseConv {
    taps: Box<[f32]>,
    mix: PointwiseConv,
}

impl DepthwiseConv {
    pub fn new(taps: Tensor, mix: PointwiseTensors) -> Self {
        Self { taps: taps.values(), mix: PointwiseConv::new(mix) }
    }

    /// As wide as before, or half as wide.
    pub fn run<const FROM: usize, const TO: usize>(&self, from: &FeatureMap<FROM>) -> FeatureMap<TO> {
        let mut between = [[0.0; TO]; CHANNELS];
        for ((between, from), taps) in between.iter_mut().zip(from).zip(self.taps.chunks_exact(3)) {
            for (index, between) in between.iter_mut().enumerate() {
                let middle = index * (FROM / TO);
                let left = if middle == 0 { 0.0 } else { from[middle - 1] };
                let right = from.get(middle + 1).copied().unwrap_or(0.0);
                *between = taps[0] * left + taps[1] * from[middle] + taps[2] * right;
            }
        }
        self.mixed(&between)
    }

    /// Twice as wide as before.
    pub fn widen<const FROM: usize, const TO: usize>(&self, from: &FeatureMap<FROM>) -> FeatureMap<TO> {
        let mut between = [[0.0; TO]; CHANNELS];
        for ((between, from), taps) in between.iter_mut().zip(from).zip(self.taps.chunks_exact(3)) {
            for (index, pair) in between.chunks_exact_mut(2).enumerate() {
                let next = from.get(index + 1).copied().unwrap_or(0.0);
                pair[0] = taps[1] * from[index];
                pair[1] = taps[2] * from[index] + taps[0] * next;
            }
        }
        self.mixed(&between)
    }

    fn mixed<const WIDTH: usize>(&self, between: &FeatureMap<WIDTH>) -> FeatureMap<WIDTH> {
        let mut to = [[0.0; WIDTH]; CHANNELS];
        self.mix.run(between, &mut to);
        to
    }
}

/// A 3×3 convolution over the last three frames.
pub(super) struct Conv2d {
    weights: Box<[f32]>,
    bias: Box<[f32]>,
}

impl Conv2d {
    pub fn new(weights: Tensor, bias: Option<Tensor>) -> Self {
        Self { weights: weights.values(), bias: bias.map_or([0.0; CHANNELS].into(), Tensor::values) }
    }

    /// `frames` holds for each input channel its last three frames, the oldest first. Each input channel feeds its share
    /// of the output channels.
    pub fn run<const WIDTH: usize>(&self, frames: &[[[f32; WIDTH]; 3]]) -> FeatureMap<WIDTH> {
        let share = CHANNELS / frames.len();
        let mut to = [[0.0; WIDTH]; CHANNELS];
        for (index, (to, weights)) in to.iter_mut().zip(self.weights.chunks_exact(9)).enumerate() {
            to.fill(self.bias[index]);
            for (frame, taps) in frames[index / share].iter().zip(weights.chunks_exact(3)) {
                add_depthwise(to, frame, taps);
            }
        }
        to
    }
}

/// A fully connected layer, or several side by side; no bias.
pub(super) struct Linear {
    tensor: Tensor,
    groups: usize,
}

impl Linear {
    pub fn new(tensor: Tensor, groups: usize) -> Self {
        Self { tensor, groups }
    }

    pub fn run(&self, from: &[f32], to: &mut [f32]) {
        let (inputs, outputs) = (from.len() / self.groups, to.len() / self.groups);
        let block = self.tensor.block;
        let weights = self.tensor.weights().chunks_exact(inputs * outputs);
        let scales = self.tensor.scales().chunks_exact(inputs * outputs / block);
        let groups = from.chunks_exact(inputs).zip(to.chunks_exact_mut(outputs));
        for ((weights, scales), (from, to)) in weights.zip(scales).zip(groups) {
            kernels::combine_rows(to, weights, scales, block, from);
        }
    }

    pub fn rectified(&self, from: &[f32], to: &mut [f32]) {
        self.run(from, to);
        rectify(to);
    }
}

/// A gated recurrent unit.
pub(super) struct Gru {
    inward: Tensor,
    inside: Tensor,
    bias: Box<[f32]>,
    state: [f32; STATE],
}

impl Gru {
    pub fn new([inward, inside, bias]: GruTensors) -> Self {
        Self { inward, inside, bias: bias.values(), state: [0.0; STATE] }
    }

    pub fn run(&mut self, input: &[f32; STATE]) -> &[f32; STATE] {
        let mut given = [0.0; 3 * STATE];
        let mut kept = [0.0; 3 * STATE];
        let (given_bias, kept_bias) = self.bias.split_at(3 * STATE);
        given.copy_from_slice(given_bias);
        kept.copy_from_slice(kept_bias);
        let mut rounded = [0; STATE];
        let unit = kernels::quantise(&mut rounded, input);
        kernels::add_product(&mut given, self.inward.weights(), self.inward.scales(), &rounded, unit);
        let unit = kernels::quantise(&mut rounded, &self.state);
        kernels::add_product(&mut kept, self.inside.weights(), self.inside.scales(), &rounded, unit);
        kernels::gru_step(&mut self.state, &given, &kept);
        &self.state
    }

    pub fn reset(&mut self) {
        self.state.fill(0.0);
    }
}

/// Adds what three taps make of `from`.
pub(super) fn add_depthwise<const WIDTH: usize>(to: &mut [f32; WIDTH], from: &[f32; WIDTH], taps: &[f32]) {
    add_scaled(&mut to[1..], &from[..WIDTH - 1], taps[0]);
    add_scaled(to, from, taps[1]);
    add_scaled(&mut to[..WIDTH - 1], &from[1..], taps[2]);
}

pub(super) fn add_scaled(to: &mut [f32], from: &[f32], factor: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from * factor;
    }
}

pub(super) fn rectify(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}
