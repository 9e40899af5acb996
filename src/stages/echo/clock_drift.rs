//! Drift between the clocks of loudspeaker and microphone.

/// Smoothing of the timing error for each block: 0.3 s.
const SMOOTHING: f32 = 0.03;

/// Loop gains for each block: drift, and correction, for a timing error in blocks.
const INTEGRAL: f64 = 3e-4;
const PROPORTIONAL: f64 = 0.01;

/// Largest drift that is followed.
const MAX: f64 = 500e-6;

/// Largest timing error that counts, in blocks: what is more is none.
const MAX_ERROR: f64 = 0.02;

/// How the predicted echo lies to the real one in a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Error times slope, and squared slope, each over the error's energy.
    product: f32,
    slope: f32,
    samples: usize,
}

impl Timing {
    /// Timing of a block of predicted echo in the microphone.
    pub fn measure(echo: &[f32], near: &[f32]) -> Self {
        let (mut product, mut slope, mut energy) = (0.0f32, 0.0f32, 0.0f32);
        for (three, near) in echo.windows(3).zip(&near[1..]) {
            let error = near - three[1];
            let derivative = 0.5 * (three[2] - three[0]);
            product += error * derivative;
            slope += derivative * derivative;
            energy += error * error;
        }
        let weight = 1.0 / (energy + 1e-7);
        Self { product: product * weight, slope: slope * weight, samples: echo.len() }
    }
}

/// Tracker of the clock drift. The filter follows an echo that comes earlier and earlier, or later and later, but is
/// always a bit behind: what it leaves then resembles the slope of the echo. By this timing error the far end is read
/// faster or slower, until the filter has nothing to follow any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockDrift {
    product: f32,
    slope: f32,
    drift: f64,
    correction: f64,
}

impl ClockDrift {
    /// Ends the correction of the last block.
    pub fn rest(&mut self) {
        self.correction = 0.0;
    }

    /// Takes in the timing of a block.
    pub fn update(&mut self, timing: Timing) {
        self.product += SMOOTHING * (timing.product - self.product);
        self.slope += SMOOTHING * (timing.slope - self.slope);
        if self.slope > 0.0 {
            // How much earlier the echo is than predicted.
            let early = f64::from(self.product / self.slope) / timing.samples as f64;
            let early = early.clamp(-MAX_ERROR, MAX_ERROR);
            self.drift = (self.drift + INTEGRAL * early).clamp(-MAX, MAX);
            self.correction = PROPORTIONAL * early;
        }
    }

    /// Share by which a block of the microphone is longer than one of the far end.
    pub fn drift(&self) -> f64 {
        self.drift
    }

    /// The same, with what is caught up in the next block.
    pub fn step(&self) -> f64 {
        self.drift + self.correction
    }
}
