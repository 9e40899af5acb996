//! Network of the echo suppressor: from the powers that the canceller sees in a frame to the near end's share of them.
//!
//! A dense layer, a gated recurrent unit, and a dense layer over both. `scripts/echo-network` trains it (see `NOTICE`).

use std::sync::OnceLock;

use crate::neural::kernels;
use crate::neural::layers::{Dense, Gru, matrix};
use crate::neural::matrix::Matrix;
use crate::neural::weights::Tensor;

/// Bands up to 8 kHz.
pub const BANDS: usize = 32;

/// Powers of each band that are taken in.
pub const GROUPS: usize = 6;

/// Inputs of the network.
pub const FEATURES: usize = GROUPS * BANDS;

const DENSE: usize = 128;
const STATE: usize = 128;
const OUTPUTS: usize = BANDS + 1;

/// Weights of a row that share a scale.
const BLOCK: usize = 64;

/// Integers, and behind them the scales: of 64 weights each in matrices, of 16 in biases.
static MODEL: &[u8] = include_bytes!("weights.bin");

/// Sizes of the tensors, in the order in which they lie in the model, and weights that share a scale.
const TENSORS: [(usize, usize); 7] = [
    (DENSE * FEATURES, BLOCK),
    (3 * STATE * DENSE, BLOCK),
    (3 * STATE * STATE, BLOCK),
    (OUTPUTS * (DENSE + STATE), BLOCK),
    (DENSE, 16),
    (2 * 3 * STATE, 16),
    (OUTPUTS, 16),
];

/// Tensor of the model.
const fn tensor(number: usize) -> Tensor {
    let (mut before, mut all, mut scale_at, mut index) = (0, 0, 0, 0);
    while index < TENSORS.len() {
        let (length, block) = TENSORS[index];
        if index < number {
            before += length;
            scale_at += length.div_ceil(block);
        }
        all += length;
        index += 1;
    }
    Tensor::of(MODEL, all, before, TENSORS[number].0, scale_at, TENSORS[number].1)
}

/// Layers of the network, shared by all streams: 140 kB where they lie in the program.
struct Weights {
    dense: Dense<FEATURES, DENSE>,
    recurrent: Gru<Matrix, DENSE, STATE>,
    out: Dense<{ DENSE + STATE }, OUTPUTS>,
}

/// Weights of the network. Allocates at the first call in a program.
fn weights() -> &'static Weights {
    static WEIGHTS: OnceLock<Weights> = OnceLock::new();
    WEIGHTS.get_or_init(|| Weights {
        dense: Dense::new(const { tensor(0) }, const { tensor(4) }),
        recurrent: Gru::new(
            [matrix([3 * STATE, DENSE], const { tensor(1) }), matrix([3 * STATE, STATE], const { tensor(2) })],
            const { tensor(5) },
        ),
        out: Dense::new(const { tensor(3) }, const { tensor(6) }),
    })
}

/// What the network makes of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// Gain of each band that leaves of it what is no echo, 0 to 1.
    pub gains: [f32; BANDS],
    /// Probability that the near end speaks.
    pub presence: f32,
}

/// All that is remembered of a stream.
#[derive(Clone)]
pub struct State {
    weights: &'static Weights,
    recurrent: [f32; STATE],
}

impl State {
    /// State of a stream that begins. Allocates at the first call in a program.
    pub fn new() -> Self {
        Self { weights: weights(), recurrent: [0.0; STATE] }
    }

    pub fn reset(&mut self) {
        self.recurrent = [0.0; STATE];
    }

    /// Takes in the powers of a frame, group by group, scaled as those of an FFT of 320 samples.
    pub fn run(&mut self, powers: &[f32; FEATURES]) -> Estimate {
        let features = powers.map(|power| 0.3 * (power + 1e-8).log10() + 0.6);
        let mut summary = [0.0; DENSE + STATE];
        let (dense, state) = summary.split_at_mut(DENSE);
        let mut dense_out = self.weights.dense.run(&features);
        kernels::tanh(&mut dense_out);
        self.weights.recurrent.step([(&mut self.recurrent, &dense_out)].into_iter());
        dense.copy_from_slice(&dense_out);
        state.copy_from_slice(&self.recurrent);
        let mut out = self.weights.out.run(&summary);
        kernels::sigmoid(&mut out);
        let mut gains = [0.0; BANDS];
        gains.copy_from_slice(&out[..BANDS]);
        Estimate { gains, presence: out[BANDS] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `weights · input + bias`.
    fn dense(weights: Tensor, bias: &[f32], input: &[f64]) -> Vec<f64> {
        let weights = weights.to_floats();
        let rows = weights.chunks_exact(input.len()).zip(bias);
        rows.map(|(row, bias)| f64::from(*bias) + row.iter().zip(input).map(|(w, x)| f64::from(*w) * x).sum::<f64>())
            .collect()
    }

    fn logistic(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn it_agrees_with_its_definition() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut network, mut state) = (State::new(), vec![0.0; STATE]);
        let [biases, recurrent_biases, out_biases] = [4, 5, 6].map(|number| tensor(number).to_floats());
        for _ in 0..20 {
            let powers: [f32; FEATURES] = std::array::from_fn(|_| 10f32.powf(random.f32() * 8.0 - 7.0));
            let features: Vec<f64> = powers.iter().map(|&p| 0.3 * (f64::from(p) + 1e-8).log10() + 0.6).collect();
            let hidden: Vec<f64> = dense(tensor(0), &biases, &features).iter().map(|x| x.tanh()).collect();
            let input = dense(tensor(1), &recurrent_biases[..3 * STATE], &hidden);
            let own = dense(tensor(2), &recurrent_biases[3 * STATE..], &state);
            for i in 0..STATE {
                let [update, reset] = [0, STATE].map(|gate| logistic(input[gate + i] + own[gate + i]));
                let candidate = (input[2 * STATE + i] + reset * own[2 * STATE + i]).tanh();
                state[i] = update * state[i] + (1.0 - update) * candidate;
            }
            let summary: Vec<f64> = hidden.iter().chain(&state).copied().collect();
            let wanted: Vec<f64> = dense(tensor(3), &out_biases, &summary).iter().map(|&x| logistic(x)).collect();
            let found = network.run(&powers);
            let all = found.gains.iter().chain([&found.presence]);
            for (found, wanted) in all.zip(&wanted) {
                assert!((f64::from(*found) - wanted).abs() < 2e-3, "{found} {wanted}");
            }
        }
        assert!(network.recurrent.iter().any(|&value| value != 0.0));
        network.reset();
        assert_eq!(network.recurrent, [0.0; STATE]);
    }
}
