//! Decimator of the network: from a whole multiple of its rate, by a linear-phase polyphase filter.

use std::sync::OnceLock;

use crate::dsp::kernels;
use crate::dsp::window::{kaiser, sinc};

/// Samples that come out at once.
pub(super) const CHUNK: usize = 32;

/// Largest factor: from 192 to 16 kHz.
pub(super) const MAX_FACTOR: usize = 12;

/// Taps of a phase. The delay is half of that at the lower rate: 1 ms at 16 kHz.
const TAPS: usize = 32;

/// Shape of the Kaiser window, for a stop band of −65 dB. Then half the transition is 1/16 of the lower rate: at 16 kHz the pass band
/// ends at 7 kHz, and no alias of what is above 9 kHz falls into it.
const KAISER_BETA: f64 = 0.1102 * (65.0 - 8.7);

/// Taps or samples of one phase: every so many-th, the oldest first.
type Phase = [f32; TAPS];

/// Decimator of one stream.
pub(super) struct Decimator {
    taps: &'static [Phase],
    /// Newest samples of each phase.
    past: Box<[Phase]>,
}

impl Decimator {
    /// Decimator by a factor from 2 to [`MAX_FACTOR`]. Allocates.
    pub fn new(factor: usize) -> Self {
        Self { taps: taps(factor), past: vec![[0.0; TAPS]; factor].into_boxed_slice() }
    }

    /// Samples of a chunk of the input.
    pub fn input_len(&self) -> usize {
        CHUNK * self.past.len()
    }

    /// Decimates a chunk.
    pub fn process(&mut self, input: &[f32], output: &mut [f32; CHUNK]) {
        decimate(output, input, &mut self.past, self.taps);
    }

    /// Returns to the start of a stream. Realtime safe.
    pub fn reset(&mut self) {
        self.past.fill([0.0; TAPS]);
    }
}

kernels! {
    /// Sums of the phases, each filtered by its taps.
    fn decimate(output: &mut [f32; CHUNK], input: &[f32], past: &mut [Phase], taps: &[Phase]) {
        let factor = past.len();
        let mut sums = [0.0; CHUNK];
        for (phase, (past, taps)) in past.iter_mut().zip(taps).enumerate() {
            let mut samples = [0.0; TAPS + CHUNK];
            samples[..TAPS].copy_from_slice(past);
            for (sample, group) in samples[TAPS..].iter_mut().zip(input.chunks_exact(factor)) {
                *sample = group[phase];
            }
            past.copy_from_slice(&samples[CHUNK..]);
            for (tap, weight) in taps.iter().enumerate() {
                let samples = &samples[tap + 1..][..CHUNK];
                for lane in 0..CHUNK {
                    sums[lane] += weight * samples[lane];
                }
            }
        }
        *output = sums;
    }
}

/// Taps of each phase for a factor, shared by all streams. Allocates at the first call with this factor.
fn taps(factor: usize) -> &'static [Phase] {
    static TAPS_OF_FACTORS: [OnceLock<Box<[Phase]>>; MAX_FACTOR + 1] = [const { OnceLock::new() }; MAX_FACTOR + 1];
    TAPS_OF_FACTORS[factor].get_or_init(|| {
        let taps = low_pass(factor);
        (0..factor).map(|phase| std::array::from_fn(|tap| taps[tap * factor + phase] as f32)).collect()
    })
}

/// Symmetric low-pass at half the lower rate: a sinc in a Kaiser window.
fn low_pass(factor: usize) -> Vec<f64> {
    let length = TAPS * factor;
    let tap = |i: usize| {
        let middle = 0.5 * (length - 1) as f64;
        let time = i as f64 - middle;
        sinc(time / factor as f64) * kaiser(time / middle, KAISER_BETA)
    };
    let taps: Vec<f64> = (0..length).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| tap / sum).collect()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// Output for chunks of an input.
    fn decimated(factor: usize, input: &[f32]) -> Vec<f32> {
        let mut decimator = Decimator::new(factor);
        let mut output = Vec::new();
        for input in input.chunks_exact(decimator.input_len()) {
            let mut chunk = [0.0; CHUNK];
            decimator.process(input, &mut chunk);
            output.extend_from_slice(&chunk);
        }
        output
    }

    #[test]
    fn the_output_is_every_so_many_th_sample_of_the_filtered_input() {
        let mut random = fastrand::Rng::with_seed(1);
        for factor in [2, 3, 4, 6, 12] {
            let input: Vec<f32> = (0..5 * CHUNK * factor).map(|_| 2.0 * random.f32() - 1.0).collect();
            let taps = low_pass(factor);
            for (i, found) in decimated(factor, &input).into_iter().enumerate() {
                let newest_first = input[..(i + 1) * factor].iter().rev();
                let wanted: f64 = newest_first.zip(&taps).map(|(sample, tap)| f64::from(*sample) * tap).sum();
                assert!((f64::from(found) - wanted).abs() < 1e-6, "{factor}: {found}, not {wanted}");
            }
        }
    }

    #[test]
    fn speech_passes_and_what_would_be_an_alias_does_not() {
        for factor in [2, 3, 4, 6, 12] {
            let rate_hz = 16e3 * factor as f64;
            for hz in (100..rate_hz as u32 / 2).step_by(100) {
                let sine = |i: usize| (2.0 * PI * f64::from(hz) / rate_hz * i as f64).sin() as f32;
                let input: Vec<f32> = (0..20 * CHUNK * factor).map(sine).collect();
                // Behind the start: whole periods of all these sines.
                let output = &decimated(factor, &input)[40..][..480];
                let level_db = crate::level::rms_dbfs(output) + 3.0103;
                match hz {
                    ..=7000 => assert!(level_db.abs() < 0.02, "{factor}, {hz} Hz: {level_db} dB"),
                    9000.. => assert!(level_db < -62.0, "{factor}, {hz} Hz: {level_db} dB"),
                    _ => assert!(level_db < 0.02, "{factor}, {hz} Hz: {level_db} dB"),
                }
            }
        }
    }

    #[test]
    fn reset_it_is_a_new_one() {
        let mut decimator = Decimator::new(3);
        let mut run = |reset: bool| {
            if reset {
                decimator.reset();
            }
            let mut output = [0.0; CHUNK];
            decimator.process(&[0.5; 3 * CHUNK], &mut output);
            output
        };
        let fresh = run(false);
        assert!(run(false) != fresh && run(true) == fresh);
    }
}
