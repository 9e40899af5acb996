//! Click-free ramps between two values of a setting.

use super::curve::SmoothstepCurve;

/// Ramp along a smoothstep to each new target. Its slope is zero at both ends, so that even full scale muted in 5 ms
/// leaves no audible spectrum of its own.
#[derive(Clone, Debug)]
pub(crate) struct Ramp {
    from: f32,
    to: f32,
    /// Samples since `from`; `length` or more once the ramp has arrived.
    elapsed: usize,
    length: usize,
}

/// Gain, or another ramped value, over one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GainCurve {
    /// One constant value.
    Steady(f32),
    /// One value a sample.
    Moving(SmoothstepCurve),
}

impl Ramp {
    /// Ramp at rest at `value`.
    pub fn new(value: f32, length: usize) -> Self {
        Self { from: value, to: value, elapsed: length, length }
    }

    /// Value after the last sample.
    pub fn value(&self) -> f32 {
        if self.elapsed >= self.length {
            return self.to;
        }
        let t = self.elapsed as f32 / self.length as f32;
        self.from + (self.to - self.from) * t * t * (3.0 - 2.0 * t)
    }

    /// Starts for `target`, to arrive after `length` samples. Goes on where it is already on its way there.
    pub fn set(&mut self, target: f32, length: usize) {
        let moving = self.elapsed < self.length;
        if target != self.to || (moving && length != self.length) {
            self.from = self.value();
            self.to = target;
            self.elapsed = 0;
        } else if !moving {
            self.elapsed = length;
        }
        self.length = length;
    }

    /// Jumps to the target.
    pub fn finish(&mut self) {
        self.elapsed = self.length;
    }

    /// Jumps to `value`, and stays there.
    pub fn jump_to(&mut self, value: f32) {
        (self.from, self.to) = (value, value);
        self.finish();
    }

    /// Values for the next `samples`, which then have passed.
    pub fn advance(&mut self, samples: usize) -> GainCurve {
        if self.elapsed >= self.length {
            return GainCurve::Steady(self.to);
        }
        let elapsed = self.elapsed;
        self.elapsed += samples;
        let (rise, step) = (self.to - self.from, 1.0 / self.length as f32);
        GainCurve::Moving(SmoothstepCurve { from: self.from, rise, elapsed, step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values of a ramp to `target`, in frames of 480.
    fn run(ramp: &mut Ramp, frames: usize) -> Vec<f32> {
        let mut values = Vec::new();
        for _ in 0..frames {
            match ramp.advance(480) {
                GainCurve::Steady(value) => values.extend([value; 480]),
                GainCurve::Moving(curve) => values.extend((0..480).map(|index| curve.at(index))),
            }
        }
        values
    }

    #[test]
    fn it_arrives_on_time_without_a_step() {
        let mut ramp = Ramp::new(1.0, 700);
        ramp.set(0.0, 700);
        let values = run(&mut ramp, 3);
        assert!(values[698] > 0.0);
        assert!(values[699..].iter().all(|&v| v.abs() < 1e-6));
        let step = values.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(step < 1.51 / 700.0, "{step}");
    }

    #[test]
    fn a_new_target_on_the_way_goes_on_from_there() {
        let mut ramp = Ramp::new(0.0, 960);
        ramp.set(1.0, 960);
        let first = run(&mut ramp, 1);
        ramp.set(-1.0, 960);
        let second = run(&mut ramp, 3);
        assert!((first[479] - 0.5).abs() < 1e-3);
        assert!((second[0] - first[479]).abs() < 1e-3);
        assert_eq!(second[1439], -1.0);
    }

    #[test]
    fn a_new_length_makes_no_step_whenever_it_comes() {
        for wait in [0, 1, 3] {
            let mut ramp = Ramp::new(0.0, 1000);
            ramp.set(1.0, 1000);
            let before = run(&mut ramp, wait).last().copied().unwrap_or(0.0);
            ramp.set(1.0, 4000);
            let after = run(&mut ramp, 10);
            assert!((after[0] - before).abs() < 1e-3, "{before} to {} after {wait} frames", after[0]);
            assert_eq!(after.last(), Some(&1.0));
        }
    }
}
