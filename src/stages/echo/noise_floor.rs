//! Noise floor of the microphone, for comfort noise: minimum statistics.

use super::spectrum::{BINS, Bins, PADDED};

/// Blocks over which the power is averaged: a pause of twice 80 ms is enough.
const AVERAGED: u32 = 8;

/// Blocks of a window, of whose averages the minimum counts: 0.6 s.
const WINDOW: u32 = 8 * AVERAGED;

/// Bins on both sides over which the power is averaged.
const NEIGHBOURS: usize = 2;

/// Power of steady noise over its floor, which is the minimum of averages (measured with white noise).
pub const BIAS: f32 = 1.386;

/// Rise of the floor from one window to the next, at most, as a power: 3 dB/s.
const RISE: f32 = 1.5;

/// Noise floor of each bin, and in bin [`ABOVE`] of all that is above 8 kHz.
pub struct NoiseFloor {
    /// Sum of the powers that are averaged.
    sum: Bins,
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
        Self { sum: [0.0; PADDED], minimum: [f32::MAX; PADDED], power: [0.0; PADDED], blocks: 0, settled: false };

    /// Power of the noise.
    pub fn power(&self) -> &Bins {
        &self.power
    }

    /// Takes in the power of a block. Digital silence teaches nothing.
    pub fn update(&mut self, power: &Bins) {
        if power.iter().all(|&power| power < 1e-12) {
            return;
        }
        self.sum.iter_mut().zip(power).for_each(|(sum, power)| *sum += power);
        self.blocks += 1;
        let averaged = (self.blocks - 1) % AVERAGED + 1;
        let is_complete = averaged == AVERAGED;
        let is_first = !self.settled && self.blocks <= AVERAGED;
        if !is_complete && !is_first {
            return;
        }
        for bin in 0..=ABOVE {
            let first = bin.saturating_sub(NEIGHBOURS);
            let near = if bin == ABOVE { ABOVE..ABOVE + 1 } else { first..(bin + NEIGHBOURS + 1).min(BINS) };
            let mean = self.sum[near.clone()].iter().sum::<f32>() / (near.len() as f32 * averaged as f32);
            self.power[bin] = if is_first { mean } else { self.power[bin].min(mean) };
            if is_complete {
                self.minimum[bin] = self.minimum[bin].min(mean);
            }
        }
        if is_complete {
            self.sum = [0.0; PADDED];
        }
        if self.blocks == WINDOW {
            (self.blocks, self.settled) = (0, true);
            for bin in 0..=ABOVE {
                self.power[bin] = self.minimum[bin].min(self.power[bin] * RISE + 1e-9);
            }
            self.minimum = [f32::MAX; PADDED];
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
