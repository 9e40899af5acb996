//! RNNoise 0.1 for one stream: features, network, pitch filter, gains.

use super::features::{BANDS, Bands, Cepstra, Layout, cosines};
use super::network::{self, State as NetworkState, Stream};
use super::weights::weights;
use crate::neural::analyser::Analysis;
use crate::neural::bands::{AnalysisProducts, BandAnalysis};
use crate::neural::stft::Spectrum;

/// Slowest decay of a band gain, as a factor from frame to frame.
const GAIN_DECAY: f32 = 0.6;

/// RNNoise 0.1 for one stream. Weights and tables are shared by all.
#[derive(Clone)]
pub struct RnNoise {
    state: State,
}

/// All that is remembered of a stream.
#[derive(Clone, Debug)]
struct State {
    cepstra: Cepstra,
    network: NetworkState,
    gains: Bands,
}

impl State {
    const START: Self = Self { cepstra: Cepstra::START, network: NetworkState::ZERO, gains: [0.0; BANDS] };
}

/// Memory for a frame of one stream, from its features to its gains.
pub struct Memory {
    network: network::Memory,
    bands: BandAnalysis<BANDS>,
    is_heard: bool,
}

impl Memory {
    pub const NEW: Self = Self { network: network::Memory::NEW, bands: BandAnalysis::SILENCE, is_heard: false };
}

/// Filter of a frame, as the network wants it: its bands, and their gains.
#[derive(Clone, Debug)]
pub struct FrameFilter {
    bands: BandAnalysis<BANDS>,
    network_gains: Bands,
    /// These gains, or those of the frames before, where they decay more slowly.
    gains: Bands,
    speech_probability: f32,
    is_heard: bool,
}

impl FrameFilter {
    /// Filter of a silent frame, which passes unchanged.
    pub const PASS: Self = Self {
        bands: BandAnalysis::SILENCE,
        network_gains: [0.0; BANDS],
        gains: [0.0; BANDS],
        speech_probability: 0.0,
        is_heard: false,
    };

    /// Takes the noise out of the spectrum of the frame, of which the other one is one pitch period earlier.
    pub fn apply(&self, spectrum: &mut Spectrum, pitch_spectrum: &Spectrum) {
        if self.is_heard {
            self.bands.filter::<Layout>(spectrum, pitch_spectrum, &self.network_gains, &self.gains);
        }
    }

    /// Speech probability of the frame, 0 to 1.
    pub fn speech_probability(&self) -> f32 {
        self.speech_probability
    }
}

/// Runs the network for all streams in lockstep.
pub fn run(streams: &mut [Option<Stream<'_>>]) {
    network::run(weights(), streams);
}

impl RnNoise {
    /// RNNoise at the start of a stream. The first one in a program allocates.
    pub fn new() -> Self {
        cosines();
        weights();
        Self { state: State::START }
    }

    /// Takes in a frame. `None` where it is silent: then the network does not run.
    pub fn hear<'a>(
        &'a mut self,
        analysis: &Analysis,
        products: &AnalysisProducts,
        memory: &'a mut Memory,
    ) -> Option<Stream<'a>> {
        memory.bands = BandAnalysis::new::<Layout>(products);
        let features = self.state.cepstra.features(&memory.bands, analysis.period);
        memory.is_heard = features.is_some();
        memory.network.set_features(&features?);
        Some(Stream { state: &mut self.state.network, memory: &mut memory.network })
    }

    /// Filter that takes the noise out of that frame, after the network has run.
    pub fn filter(&mut self, memory: &Memory) -> FrameFilter {
        if !memory.is_heard {
            return FrameFilter::PASS;
        }
        let network = &memory.network;
        for (gain, last) in network.gains.iter().zip(&mut self.state.gains) {
            *last = gain.max(GAIN_DECAY * *last);
        }
        FrameFilter {
            bands: memory.bands.clone(),
            network_gains: network.gains,
            gains: self.state.gains,
            speech_probability: network.probability[0],
            is_heard: true,
        }
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.state = State::START;
    }
}

#[cfg(test)]
mod tests {
    use super::run as run_network;
    use super::*;
    use crate::neural::analyser::Analyser;
    use crate::neural::stft::{FRAME, Synthesis};
    use crate::testing::fixture;

