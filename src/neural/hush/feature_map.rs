//! Convolutions over feature maps. A map has its 16 channels side by side at each place, so that every loop is over channels,
//! whatever the width of the map and the stride.

use crate::dsp::dispatch::kernels;
use crate::dsp::kernels::sum_lanes;
use crate::neural::kernels;
use crate::neural::weights::Tensor;

/// Channels of a feature map.
pub const CHANNELS: usize = 16;

/// Value of each channel at a place.
pub type Channels = [f32; CHANNELS];

/// Feature map over frequency.
pub type FeatureMap<const WIDTH: usize> = [Channels; WIDTH];

/// 1×1 convolution, rectified: `max(weights · input + bias, 0)` at each place.
pub struct PointwiseConv {
    /// For each input channel what it gives to each output.
    weights: [Channels; CHANNELS],
    bias: Channels,
}

impl PointwiseConv {
    /// Layer of these weights, a row for each of at most 16 outputs, and biases. Allocates.
    pub fn new([weights, bias]: [Tensor; 2]) -> Self {
        let mut layer = Self { weights: [[0.0; CHANNELS]; CHANNELS], bias: [0.0; CHANNELS] };
        for (output, row) in weights.to_floats().chunks_exact(CHANNELS).enumerate() {
            layer.weights.iter_mut().zip(row).for_each(|(weights, weight)| weights[output] = *weight);
        }
        layer.bias.iter_mut().zip(bias.to_floats()).for_each(|(to, bias)| *to = bias);
        layer
    }

    /// Replaces a feature map by `max(weights · map + bias, 0)`.
    pub fn run<const WIDTH: usize>(&self, map: &mut FeatureMap<WIDTH>) {
        mix_all(map, self);
    }

    /// `output = output + max(weights · input + bias, 0)` for so many channels of the output, one place after the other.
    pub fn add(&self, output: &mut [f32], channels: usize, input: &[Channels]) {
        add_mixed(output, channels, input, self);
    }

    #[inline(always)]
    fn mix(&self, input: &Channels) -> Channels {
        let mut sums = self.bias;
        for (input, weights) in input.iter().zip(&self.weights) {
            for channel in 0..CHANNELS {
                sums[channel] += weights[channel] * input;
            }
        }
        sums.map(|sum| sum.max(0.0))
    }
}

/// Taps at a place and its neighbours, for each channel.
type Taps = [Channels; 3];

fn taps(weights: Tensor) -> Taps {
    let weights = weights.to_floats();
    std::array::from_fn(|tap| std::array::from_fn(|channel| weights[3 * channel + tap]))
}

/// Depthwise separable convolution: three taps over frequency for each channel, then a [`PointwiseConv`].
pub struct DepthwiseConv {
    taps: Taps,
    pointwise: PointwiseConv,
}

impl DepthwiseConv {
    /// Layer of these taps, three for each channel. Allocates.
    pub fn new(weights: Tensor, pointwise: [Tensor; 2]) -> Self {
        Self { taps: taps(weights), pointwise: PointwiseConv::new(pointwise) }
    }

    /// Convolution with a stride of `FROM / TO`: the map stays as wide, or becomes narrower.
    pub fn run<const FROM: usize, const TO: usize>(&self, output: &mut FeatureMap<TO>, input: &FeatureMap<FROM>) {
        output.fill([0.0; CHANNELS]);
        self.add(output, input);
    }

    /// [`run`](Self::run), on top of what is there.
    pub fn add<const FROM: usize, const TO: usize>(&self, output: &mut FeatureMap<TO>, input: &FeatureMap<FROM>) {
        add_convolved(output, input, self);
    }

    /// Transposed convolution with a stride of 2, on top of what is there: the map becomes twice as wide.
    pub fn add_transposed<const FROM: usize, const TO: usize>(
        &self,
        output: &mut FeatureMap<TO>,
        input: &FeatureMap<FROM>,
    ) {
        add_transposed(output.as_chunks_mut().0, input, self);
    }
}

/// Last convolution: from all channels to a single one.
pub struct LastConv {
    taps: Taps,
    bias: f32,
}

