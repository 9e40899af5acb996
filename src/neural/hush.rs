//! The network: from the spectrum of noisy speech to the spectrum of speech.
//!
//! An encoder sums up what it hears. One decoder makes of that a mask for 32 bands; the other, for the bins up to
//! 3.2 kHz, a complex filter over the last five frames, which replaces the mask there and brings back what a mask
//! would smear.

mod features;
pub(super) mod weights;

use realfft::num_complex::Complex32;

use self::features::{Features, spread};
use super::layers::{
    CHANNELS, Conv2d, DepthwiseConv, FeatureMap, Gru, Linear, PointwiseConv, STATE, add_depthwise, add_scaled, rectify,
};
use weights as w;

use super::kernels;

/// Bins of 50 Hz, up to 8 kHz.
pub(crate) const BINS: usize = 161;

/// Bands of the mask.
pub(crate) const BANDS: usize = 32;

/// Bins that are filtered.
pub(super) const FILTERED: usize = 64;

/// Frames that the filter takes in.
const ORDER: usize = 5;

/// What the encoder makes of a frame.
const SUMMARY: usize = 128;

pub(crate) struct Model {
    encoder: Encoder,
    mask: MaskDecoder,
    filter: FilterDecoder,
    features: Features,
    /// The last three frames of features, the oldest first.
    band_frames: [[[f32; BANDS]; 3]; 1],
    bin_frames: [[[f32; FILTERED]; 3]; 2],
    /// The last spectra, the oldest first.
    spectra: [[Complex32; FILTERED]; ORDER],
}

impl Model {
    pub fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            mask: MaskDecoder::new(),
            filter: FilterDecoder::new(),
            features: Features::new(),
            band_frames: [[[0.0; BANDS]; 3]; 1],
            bin_frames: [[[0.0; FILTERED]; 3]; 2],
            spectra: [[Complex32::ZERO; FILTERED]; ORDER],
        }
    }

    pub fn reset(&mut self) {
        self.encoder.gru.reset();
        self.mask.gru.reset();
        self.filter.grus.iter_mut().for_each(Gru::reset);
        self.features = Features::new();
        self.band_frames.as_flattened_mut().fill([0.0; BANDS]);
        self.bin_frames.as_flattened_mut().fill([0.0; FILTERED]);
        self.spectra.fill([Complex32::ZERO; FILTERED]);
    }

    /// Takes the noise out of a spectrum whose full scale is 1; the mask, which tells the gain for higher frequencies.
    /// The network's judgement depends on the level: it sees the spectrum times `sensitivity`.
    pub fn process(&mut self, spectrum: &mut [Complex32; BINS], sensitivity: f32) -> [f32; BANDS] {
        push(&mut self.band_frames[0], self.features.bands(spectrum, sensitivity));
        for (frames, part) in self.bin_frames.iter_mut().zip(self.features.bins(spectrum, sensitivity)) {
            push(frames, part);
        }
        push(&mut self.spectra, std::array::from_fn(|bin| spectrum[bin]));

        let encoded = self.encoder.run(&self.band_frames, &self.bin_frames);
        let mask = self.mask.run(&encoded);
        let filters = self.filter.run(&encoded);
        for (bin, gain) in spectrum.iter_mut().zip(spread(&mask)) {
            *bin *= gain;
        }
        for (bin, (value, filter)) in spectrum.iter_mut().zip(filters.as_chunks::<{ 2 * ORDER }>().0).enumerate() {
            let taps = self.spectra.iter().zip(filter.as_chunks::<2>().0);
            *value = taps.map(|(spectrum, [re, im])| spectrum[bin] * Complex32::new(*re, *im)).sum();
        }
        mask
    }
}

/// Drops the oldest and appends the newest.
fn push<T, const N: usize>(frames: &mut [T; N], newest: T) {
    frames.rotate_left(1);
    frames[N - 1] = newest;
}

/// What the encoder hands to the decoders: the summary, and maps on the way to it.
struct Encoded {
    bands: FeatureMap<32>,
    halves: FeatureMap<16>,
    quarters: FeatureMap<8>,
    deep: FeatureMap<8>,
    bins: FeatureMap<FILTERED>,
    summary: [f32; SUMMARY],
}

struct Encoder {
    bands_in: Conv2d,
    bands: [DepthwiseConv; 3],
    bins_in: Conv2d,
    bins_mix: PointwiseConv,
    bins: DepthwiseConv,
    bins_out: Linear,
    gru_in: Linear,
    gru: Gru,
    gru_out: Linear,
}

impl Encoder {
    fn new() -> Self {
        let [weights, bias] = w::BANDS_IN;
        Self {
            bands_in: Conv2d::new(weights, Some(bias)),
            bands: std::array::from_fn(|i| DepthwiseConv::new(w::BANDS_TAPS[i], w::BANDS_MIX[i])),
            bins_in: Conv2d::new(w::BINS_IN, None),
            bins_mix: PointwiseConv::new(w::BINS_MIX[0]),
            bins: DepthwiseConv::new(w::BINS_TAPS, w::BINS_MIX[1]),
            bins_out: Linear::new(w::BINS_OUT, CHANNELS),
            gru_in: Linear::new(w::ENCODER_IN, 1),
            gru: Gru::new(w::ENCODER),
            gru_out: Linear::new(w::ENCODER_OUT, 1),
        }
    }

