//! Noise suppression of one channel: analysis, networks, arbiter, synthesis.
//!
//! All networks work on the spectra of one analysis. RNNoise 0.2 gives the spectrum of the frame before the newest; what
//! the others give waits for it. The networks themselves are run by [`lockstep`](super::lockstep).

#[cfg(feature = "hush")]
use super::arbiter::Vote;
use super::arbiter::{Guard, Heard, NoiseFloor, blend, blend_louder, is_silent, power};
#[cfg(feature = "hush")]
use super::full_band::{self, FullBandHush, HushOutput};
use super::settings::Engine;
use crate::dsp::kernels;
use crate::neural::analyser::{Analyser, Analysis};
use crate::neural::bands::AnalysisProducts;
#[cfg(feature = "hush")]
use crate::neural::hush;
use crate::neural::rnnoise::{self, FrameFilter, RnNoise};
use crate::neural::rnnoise2::{self, RnNoise2};
use crate::neural::stft::{FRAME, Spectrum, Synthesis, stft};

/// Samples of a block: 10 ms at 48 kHz.
pub(super) const BLOCK: usize = FRAME;

/// Delay in samples: half of the window, and one frame of look-ahead.
pub(super) const LATENCY: usize = 2 * BLOCK;

/// Scale of 16-bit PCM, which the networks take.
const SCALE: f32 = 32_768.0;

/// Largest input magnitude, +36 dBFS: the squares of its spectrum must stay finite.
const MAX_INPUT: f32 = 64.0;

/// Share that an engine gains or loses with each frame, where it is changed: 300 ms.
const FADE: f32 = 1.0 / 30.0;

/// Number of engines.
const ENGINES: usize = 3;

/// Memory for a block of one stream.
pub(super) struct Memory {
    /// Analysis of the newest frame.
    newest: Analysis,
    products: AnalysisProducts,
    first: rnnoise::Memory,
}

impl Memory {
    pub const NEW: Self =
        Self { newest: Analysis::SILENCE, products: AnalysisProducts::SILENCE, first: rnnoise::Memory::NEW };
}

/// Networks and arbiter for one channel.
pub(super) struct Suppressor {
    engine: Engine,
    first: RnNoise,
    second: RnNoise2,
    #[cfg(feature = "hush")]
    hush: FullBandHush,
    state: State,
}

/// What is remembered of a stream besides the networks.
struct State {
    analyser: Analyser,
    synthesis: Synthesis,
    /// Analysis of the last frame.
    last: Analysis,
    waiting: Waiting,
    noise: NoiseFloor,
    standard: Guard,
    #[cfg(feature = "hush")]
    best: Guard,
    #[cfg(feature = "hush")]
    vote: Vote,
    /// Share of each engine in the output.
    shares: [f32; ENGINES],
    /// Blocks of the output before the sound begins.
    lead_in: usize,
}

/// What the networks made of the last frame, which waits for RNNoise 0.2.
struct Waiting {
    /// Power of the input.
    power: f32,
    first: FrameFilter,
    #[cfg(feature = "hush")]
    hush: HushOutput,
}

impl State {
    fn new(engine: Engine) -> Self {
        let mut shares = [0.0; ENGINES];
        shares[engine as usize] = 1.0;
        Self {
            analyser: Analyser::START,
            synthesis: Synthesis::START,
            last: Analysis::SILENCE,
            waiting: Waiting {
                power: 0.0,
                first: FrameFilter::PASS,
                #[cfg(feature = "hush")]
                hush: HushOutput::SILENCE,
            },
            noise: NoiseFloor::START,
            standard: Guard::START,
            #[cfg(feature = "hush")]
            best: Guard::START,
            #[cfg(feature = "hush")]
            vote: Vote::default(),
            shares,
            lead_in: LATENCY / BLOCK,
        }
    }
}

impl Suppressor {
    /// Suppressor at the start of a stream. Allocates.
    pub fn new(engine: Engine) -> Self {
        // Planned now, not in the first frame.
        stft();
        Self {
            engine,
            first: RnNoise::new(),
            second: RnNoise2::new(),
            #[cfg(feature = "hush")]
            hush: FullBandHush::new(),
            state: State::new(engine),
        }
    }

    /// Memory for the next frame.
    #[inline]
    pub fn memory(&self) -> Memory {
        Memory { newest: Analysis::SILENCE, products: AnalysisProducts::SILENCE, first: rnnoise::Memory::NEW }
    }

    /// Changes the engine, with a fade. Networks that were not running begin anew.
    pub fn set_engine(&mut self, engine: Engine) {
        if engine == self.engine {
            return;
        }
        if engine != Engine::Light && self.is_light_alone() {
            self.second.reset();
            self.state.standard = Guard::START;
            self.state.waiting.power = power(self.state.last.spectrum());
        }
        #[cfg(feature = "hush")]
        if engine == Engine::Best && !self.runs(Engine::Best) {
            self.hush.reset();
            (self.state.best, self.state.vote) = (Guard::START, Vote::default());
        }
        self.engine = engine;
    }

    /// Whether an engine is heard, or about to be.
    pub fn runs(&self, engine: Engine) -> bool {
        self.engine == engine || self.state.shares[engine as usize] > 0.0
    }

    /// Whether RNNoise 0.1 is all that runs.
    pub fn is_light_alone(&self) -> bool {
        !self.runs(Engine::Standard) && !self.runs(Engine::Best)
    }

    /// Takes in a block.
    pub fn analyse(&mut self, block: &[f32; BLOCK], memory: &mut Memory) {
        let mut input = [0.0; BLOCK];
        kernels::copy_scaled(&mut input, block, SCALE);
        kernels::limit(&mut input, MAX_INPUT * SCALE);
        self.state.analyser.analyse(&input, &mut memory.newest);
        memory.products.set(&memory.newest);
    }

