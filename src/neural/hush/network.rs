//! Network of Hush: from the spectrum of noisy speech to the spectrum of speech.
//!
//! An encoder summarises the features of a frame. One decoder makes of that a mask for 32 bands; the other, for the bins
//! up to 3.2 kHz, a complex filter over the last five frames (deep filtering), which replaces the mask there and brings
//! back what a mask smears.

use std::sync::OnceLock;

use realfft::num_complex::Complex32;

use super::feature_map::{
    CHANNELS, CONV_FRAMES, Channels, DepthwiseConv, FeatureMap, FirstConv, LastConv, PointwiseConv,
};
use super::features::{BANDS, BINS, FILTERED, Features};
use super::tensors::{self as t, STATE, StateMatrix};
use crate::dsp::dispatch::kernels;
use crate::neural::kernels;
use crate::neural::layers::{Grouped, Gru, Linear};

/// Frames that the deep filter spans.
const ORDER: usize = 5;

/// Length of the encoder's summary of a frame.
const SUMMARY: usize = 128;

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
    bin_halves: FeatureMap<{ FILTERED / 2 }>,
    wide: [f32; STATE],
    deep: FeatureMap<8>,
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
        deep: [[0.0; CHANNELS]; 8],
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
        let mut output = newest;
        filter_deep(&mut output, &self.state.spectra, memory.filters.as_chunks().0.as_chunks().0);
        push(&mut self.state.spectra, newest);
        output
    }
}

kernels! {
    /// Lower bins of the last spectra, the newest of which is replaced by it, each times its tap, added up.
    fn filter_deep(
        newest: &mut [Complex32; FILTERED],
        spectra: &[[Complex32; FILTERED]; ORDER - 1],
        filters: &[[[f32; 2]; ORDER]],
    ) {
        for (bin, (output, filter)) in newest.iter_mut().zip(filters).enumerate() {
            let (last, earlier) = ([*output], spectra.each_ref().map(|spectrum| spectrum[bin]));
            *output = Complex32::ZERO;
            for (bin, [re, im]) in earlier.iter().chain(&last).zip(filter) {
                output.re += bin.re * re - bin.im * im;
                output.im += bin.re * im + bin.im * re;
            }
        }
    }
}

/// Last frames with the newest, each between two zeros; the newest takes the place of the oldest.
fn line_up<const WIDTH: usize, const PADDED: usize>(
    frames: &mut [[f32; WIDTH]; CONV_FRAMES - 1],
    newest: &[f32; WIDTH],
) -> [[f32; PADDED]; CONV_FRAMES] {
    let mut padded = [[0.0; PADDED]; CONV_FRAMES];
    for (padded, frame) in padded.iter_mut().zip(frames.iter().chain([newest])) {
        padded[1..][..WIDTH].copy_from_slice(frame);
    }
    push(frames, *newest);
    padded
}

/// Drops the oldest frame and appends the newest.
fn push<T, const N: usize>(frames: &mut [T; N], newest: T) {
    frames.rotate_left(1);
    frames[N - 1] = newest;
}

/// Recurrent unit whose input is as long as its state.
type Unit = Gru<StateMatrix, STATE, STATE>;

/// Output of the encoder: the summary, and the feature maps on the way to it.
struct Encoded {
    bands: FeatureMap<32>,
    halves: FeatureMap<16>,
    quarters: FeatureMap<8>,
    deep: FeatureMap<8>,
    bins: FeatureMap<FILTERED>,
    summary: [f32; SUMMARY],
}

impl Encoded {
    const NEW: Self = Self {
        bands: [[0.0; CHANNELS]; 32],
        halves: [[0.0; CHANNELS]; 16],
        quarters: [[0.0; CHANNELS]; 8],
        deep: [[0.0; CHANNELS]; 8],
        bins: [[0.0; CHANNELS]; FILTERED],
        summary: [0.0; SUMMARY],
    };
}

struct Encoder {
    bands_in: FirstConv,
    bands: [DepthwiseConv; 3],
    bins_in: FirstConv,
    bins: DepthwiseConv,
    bins_out: Grouped,
    gru_in: Linear,
    gru: Unit,
    gru_out: Linear,
}

impl Encoder {
    fn new(matrices: [StateMatrix; 2]) -> Self {
        Self {
            bands_in: FirstConv::new(t::BANDS_IN),
            bands: std::array::from_fn(|i| DepthwiseConv::new(t::BANDS_TAPS[i], t::BANDS_POINTWISE[i])),
            bins_in: FirstConv::with_pointwise(t::BINS_IN, 2, t::BINS_POINTWISE[0]),
            bins: DepthwiseConv::new(t::BINS_TAPS, t::BINS_POINTWISE[1]),
            bins_out: Grouped::new(t::BINS_OUT, [FILTERED / 2, SUMMARY / CHANNELS]),
            gru_in: Linear::new(t::ENCODER_IN, SUMMARY),
            gru: Gru::new(matrices, t::ENCODER_BIAS),
            gru_out: Linear::new(t::ENCODER_OUT, STATE),
        }
    }

