//! Network of Hush: from the spectrum of noisy speech to the spectrum of speech.
//!
//! An encoder summarises the features of a frame. One decoder makes of that a mask for 32 bands; the other, for the bins
//! up to 3.2 kHz, a complex filter over the last five frames (deep filtering), which replaces the mask there and brings
//! back what a mask smears.

use std::sync::OnceLock;

use realfft::num_complex::Complex32;

use super::features::{BANDS, BINS, FILTERED, Features, spread};
use super::tensors as t;
use crate::neural::kernels;
use crate::neural::layers::{
    CONV_FRAMES, Conv2d, DepthwiseConv, FeatureMap, Gru, Linear, PointwiseConv, add_filtered, add_scaled, rectify,
};
use crate::neural::weights::Tensor;

/// Channels of every feature map.
const CHANNELS: usize = 16;

/// State of a recurrent unit.
const STATE: usize = 256;

/// Frames that the deep filter spans.
const ORDER: usize = 5;

/// Length of the encoder's summary of a frame.
const SUMMARY: usize = 128;

type Map<const WIDTH: usize> = FeatureMap<CHANNELS, WIDTH>;

/// Layers of the network, shared by all streams: 2.3 MB where they lie in the program, and 50 kB of floats.
struct Weights {
    encoder: Encoder,
    mask: MaskDecoder,
    filter: FilterDecoder,
}

/// Weights of Hush. Allocates at the first call in a program.
fn weights() -> &'static Weights {
    static WEIGHTS: OnceLock<Weights> = OnceLock::new();
    WEIGHTS.get_or_init(|| Weights { encoder: Encoder::new(), mask: MaskDecoder::new(), filter: FilterDecoder::new() })
}

/// Hush for one stream.
#[derive(Clone)]
pub struct Hush {
    weights: &'static Weights,
    state: State,
}

/// All that is remembered of a stream.
#[derive(Clone)]
struct State {
    features: Features,
    /// Features of the last frames, the oldest first.
    bands: [[[f32; BANDS]; CONV_FRAMES]; 1],
    bins: [[[f32; FILTERED]; CONV_FRAMES]; 2],
    /// Last spectra, the oldest first.
    spectra: [[Complex32; FILTERED]; ORDER],
    encoder: [f32; STATE],
    mask: [f32; STATE],
    filter: [[f32; STATE]; 3],
}

impl State {
    fn new() -> Self {
        Self {
            features: Features::new(),
            bands: [[[0.0; BANDS]; CONV_FRAMES]; 1],
            bins: [[[0.0; FILTERED]; CONV_FRAMES]; 2],
            spectra: [[Complex32::ZERO; FILTERED]; ORDER],
            encoder: [0.0; STATE],
            mask: [0.0; STATE],
            filter: [[0.0; STATE]; 3],
        }
    }
}

impl Hush {
    /// Hush at the start of a stream. The first one in a program allocates.
    pub fn new() -> Self {
        Self { weights: weights(), state: State::new() }
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.state = State::new();
    }

    /// Takes the noise out of a spectrum whose full scale is 1; returns the mask, from which the gain of higher
    /// frequencies follows. The network judges by level: it sees the spectrum times `sensitivity`.
    pub fn process(&mut self, spectrum: &mut [Complex32; BINS], sensitivity: f32) -> [f32; BANDS] {
        let Self { weights, state } = self;
        push(&mut state.bands[0], state.features.bands(spectrum, sensitivity));
        for (frames, part) in state.bins.iter_mut().zip(state.features.bins(spectrum, sensitivity)) {
            push(frames, part);
        }
        push(&mut state.spectra, std::array::from_fn(|bin| spectrum[bin]));

        let encoded = weights.encoder.run(&mut state.encoder, &state.bands, &state.bins);
        let mask = weights.mask.run(&mut state.mask, &encoded);
        let filters = weights.filter.run(&mut state.filter, &encoded);
        for (bin, gain) in spectrum.iter_mut().zip(spread(&mask)) {
            *bin *= gain;
        }
        for (bin, (value, filter)) in spectrum.iter_mut().zip(filters.as_chunks::<{ 2 * ORDER }>().0).enumerate() {
            let taps = state.spectra.iter().zip(filter.as_chunks::<2>().0);
            *value = taps.map(|(spectrum, [re, im])| spectrum[bin] * Complex32::new(*re, *im)).sum();
        }
        mask
    }
}

