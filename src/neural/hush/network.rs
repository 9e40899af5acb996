//! Network of Hush: from the spectrum of noisy speech to the spectrum of speech.
//!
//! An encoder summarises the features of a frame. One decoder makes of that a mask for 32 bands; the other, for the bins
//! up to 3.2 kHz, a complex filter over the last five frames (deep filtering), which replaces the mask there and brings
//! back what a mask smears.

use std::sync::OnceLock;

use realfft::num_complex::Complex32;

use super::features::{BANDS, BINS, FILTERED, Features};
use super::tensors::{self as t, STATE, StateMatrix};
use crate::neural::kernels;
use crate::neural::layers::{
    CHANNELS, CONV_FRAMES, Conv2d, DepthwiseConv, FeatureMap, Gru, Linear, PointwiseConv, add_filtered, add_scaled,
    rectify,
};
use crate::neural::weights::Tensor;

/// Frames that the deep filter spans.
const ORDER: usize = 5;

/// Length of the encoder's summary of a frame.
const SUMMARY: usize = 128;

type Map<const WIDTH: usize> = FeatureMap<CHANNELS, WIDTH>;

/// Layers of the network, shared by all streams: 1.0 MB where they lie in the program, and 0.5 MB.
struct Weights {
    encoder: Encoder,
    mask: MaskDecoder,
    filter: FilterDecoder,
}

/// Weights of Hush. Allocates at the first call in a program.
fn weights() -> &'static Weights {
    static WEIGHTS: OnceLock<Weights> = OnceLock::new();
    WEIGHTS.get_or_init(|| {
        let [encoder, mask, filter @ ..] = t::state_matrices();
        Weights { encoder: Encoder::new(encoder), mask: MaskDecoder::new(mask), filter: FilterDecoder::new(filter) }
    })
}

/// Hush for one stream.
#[derive(Clone)]
pub struct Hush {
    state: State,
}

/// All that is remembered of a stream.
#[derive(Clone)]
struct State {
    features: Features,
    /// Features of the frames before the newest, the oldest first.
    bands: [[f32; BANDS]; CONV_FRAMES - 1],
    bins: [[[f32; FILTERED]; CONV_FRAMES - 1]; 2],
    /// Spectra before the newest, the oldest first.
    spectra: [[Complex32; FILTERED]; ORDER - 1],
    encoder: [f32; STATE],
    mask: [f32; STATE],
    filter: [[f32; STATE]; 3],
}

impl State {
    fn new() -> Self {
        Self {
            features: Features::new(),
            bands: [[0.0; BANDS]; CONV_FRAMES - 1],
            bins: [[[0.0; FILTERED]; CONV_FRAMES - 1]; 2],
            spectra: [[Complex32::ZERO; FILTERED]; ORDER - 1],
            encoder: [0.0; STATE],
            mask: [0.0; STATE],
            filter: [[0.0; STATE]; 3],
        }
    }
}

/// Memory for a frame of one stream, from its features to mask and filters.
pub struct Memory {
    /// Features.
    bands: [f32; BANDS],
    bins: [[f32; FILTERED]; 2],
    encoded: Encoded,
    /// Inputs of layers.
    bin_halves: [[f32; CHANNELS]; FILTERED / 2],
    wide: [f32; STATE],
    narrow: [f32; SUMMARY],
    mask: [f32; BANDS],
    filters: Filters,
}

impl Memory {
    pub const NEW: Self = Self {
        bands: [0.0; BANDS],
        bins: [[0.0; FILTERED]; 2],
        encoded: Encoded::NEW,
        bin_halves: [[0.0; CHANNELS]; FILTERED / 2],
        wide: [0.0; STATE],
        narrow: [0.0; SUMMARY],
        mask: [0.0; BANDS],
        filters: [0.0; FILTERED * 2 * ORDER],
    };

    /// Gains of the bands, after the network has run: the bins above those of the deep filter get them.
    pub fn mask(&self) -> &[f32; BANDS] {
        &self.mask
    }
}

/// Stream with a frame for the network.
pub struct Stream<'a> {
    state: &'a mut State,
    memory: &'a mut Memory,
}