    fn run(&self, streams: &mut [Option<Stream<'_>>]) {
        for Stream { state, memory } in streams.iter_mut().flatten() {
            let Encoded { bands, halves, quarters, deep, bins, summary } = &mut memory.encoded;
            self.bands_in.run(bands, &[line_up::<_, { BANDS + 2 }>(&mut state.bands, &memory.bands)]);
            self.bands[0].run(halves, bands);
            self.bands[1].run(quarters, halves);
            self.bands[2].run(deep, quarters);
            let parts = [0, 1].map(|part| line_up::<_, { FILTERED + 2 }>(&mut state.bins[part], &memory.bins[part]));
            self.bins_in.run(bins, &parts);
            self.bins.run(&mut memory.bin_halves, bins);
            self.bins_out.run(summary, memory.bin_halves.as_flattened());
            add(summary.as_chunks_mut().0, deep);
        }
        widen(&self.gru_in, streams);
        self.gru.step(streams.iter_mut().flatten().map(|s| (&mut s.state.encoder, &s.memory.wide)));
        let outputs = streams.iter_mut().flatten();
        self.gru_out.run_rectified(outputs.map(|s| (&mut s.memory.encoded.summary[..], &s.state.encoder[..])));
    }
}

/// Adds a feature map to another.
fn add(map: &mut [Channels], other: &[Channels]) {
    for (value, other) in map.as_flattened_mut().iter_mut().zip(other.as_flattened()) {
        *value += other;
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
    output: LastConv,
}

impl MaskDecoder {
    fn new(matrices: [StateMatrix; 2]) -> Self {
        Self {
            gru_in: Linear::new(t::MASK_IN, SUMMARY),
            gru: Gru::new(matrices, t::MASK_BIAS),
            gru_out: Linear::new(t::MASK_OUT, STATE),
            skips: t::MASK_SKIPS.map(PointwiseConv::new),
            layers: std::array::from_fn(|i| DepthwiseConv::new(t::MASK_TAPS[i], t::MASK_POINTWISE[i])),
            output: LastConv::new(t::MASK_LAST),
        }
    }

    fn run(&self, streams: &mut [Option<Stream<'_>>]) {
        widen(&self.gru_in, streams);
        self.gru.step(streams.iter_mut().flatten().map(|s| (&mut s.state.mask, &s.memory.wide)));
        let outputs = streams.iter_mut().flatten();
        self.gru_out.run_rectified(outputs.map(|s| (s.memory.deep.as_flattened_mut(), &s.state.mask[..])));
        for Memory { encoded, deep, mask, .. } in streams.iter_mut().flatten().map(|stream| &mut *stream.memory) {
            *mask = self.mask(encoded, deep);
        }
    }

    /// Mask, from the summary and the feature maps of the bands, of which nothing is left.
    fn mask(&self, encoded: &mut Encoded, summary: &FeatureMap<8>) -> [f32; BANDS] {
        let Encoded { deep, quarters, halves, bands, .. } = encoded;
        self.skips[0].run(deep);
        add(deep, summary);
        self.skips[1].run(quarters);
        self.layers[0].add(quarters, deep);
        self.skips[2].run(halves);
        self.layers[1].add_transposed(halves, quarters);
        self.skips[3].run(bands);
        self.layers[2].add_transposed(bands, halves);
        let mut mask = self.output.run(bands);
        kernels::sigmoid(&mut mask);
        mask
    }
}

/// Taps of all bins, each a real and an imaginary part, the oldest frame first.
type Filters = [f32; FILTERED * 2 * ORDER];

struct FilterDecoder {
    gru_in: Grouped,
    grus: [Unit; 3],
    output: Linear,
    skip: PointwiseConv,
}

impl FilterDecoder {
    fn new(matrices: [[StateMatrix; 2]; 3]) -> Self {
        let [first, second, last] = matrices;
        let [first_bias, second_bias, last_bias] = t::FILTER_BIAS;
        Self {
            gru_in: Grouped::new(t::FILTER_IN, [SUMMARY / 8, STATE / 8]),
            grus: [Gru::new(first, first_bias), Gru::new(second, second_bias), Gru::new(last, last_bias)],
            output: Linear::new(t::FILTER_OUT, STATE),
            skip: PointwiseConv::new(t::FILTER_SKIP),
        }
    }

    fn run(&self, streams: &mut [Option<Stream<'_>>]) {
        for Memory { encoded, wide, .. } in streams.iter_mut().flatten().map(|stream| &mut *stream.memory) {
            self.gru_in.run(wide, &encoded.summary);
        }
        for (unit, gru) in self.grus.iter().enumerate() {
            gru.step(streams.iter_mut().flatten().map(|s| (&mut s.state.filter[unit], &s.memory.wide)));
            streams.iter_mut().flatten().for_each(|s| s.memory.wide = s.state.filter[unit]);
        }
        let memories = streams.iter_mut().flatten().map(|stream| &mut *stream.memory);
        self.output.run(memories.map(|memory| (&mut memory.filters[..], &memory.wide[..])));
        for Memory { encoded, filters, .. } in streams.iter_mut().flatten().map(|stream| &mut *stream.memory) {
            kernels::tanh(filters);
            self.skip.add(filters, 2 * ORDER, &encoded.bins);
        }
    }
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
