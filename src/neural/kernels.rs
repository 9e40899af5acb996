//! Inner loops of networks whose weights are integers of 8 or 4 bits.
//!
//! Inputs of large matrices are rounded to integers, so that the sums are exact and the same on every machine.

// Each network needs some of them.
#![cfg_attr(not(feature = "hush"), allow(dead_code))]

use crate::dsp::dispatch::kernels;
use crate::dsp::kernels::max_magnitude_bits;

/// 2²³ and half as much again: whatever is added to it is rounded to an integer, to even if it lies between two.
const ROUND: f32 = 1.5 * 8_388_608.0;

kernels! {
    /// Rounds to 16 bits of the largest magnitude; returns the value of one step, a power of two.
    fn quantise_to_words(to: &mut [i16], from: &[f32]) -> f32 {
        let unit = unit_of_words(max_magnitude_bits(from));
        let steps = 1.0 / unit;
        for (to, from) in to.iter_mut().zip(from) {
            *to = (from * steps + ROUND).to_bits() as i16;
        }
        unit
    }

    /// [`quantise_to_words`] of the products of values and factors.
    fn quantise_products_to_words(to: &mut [i16], from: &[f32], factors: &[f32]) -> f32 {
        let products = || from.iter().zip(factors).map(|(from, factor)| from * factor);
        let unit = unit_of_words(products().fold(0, |max, product| max.max(product.abs().to_bits())));
        let steps = 1.0 / unit;
        for (to, product) in to.iter_mut().zip(products()) {
            *to = (product * steps + ROUND).to_bits() as i16;
        }
        unit
    }

    /// Rounds to 127 steps of the largest magnitude; returns the value of one step.
    fn quantise_to_bytes_of_peak(to: &mut [i8], from: &[f32]) -> f32 {
        // The smallest step is one whose inverse is finite.
        let unit = (f32::from_bits(max_magnitude_bits(from)) * (1.0 / 127.0)).max(7.9e-31);
        round_to_bytes(to, from, 1.0 / unit);
        unit
    }

    /// Splits values into what [`quantise_to_words`] keeps, and the rest.
    fn split_words(kept: &mut [f32], rest: &mut [f32], from: &[f32]) {
        let unit = unit_of_words(max_magnitude_bits(from));
        let steps = 1.0 / unit;
        for ((kept, rest), from) in kept.iter_mut().zip(rest).zip(from) {
            *kept = (from * steps + ROUND - ROUND) * unit;
            *rest = from - *kept;
        }
    }

    /// Rounds −1 to 1 to steps of 1/127.
    fn quantise_to_bytes(to: &mut [i8], from: &[f32]) {
        round_to_bytes(to, from, 127.0);
    }

    /// `out = out + a · b`, value by value.
    fn add_products(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out += a * b;
        }
    }

    /// Hyperbolic tangent of each value.
    fn tanh(values: &mut [f32]) {
        for value in values {
            *value = tanh_of(*value);
        }
    }

    /// `values = values · factors`.
    fn multiply(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }

    /// `state = candidate + update · (state − candidate)`.
    fn interpolate(state: &mut [f32], candidate: &[f32], update: &[f32]) {
        for ((state, candidate), update) in state.iter_mut().zip(candidate).zip(update) {
            *state = candidate + update * (*state - candidate);
        }
    }

    /// Rectified linear unit of each value.
    fn rectify(values: &mut [f32]) {
        for value in values {
            *value = value.max(0.0);
        }
    }

    /// Logistic function of each value.
    fn sigmoid(values: &mut [f32]) {
        for value in values {
            *value = sigmoid_of(*value);
        }
    }

    /// One step of a gated recurrent unit. The other arguments are what input and state give to the update gate, the
    /// reset gate and the candidate, one after the other; the gates are left in the former. Each has a loop of its own, as the
    /// coefficients of one curve are as many as there are registers.
    fn gru_step(state: &mut [f32], from_input: &mut [f32], from_state: &[f32]) {
        let size = state.len();
        let (gates, candidates) = from_input.split_at_mut(2 * size);
        let (state_gates, state_candidates) = from_state.split_at(2 * size);
        for (gate, from_state) in gates.iter_mut().zip(state_gates) {
            *gate = sigmoid_of(*gate + from_state);
        }
        let (updates, resets) = gates.split_at(size);
        let candidates = candidates.iter().zip(state_candidates).zip(resets);
        for ((state, update), ((candidate, from_state), reset)) in state.iter_mut().zip(updates).zip(candidates) {
            let candidate = tanh_of(candidate + reset * from_state);
            *state = candidate + update * (*state - candidate);
        }
    }
}