/// Drops the oldest frame and appends the newest.
fn push<T, const N: usize>(frames: &mut [T; N], newest: T) {
    frames.rotate_left(1);
    frames[N - 1] = newest;
}

fn pointwise([weights, bias]: [Tensor; 2]) -> PointwiseConv {
    PointwiseConv::new(weights, bias)
}

fn gru([input, recurrent, bias]: [Tensor; 3]) -> Gru<STATE, STATE> {
    Gru::new(input, recurrent, bias)
}

/// Output of the encoder: the summary, and the feature maps on the way to it.
struct Encoded {
    bands: Map<32>,
    halves: Map<16>,
    quarters: Map<8>,
    deep: Map<8>,
    bins: Map<FILTERED>,
    summary: [f32; SUMMARY],
}

struct Encoder {
    bands_in: Conv2d,
    bands: [DepthwiseConv; 3],
    bins_in: Conv2d,
    bins_pointwise: PointwiseConv,
    bins: DepthwiseConv,
    bins_out: Linear,
    gru_in: Linear,
    gru: Gru<STATE, STATE>,
    gru_out: Linear,
}

impl Encoder {
    fn new() -> Self {
        let [weights, bias] = t::BANDS_IN;
        Self {
            bands_in: Conv2d::new(weights, Some(bias)),
            bands: std::array::from_fn(|i| DepthwiseConv::new(t::BANDS_TAPS[i], pointwise(t::BANDS_POINTWISE[i]))),
            bins_in: Conv2d::new(t::BINS_IN, None),
            bins_pointwise: pointwise(t::BINS_POINTWISE[0]),
            bins: DepthwiseConv::new(t::BINS_TAPS, pointwise(t::BINS_POINTWISE[1])),
            bins_out: Linear::new(t::BINS_OUT, CHANNELS, [FILTERED / 2, SUMMARY / CHANNELS]),
            gru_in: Linear::new(t::ENCODER_IN, 1, [SUMMARY, STATE]),
            gru: gru(t::ENCODER),
            gru_out: Linear::new(t::ENCODER_OUT, 1, [STATE, SUMMARY]),
        }
    }

    fn run(
        &self,
        state: &mut [f32; STATE],
        band_frames: &[[[f32; BANDS]; CONV_FRAMES]; 1],
        bin_frames: &[[[f32; FILTERED]; CONV_FRAMES]; 2],
    ) -> Encoded {
        let mut bands: Map<32> = self.bands_in.run(band_frames);
        rectify(bands.as_flattened_mut());
        let halves: Map<16> = self.bands[0].run(&bands);
        let quarters: Map<8> = self.bands[1].run(&halves);
        let deep: Map<8> = self.bands[2].run(&quarters);

        let mut bins = [[0.0; FILTERED]; CHANNELS];
        let bins_in: Map<FILTERED> = self.bins_in.run(bin_frames);
        self.bins_pointwise.run(&bins_in, &mut bins);
        let bin_halves: Map<{ FILTERED / 2 }> = self.bins.run(&bins);

        let mut summary = [0.0; SUMMARY];
        self.bins_out.run_rectified(by_frequency(&bin_halves).as_flattened(), &mut summary);
        add_scaled(&mut summary, by_frequency(&deep).as_flattened(), 1.0);
        let mut wide = [0.0; STATE];
        self.gru_in.run_rectified(&summary, &mut wide);
        self.gru.step(state, &wide);
        self.gru_out.run_rectified(state, &mut summary);
        Encoded { bands, halves, quarters, deep, bins, summary }
    }
}