impl LastConv {
    /// Layer of these taps, three for each channel, and bias. Allocates.
    pub fn new([weights, bias]: [Tensor; 2]) -> Self {
        Self { taps: taps(weights), bias: bias.to_floats()[0] }
    }

    /// Output at each place.
    pub fn run<const WIDTH: usize>(&self, input: &FeatureMap<WIDTH>) -> [f32; WIDTH] {
        let mut output = [0.0; WIDTH];
        convolve_to_one(&mut output, input, &self.taps, self.bias);
        output
    }
}

/// Frames that a [`FirstConv`] spans.
pub const CONV_FRAMES: usize = 3;

/// First convolution, 3×3, over frequency and the last three frames of one or several inputs; rectified.
pub struct FirstConv {
    /// For each input and each of its frames, the oldest first.
    taps: Box<[[Taps; CONV_FRAMES]]>,
    bias: Channels,
}

impl FirstConv {
    /// Layer of these weights, nine for each channel, and biases. Allocates.
    pub fn new([weights, bias]: [Tensor; 2]) -> Self {
        let bias = bias.to_floats();
        Self { taps: [frame_taps(&weights.to_floats())].into(), bias: std::array::from_fn(|channel| bias[channel]) }
    }

    /// Layer of a grouped convolution, each of whose inputs feeds so many consecutive channels, and of the pointwise one behind
    /// it, as one. Allocates.
    pub fn with_pointwise(weights: Tensor, inputs: usize, pointwise: [Tensor; 2]) -> Self {
        let PointwiseConv { weights: mixing, bias } = PointwiseConv::new(pointwise);
        let group = CHANNELS / inputs;
        let weights = weights.to_floats();
        let of_input = |(weights, mixing): (&[f32], &[Channels])| {
            let mixed = |channel: usize, tap: usize| {
                let products =
                    (0..group).map(|from| f64::from(mixing[from][channel]) * f64::from(weights[9 * from + tap]));
                products.sum::<f64>() as f32
            };
            let weights: [f32; 9 * CHANNELS] = std::array::from_fn(|i| mixed(i / 9, i % 9));
            frame_taps(&weights)
        };
        let taps = weights.chunks_exact(9 * group).zip(mixing.chunks_exact(group)).map(of_input).collect();
        Self { taps, bias }
    }

    /// Output for the last three frames of each input, the oldest first, with a zero at both ends.
    pub fn run<const WIDTH: usize, const PADDED: usize>(
        &self,
        output: &mut FeatureMap<WIDTH>,
        inputs: &[[[f32; PADDED]; CONV_FRAMES]],
    ) {
        output.fill(self.bias);
        for (frames, taps) in inputs.iter().zip(&self.taps) {
            add_convolved_frames(output, frames.each_ref().map(|frame| &frame[..]), taps);
        }
        kernels::rectify(output.as_flattened_mut());
    }
}

fn frame_taps(weights: &[f32]) -> [Taps; CONV_FRAMES] {
    let tap = |frame: usize, tap: usize| std::array::from_fn(|channel| weights[9 * channel + 3 * frame + tap]);
    std::array::from_fn(|frame| std::array::from_fn(|index| tap(frame, index)))
}

