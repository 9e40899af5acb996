//! Inner loops of networks whose weights are signed 8-bit integers.
//!
//! Inputs of large matrices are rounded to 16 bits of their own largest magnitude, so that the sums are of integers:
//! exact, the same on every machine, and twice as fast as with floating point.

// Each network needs some of them.
#![cfg_attr(not(feature = "hush"), allow(dead_code))]

use crate::dsp::kernels;

/// Weights of a row that share a scale, in [`add_product`].
pub const BLOCK: usize = 64;

kernels! {
    /// Rounds to 16 bits of the largest magnitude; returns the value of one step.
    fn quantise(to: &mut [i16], from: &[f32]) -> f32 {
        let peak = from.iter().fold(0.0f32, |peak, v| peak.max(v.abs()));
        if peak < 1e-30 {
            to.fill(0);
            return 0.0;
        }
        let steps = 32_767.0 / peak;
        for (to, from) in to.iter_mut().zip(from) {
            *to = (from * steps).round_ties_even() as i16;
        }
        peak / 32_767.0
    }

    /// `out = out + weights · input`, for a matrix whose rows are a whole number of blocks. `unit` is the value of one
    /// step of the input.
    fn add_product(out: &mut [f32], weights: &[u8], scales: &[[u8; 4]], input: &[i16], unit: f32) {
        let (blocks, _) = input.as_chunks::<BLOCK>();
        let (weights, _) = weights.as_chunks::<BLOCK>();
        let rows = weights.chunks_exact(blocks.len()).zip(scales.chunks_exact(blocks.len()));
        for (out, (weights, scales)) in out.iter_mut().zip(rows) {
            // Otherwise the compiler widens the input once for all rows, and narrows it again in each.
            let blocks = std::hint::black_box(blocks);
            let mut sum = 0.0;
            for ((weights, scale), input) in weights.iter().zip(scales).zip(blocks) {
                let mut dot = 0i32;
                for (&weight, &input) in weights.iter().zip(input) {
                    dot += i32::from(weight as i8) * i32::from(input);
                }
                sum += dot as f32 * f32::from_le_bytes(*scale);
            }
            *out += sum * unit;
        }
    }

    /// `out = input · weights`: sum of the rows of the matrix, each times its input. `block` weights share a scale.
    fn combine_rows(out: &mut [f32], weights: &[u8], scales: &[[u8; 4]], block: usize, input: &[f32]) {
        let width = out.len();
        out.fill(0.0);
        let rows = weights.chunks_exact(width).zip(scales.chunks_exact(width / block));
        for (&input, (weights, scales)) in input.iter().zip(rows) {
            // Most inputs come out of a rectifier.
            if input == 0.0 {
                continue;
            }
            let blocks = out.chunks_exact_mut(block).zip(weights.chunks_exact(block)).zip(scales);
            for ((out, weights), scale) in blocks {
                let factor = input * f32::from_le_bytes(*scale);
                for (out, &weight) in out.iter_mut().zip(weights) {
                    *out += factor * f32::from(weight as i8);
                }
            }
        }
    }

    /// `out = out + input · weights`, without scales. Rows are `stride` weights apart; those from `column` on count.
    fn add_rows(out: &mut [f32], weights: &[u8], stride: usize, column: usize, input: &[f32]) {
        for (&input, weights) in input.iter().zip(weights.chunks_exact(stride)) {
            for (out, &weight) in out.iter_mut().zip(&weights[column..]) {
                *out += f32::from(weight as i8) * input;
            }
        }
    }

    /// Rounds −1 to 1 to bytes: 0 is 127, a step is 1/127.
    fn quantise_to_bytes(to: &mut [u8], from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = (from * 127.0 + 127.5) as i32 as u8;
        }
    }

    /// `out = sums · scales + bias`.
    fn scale_sums(out: &mut [f32], sums: &[i32], scales: &[f32], bias: &[f32]) {
        for (((out, &sum), scale), bias) in out.iter_mut().zip(sums).zip(scales).zip(bias) {
            *out = sum as f32 * scale + bias;
        }
    }

    /// `out = out + a · b`, value by value.
    fn add_products(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out += a * b;
        }
    }

    /// `out = out + input · weights`, a row of weights for each input.
    fn add_float_rows(out: &mut [f32], weights: &[f32], input: &[f32]) {
        for (&input, weights) in input.iter().zip(weights.chunks_exact(out.len())) {
            for (out, &weight) in out.iter_mut().zip(weights) {
                *out += weight * input;
            }
        }
    }

    /// Integers as floats.
    fn widen(to: &mut [f32], from: &[u8]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = f32::from(from as i8);
        }
    }

    /// Hyperbolic tangent of each value.
    fn tanh(values: &mut [f32]) {
        for value in values {
            *value = tanh_of(*value);
        }
    }

    /// Logistic function of each value.
    fn sigmoid(values: &mut [f32]) {
        for value in values {
            *value = sigmoid_of(*value);
        }
    }

    /// One step of a gated recurrent unit. The other arguments are what input and state give to the update gate, the
    /// reset gate and the candidate, one after the other.
    fn gru_step(state: &mut [f32], from_input: &[f32], from_state: &[f32]) {
        let size = state.len();
        let (update, rest) = from_input.split_at(size);
        let (reset, candidate) = rest.split_at(size);
        let (state_update, rest) = from_state.split_at(size);
        let (state_reset, state_candidate) = rest.split_at(size);
        for i in 0..size {
            let update = sigmoid_of(update[i] + state_update[i]);
            let reset = sigmoid_of(reset[i] + state_reset[i]);
            let candidate = tanh_of(candidate[i] + reset * state_candidate[i]);
            state[i] = candidate + update * (state[i] - candidate);
        }
    }
}

