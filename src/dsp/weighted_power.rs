//! Power-weighted mean power.

/// Power below which there is no sound, −100 dBFS.
const MIN_POWER: f32 = 1e-10;

/// Power-weighted mean power, Σp²/Σp, exponentially smoothed; follows the speech level through pauses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WeightedPower {
    sum: f32,
    squares: f32,
}

impl WeightedPower {
    /// Takes in a power with the smoothing coefficient `weight`, its share of the new mean.
    pub fn add(&mut self, power: f32, weight: f32) {
        self.sum += weight * (power - self.sum);
        self.squares += weight * (power * power - self.squares);
    }

    pub fn power(&self) -> f32 {
        self.squares / (self.sum + MIN_POWER)
    }
}
