//! Random numbers, the same for a seed: those of dasp's white noise. (The network model draws its own from fastrand.)

use dasp::Signal;
use dasp::signal::{self, Noise};

/// Generator of random numbers. Seeds next to each other give sequences that differ by one step.
pub struct Random(Noise);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(signal::noise(seed))
    }

    /// A sample of white noise, from −1 to 1.
    pub fn white(&mut self) -> f64 {
        self.0.next()
    }

    /// A number from 0 to 1.
    pub fn unit(&mut self) -> f64 {
        0.5 + 0.5 * self.white()
    }

    /// A number from `min` to `max`.
    pub fn between(&mut self, min: f32, max: f32) -> f32 {
        min + (max - min) * self.unit() as f32
    }

    /// Heads or tails.
    pub fn flip(&mut self) -> bool {
        self.white() < 0.0
    }

    /// One of some values.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[((self.unit() * values.len() as f64) as usize).min(values.len() - 1)]
    }
}

/// White noise in ±`peak`.
pub fn noise(seed: u64, samples: usize, peak: f32) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..samples).map(|_| random.white() as f32 * peak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly_and_do_not_follow_from_one_another() {
        let mut random = Random::new(1);
        let numbers: Vec<f64> = (0..10_000).map(|_| random.unit()).collect();
        for tenth in 0..10 {
            let share = numbers.iter().filter(|&&n| (n * 10.0) as usize == tenth).count();
            assert!((900..1100).contains(&share), "{tenth}: {share}");
        }
        for lag in 1..50 {
            let products = numbers.iter().zip(&numbers[lag..]).map(|(a, b)| (a - 0.5) * (b - 0.5));
            let correlation = 12.0 * products.sum::<f64>() / 10_000.0;
            assert!(correlation.abs() < 0.04, "{lag}: {correlation}");
        }
        let heads = (0..10_000).filter(|_| random.flip()).count();
        assert!((4800..5200).contains(&heads), "{heads}");
        assert!((0..100).all(|_| [1, 2, 3].contains(&random.of(&[1, 2, 3]))));
        assert!((0..100).all(|_| (-3.0..=7.0).contains(&random.between(-3.0, 7.0))));
    }
}