/// Runs the network for all streams in lockstep.
pub fn run(streams: &mut [Option<Stream<'_>>]) {
    let weights = weights();
    weights.encoder.run(streams);
    weights.mask.run(streams);
    weights.filter.run(streams);
}

impl Hush {
    /// Hush at the start of a stream. The first one in a program allocates.
    pub fn new() -> Self {
        weights();
        Self { state: State::new() }
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.state = State::new();
    }

    /// Takes in a spectrum whose full scale is 1. The network judges by level: it sees the spectrum times `sensitivity`.
    pub fn hear<'a>(
        &'a mut self,
        spectrum: &[Complex32; BINS],
        sensitivity: f32,
        memory: &'a mut Memory,
    ) -> Stream<'a> {
        let state = &mut self.state;
        memory.bands = state.features.bands(spectrum, sensitivity);
        memory.bins = state.features.bins(spectrum, sensitivity);
        Stream { state, memory }
    }

    /// Bins of that spectrum that the deep filter makes, after the network has run.
    pub fn filter(&mut self, spectrum: &[Complex32; BINS], memory: &Memory) -> [Complex32; FILTERED] {
        let newest = std::array::from_fn(|bin| spectrum[bin]);
        let spectra = &mut self.state.spectra;
        let mut output = newest;
        let filters = memory.filters.as_chunks::<{ 2 * ORDER }>().0;
        for (bin, (value, filter)) in output.iter_mut().zip(filters).enumerate() {
            let taps = spectra.iter().chain([&newest]).zip(filter.as_chunks::<2>().0);
            *value = taps.map(|(spectrum, [re, im])| spectrum[bin] * Complex32::new(*re, *im)).sum();
        }
        push(spectra, newest);
        output
    }
}

/// Frames with the newest one.
fn last_three<'a, T>([oldest, last]: &'a [T; CONV_FRAMES - 1], newest: &'a T) -> [&'a T; CONV_FRAMES] {
    [oldest, last, newest]
}

/// Drops the oldest frame and appends the newest.
fn push<T, const N: usize>(frames: &mut [T; N], newest: T) {
    frames.rotate_left(1);
    frames[N - 1] = newest;
}

fn pointwise([weights, bias]: [Tensor; 2]) -> PointwiseConv {
    PointwiseConv::new(weights, bias)
}

/// Recurrent unit whose input is as long as its state.
type Unit = Gru<StateMatrix, STATE, STATE>;

/// Output of the encoder: the summary, and the feature maps on the way to it.
struct Encoded {
    bands: Map<32>,
    halves: Map<16>,
    quarters: Map<8>,
    deep: Map<8>,
    bins: Map<FILTERED>,
    summary: [f32; SUMMARY],
}

impl Encoded {
    const NEW: Self = Self {
        bands: [[0.0; 32]; CHANNELS],
        halves: [[0.0; 16]; CHANNELS],
        quarters: [[0.0; 8]; CHANNELS],
        deep: [[0.0; 8]; CHANNELS],
        bins: [[0.0; FILTERED]; CHANNELS],
        summary: [0.0; SUMMARY],
    };
}

struct Encoder {
    bands_in: Conv2d,
    bands: [DepthwiseConv; 3],
    bins_in: Conv2d,
    bins_pointwise: PointwiseConv,
    bins: DepthwiseConv,
    bins_out: Linear,
    gru_in: Linear,
    gru: Unit,
    gru_out: Linear,
}

impl Encoder {
    fn new(matrices: [StateMatrix; 2]) -> Self {
        let [weights, bias] = t::BANDS_IN;
        Self {
            bands_in: Conv2d::new(weights, Some(bias)),
            bands: std::array::from_fn(|i| DepthwiseConv::new(t::BANDS_TAPS[i], pointwise(t::BANDS_POINTWISE[i]))),
            bins_in: Conv2d::new(t::BINS_IN, None),
            bins_pointwise: pointwise(t::BINS_POINTWISE[0]),
            bins: DepthwiseConv::new(t::BINS_TAPS, pointwise(t::BINS_POINTWISE[1])),
            bins_out: Linear::new(t::BINS_OUT, CHANNELS, [FILTERED / 2, SUMMARY / CHANNELS]),
            gru_in: Linear::new(t::ENCODER_IN, 1, [SUMMARY, STATE]),
            gru: Gru::new(matrices, t::ENCODER_BIAS),
            gru_out: Linear::new(t::ENCODER_OUT, 1, [STATE, SUMMARY]),
        }
    }

