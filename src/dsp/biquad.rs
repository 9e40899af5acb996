//! Second-order filter sections in state-variable form (trapezoidal integrators; V. Zavalishin, *The Art of VA Filter
//! Design*), two in series.

use super::curve::SmoothstepCurve;
use super::dispatch::kernels;

/// Magnitude below which a state becomes zero, −300 dBFS: long before it would be denormal.
const FLUSH_BELOW: f64 = 1e-15;

/// Parameters of a state-variable section.
///
/// All of them may change from sample to sample. The states are those of the analogue circuit's integrators, so they
/// stay right whatever the parameters become, and the circuit is stable for all positive `g` and `k`. So a change of
/// cutoff, order or bypass is an interpolation between two sets of parameters, and needs no second filter to fade to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionParams {
    /// tan(π f / fs).
    pub g: f64,
    /// 1 / Q.
    pub k: f64,
    /// Share of the band-pass output added to the input.
    pub band: f64,
    /// Share of the low-pass output added to the input.
    pub low: f64,
}

impl SectionParams {
    /// Linear interpolation, from `self` at 0 to `to` at 1.
    fn lerp(&self, to: &Self, t: f64) -> Self {
        let lerp = |a: f64, b: f64| a + (b - a) * t;
        Self {
            g: lerp(self.g, to.g),
            k: lerp(self.k, to.k),
            band: lerp(self.band, to.band),
            low: lerp(self.low, to.low),
        }
    }
}

/// Parameters of both sections.
pub(crate) type CascadeParams = [SectionParams; 2];

/// States of the integrators of both sections, band-pass and low-pass each.
pub(crate) type CascadeState = [f64; STATES];

/// Samples of a block, which [`Cascade`] filters at once.
const BLOCK: usize = 8;

/// Number of states of a cascade.
const STATES: usize = 4;

/// Two sections in series with constant parameters.
///
/// Outputs of a block and the states behind it are products of a matrix with its inputs and the states before it. So the
/// chain of dependent operations, which takes the time, is as long for a block as it would be for a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cascade {
    sections: [Section; 2],
    /// What each input of a block adds to the outputs and to the states behind the block.
    inputs: [Response; BLOCK],
    /// What each state adds to them.
    states: [Response; STATES],
}

/// Outputs of a block, and states behind it.
type Response = ([f64; BLOCK], [f64; STATES]);

impl Cascade {
    pub fn new(params: &CascadeParams) -> Self {
        let sections = params.map(|params| Section::new(&params));
        let response = |mut states: [f64; STATES], input: usize| -> Response {
            let outputs = std::array::from_fn(|i| tick(&sections, &mut states, if i == input { 1.0 } else { 0.0 }));
            (outputs, states)
        };
        let unit = |state: usize| std::array::from_fn(|i| if i == state { 1.0 } else { 0.0 });
        Self {
            sections,
            inputs: std::array::from_fn(|input| response([0.0; STATES], input)),
            states: std::array::from_fn(|state| response(unit(state), BLOCK)),
        }
    }

    /// Filters in place.
    pub fn process(&self, state: &mut CascadeState, samples: &mut [f32]) {
        run_cascade(self, state, samples);
    }
}

kernels! {
    /// [`Cascade::process`].
    fn run_cascade(cascade: &Cascade, state: &mut CascadeState, samples: &mut [f32]) {
        let Cascade { sections, inputs, states } = cascade;
        let (blocks, rest) = samples.as_chunks_mut::<BLOCK>();
        for block in blocks {
            let (mut outputs, mut after) = ([0.0; BLOCK], [0.0; STATES]);
            // The first half of the outputs does not know the second half of the inputs.
            for (index, (&sample, (to_outputs, to_states))) in block.iter().zip(inputs).enumerate() {
                let sample = f64::from(sample);
                for i in if index < BLOCK / 2 { 0 } else { BLOCK / 2 }..BLOCK {
                    outputs[i] += to_outputs[i] * sample;
                }
                for i in 0..STATES {
                    after[i] += to_states[i] * sample;
                }
            }
            for (&before, (to_outputs, to_states)) in state.iter().zip(states) {
                for i in 0..BLOCK {
                    outputs[i] += to_outputs[i] * before;
                }
                for i in 0..STATES {
                    after[i] += to_states[i] * before;
                }
            }
            *block = outputs.map(|output| output as f32);
            *state = after;
        }
        for sample in rest {
            *sample = tick(sections, state, f64::from(*sample)) as f32;
        }
        flush_denormals(state);
    }
}