/// Rounds to bytes, `steps` to 1.
#[inline(always)]
fn round_to_bytes(to: &mut [i8], from: &[f32], steps: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = (from * steps + ROUND).to_bits() as i8;
    }
}

/// Smallest power of two of which a largest magnitude of these bits is no more than 32 767 steps; 2⁻⁹⁹ at least.
#[inline(always)]
fn unit_of_words(magnitude_bits: u32) -> f32 {
    let unit = (f32::from_bits(magnitude_bits) * (1.0 / 32_767.0)).max(7.9e-31);
    f32::from_bits((unit.to_bits() + 0x7f_ffff) & 0xff80_0000)
}

/// Hyperbolic tangent by a rational function, the minimax one of Eigen (`ptanh_float`): within 3e-7. Up to the limit, where it
/// is 1 to as many digits.
#[inline(always)]
fn tanh_of(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let s = x * x;
    let above = s * -2.760_768_5e-16 + 2.000_188e-13;
    let above = s * above + -8.604_672e-11;
    let above = s * above + 5.122_297e-8;
    let above = s * above + 1.485_722_4e-5;
    let above = s * above + 6.372_619e-4;
    let above = s * above + 4.893_524_6e-3;
    let below = s * 1.198_258_4e-6 + 1.185_347_1e-4;
    let below = s * below + 2.268_434_6e-3;
    let below = s * below + 4.893_525e-3;
    x * above / below
}

/// Logistic function.
#[inline(always)]
fn sigmoid_of(x: f32) -> f32 {
    0.5 + 0.5 * tanh_of(0.5 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curves_are_near_their_definitions() {
        for step in -2000..=2000 {
            let x = step as f32 * 0.01;
            let mut values = [x; 2];
            tanh(&mut values[..1]);
            sigmoid(&mut values[1..]);
            assert!((values[0] - x.tanh()).abs() < 5e-7, "tanh {x}: {}", values[0]);
            assert!((values[1] - 1.0 / (1.0 + (-x).exp())).abs() < 5e-7, "sigmoid {x}: {}", values[1]);
        }
    }

    #[test]
    fn integers_are_the_nearest() {
        let mut words = [1; 4];
        let unit = quantise_to_words(&mut words, &[0.5, -1.0, 0.25, 0.0]);
        assert_eq!((words, unit), ([8_192, -16_384, 4_096, 0], 1.0 / 16_384.0));
        let (mut kept, mut rest) = ([0.0; 2], [0.0; 2]);
        split_words(&mut kept, &mut rest, &[3.0, 1e-5]);
        assert_eq!((kept, rest), ([3.0, 0.0], [0.0, 1e-5]));
        let mut silence = [1; 2];
        quantise_to_words(&mut silence, &[0.0; 2]);
        assert_eq!(silence, [0; 2]);
        let mut bytes = [1; 5];
        quantise_to_bytes(&mut bytes, &[-1.0, 0.0, 1.0, 0.3 / 127.0, -0.7 / 127.0]);
        assert_eq!(bytes, [-127, 0, 127, 0, -1]);
        let unit = quantise_to_bytes_of_peak(&mut bytes, &[2.0, -4.0, 3.0, 0.01, 0.0]);
        assert_eq!((bytes, unit), ([64, -127, 95, 0, 0], 4.0 / 127.0));
        for (extreme, wanted) in [(0.0, 0), (1e-38, 0), (f32::MAX, -127)] {
            let unit = quantise_to_bytes_of_peak(&mut bytes, &[-extreme, 0.0, 0.0, 0.0, 0.0]);
            assert!(bytes == [wanted, 0, 0, 0, 0] && unit > 0.0 && unit.is_finite(), "{extreme}: {bytes:?}");
        }
    }

    #[test]
    fn a_recurrent_unit_agrees_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(2);
        let [from_input, from_state]: [[f32; 12]; 2] =
            std::array::from_fn(|_| std::array::from_fn(|_| 4.0 * random.f32() - 2.0));
        let before: [f32; 4] = std::array::from_fn(|_| random.f32());
        let (mut state, mut gates) = (before, from_input);
        gru_step(&mut state, &mut gates, &from_state);
        let logistic = |x: f32| 1.0 / (1.0 + (-x).exp());
        for i in 0..4 {
            let update = logistic(from_input[i] + from_state[i]);
            let reset = logistic(from_input[4 + i] + from_state[4 + i]);
            let wanted = (1.0 - update) * (from_input[8 + i] + reset * from_state[8 + i]).tanh() + update * before[i];
            assert!((state[i] - wanted).abs() < 1e-5);
        }
    }
}