    fn run(&self, streams: &mut [Option<Stream<'_>>]) {
        for Stream { state, memory } in streams.iter_mut().flatten() {
            let encoded = &mut memory.encoded;
            encoded.bands = self.bands_in.run([last_three(&state.bands, &memory.bands)]);
            rectify(encoded.bands.as_flattened_mut());
            encoded.halves = self.bands[0].run(&encoded.bands);
            encoded.quarters = self.bands[1].run(&encoded.halves);
            encoded.deep = self.bands[2].run(&encoded.quarters);
            let bins = [0, 1].map(|part| last_three(&state.bins[part], &memory.bins[part]));
            let bins_in: Map<FILTERED> = self.bins_in.run(bins);
            push(&mut state.bands, memory.bands);
            state.bins.iter_mut().zip(memory.bins).for_each(|(frames, newest)| push(frames, newest));
            self.bins_pointwise.run(&bins_in, &mut encoded.bins);
            memory.bin_halves = by_frequency(&self.bins.run(&encoded.bins));
        }
        let memories = streams.iter_mut().flatten().map(|stream| &mut *stream.memory);
        self.bins_out.run_rectified(memories.map(|m| (&mut m.encoded.summary[..], m.bin_halves.as_flattened())));
        for Encoded { summary, deep, .. } in streams.iter_mut().flatten().map(|stream| &mut stream.memory.encoded) {
            add_scaled(summary, by_frequency(deep).as_flattened(), 1.0);
        }
        widen(&self.gru_in, streams);
        self.gru.step(streams.iter_mut().flatten().map(|s| (&mut s.state.encoder, &s.memory.wide)));
        let outputs = streams.iter_mut().flatten();
        self.gru_out.run_rectified(outputs.map(|s| (&mut s.memory.encoded.summary[..], &s.state.encoder[..])));
    }
}

/// Input of a recurrent unit, made of the summaries.
fn widen(layer: &Linear, streams: &mut [Option<Stream<'_>>]) {
    let memories = streams.iter_mut().flatten().map(|stream| &mut *stream.memory);
    layer.run_rectified(memories.map(|memory| (&mut memory.wide[..], &memory.encoded.summary[..])));
}

struct MaskDecoder {
    gru_in: Linear,
    gru: Unit,
    gru_out: Linear,
    skips: [PointwiseConv; 4],
    layers: [DepthwiseConv; 3],
    /// Three taps for each channel.
    output: Box<[f32]>,
    output_bias: f32,
}

impl MaskDecoder {
    fn new(matrices: [StateMatrix; 2]) -> Self {
        let [output, output_bias] = t::MASK_LAST.map(Tensor::to_floats);
        Self {
            gru_in: Linear::new(t::MASK_IN, 1, [SUMMARY, STATE]),
            gru: Gru::new(matrices, t::MASK_BIAS),
            gru_out: Linear::new(t::MASK_OUT, 1, [STATE, SUMMARY]),
            skips: t::MASK_SKIPS.map(pointwise),
            layers: std::array::from_fn(|i| DepthwiseConv::new(t::MASK_TAPS[i], pointwise(t::MASK_POINTWISE[i]))),
            output,
            output_bias: output_bias[0],
        }
    }

    fn run(&self, streams: &mut [Option<Stream<'_>>]) {
        widen(&self.gru_in, streams);
        self.gru.step(streams.iter_mut().flatten().map(|s| (&mut s.state.mask, &s.memory.wide)));
        let outputs = streams.iter_mut().flatten();
        self.gru_out.run_rectified(outputs.map(|s| (&mut s.memory.narrow[..], &s.state.mask[..])));
        for Memory { encoded, narrow, mask, .. } in streams.iter_mut().flatten().map(|stream| &mut *stream.memory) {
            *mask = self.mask(encoded, narrow);
        }
    }

    fn mask(&self, encoded: &Encoded, narrow: &[f32; SUMMARY]) -> [f32; BANDS] {
        let mut deep: Map<8> = std::array::from_fn(|channel| std::array::from_fn(|i| narrow[i * CHANNELS + channel]));
        self.skips[0].add(&encoded.deep, &mut deep);
        let mut quarters: Map<8> = self.layers[0].run(&deep);
        self.skips[1].add(&encoded.quarters, &mut quarters);
        let mut halves: Map<16> = self.layers[1].run_transposed(&quarters);
        self.skips[2].add(&encoded.halves, &mut halves);
        let mut bands: Map<32> = self.layers[2].run_transposed(&halves);
        self.skips[3].add(&encoded.bands, &mut bands);

        let mut mask = [self.output_bias; BANDS];
        for (channel, taps) in bands.iter().zip(self.output.chunks_exact(3)) {
            add_filtered(&mut mask, channel, taps);
        }
        kernels::sigmoid(&mut mask);
        mask
    }
}

/// Taps of all bins, each a real and an imaginary part, the oldest frame first.
type Filters = [f32; FILTERED * 2 * ORDER];

struct FilterDecoder {
    gru_in: Linear,
    grus: [Unit; 3],
    output: Linear,
    skip: PointwiseConv,
}

impl FilterDecoder {
    fn new(matrices: [[StateMatrix; 2]; 3]) -> Self {
        let [first, second, last] = matrices;
        let [first_bias, second_bias, last_bias] = t::FILTER_BIAS;
        Self {
            gru_in: Linear::new(t::FILTER_IN, 8, [SUMMARY / 8, STATE / 8]),
            grus: [Gru::new(first, first_bias), Gru::new(second, second_bias), Gru::new(last, last_bias)],
            output: Linear::new(t::FILTER_OUT, 1, [STATE, FILTERED * 2 * ORDER]),
            skip: pointwise(t::FILTER_SKIP),
        }
    }

    fn run(&self, streams: &mut [Option<Stream<'_>>]) {
        widen(&self.gru_in, streams);
        for (unit, gru) in self.grus.iter().enumerate() {
            gru.step(streams.iter_mut().flatten().map(|s| (&mut s.state.filter[unit], &s.memory.wide)));
            streams.iter_mut().flatten().for_each(|s| s.memory.wide = s.state.filter[unit]);
        }
        let memories = streams.iter_mut().flatten().map(|stream| &mut *stream.memory);
        self.output.run(memories.map(|memory| (&mut memory.filters[..], &memory.wide[..])));
        for Memory { encoded, filters, .. } in streams.iter_mut().flatten().map(|stream| &mut *stream.memory) {
            kernels::tanh(filters);
            let mut skipped = [[0.0; FILTERED]; 2 * ORDER];
            self.skip.run(&encoded.bins, &mut skipped);
            for (tap, bins) in skipped.iter().enumerate() {
                for (bin, value) in bins.iter().enumerate() {
                    filters[bin * 2 * ORDER + tap] += value;
                }
            }
        }
    }
}

/// Feature map with its axes swapped.
fn by_frequency<const WIDTH: usize>(map: &Map<WIDTH>) -> [[f32; CHANNELS]; WIDTH] {
    std::array::from_fn(|i| std::array::from_fn(|channel| map[channel][i]))
}

#[cfg(test)]
mod tests {
    use super::run as run_network;
    use super::*;

    /// Spectra with a few peaks that move.
    fn spectra(seed: u64) -> Vec<[Complex32; BINS]> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut value = || 0.01 * (random.f32() - 0.5);
        (0..60).map(|_| std::array::from_fn(|_| Complex32::new(value(), value()))).collect()
    }

    fn run(hush: &mut Hush, spectra: &[[Complex32; BINS]]) -> Vec<([Complex32; FILTERED], [f32; BANDS])> {
        let process = |spectrum: &[Complex32; BINS]| {
            let mut memory = Memory::NEW;
            run_network(&mut [Some(hush.hear(spectrum, 1.0, &mut memory))]);
            (hush.filter(spectrum, &memory), memory.mask)
        };
        spectra.iter().map(process).collect()
    }

    #[test]
    fn streams_share_weights_and_nothing_else() {
        let (first, second) = (spectra(1), spectra(2));
        let (alone, other) = (run(&mut Hush::new(), &first), run(&mut Hush::new(), &second));
        assert!(alone != other);
        let (mut a, mut b) = (Hush::new(), Hush::new());
        for (index, (x, y)) in first.iter().zip(&second).enumerate() {
            assert!(run(&mut a, &[*x])[0] == alone[index] && run(&mut b, &[*y])[0] == other[index]);
        }
        assert!(size_of::<Hush>() < 12_000, "{} bytes a stream", size_of::<Hush>());
    }

    #[test]
    fn a_reset_stream_is_a_new_one() {
        let spectra = spectra(1);
        let mut hush = Hush::new();
        let fresh = run(&mut hush, &spectra);
        assert!(run(&mut hush, &spectra) != fresh, "it remembers");
        for _ in 0..10 {
            hush.reset();
            assert!(run(&mut hush, &spectra) == fresh);
        }
    }
}
