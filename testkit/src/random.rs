//! Random numbers, the same for a seed.

/// Generator of random numbers (fastrand's wyrand).
pub struct Random(fastrand::Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// A number from `min` to below `max`.
    pub fn between(&mut self, min: f32, max: f32) -> f32 {
        min + (max - min) * self.0.f32()
    }

    /// A sample of white noise, from −1 to below 1.
    pub fn white(&mut self) -> f32 {
        self.between(-1.0, 1.0)
    }

    /// Heads or tails.
    pub fn flip(&mut self) -> bool {
        self.0.bool()
    }

    /// One of some values.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.0.usize(..values.len())]
    }
}

/// White noise in ±`peak`.
pub fn noise(seed: u64, samples: usize, peak: f32) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..samples).map(|_| peak * random.white()).collect()
}