kernels! {
    /// [`PointwiseConv::run`].
    fn mix_all(map: &mut [Channels], layer: &PointwiseConv) {
        for place in map {
            *place = layer.mix(place);
        }
    }

    /// [`PointwiseConv::add`].
    fn add_mixed(output: &mut [f32], channels: usize, input: &[Channels], layer: &PointwiseConv) {
        for (output, input) in output.chunks_exact_mut(channels).zip(input) {
            for (output, mixed) in output.iter_mut().zip(layer.mix(input)) {
                *output += mixed;
            }
        }
    }

    /// [`DepthwiseConv::add`].
    fn add_convolved(output: &mut [Channels], input: &[Channels], layer: &DepthwiseConv) {
        let stride = input.len() / output.len();
        for (index, output) in output.iter_mut().enumerate() {
            let filtered = filter(&layer.taps, neighbours(input, index * stride));
            add(output, &layer.pointwise.mix(&in_memory(filtered)));
        }
    }

    /// [`DepthwiseConv::add_transposed`], by pairs of places.
    fn add_transposed(output: &mut [[Channels; 2]], input: &[Channels], layer: &DepthwiseConv) {
        let [first, middle, last] = &layer.taps;
        for (index, [even, odd]) in output.iter_mut().enumerate() {
            let [_, here, next] = neighbours(input, index);
            let mut filtered = [[0.0; CHANNELS]; 2];
            for channel in 0..CHANNELS {
                filtered[0][channel] = middle[channel] * here[channel];
                filtered[1][channel] = last[channel] * here[channel] + first[channel] * next[channel];
            }
            let filtered = in_memory(filtered);
            add(even, &layer.pointwise.mix(&filtered[0]));
            add(odd, &layer.pointwise.mix(&filtered[1]));
        }
    }

    /// [`LastConv::run`].
    fn convolve_to_one(output: &mut [f32], input: &[Channels], taps: &[Channels; 3], bias: f32) {
        for (index, output) in output.iter_mut().enumerate() {
            *output = bias + sum_lanes(&filter(taps, neighbours(input, index)));
        }
    }

    /// Adds what one input of a [`FirstConv`] gives.
    fn add_convolved_frames(output: &mut [Channels], frames: [&[f32]; CONV_FRAMES], taps: &[Taps; CONV_FRAMES]) {
        let [oldest, middle, newest] = frames.map(|frame| frame.windows(3));
        for (output, ((oldest, middle), newest)) in output.iter_mut().zip(oldest.zip(middle).zip(newest)) {
            for (values, taps) in [oldest, middle, newest].into_iter().zip(taps) {
                for (value, tap) in values.iter().zip(taps) {
                    for channel in 0..CHANNELS {
                        output[channel] += value * tap[channel];
                    }
                }
            }
        }
    }
}

/// Place of a feature map between its neighbours; zeros where there is none.
#[inline(always)]
fn neighbours(map: &[Channels], index: usize) -> [&Channels; 3] {
    let at = |index: usize| map.get(index).unwrap_or(&[0.0; CHANNELS]);
    [index.wrapping_sub(1), index, index + 1].map(at)
}

#[inline(always)]
fn filter(taps: &Taps, places: [&Channels; 3]) -> Channels {
    let mut filtered = [0.0; CHANNELS];
    for channel in 0..CHANNELS {
        filtered[channel] = taps[0][channel] * places[0][channel]
            + taps[1][channel] * places[1][channel]
            + taps[2][channel] * places[2][channel];
    }
    filtered
}

#[inline(always)]
fn add(output: &mut Channels, values: &Channels) {
    for channel in 0..CHANNELS {
        output[channel] += values[channel];
    }
}