    fn run(&mut self, band_frames: &[[[f32; BANDS]; 3]; 1], bin_frames: &[[[f32; FILTERED]; 3]; 2]) -> Encoded {
        let mut bands = self.bands_in.run(band_frames);
        rectify(bands.as_flattened_mut());
        let halves: FeatureMap<16> = self.bands[0].run(&bands);
        let quarters: FeatureMap<8> = self.bands[1].run(&halves);
        let deep: FeatureMap<8> = self.bands[2].run(&quarters);

        let mut bins = [[0.0; FILTERED]; CHANNELS];
        self.bins_mix.run(&self.bins_in.run(bin_frames), &mut bins);
        let bin_halves: FeatureMap<{ FILTERED / 2 }> = self.bins.run(&bins);

        let mut summary = [0.0; SUMMARY];
        self.bins_out.rectified(by_frequency(&bin_halves).as_flattened(), &mut summary);
        add_scaled(&mut summary, by_frequency(&deep).as_flattened(), 1.0);
        let mut wide = [0.0; STATE];
        self.gru_in.rectified(&summary, &mut wide);
        self.gru_out.rectified(self.gru.run(&wide), &mut summary);
        Encoded { bands, halves, quarters, deep, bins, summary }
    }
}

struct MaskDecoder {
    gru_in: Linear,
    gru: Gru,
    gru_out: Linear,
    skips: [PointwiseConv; 4],
    taps: [DepthwiseConv; 3],
    last: Box<[f32]>,
    last_bias: f32,
}

impl MaskDecoder {
    fn new() -> Self {
        let [last, last_bias] = w::MASK_LAST;
        Self {
            gru_in: Linear::new(w::MASK_IN, 1),
            gru: Gru::new(w::MASK),
            gru_out: Linear::new(w::MASK_OUT, 1),
            skips: w::MASK_SKIPS.map(PointwiseConv::new),
            taps: std::array::from_fn(|i| DepthwiseConv::new(w::MASK_TAPS[i], w::MASK_MIX[i])),
            last: last.values(),
            last_bias: last_bias.values()[0],
        }
    }

    fn run(&mut self, encoded: &Encoded) -> [f32; BANDS] {
        let mut wide = [0.0; STATE];
        self.gru_in.rectified(&encoded.summary, &mut wide);
        let mut narrow = [0.0; SUMMARY];
        self.gru_out.rectified(self.gru.run(&wide), &mut narrow);
        let mut deep: FeatureMap<8> =
            std::array::from_fn(|channel| std::array::from_fn(|i| narrow[i * CHANNELS + channel]));
        self.skips[0].add(&encoded.deep, &mut deep);
        let mut quarters: FeatureMap<8> = self.taps[0].run(&deep);
        self.skips[1].add(&encoded.quarters, &mut quarters);
        let mut halves: FeatureMap<16> = self.taps[1].widen(&quarters);
        self.skips[2].add(&encoded.halves, &mut halves);
        let mut bands: FeatureMap<32> = self.taps[2].widen(&halves);
        self.skips[3].add(&encoded.bands, &mut bands);

        let mut mask = [self.last_bias; BANDS];
        for (channel, taps) in bands.iter().zip(self.last.chunks_exact(3)) {
            add_depthwise(&mut mask, channel, taps);
        }
        kernels::sigmoid(&mut mask);
        mask
    }
}

/// Taps of all bins, each as real and imaginary part, the oldest frame first.
type Filters = [f32; FILTERED * 2 * ORDER];

struct FilterDecoder {
    gru_in: Linear,
    grus: [Gru; 3],
    out: Linear,
    skip: PointwiseConv,
}

impl FilterDecoder {
    fn new() -> Self {
        Self {
            gru_in: Linear::new(w::FILTER_IN, 8),
            grus: w::FILTER.map(Gru::new),
            out: Linear::new(w::FILTER_OUT, 1),
            skip: PointwiseConv::new(w::FILTER_SKIP),
        }
    }

    fn run(&mut self, encoded: &Encoded) -> Filters {
        let mut wide = [0.0; STATE];
        self.gru_in.rectified(&encoded.summary, &mut wide);
        for gru in &mut self.grus {
            wide = *gru.run(&wide);
        }
        let mut filters = [0.0; FILTERED * 2 * ORDER];
        self.out.run(&wide, &mut filters);
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

/// A map with its axes swapped.
fn by_frequency<const WIDTH: usize>(map: &FeatureMap<WIDTH>) -> [[f32; CHANNELS]; WIDTH] {
    std::array::from_fn(|i| std::array::from_fn(|channel| map[channel][i]))
}