/// Filters in place with parameters between `from` (at 0) and `to` (at 1), by the position of each sample.
pub(crate) fn process_interpolated(
    [from, to]: [&CascadeParams; 2],
    positions: &SmoothstepCurve,
    state: &mut CascadeState,
    samples: &mut [f32],
) {
    for (index, sample) in samples.iter_mut().enumerate() {
        let position = f64::from(positions.at(index));
        let sections = [0, 1].map(|i| Section::new(&from[i].lerp(&to[i], position)));
        *sample = tick(&sections, state, f64::from(*sample)) as f32;
    }
    flush_denormals(state);
}

/// Output of both sections for one sample.
#[inline(always)]
fn tick([one, two]: &[Section; 2], [band, low, second_band, second_low]: &mut CascadeState, x: f64) -> f64 {
    two.tick([second_band, second_low], one.tick([band, low], x))
}

fn flush_denormals(state: &mut CascadeState) {
    for value in state {
        if value.abs() < FLUSH_BELOW {
            *value = 0.0;
        }
    }
}

/// Section in state-space form.
#[derive(Clone, Copy, Debug)]
struct Section {
    from_band: [f64; 2],
    from_low: [f64; 2],
    from_input: [f64; 2],
    /// Contribution of each state to the output.
    out: [f64; 2],
    /// Contribution of the input to the output.
    through: f64,
}

impl Section {
    fn new(&SectionParams { g, k, band, low }: &SectionParams) -> Self {
        let a1 = 1.0 / (1.0 + g * (g + k));
        let a2 = g * a1;
        let a3 = g * a2;
        Self {
            from_band: [2.0 * a1 - 1.0, 2.0 * a2],
            from_low: [-2.0 * a2, 1.0 - 2.0 * a3],
            from_input: [2.0 * a2, 2.0 * a3],
            out: [band * a1 + low * a2, low - band * a2 - low * a3],
            through: 1.0 + band * a2 + low * a3,
        }
    }

    #[inline(always)]
    fn tick(&self, [band, low]: [&mut f64; 2], x: f64) -> f64 {
        let output = (self.through * x + self.out[0] * *band) + self.out[1] * *low;
        [*band, *low] = [0, 1].map(|i| (self.from_input[i] * x + self.from_low[i] * *low) + self.from_band[i] * *band);
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_its_samples_are_one_by_one() {
        let params = [
            SectionParams { g: 0.005, k: 1.85, band: -1.85, low: -1.0 },
            SectionParams { g: 0.005, k: 0.77, band: -0.77, low: -1.0 },
        ];
        let mut random = fastrand::Rng::with_seed(1);
        let input: Vec<f32> = (0..4803).map(|_| random.f32() - 0.3).collect();
        let (cascade, mut found, mut state) = (Cascade::new(&params), input.clone(), [0.0; STATES]);
        found.chunks_mut(83).for_each(|frame| cascade.process(&mut state, frame));
        let (sections, mut state) = (params.map(|params| Section::new(&params)), [0.0; STATES]);
        for (index, (found, x)) in found.iter().zip(&input).enumerate() {
            let wanted = tick(&sections, &mut state, f64::from(*x)) as f32;
            assert!((found - wanted).abs() < 1e-7, "{index}: {found}, not {wanted}");
        }
    }
}
