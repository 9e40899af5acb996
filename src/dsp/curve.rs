//! Gain curves over a frame: computed for each sample where it is needed, and kept nowhere.

use std::ops::Range;

use super::dispatch::kernels;

/// Section of a smoothstep ramp: `from + rise · s(t)`, `s(t) = t²(3 − 2t)`, where `t` grows by `step` a sample up to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmoothstepCurve {
    pub from: f32,
    pub rise: f32,
    /// Samples of the ramp before the first one.
    pub elapsed: usize,
    pub step: f32,
}

impl SmoothstepCurve {
    /// Curve of one value.
    pub fn constant(value: f32) -> Self {
        Self { from: value, rise: 0.0, elapsed: 0, step: 0.0 }
    }

    /// Value for a sample.
    #[inline(always)]
    pub fn at(&self, index: usize) -> f32 {
        let t = ((self.elapsed as i32 + index as i32 + 1) as f32 * self.step).min(1.0);
        self.from + self.rise * t * t * (3.0 - 2.0 * t)
    }

    /// The same curve, that many samples later.
    pub fn after(self, samples: usize) -> Self {
        Self { elapsed: self.elapsed + samples, ..self }
    }

    /// Multiplies each sample by its value.
    pub fn multiply(&self, samples: &mut [f32]) {
        multiply_by_smoothstep(samples, self);
    }

    /// `a = a + (b − a) · value`.
    pub fn blend(&self, a: &mut [f32], b: &[f32]) {
        blend_by_smoothstep(a, b, self);
    }
}

/// Linear ramp: `step` a sample from `start` (the value before the first sample), within a range.
#[derive(Clone, Debug)]
pub(crate) struct LinearCurve {
    pub start: f32,
    pub step: f32,
    pub range: Range<f32>,
}

impl LinearCurve {
    /// Value for a sample.
    #[inline(always)]
    pub fn at(&self, index: usize) -> f32 {
        (self.start + self.step * (index as i32 + 1) as f32).min(self.range.end).max(self.range.start)
    }

    /// Multiplies each sample by its value.
    pub fn multiply(&self, samples: &mut [f32]) {
        multiply_by_linear(samples, self);
    }

    /// Multiplies each sample by a gain whose place on a smoothstep from `floor` to 1 is the value, 0 to 1.
    pub fn multiply_above(&self, floor: &SmoothstepCurve, samples: &mut [f32]) {
        multiply_above_floor(samples, self, floor);
    }

    /// Gain of [`multiply_above`](Self::multiply_above) for a sample.
    #[inline(always)]
    pub fn gain_above(&self, floor: &SmoothstepCurve, index: usize) -> f32 {
        let (place, floor) = (self.at(index), floor.at(index));
        floor + (1.0 - floor) * (place * place * (3.0 - 2.0 * place))
    }
}

kernels! {
    /// [`SmoothstepCurve::multiply`].
    fn multiply_by_smoothstep(samples: &mut [f32], curve: &SmoothstepCurve) {
        for (index, sample) in samples.iter_mut().enumerate() {
            *sample *= curve.at(index);
        }
    }

    /// [`SmoothstepCurve::blend`].
    fn blend_by_smoothstep(a: &mut [f32], b: &[f32], curve: &SmoothstepCurve) {
        for (index, (a, b)) in a.iter_mut().zip(b).enumerate() {
            *a += (b - *a) * curve.at(index);
        }
    }

    /// [`LinearCurve::multiply`].
    fn multiply_by_linear(samples: &mut [f32], curve: &LinearCurve) {
        for (index, sample) in samples.iter_mut().enumerate() {
            *sample *= curve.at(index);
        }
    }

    /// [`LinearCurve::multiply_above`].
    fn multiply_above_floor(samples: &mut [f32], curve: &LinearCurve, floor: &SmoothstepCurve) {
        for (index, sample) in samples.iter_mut().enumerate() {
            *sample *= curve.gain_above(floor, index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn kernels_agree_with_the_definition(
            pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..200), elapsed in 0usize..100, step in -0.1f32..0.1,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let check = |change: &dyn Fn(&mut [f32]), wanted: &dyn Fn(usize) -> f32| {
                let mut found = a.clone();
                change(&mut found);
                found.iter().enumerate().all(|(i, &f)| f == wanted(i))
            };
            let curve = SmoothstepCurve { from: 0.25, rise: 0.5, elapsed, step: 0.01 };
            let smooth = |i: usize| {
                let t = ((elapsed + i + 1) as f32 * 0.01).min(1.0);
                0.25 + 0.5 * t * t * (3.0 - 2.0 * t)
            };
            prop_assert!(check(&|a| curve.multiply(a), &|i| a[i] * smooth(i)));
            prop_assert!(check(&|a| curve.blend(a, &b), &|i| a[i] + (b[i] - a[i]) * smooth(i)));
            prop_assert!((0..100).all(|i| curve.after(7).at(i) == curve.at(i + 7)));
            prop_assert!((0..100).all(|i| SmoothstepCurve::constant(step).at(i) == step));
            let linear = LinearCurve { start: 0.5, step, range: 0.1..0.9 };
            let place = |i: usize| (0.5 + step * (i + 1) as f32).clamp(0.1, 0.9);
            let gain = |i: usize| smooth(i) + (1.0 - smooth(i)) * (place(i) * place(i) * (3.0 - 2.0 * place(i)));
            prop_assert!(check(&|a| linear.multiply(a), &|i| a[i] * place(i)));
            prop_assert!(check(&|a| linear.multiply_above(&curve, a), &|i| a[i] * gain(i)));
        }
    }
}
