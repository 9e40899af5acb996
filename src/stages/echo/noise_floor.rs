//! Noise floor of the microphone, for comfort noise: minimum statistics.

use super::spectrum::{BINS, Bins, PADDED};

/// Blocks of a window, of which the minimum counts: 0.6 s.
const WINDOW: u32 = 60;

/// Rise of the floor from one window to the next, at most, as a power: 3 dB/s.
const RISE: f32 = 1.5;

/// Noise floor of each bin, and in bin [`ABOVE`] of all that is above 8 kHz.
pub struct NoiseFloor {
    smoothed: Bins,
    minimum: Bins,
    power: Bins,
    blocks: u32,
    /// Whether the first window is complete.
    settled: bool,
}

/// Index for the mean power above 8 kHz.
pub const ABOVE: usize = BINS;

impl NoiseFloor {
    pub const NEW: Self =
        Self { smoothed: [0.0; PADDED], minimum: [f32::MAX; PADDED], power: [0.0; PADDED], blocks: 0, settled: false };

    /// Power of the noise.
    pub fn power(&self) -> &Bins {
        &self.power
    }

    /// Takes in the power of a block. Digital silence teaches nothing.
    pub fn update(&mut self, power: &Bins) {
        if power.iter().all(|&power| power < 1e-12) {
            return;
        }
        let share = if !self.settled && self.blocks == 0 { 1.0 } else { 0.2 };
        for (bin, &power) in power[..=ABOVE].iter().enumerate() {
            self.smoothed[bin] += share * (power - self.smoothed[bin]);
            self.minimum[bin] = self.minimum[bin].min(self.smoothed[bin]);
            if !self.settled {
                self.power[bin] = self.minimum[bin];
            }
        }
        self.blocks += 1;
        if self.blocks < WINDOW {
            return;
        }
        (self.blocks, self.settled) = (0, true);
        for bin in 0..=ABOVE {
            self.power[bin] = self.minimum[bin].min(self.power[bin] * RISE + 1e-9);
            self.minimum[bin] = self.smoothed[bin];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_there_at_once_and_speech_does_not_raise_it() {
        let mut floor = NoiseFloor::NEW;
        floor.update(&[0.0; PADDED]);
        floor.update(&[1e-3; PADDED]);
        assert_eq!(floor.power()[50], 1e-3);
        for block in 0..600 {
            let power = if block % 50 < 30 { 1.0 } else { 1e-3 };
            floor.update(&[power; PADDED]);
        }
        assert!((1e-3..2e-3).contains(&floor.power()[50]), "{}", floor.power()[50]);
        for _ in 0..1200 {
            floor.update(&[1e-2; PADDED]);
        }
        assert!((9e-3..1.1e-2).contains(&floor.power()[50]), "it follows within 12 s: {}", floor.power()[50]);
    }
}