    /// RNNoise from samples to samples.
    struct Voice {
        analyser: Analyser,
        rnnoise: RnNoise,
        synthesis: Synthesis,
        analysis: Analysis,
    }

    impl Voice {
        fn new() -> Self {
            Self {
                analyser: Analyser::START,
                rnnoise: RnNoise::new(),
                synthesis: Synthesis::START,
                analysis: Analysis::SILENCE,
            }
        }

        fn process(&mut self, output: &mut [f32; FRAME], input: &[f32; FRAME]) -> f32 {
            self.analyser.analyse(input, &mut self.analysis);
            let mut products = AnalysisProducts::SILENCE;
            products.set(&self.analysis);
            let mut memory = Memory::NEW;
            run_network(&mut [self.rnnoise.hear(&self.analysis, &products, &mut memory)]);
            let filter = self.rnnoise.filter(&memory);
            let [spectrum, pitch_spectrum] = &mut self.analysis.spectra;
            filter.apply(spectrum, pitch_spectrum);
            self.synthesis.synthesise(spectrum, output);
            filter.speech_probability()
        }
    }

    /// Blocks of a fixture at the scale of 16-bit PCM, after silence, and louder than full scale at the end.
    fn blocks() -> Vec<[f32; FRAME]> {
        let mut sound = vec![0.0; 10 * FRAME];
        sound.extend(fixture("speech_noisy").iter().map(|s| s * 32_768.0));
        sound.extend([0.0; 30 * FRAME]);
        sound.extend(fixture("speech_room").iter().map(|s| s * 500_000.0));
        sound.as_chunks().0.to_vec()
    }

    fn run(rnnoise: &mut Voice, blocks: &[[f32; FRAME]]) -> Vec<([f32; FRAME], f32)> {
        let mut out = [0.0; FRAME];
        blocks.iter().map(|block| (rnnoise.process(&mut out, block), out)).map(|(p, out)| (out, p)).collect()
    }

    #[test]
    fn it_is_within_60_db_of_nnnoiseless() {
        let mut ours = Voice::new();
        let mut theirs = nnnoiseless::DenoiseState::new();
        let (mut out, mut wanted) = ([0.0; FRAME], [0.0; FRAME]);
        let mut spoken = 0;
        let (mut signal, mut error, mut furthest) = (0.0f64, 0.0f64, 0.0f32);
        for (index, block) in blocks().iter().enumerate() {
            let probability = ours.process(&mut out, block);
            let difference = (theirs.process_frame(&mut wanted, block) - probability).abs();
            assert!(difference < 0.01, "frame {index}: the probability is {difference} off");
            furthest = furthest.max(difference);
            for (found, wanted) in out.iter().zip(&wanted) {
                signal += f64::from(*wanted).powi(2);
                error += f64::from(found - wanted).powi(2);
            }
            spoken += u32::from(probability > 0.9);
        }
        let distance_db = 10.0 * (signal / error).log10();
        println!("{distance_db:.1} dB, probability {furthest:.5}");
        assert!(distance_db > 60.0, "{distance_db:.1} dB");
        assert!(spoken > 200, "{spoken}");
    }

    #[test]
    fn streams_share_weights_and_nothing_else() {
        let blocks = blocks();
        let backwards: Vec<_> = blocks.iter().rev().copied().collect();
        let (alone, other) = (run(&mut Voice::new(), &blocks), run(&mut Voice::new(), &backwards));
        let (mut a, mut b) = (Voice::new(), Voice::new());
        for (index, (forth, back)) in blocks.iter().zip(&backwards).enumerate() {
            assert!(run(&mut a, &[*forth])[0] == alone[index] && run(&mut b, &[*back])[0] == other[index]);
        }
        // 88 kB of weights, 12 kB of tables: none of it in a stream.
        assert!(size_of::<RnNoise>() < 2_000, "{} bytes a stream", size_of::<RnNoise>());
    }

    #[test]
    fn a_reset_stream_is_a_new_one() {
        let blocks = blocks();
        let mut stream = Voice::new();
        let fresh = run(&mut stream, &blocks[..300]);
        for _ in 0..10 {
            stream.rnnoise.reset();
            stream = Voice { rnnoise: stream.rnnoise, ..Voice::new() };
            assert!(run(&mut stream, &blocks[..300]) == fresh);
        }
    }
}