/// Hyperbolic tangent by Lambert's continued fraction, nine terms of it: within 1e-5 up to the limit, where it is 1 to as
/// many digits.
#[inline(always)]
fn tanh_of(x: f32) -> f32 {
    let x = x.clamp(-6.4, 6.4);
    let s = x * x;
    let above = 34_459_425.0 + s * (4_729_725.0 + s * (135_135.0 + s * (990.0 + s)));
    let below = 34_459_425.0 + s * (16_216_200.0 + s * (945_945.0 + s * (13_860.0 + s * 45.0)));
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
            assert!((values[0] - x.tanh()).abs() < 2e-5, "tanh {x}: {}", values[0]);
            assert!((values[1] - 1.0 / (1.0 + (-x).exp())).abs() < 1e-5, "sigmoid {x}: {}", values[1]);
        }
    }

    #[test]
    fn products_agree_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(1);
        let weights: Vec<u8> = (0..7 * 128).map(|_| random.u8(..)).collect();
        let scales: Vec<f32> = (0..14).map(|_| random.f32()).collect();
        let scale_bytes: Vec<[u8; 4]> = scales.iter().map(|scale| scale.to_le_bytes()).collect();
        let weight = |at: usize| f64::from(weights[at] as i8) * f64::from(scales[at / 64]);
        let check = |found: &[f32], wanted: &dyn Fn(usize) -> f64| {
            for (index, &found) in found.iter().enumerate() {
                assert!((f64::from(found) - wanted(index)).abs() < 0.05, "{found} {}", wanted(index));
            }
        };

        let input: Vec<f32> = (0..128).map(|_| random.f32() - 0.5).collect();
        let mut rounded = [0; 128];
        let unit = quantise(&mut rounded, &input);
        let mut out = [1.0; 7];
        add_product(&mut out, &weights, &scale_bytes, &rounded, unit);
        check(&out, &|row| 1.0 + (0..128).map(|i| weight(row * 128 + i) * f64::from(input[i])).sum::<f64>());

        let mut out = [1.0; 128];
        combine_rows(&mut out, &weights, &scale_bytes, 64, &input[..7]);
        check(&out, &|column| (0..7).map(|row| weight(row * 128 + column) * f64::from(input[row])).sum::<f64>());

        let mut out = [0.0; 30];
        widen(&mut out, &weights);
        add_rows(&mut out, &weights, 128, 90, &input[..7]);
        let integer = |at: usize| f64::from(weights[at] as i8);
        check(&out, &|column| {
            let products = (0..7).map(|row| integer(row * 128 + 90 + column) * f64::from(input[row]));
            integer(column) + products.sum::<f64>()
        });
    }

    #[test]
    fn a_recurrent_unit_agrees_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(2);
        let [from_input, from_state]: [[f32; 12]; 2] =
            std::array::from_fn(|_| std::array::from_fn(|_| 4.0 * random.f32() - 2.0));
        let before: [f32; 4] = std::array::from_fn(|_| random.f32());
        let mut state = before;
        gru_step(&mut state, &from_input, &from_state);
        let logistic = |x: f32| 1.0 / (1.0 + (-x).exp());
        for i in 0..4 {
            let update = logistic(from_input[i] + from_state[i]);
            let reset = logistic(from_input[4 + i] + from_state[4 + i]);
            let wanted = (1.0 - update) * (from_input[8 + i] + reset * from_state[8 + i]).tanh() + update * before[i];
            assert!((state[i] - wanted).abs() < 1e-5);
        }
    }
}
