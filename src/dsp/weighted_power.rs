//! The level of what is loud.

/// No sound, as a power.
const NOTHING: f32 = 1e-10;

/// The mean power of what is loud: a mean of powers weighed by themselves, so that it is that of the voice, pauses or
/// not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WeightedPower {
    sum: f32,
    squares: f32,
}

impl WeightedPower {
    /// Takes in a power, which counts for `share` of all that was before.
    pub fn add(&mut self, power: f32, share: f32) {
        self.sum += share * (power - self.sum);
        self.squares += share * (power * power - self.squares);
    }

    pub fn power(&self) -> f32 {
        self.squares / (self.sum + NOTHING)
    }
}
