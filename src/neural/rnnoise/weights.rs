//! Layers of RNNoise.
//!
//! `weights.rnn` is the file of that name in the crate nnnoiseless 0.5.2 (see `NOTICE`). Layer after layer it holds the
//! number of inputs, the number of outputs, the activation, and then signed 8-bit integers in units of 1/256: a row of
//! input weights for each input, for recurrent layers a row of recurrent weights for each output, and the biases.

use std::sync::OnceLock;

use super::features::{BANDS, FEATURES};
use crate::neural::kernels;
use crate::neural::lockstep::few_at_a_time;
use crate::neural::matrix::{Matrix, Multiply};
use crate::neural::products::STREAMS;
use crate::neural::weights::Reader;

/// Value of one step of a weight.
const UNIT: f32 = 1.0 / 256.0;

/// Outputs of the first layer.
pub(super) const INPUT: usize = 24;

/// Outputs of the recurrent layers: voice activity, noise, gains.
pub(super) const VAD: usize = 24;
pub(super) const NOISE: usize = 48;
pub(super) const GAINS: usize = 96;

/// Activation function of a layer.
#[derive(Clone, Copy, Debug)]
enum Activation {
    Tanh,
    Sigmoid,
    Relu,
}

impl Activation {
    fn apply(self, values: &mut [f32]) {
        match self {
            Self::Tanh => kernels::tanh(values),
            Self::Sigmoid => kernels::sigmoid(values),
            Self::Relu => kernels::rectify(values),
        }
    }
}

/// Fully connected layer.
pub(super) struct Dense {
    weights: Matrix,
    bias: Box<[f32]>,
    activation: Activation,
}

impl Dense {
    /// `output = activation(weights · input + bias)` for each stream.
    pub fn run<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
        few_at_a_time::<_, STREAMS>(streams, |alone| self.run_few(alone), |few| self.run_few(few));
    }

    fn run_few<const N: usize>(&self, mut streams: [Option<(&mut [f32], &[f32])>; N]) {
        streams.iter_mut().flatten().for_each(|(output, _)| output.copy_from_slice(&self.bias));
        self.weights.add_all(streams.iter_mut().flatten().map(|(output, input)| (&mut **output, *input)));
        streams.iter_mut().flatten().for_each(|(output, _)| self.activation.apply(output));
    }
}

/// Gated recurrent unit whose reset gate acts on the state before the matrix (Cho et al., 2014).
pub(super) struct Gru<const STATE: usize> {
    /// Outputs for the update gate, the reset gate and the candidate.
    input: Matrix,
    /// Outputs for both gates.
    gates: Matrix,
    candidate: Matrix,
    bias: Box<[f32]>,
    activation: Activation,
}

impl<const STATE: usize> Gru<STATE> {
    /// Moves the state of each stream on by one input.
    pub fn step<'a>(&self, streams: impl Iterator<Item = (&'a mut [f32; STATE], &'a [f32])>) {
        few_at_a_time::<_, STREAMS>(streams, |alone| self.step_few(alone), |few| self.step_few(few));
    }

    fn step_few<const N: usize>(&self, mut streams: [Option<(&mut [f32; STATE], &[f32])>; N]) {
        let mut sums = [[[0.0; STATE]; 3]; N];
        sums.iter_mut().for_each(|sums| sums.as_flattened_mut().copy_from_slice(&self.bias));
        let inputs = sums.iter_mut().zip(streams.iter().flatten());
        self.input.add_all(inputs.map(|(sums, (_, input))| (sums.as_flattened_mut(), *input)));
        let states = sums.iter_mut().zip(streams.iter().flatten());
        self.gates.add_all(states.map(|(sums, (state, _))| (sums[..2].as_flattened_mut(), &state[..])));
        for ([gates @ .., _], (state, _)) in sums.iter_mut().zip(streams.iter().flatten()) {
            kernels::sigmoid(gates.as_flattened_mut());
            kernels::multiply(&mut gates[1], &state[..]);
        }
        let resets = sums.iter_mut().zip(streams.iter().flatten());
        self.candidate.add_all(resets.map(|([_, reset, candidate], _)| (&mut candidate[..], &reset[..])));
        for ([update, _, candidate], (state, _)) in sums.iter_mut().zip(streams.iter_mut().flatten()) {
            self.activation.apply(candidate);
            kernels::interpolate(&mut state[..], candidate, update);
        }
    }
}