/// Values of which one channel after the other is wanted in all lanes: from memory that is one instruction, from a register two.
#[inline(always)]
fn in_memory<T>(values: T) -> T {
    std::hint::black_box(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tensor of any weights.
    fn tensor(random: &mut fastrand::Rng, length: usize) -> Tensor {
        let weights: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        let scales: Vec<[u8; 4]> = (0..length).map(|_| (0.01 * random.f32()).to_le_bytes()).collect();
        Tensor::new(weights.leak(), scales.leak(), 1)
    }

    fn map<const WIDTH: usize>(random: &mut fastrand::Rng) -> FeatureMap<WIDTH> {
        std::array::from_fn(|_| std::array::from_fn(|_| random.f32() - 0.3))
    }

    /// `max(weights · input + bias, 0)` of one output.
    fn mixed([weights, bias]: [Tensor; 2], input: impl Fn(usize) -> f32, output: usize) -> f32 {
        let weights = weights.to_floats();
        let products = (0..CHANNELS).map(|channel| weights[output * CHANNELS + channel] * input(channel));
        (products.sum::<f32>() + bias.to_floats()[output]).max(0.0)
    }

    fn assert_near(found: f32, wanted: f32) {
        assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
    }

    #[test]
    fn pointwise_convolutions_agree_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(1);
        for outputs in [10, CHANNELS] {
            let tensors = [CHANNELS * outputs, outputs].map(|length| tensor(&mut random, length));
            let (layer, input) = (PointwiseConv::new(tensors), map::<8>(&mut random));
            let (mut added, mut replaced) = (vec![0.5; 8 * outputs], input);
            layer.add(&mut added, outputs, &input);
            layer.run(&mut replaced);
            for (place, input) in input.iter().enumerate() {
                for output in 0..outputs {
                    let wanted = mixed(tensors, |channel| input[channel], output);
                    assert_near(added[place * outputs + output], 0.5 + wanted);
                    assert_near(replaced[place][output], wanted);
                }
            }
        }
    }

    #[test]
    fn separable_convolutions_agree_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(2);
        let pointwise = [CHANNELS * CHANNELS, CHANNELS].map(|length| tensor(&mut random, length));
        let weights = tensor(&mut random, 3 * CHANNELS);
        let (layer, taps, input) =
            (DepthwiseConv::new(weights, pointwise), weights.to_floats(), map::<16>(&mut random));
        // Value at a place, and what a tap makes of it.
        let at = |place: isize, channel: usize| {
            usize::try_from(place).ok().and_then(|at| input.get(at)).map_or(0.0, |x| x[channel])
        };
        let filtered = |place: isize, channel: usize| -> f32 {
            (0..3).map(|tap| taps[3 * channel + tap] * at(place + tap as isize - 1, channel)).sum()
        };
        let (mut whole, mut half, mut twice) = ([[9.0; CHANNELS]; 16], [[9.0; CHANNELS]; 8], [[0.5; CHANNELS]; 32]);
        layer.run(&mut whole, &input);
        layer.run(&mut half, &input);
        layer.add_transposed(&mut twice, &input);
        let last = LastConv::new([weights, tensor(&mut random, 1)]);
        let one = last.run(&input);
        for place in 0..16 {
            assert_near(
                one[place],
                last.bias + (0..CHANNELS).map(|channel| filtered(place as isize, channel)).sum::<f32>(),
            );
            for output in 0..CHANNELS {
                let wanted = |place: usize| mixed(pointwise, |channel| filtered(place as isize, channel), output);
                assert_near(whole[place][output], wanted(place));
                if place < 8 {
                    assert_near(half[place][output], wanted(2 * place));
                }
                let even = |channel: usize| taps[3 * channel + 1] * at(place as isize, channel);
                let odd = |channel: usize| {
                    taps[3 * channel + 2] * at(place as isize, channel)
                        + taps[3 * channel] * at(place as isize + 1, channel)
                };
                assert_near(twice[2 * place][output], 0.5 + mixed(pointwise, even, output));
                assert_near(twice[2 * place + 1][output], 0.5 + mixed(pointwise, odd, output));
            }
        }
    }

    #[test]
    fn first_convolutions_agree_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(3);
        let frames: [[[f32; 10]; CONV_FRAMES]; 2] = std::array::from_fn(|_| {
            std::array::from_fn(|_| std::array::from_fn(|i| if i % 9 == 0 { 0.0 } else { random.f32() - 0.5 }))
        });
        let [weights, bias] = [9 * CHANNELS, CHANNELS].map(|length| tensor(&mut random, length));
        let pointwise = [CHANNELS * CHANNELS, CHANNELS].map(|length| tensor(&mut random, length));
        let taps = weights.to_floats();
        let convolved = |input: usize, place: usize, channel: usize| -> f32 {
            let tap = |i: usize| taps[9 * channel + i] * frames[input][i / 3][place + i % 3];
            (0..9).map(tap).sum()
        };
        let (mut single, mut grouped) = ([[0.0; CHANNELS]; 8], [[0.0; CHANNELS]; 8]);
        FirstConv::new([weights, bias]).run(&mut single, &frames[..1]);
        FirstConv::with_pointwise(weights, 2, pointwise).run(&mut grouped, &frames);
        for place in 0..8 {
            for output in 0..CHANNELS {
                let wanted = convolved(0, place, output) + bias.to_floats()[output];
                assert_near(single[place][output], wanted.max(0.0));
                let of_group = |channel: usize| convolved(channel / (CHANNELS / 2), place, channel);
                assert_near(grouped[place][output], mixed(pointwise, of_group, output));
            }
        }
    }
}
