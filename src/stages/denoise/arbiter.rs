//! Which engine to believe.

use crate::dsp::level::db_to_gain;
use crate::dsp::weighted_power::WeightedPower;

/// The level at which Hush judges voices best, in dB of the power it is told. (Measured, on 59 mixtures: 2 dB more or
/// less cost nothing, 6 dB less cost 1 dB of SI-SDR.)
const BEST_LEVEL_DB: f32 = -22.0;

/// How far the level is brought there, down and up, in dB: steady noise alone is not taken for a voice.
const MOST_DOWN_DB: f32 = 24.0;
const MOST_UP_DB: f32 = 12.0;

/// Over how much time the level is taken, and over how much the engines are compared, in seconds.
const LEVEL_S: f32 = 3.0;
const COMPARE_S: f32 = 2.0;

/// How far below the level the engines agree by default, in dB: what both hear there tells nothing.
const PRIOR_DB: f32 = 20.0;

/// What Hush may lose of what it takes for speech, against RNNoise, in dB: up to the first figure it is made up for, at
/// the second it is no longer believed.
const LOSS_DB: [f32; 2] = [3.0, 6.0];

/// From which ratio of speech to noise on there is too little to gain for anything to be risked, in dB: RNNoise takes
/// over between these.
const CLEAN_DB: [f32; 2] = [26.0, 36.0];

/// How far Hush's output must be below its own level for the input to be noise, in dB, and over how much time noise is
/// averaged, in seconds.
const PAUSE_DB: f32 = 25.0;
const NOISE_S: f32 = 1.0;

/// Blocks are 10 ms.
const BLOCK_S: f32 = 0.01;

/// No sound, as a power.
const NOTHING: f32 = 1e-10;

/// Compares the engines.
#[derive(Clone, Copy, Default)]
pub(super) struct EngineArbiter {
    heard: WeightedPower,
    /// What Hush lets through.
    passed: WeightedPower,
    /// The products of both engines' powers, and the squares of Hush's: their ratio tells how much Hush loses where it
    /// hears speech.
    products: f32,
    squares: f32,
    noise: f32,
    noise_blocks: f32,
    loss_db: f32,
    clean: f32,
}

impl EngineArbiter {
    /// By what a spectrum of this power, the newest, is to be multiplied for Hush to see it at its best level.
    pub fn sensitivity(&mut self, power: f32) -> f32 {
        self.heard.add(power, BLOCK_S / LEVEL_S);
        let level_db = 10.0 * (self.heard.power() + NOTHING).log10();
        db_to_gain((BEST_LEVEL_DB - level_db).clamp(-MOST_DOWN_DB, MOST_UP_DB))
    }

    /// Takes in the power of the input, and those of what RNNoise and Hush made of it.
    pub fn compare(&mut self, power: f32, [rnnoise, hush]: [f32; 2]) {
        let level = self.heard.power();
        self.products += BLOCK_S / COMPARE_S * (rnnoise * hush - self.products);
        self.squares += BLOCK_S / COMPARE_S * (hush * hush - self.squares);
        let prior = (level * 10f32.powf(-PRIOR_DB / 10.0) + NOTHING).powi(2);
        self.loss_db = 10.0 * ((self.products + prior) / (self.squares + prior)).log10();

        self.passed.add(hush, BLOCK_S / LEVEL_S);
        if hush < self.passed.power() * 10f32.powf(-PAUSE_DB / 10.0) {
            self.noise_blocks += 1.0;
            self.noise += (power - self.noise) * (1.0 / self.noise_blocks).max(BLOCK_S / NOISE_S);
        }
        if self.noise_blocks > 0.0 {
            self.clean = between(10.0 * ((level + NOTHING) / (self.noise + NOTHING)).log10(), CLEAN_DB);
        }
    }

    /// What makes up for Hush's loss, as a factor of at least 1.
    pub fn makeup(&self) -> f32 {
        db_to_gain(self.loss_db.clamp(0.0, LOSS_DB[1]))
    }

    /// The gains of Hush and of RNNoise.
    pub fn gains(&self) -> [f32; 2] {
        let trust = (1.0 - between(self.loss_db, LOSS_DB)) * (1.0 - self.clean);
        [self.makeup() * trust, 1.0 - trust]
    }
}

/// 0 below the first, 1 above the second.
fn between(value: f32, [low, high]: [f32; 2]) -> f32 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decided after 5 s of syllables (100 ms of speech, 100 ms without), noise throughout.
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
    fn whoever_keeps_the_voice_is_believed() {
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
    fn nothing_is_not_judged() {
        let [hush, rnnoise] = after(0.0, 0.0, 1.0, 1.0);
        assert_eq!((hush, rnnoise), (1.0, 0.0));
        assert!(EngineArbiter::default().sensitivity(0.0).is_finite());
    }
}
