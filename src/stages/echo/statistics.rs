//! Statistics of the canceller.

/// Smoothing for each block: 0.3 s.
const SMOOTHING: f32 = 0.033;

/// Smoothing of the divergent fraction: 1 s.
const SLOW: f32 = 0.01;

/// Powers of which the statistics are ratios, while the far end plays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    far: f32,
    near: f32,
    out: f32,
    divergent: f32,
}

impl Statistics {
    /// Takes in the mean powers of a block.
    pub fn update(&mut self, far: f32, near: f32, out: f32) {
        self.far += SMOOTHING * (far - self.far);
        self.near += SMOOTHING * (near - self.near);
        self.out += SMOOTHING * (out - self.out);
    }

    /// Counts a block.
    pub fn count(&mut self, diverged: bool) {
        self.divergent += SLOW * (f32::from(u8::from(diverged)) - self.divergent);
    }

    pub fn echo_return_loss(&self) -> Option<f32> {
        ratio_db(self.far, self.near)
    }

    pub fn echo_return_loss_enhancement(&self) -> Option<f32> {
        ratio_db(self.near, self.out)
    }

    pub fn divergent_fraction(&self) -> f32 {
        self.divergent
    }
}

fn ratio_db(a: f32, b: f32) -> Option<f32> {
    (a > 0.0).then(|| 10.0 * ((a + 1e-12) / (b + 1e-12)).log10())
}
