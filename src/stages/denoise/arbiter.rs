//! Arbiter between the engines: how much of the output comes from Hush, and how much from RNNoise.

use crate::dsp::level::db_to_gain;
use crate::dsp::weighted_power::WeightedPower;

/// Level at which Hush judges voices best, in dB of the power of its spectrum. Measured on 59 mixtures: 2 dB more or less
/// cost nothing, 6 dB less cost 1 dB of SI-SDR.
const BEST_LEVEL_DB: f32 = -22.0;

/// Range of the gain towards that level, down and up, in dB: steady noise alone is not lifted to the level of a voice.
const MAX_CUT_DB: f32 = 24.0;
const MAX_BOOST_DB: f32 = 12.0;

/// Time constants in seconds: of the level, and of the comparison of the engines.
const LEVEL_S: f32 = 3.0;
const COMPARE_S: f32 = 2.0;

/// Power, relative to the input level and in dB, at which the engines are taken to agree at first: what both let through
/// there tells nothing.
const PRIOR_DB: f32 = -20.0;

/// Loss of Hush against RNNoise where Hush hears speech, in dB. It is made up for; from the first figure on RNNoise is
/// mixed in, from the second on only RNNoise is heard.
const LOSS_DB: [f32; 2] = [3.0, 6.0];

/// Ratio of speech to noise, in dB, at which there is too little to gain for any risk: between these RNNoise takes over.
const CLEAN_DB: [f32; 2] = [26.0, 36.0];

/// Power of Hush's output, relative to its level and in dB, below which the input is noise; time constant of the mean of
/// that noise, in seconds.
const PAUSE_DB: f32 = -25.0;
const NOISE_S: f32 = 1.0;

/// Length of a block in seconds.
const BLOCK_S: f32 = 0.01;

/// Floor of a power, −100 dB.
const SILENCE: f32 = 1e-10;

/// Comparison of the engines, block by block.
#[derive(Clone, Copy, Default)]
pub(super) struct EngineArbiter {
    input: WeightedPower,
    hush_output: WeightedPower,
    /// Smoothed products of both engines' powers, and squares of Hush's. Their ratio is Hush's loss where it hears
    /// speech.
    products: f32,
    squares: f32,
    noise: f32,
    noise_blocks: f32,
    loss_db: f32,
    /// Share of RNNoise because there is hardly any noise, 0 to 1.
    clean: f32,
}

impl EngineArbiter {
    /// Factor that brings the spectrum to Hush's best level; `power` is that of the newest spectrum.
    pub fn sensitivity(&mut self, power: f32) -> f32 {
        self.input.add(power, BLOCK_S / LEVEL_S);
        let level_db = 10.0 * (self.input.power() + SILENCE).log10();
        db_to_gain((BEST_LEVEL_DB - level_db).clamp(-MAX_CUT_DB, MAX_BOOST_DB))
    }

    /// Takes in the power of the input, and of the outputs of RNNoise and Hush.
    pub fn compare(&mut self, power: f32, [rnnoise, hush]: [f32; 2]) {
        let level = self.input.power();
        self.products += BLOCK_S / COMPARE_S * (rnnoise * hush - self.products);
        self.squares += BLOCK_S / COMPARE_S * (hush * hush - self.squares);
        let prior = (level * 10f32.powf(PRIOR_DB / 10.0) + SILENCE).powi(2);
        self.loss_db = 10.0 * ((self.products + prior) / (self.squares + prior)).log10();

        self.hush_output.add(hush, BLOCK_S / LEVEL_S);
        if hush < self.hush_output.power() * 10f32.powf(PAUSE_DB / 10.0) {
            self.noise_blocks += 1.0;
            self.noise += (power - self.noise) * (1.0 / self.noise_blocks).max(BLOCK_S / NOISE_S);
        }
        if self.noise_blocks > 0.0 {
            self.clean = position_in(CLEAN_DB, 10.0 * ((level + SILENCE) / (self.noise + SILENCE)).log10());
        }
    }

    /// Gain that makes up for Hush's loss, at least 1.
    pub fn makeup(&self) -> f32 {
        db_to_gain(self.loss_db.clamp(0.0, LOSS_DB[1]))
    }

    /// Gains of Hush and of RNNoise.
    pub fn gains(&self) -> [f32; 2] {
        let trust = (1.0 - position_in(LOSS_DB, self.loss_db)) * (1.0 - self.clean);
        [self.makeup() * trust, 1.0 - trust]
    }
}

/// Position of `value` in a range, 0 at its lower end and below, 1 at its upper end and above.
fn position_in([low, high]: [f32; 2], value: f32) -> f32 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gains after 5 s of syllables (100 ms of speech, 100 ms without), with noise throughout.
    fn after(speech: f32, noise: f32, rnnoise: f32, hush: f32) -> [f32; 2] {
        let mut arbiter = EngineArbiter::default();
        for block in 0..500 {
            let spoken = f32::from(u8::from(block % 20 < 10));
            arbiter.sensitivity(spoken * speech + noise);
            arbiter.compare(spoken * speech + noise, [spoken * speech * rnnoise, spoken * speech * hush]);
        }
        arbiter.gains()
    }

    #[test]
    fn the_engine_that_keeps_the_voice_is_heard() {
        for speech in [1e-4, 1e-1, 10.0] {
            let noise = speech * 0.03;
            let [hush, rnnoise] = after(speech, noise, 0.9, 0.9);
            assert!((hush - 1.0).abs() < 0.05 && rnnoise < 0.05, "both keep it: {hush} {rnnoise}");
            let [hush, rnnoise] = after(speech, noise, 0.9, 0.6);
            assert!((1.1..1.25).contains(&hush) && rnnoise < 0.05, "a small loss is made up for: {hush} {rnnoise}");
            let [hush, rnnoise] = after(speech, noise, 0.9, 0.1);
            assert!(hush == 0.0 && rnnoise == 1.0, "Hush drops it: {hush} {rnnoise}");
            let [hush, rnnoise] = after(speech, speech * 1e-4, 0.9, 0.9);
            assert!(hush < 0.01 && rnnoise > 0.99, "there is no noise: {hush} {rnnoise}");
        }
    }

    #[test]
    fn silence_leaves_the_gains_as_they_are() {
        let [hush, rnnoise] = after(0.0, 0.0, 1.0, 1.0);
        assert_eq!((hush, rnnoise), (1.0, 0.0));
        assert!(EngineArbiter::default().sensitivity(0.0).is_finite());
    }
}
