//! RNNoise for one stream: analysis, network, pitch filter, synthesis.

use realfft::num_complex::Complex32;

use super::features::{Analyser, Analysis, Bands, apply_band_gains, band_correlation, interpolate};
use super::network::State as NetworkState;
use super::tables::{BANDS, FRAME, WINDOW, tables};

/// Slowest decay of a band gain, as a factor from frame to frame.
const GAIN_DECAY: f32 = 0.6;

/// RNNoise for one stream. Weights and tables are shared by all.
#[derive(Clone, Debug)]
pub struct RnNoise {
    state: State,
    /// Scratch memory of the transforms.
    scratch: Box<[Complex32]>,
}

/// All that is remembered of a stream.
#[derive(Clone, Debug)]
struct State {
    analyser: Analyser,
    network: NetworkState,
    gains: Bands,
    /// Second half of the last window.
    overlap: [f32; FRAME],
}

impl State {
    const START: Self =
        Self { analyser: Analyser::START, network: NetworkState::ZERO, gains: [0.0; BANDS], overlap: [0.0; FRAME] };
}

impl RnNoise {
    /// RNNoise at the start of a stream. Allocates.
    pub fn new() -> Self {
        let tables = tables();
        let length = tables.forward.get_scratch_len().max(tables.inverse.get_scratch_len());
        Self { state: State::START, scratch: vec![Complex32::ZERO; length].into_boxed_slice() }
    }

    /// Speech probability of a frame, 0 to 1; `output` becomes the frame before it without noise.
    ///
    /// Samples have the scale of 16-bit PCM (±32768). The first output is the fade-in of the window.
    pub fn process(&mut self, output: &mut [f32; FRAME], input: &[f32; FRAME]) -> f32 {
        let State { analyser, network, gains: last_gains, overlap } = &mut self.state;
        let mut analysis = analyser.analyse(input, &mut self.scratch);
        let mut probability = 0.0;
        if let Some(features) = &analysis.features {
            let (mut gains, speech) = network.run(features);
            probability = speech;
            filter_pitch(&mut analysis, &gains);
            for (gain, last) in gains.iter_mut().zip(last_gains) {
                *gain = gain.max(GAIN_DECAY * *last);
                *last = *gain;
            }
            apply_band_gains(&mut analysis.spectrum, &gains);
        }

        let tables = tables();
        let mut time = [0.0; WINDOW];
        let done = tables.inverse.process_with_scratch(&mut analysis.spectrum, &mut time, &mut self.scratch);
        debug_assert!(done.is_ok(), "the lengths were planned");
        for (sample, window) in time.iter_mut().zip(&tables.window) {
            *sample = *sample / 2.0 * window;
        }
        let (first, second) = time.split_at(FRAME);
        for ((output, first), overlap) in output.iter_mut().zip(first).zip(&*overlap) {
            *output = first + overlap;
        }
        overlap.copy_from_slice(second);
        probability
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.state = State::START;
    }
}

/// Comb filter: adds the spectrum of one period earlier where a band is noisier than its pitch correlation, and keeps
/// the energy of each band.
fn filter_pitch(analysis: &mut Analysis, gains: &Bands) {
    let strengths: Bands = std::array::from_fn(|band| {
        let (correlation, gain) = (analysis.correlations[band], gains[band]);
        let strength = if correlation > gain {
            1.0
        } else {
            let (correlation, gain) = (correlation * correlation, gain * gain);
            correlation * (1.0 - gain) / (0.001 + gain * (1.0 - correlation))
        };
        let strength = strength.clamp(0.0, 1.0).sqrt();
        strength * (analysis.energies[band] / (1e-8 + analysis.pitch_energies[band])).sqrt()
    });
    let bins = interpolate(&strengths);
    for ((bin, pitch), strength) in analysis.spectrum.iter_mut().zip(&analysis.pitch_spectrum).zip(bins) {
        *bin += pitch * strength;
    }
    let energies = band_correlation(&analysis.spectrum, &analysis.spectrum);
    let corrections: Bands = std::array::from_fn(|band| (analysis.energies[band] / (1e-8 + energies[band])).sqrt());
    apply_band_gains(&mut analysis.spectrum, &corrections);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixture;

    /// Blocks of a fixture at the scale of 16-bit PCM, after silence, and louder than full scale at the end.
    fn blocks() -> Vec<[f32; FRAME]> {
        let mut sound = vec![0.0; 10 * FRAME];
        sound.extend(fixture("speech_noisy").iter().map(|s| s * 32_768.0));
        sound.extend([0.0; 30 * FRAME]);
        sound.extend(fixture("speech_room").iter().map(|s| s * 500_000.0));
        sound.as_chunks().0.to_vec()
    }

    fn run(rnnoise: &mut RnNoise, blocks: &[[f32; FRAME]]) -> Vec<([f32; FRAME], f32)> {
        let mut out = [0.0; FRAME];
        blocks.iter().map(|block| (rnnoise.process(&mut out, block), out)).map(|(p, out)| (out, p)).collect()
    }

    #[test]
    fn it_is_nnnoiseless_to_the_bit() {
        let mut ours = RnNoise::new();
        let mut theirs = nnnoiseless::DenoiseState::new();
        let (mut out, mut wanted) = ([0.0; FRAME], [0.0; FRAME]);
        let mut spoken = 0;
        for (index, block) in blocks().iter().enumerate() {
            let probability = ours.process(&mut out, block);
            assert_eq!(theirs.process_frame(&mut wanted, block).to_bits(), probability.to_bits(), "frame {index}");
            assert!(out.iter().zip(&wanted).all(|(a, b)| a.to_bits() == b.to_bits()), "frame {index}");
            spoken += u32::from(probability > 0.9);
        }
        assert!(spoken > 200, "{spoken}");
    }

    #[test]
    fn streams_share_weights_and_nothing_else() {
        let blocks = blocks();
        let backwards: Vec<_> = blocks.iter().rev().copied().collect();
        let (alone, other) = (run(&mut RnNoise::new(), &blocks), run(&mut RnNoise::new(), &backwards));
        let (mut a, mut b) = (RnNoise::new(), RnNoise::new());
        for (index, (forth, back)) in blocks.iter().zip(&backwards).enumerate() {
            assert!(run(&mut a, &[*forth])[0] == alone[index] && run(&mut b, &[*back])[0] == other[index]);
        }
        // 88 kB of weights, 12 kB of tables: none of it in a stream.
        let bytes = size_of::<RnNoise>() + size_of_val(&*a.scratch);
        assert!(bytes < 25_000, "{bytes} bytes a stream");
    }

    #[test]
    fn a_reset_stream_is_a_new_one() {
        let blocks = blocks();
        let mut rnnoise = RnNoise::new();
        let fresh = run(&mut rnnoise, &blocks[..300]);
        for _ in 0..10 {
            rnnoise.reset();
            assert!(run(&mut rnnoise, &blocks[..300]) == fresh);
        }
    }
}
