//! RNNoise 0.2 for one stream: features, network, pitch filter, gains.

use super::features::{BANDS, Bands, Layout, cosines, features};
use super::network::{self, State as NetworkState, Stream};
use super::weights::weights;
use crate::neural::analyser::Analysis;
use crate::neural::bands::{AnalysisProducts, BandAnalysis};
use crate::neural::stft::Spectrum;

/// Slowest decay of a band gain, as a factor from frame to frame.
const GAIN_DECAY: f32 = 0.6;

/// RNNoise 0.2 for one stream. Weights and tables are shared by all.
#[derive(Clone)]
pub struct RnNoise2 {
    state: State,
}

/// All that is remembered of a stream.
#[derive(Clone, Debug)]
struct State {
    network: NetworkState,
    gains: Bands,
    last: BandAnalysis<BANDS>,
}

impl State {
    const START: Self = Self { network: NetworkState::ZERO, gains: [0.0; BANDS], last: BandAnalysis::SILENCE };
}

/// Memory for a frame of one stream, from its features to its gains.
pub struct Memory {
    network: network::Memory,
    /// Bands of the frame before the newest.
    last: BandAnalysis<BANDS>,
    is_heard: bool,
}

impl Memory {
    pub const NEW: Self = Self { network: network::Memory::NEW, last: BandAnalysis::SILENCE, is_heard: false };
}

/// Runs the network for all streams in lockstep.
pub fn run(streams: &mut [Option<Stream<'_>>]) {
    network::run(weights(), streams);
}

impl RnNoise2 {
    /// RNNoise at the start of a stream. The first one in a program allocates.
    pub fn new() -> Self {
        cosines();
        weights();
        Self { state: State::START }
    }

    /// Takes in the newest frame. `None` where it is silent: then the network does not run.
    pub fn hear<'a>(
        &'a mut self,
        newest: &Analysis,
        products: &AnalysisProducts,
        memory: &'a mut Memory,
    ) -> Option<Stream<'a>> {
        let state = &mut self.state;
        memory.last = std::mem::replace(&mut state.last, BandAnalysis::new::<Layout>(products));
        let features = features(&state.last, newest.period);
        memory.is_heard = features.is_some();
        memory.network.features = features?;
        Some(Stream { state: &mut state.network, memory: &mut memory.network })
    }

    /// Takes the noise out of the spectrum of the last frame, of which the other one is one pitch period earlier, after the network
    /// has run for the frame behind it; returns its speech probability, 0 to 1. Where the frame behind it is silent, the last one
    /// passes unchanged.
    pub fn filter(&mut self, memory: &Memory, spectrum: &mut Spectrum, pitch_spectrum: &Spectrum) -> f32 {
        if !memory.is_heard {
            return 0.0;
        }
        let state = &mut self.state;
        let (bands, network) = (&memory.last, &memory.network);
        let mut gains = network.gains;
        for (band, (gain, last)) in gains.iter_mut().zip(&mut state.gains).enumerate() {
            *gain = gain.max(GAIN_DECAY * *last);
            // Where the energy rises, the decay begins lower, so that the onset of a noise does not leak.
            *last = (*gain * (bands.energies[band] + 1e-3) / (state.last.energies[band] + 1e-3)).min(1.0);
        }
        bands.filter::<Layout>(spectrum, pitch_spectrum, &network.gains, &gains);
        network.probability
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
        rnnoise: RnNoise2,
        synthesis: Synthesis,
        /// Of the last frame and the one before.
        analyses: [Analysis; 2],
    }

    impl Voice {
        fn new() -> Self {
            Self {
                analyser: Analyser::START,
                rnnoise: RnNoise2::new(),
                synthesis: Synthesis::START,
                analyses: [Analysis::SILENCE; 2],
            }
        }

        /// A frame of full scale 1 without noise, 20 ms late, and its speech probability.
        fn process(&mut self, input: &[f32; FRAME]) -> ([f32; FRAME], f32) {
            self.analyses.swap(0, 1);
            let [newest, last] = &mut self.analyses;
            self.analyser.analyse(&input.map(|sample| sample * 32_768.0), newest);
            let mut memory = Memory::NEW;
            let mut products = AnalysisProducts::SILENCE;
            products.set(newest);
            run_network(&mut [self.rnnoise.hear(newest, &products, &mut memory)]);
            let [mut spectrum, pitch_spectrum] = last.spectra;
            let probability = self.rnnoise.filter(&memory, &mut spectrum, &pitch_spectrum);
            let mut output = [0.0; FRAME];
            self.synthesis.synthesise(&mut spectrum, &mut output);
            (output.map(|sample| sample / 32_768.0), probability)
        }
    }

    fn frames(name: &str) -> Vec<[f32; FRAME]> {
        fixture(name).as_chunks().0.to_vec()
    }

    fn run(stream: &mut Voice, frames: &[[f32; FRAME]]) -> Vec<([f32; FRAME], f32)> {
        frames.iter().map(|frame| stream.process(frame)).collect()
    }

    #[test]
    fn it_is_within_50_db_of_the_c_library_with_the_same_weights() {
        let out = run(&mut Voice::new(), &frames("speech_noisy"));
        let probabilities = std::fs::read("fixtures/rnnoise2_speech_noisy.vad").unwrap();
        for (index, ((_, found), wanted)) in out.iter().zip(probabilities.as_chunks().0).enumerate() {
            let wanted = f32::from_le_bytes(*wanted);
            // The library does not round the inputs of its matrices of floats.
            assert!((found - wanted).abs() < 0.04, "frame {index}: probability {found}, not {wanted}");
        }
        let (mut signal, mut error) = (0.0f64, 0.0f64);
        let wanted = frames("rnnoise2_speech_noisy");
        assert_eq!(wanted.len(), 150);
        for ((found, _), wanted) in out[100..].iter().zip(&wanted) {
            for (found, wanted) in found.iter().zip(wanted) {
                signal += f64::from(*wanted).powi(2);
                error += f64::from(found - wanted).powi(2);
            }
        }
        let distance_db = 10.0 * (signal / error).log10();
        assert!(distance_db > 50.0, "{distance_db:.1} dB");
    }

    #[test]
    fn streams_share_weights_and_nothing_else() {
        let (first, second) = (frames("speech_room"), frames("speech_noisy"));
        let (first, second) = (&first[..100], &second[..100]);
        let (alone, other) = (run(&mut Voice::new(), first), run(&mut Voice::new(), second));
        let (mut a, mut b) = (Voice::new(), Voice::new());
        for (index, (x, y)) in first.iter().zip(second).enumerate() {
            assert!(a.process(x) == alone[index] && b.process(y) == other[index]);
        }
        assert!(size_of::<RnNoise2>() < 16_000, "{} bytes a stream", size_of::<RnNoise2>());
    }

    #[test]
    fn a_reset_stream_is_a_new_one() {
        let frames = frames("speech_room");
        let mut stream = Voice::new();
        let fresh = run(&mut stream, &frames[..80]);
        for _ in 0..3 {
            stream.rnnoise.reset();
            stream = Voice { rnnoise: stream.rnnoise, ..Voice::new() };
            assert!(run(&mut stream, &frames[..80]) == fresh);
        }
    }
}