struct MaskDecoder {
    gru_in: Linear,
    gru: Gru<STATE, STATE>,
    gru_out: Linear,
    skips: [PointwiseConv; 4],
    layers: [DepthwiseConv; 3],
    /// Three taps for each channel.
    output: Box<[f32]>,
    output_bias: f32,
}

impl MaskDecoder {
    fn new() -> Self {
        let [output, output_bias] = t::MASK_LAST.map(Tensor::to_floats);
        Self {
            gru_in: Linear::new(t::MASK_IN, 1, [SUMMARY, STATE]),
            gru: gru(t::MASK),
            gru_out: Linear::new(t::MASK_OUT, 1, [STATE, SUMMARY]),
            skips: t::MASK_SKIPS.map(pointwise),
            layers: std::array::from_fn(|i| DepthwiseConv::new(t::MASK_TAPS[i], pointwise(t::MASK_POINTWISE[i]))),
            output,
            output_bias: output_bias[0],
        }
    }

    fn run(&self, state: &mut [f32; STATE], encoded: &Encoded) -> [f32; BANDS] {
        let mut wide = [0.0; STATE];
        self.gru_in.run_rectified(&encoded.summary, &mut wide);
        self.gru.step(state, &wide);
        let mut narrow = [0.0; SUMMARY];
        self.gru_out.run_rectified(state, &mut narrow);
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
    grus: [Gru<STATE, STATE>; 3],
    output: Linear,
    skip: PointwiseConv,
}

impl FilterDecoder {
    fn new() -> Self {
        Self {
            gru_in: Linear::new(t::FILTER_IN, 8, [SUMMARY / 8, STATE / 8]),
            grus: t::FILTER.map(gru),
            output: Linear::new(t::FILTER_OUT, 1, [STATE, FILTERED * 2 * ORDER]),
            skip: pointwise(t::FILTER_SKIP),
        }
    }

    fn run(&self, states: &mut [[f32; STATE]; 3], encoded: &Encoded) -> Filters {
        let mut wide = [0.0; STATE];
        self.gru_in.run_rectified(&encoded.summary, &mut wide);
        for (gru, state) in self.grus.iter().zip(states) {
            gru.step(state, &wide);
            wide = *state;
        }
        let mut filters = [0.0; FILTERED * 2 * ORDER];
        self.output.run(&wide, &mut filters);
        kernels::tanh(&mut filters);
        let mut skipped = [[0.0; FILTERED]; 2 * ORDER];
        self.skip.run(&encoded.bins, &mut skipped);
        for (tap, bins) in skipped.iter().enumerate() {
            for (bin, value) in bins.iter().enumerate() {
                filters[bin * 2 * ORDER + tap] += value;
            }
        }
        filters
    }
}

/// Feature map with its axes swapped.
fn by_frequency<const WIDTH: usize>(map: &Map<WIDTH>) -> [[f32; CHANNELS]; WIDTH] {
    std::array::from_fn(|i| std::array::from_fn(|channel| map[channel][i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spectra with a few peaks that move.
    fn spectra(seed: u64) -> Vec<[Complex32; BINS]> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut value = || 0.01 * (random.f32() - 0.5);
        (0..60).map(|_| std::array::from_fn(|_| Complex32::new(value(), value()))).collect()
    }

    fn run(hush: &mut Hush, spectra: &[[Complex32; BINS]]) -> Vec<([Complex32; BINS], [f32; BANDS])> {
        let process = |spectrum: &[Complex32; BINS]| {
            let mut spectrum = *spectrum;
            let mask = hush.process(&mut spectrum, 1.0);
            (spectrum, mask)
        };
        spectra.iter().map(process).collect()
    }

    #[test]
    fn streams_share_weights_and_nothing_else() {
        let (first, second) = (spectra(1), spectra(2));
        let (alone, other) = (run(&mut Hush::new(), &first), run(&mut Hush::new(), &second));
        assert!(alone != other);
        let (mut a, mut b) = (Hush::new(), Hush::new());
        assert!(std::ptr::eq(a.weights, b.weights));
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