/// All layers.
pub(super) struct Weights {
    pub input: Dense,
    pub vad: Gru<VAD>,
    pub noise: Gru<NOISE>,
    pub gains: Gru<GAINS>,
    pub gain_output: Dense,
    pub vad_output: Dense,
}

/// Weights of RNNoise 0.1, shared by all streams: 0.1 MB. Allocates at the first call in a program.
pub(super) fn weights() -> &'static Weights {
    static WEIGHTS: OnceLock<Weights> = OnceLock::new();
    WEIGHTS.get_or_init(|| {
        let mut file = Reader(include_bytes!("weights.rnn"));
        let weights = Weights {
            input: file.dense(Inputs { plain: 0, features: FEATURES }, INPUT),
            vad: file.gru(Inputs::plain(INPUT)),
            noise: file.gru(Inputs { plain: INPUT + VAD, features: FEATURES }),
            gains: file.gru(Inputs { plain: VAD + NOISE, features: FEATURES }),
            gain_output: file.dense(Inputs::plain(GAINS), BANDS),
            vad_output: file.dense(Inputs::plain(VAD), 1),
        };
        debug_assert!(file.0.is_empty());
        weights
    })
}

/// Layers, as they lie in the file.
impl Reader {
    fn header(&mut self, [inputs, outputs]: [usize; 2]) -> Activation {
        let header = self.bytes(3);
        debug_assert!(usize::from(header[0]) == inputs && usize::from(header[1]) == outputs);
        match header[2] {
            0 => Activation::Tanh,
            1 => Activation::Sigmoid,
            _ => Activation::Relu,
        }
    }

    fn bias(&mut self, count: usize) -> Box<[f32]> {
        self.bytes(count).iter().map(|&bias| f32::from(bias as i8) * UNIT).collect()
    }

    fn dense(&mut self, inputs: Inputs, outputs: usize) -> Dense {
        let activation = self.header([inputs.count(), outputs]);
        let weights = matrix(self.bytes(inputs.count() * outputs), inputs, outputs, 0..outputs);
        Dense { weights, bias: self.bias(outputs), activation }
    }

    fn gru<const STATE: usize>(&mut self, inputs: Inputs) -> Gru<STATE> {
        let activation = self.header([inputs.count(), STATE]);
        let width = 3 * STATE;
        let input = matrix(self.bytes(inputs.count() * width), inputs, width, 0..width);
        let recurrent = self.bytes(STATE * width);
        let gates = matrix(recurrent, Inputs::plain(STATE), width, 0..2 * STATE);
        let candidate = matrix(recurrent, Inputs::plain(STATE), width, 2 * STATE..width);
        Gru { input, gates, candidate, bias: self.bias(width), activation }
    }
}

/// Inputs of a layer.
#[derive(Clone, Copy)]
struct Inputs {
    /// Outputs of other layers.
    plain: usize,
    /// Features behind them. They are large, so they come twice: rounded to 16 bits, and what that took.
    features: usize,
}

impl Inputs {
    fn plain(plain: usize) -> Self {
        Self { plain, features: 0 }
    }

    fn count(self) -> usize {
        self.plain + self.features
    }
}

/// Matrix of some columns of `bytes`, which hold a row of `width` weights for each input.
fn matrix(bytes: &[u8], inputs: Inputs, width: usize, columns: std::ops::Range<usize>) -> Matrix {
    let Inputs { plain, features } = inputs;
    let weight = |output: usize, input: usize| {
        let row = if input < inputs.count() { input } else { input - features };
        bytes[row * width + columns.start + output] as i8
    };
    let blocks: Vec<usize> = [plain, features, features].into_iter().filter(|&inputs| inputs > 0).collect();
    Matrix::new(columns.len(), &blocks, weight, |_, _| UNIT)
}
