//! Inner loops over bins.

use super::spectrum::{Bins, PADDED, Spectrum};
use crate::dsp::kernels;

kernels! {
    /// `sum += a · b`.
    fn add_product(sum: &mut Spectrum, a: &Spectrum, b: &Spectrum) {
        for bin in 0..PADDED {
            sum.re[bin] += a.re[bin] * b.re[bin] - a.im[bin] * b.im[bin];
            sum.im[bin] += a.re[bin] * b.im[bin] + a.im[bin] * b.re[bin];
        }
    }

    /// `sum += weights · values`.
    fn add_weighted(sum: &mut Bins, weights: &Bins, values: &Bins) {
        for bin in 0..PADDED {
            sum[bin] += weights[bin] * values[bin];
        }
    }

    /// Power of each bin.
    fn power(to: &mut Bins, from: &Spectrum) {
        for (bin, to) in to.iter_mut().enumerate() {
            *to = from.re[bin] * from.re[bin] + from.im[bin] * from.im[bin];
        }
    }

    /// Kalman step of one partition: `error` is the error over the variance of the whole innovation, `inverse` the
    /// inverse of that variance, `keep` the squared state transition.
    fn kalman_step(
        taps: &mut Spectrum, variance: &mut Bins, far: &Spectrum, far_power: &Bins, error: &Spectrum, inverse: &Bins,
        keep: f32,
    ) {
        for bin in 0..PADDED {
            let v = variance[bin];
            // The conjugate of the far end.
            taps.re[bin] += v * (far.re[bin] * error.re[bin] + far.im[bin] * error.im[bin]);
            taps.im[bin] += v * (far.re[bin] * error.im[bin] - far.im[bin] * error.re[bin]);
            let power = taps.re[bin] * taps.re[bin] + taps.im[bin] * taps.im[bin];
            let left = 1.0 - 0.5 * v * inverse[bin] * far_power[bin];
            variance[bin] = keep * left * v + (1.0 - keep) * power + 1e-9;
        }
    }
}