    /// Frame of RNNoise 0.2 for its network, if there is one.
    pub fn hear_second<'a>(
        &'a mut self,
        memory: &Memory,
        second: &'a mut rnnoise2::Memory,
    ) -> Option<rnnoise2::Stream<'a>> {
        if self.is_light_alone() {
            return None;
        }
        self.second.hear(&memory.newest, &memory.products, second)
    }

    /// Replaces that block by the one two before it without noise; returns the speech probability of that, 0 to 1. The network
    /// of RNNoise 0.2 has run; without its memory only RNNoise 0.1 is heard.
    pub fn synthesise(&mut self, block: &mut [f32; BLOCK], second: Option<&rnnoise2::Memory>) -> f32 {
        let probability = match second {
            Some(second) if !self.is_light_alone() => {
                let mut first = *self.state.last.spectrum();
                self.state.waiting.first.apply(&mut first, &self.state.last.spectra[1]);
                let mut output = *self.state.last.spectrum();
                let probability = self.arbitrate(&first, second, &mut output);
                self.state.synthesis.synthesise(&mut output, block);
                probability
            }
            _ => {
                // Nobody else needs the last frame.
                let [spectrum, pitch_spectrum] = &mut self.state.last.spectra;
                self.state.waiting.first.apply(spectrum, pitch_spectrum);
                self.state.synthesis.synthesise(spectrum, block);
                self.state.waiting.first.speech_probability()
            }
        };
        kernels::scale(block, 1.0 / SCALE);
        if self.state.lead_in > 0 {
            // The first window reaches back to before the sound began.
            block.fill(0.0);
            self.state.lead_in -= 1;
        }
        probability
    }

    /// Spectrum of the last frame as it is heard, which `output` is before, where RNNoise 0.1 makes it `first`; returns its speech
    /// probability.
    fn arbitrate(&mut self, first: &Spectrum, second: &rnnoise2::Memory, output: &mut Spectrum) -> f32 {
        #[cfg(feature = "hush")]
        let best = self.runs(Engine::Best);
        let state = &mut self.state;
        let (last, waiting) = (&state.last, &state.waiting);
        // RNNoise 0.2 hears far more of a voice than 0.1, a whisper too, and takes less noise for one.
        let probability = self.second.filter(second, output, &last.spectra[1]);
        let silent = is_silent(waiting.power);
        let heard = Heard {
            input: waiting.power,
            noise: if silent { 0.0 } else { state.noise.add(waiting.power) },
            kept: power(first),
            speech_probability: waiting.first.speech_probability(),
        };
        let guard = |guard: &mut Guard, spectrum: &mut Spectrum| {
            if !silent {
                let weight = guard.weight(&heard, power(spectrum));
                blend_louder(spectrum, first, weight);
            }
        };
        #[cfg(feature = "hush")]
        let best = best.then(|| {
            let hush = waiting.hush.spectrum(last.spectrum());
            let mut best = *first;
            state.vote.decide(&mut best, last.spectrum(), waiting.power, [&hush, output, first]);
            guard(&mut state.best, &mut best);
            best
        });
        guard(&mut state.standard, output);
        advance(&mut state.shares, self.engine);
        blend(output, first, state.shares[Engine::Light as usize]);
        #[cfg(feature = "hush")]
        if let Some(best) = best {
            blend(output, &best, state.shares[Engine::Best as usize]);
        }
        probability
    }

    /// Newest frame of RNNoise 0.1 for its network, if it is not silent.
    pub fn hear_first<'a>(&'a mut self, memory: &'a mut Memory) -> Option<rnnoise::Stream<'a>> {
        let Memory { newest, products, first } = memory;
        self.first.hear(newest, products, first)
    }

    /// Finds the filter of RNNoise 0.1 for the newest frame; its network has run.
    pub fn filter_first(&mut self, memory: &Memory) {
        // Nobody else asks for it.
        if !self.is_light_alone() {
            self.state.waiting.power = power(memory.newest.spectrum());
        }
        self.state.waiting.first = self.first.filter(&memory.first);
    }

    /// Newest frame of Hush for its network, if it runs.
    #[cfg(feature = "hush")]
    pub fn hear_hush<'a>(&'a mut self, memory: &Memory, hush: &'a mut full_band::Memory) -> Option<hush::Stream<'a>> {
        self.runs(Engine::Best).then(|| self.hush.hear(memory.newest.spectrum(), hush))
    }

    /// Takes the noise out of the newest frame by Hush, if it runs: then its network has run.
    #[cfg(feature = "hush")]
    pub fn filter_hush(&mut self, memory: &Memory, hush: Option<&full_band::Memory>) {
        self.state.waiting.hush = match hush {
            Some(hush) if self.runs(Engine::Best) => {
                self.hush.filter(self.state.waiting.first.speech_probability(), hush)
            }
            _ => HushOutput::unchanged(memory.newest.spectrum()),
        };
    }

    /// Keeps the newest frame as the last one.
    pub fn finish(&mut self, memory: &Memory) {
        self.state.last.copy_from(&memory.newest);
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.first.reset();
        self.second.reset();
        #[cfg(feature = "hush")]
        self.hush.reset();
        self.state = State::new(self.engine);
    }
}

/// Moves the shares on by one frame towards `engine` alone.
fn advance(shares: &mut [f32; ENGINES], engine: Engine) {
    for (index, share) in shares.iter_mut().enumerate() {
        let step = if index == engine as usize { FADE } else { -FADE };
        *share = (*share + step).clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_little_memory() {
        let bytes = size_of::<Suppressor>();
        println!("{bytes} bytes");
        assert!(bytes < 36_000, "{bytes} bytes");
    }
}
