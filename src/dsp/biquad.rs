//! Second-order filter sections in state-variable form (trapezoidal integrators; V. Zavalishin, *The Art of VA Filter
//! Design*), two in series.

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
pub(crate) type CascadeState = [[f64; 2]; 2];

/// Two sections in series with constant parameters, in the form that is fastest to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cascade([SectionPair; 2]);

impl Cascade {
    pub fn new(params: &CascadeParams) -> Self {
        Self(params.map(|params| SectionPair::new(Section::new(params))))
    }

    /// Filters in place.
    pub fn process(&self, state: &mut CascadeState, samples: &mut [f32]) {
        let (Self([one, two]), [mut first, mut second]) = (*self, *state);
        let mut pairs = samples.chunks_exact_mut(2);
        for pair in &mut pairs {
            let output = two.tick(&mut second, one.tick(&mut first, [f64::from(pair[0]), f64::from(pair[1])]));
            (pair[0], pair[1]) = (output[0] as f32, output[1] as f32);
        }
        for sample in pairs.into_remainder() {
            *sample = two.single.tick(&mut second, one.single.tick(&mut first, f64::from(*sample))) as f32;
        }
        *state = [first, second];
        flush_denormals(state);
    }
}

/// Filters in place with parameters between `from` (at 0) and `to` (at 1), by one position a sample.
pub(crate) fn process_interpolated(
    [from, to]: [&CascadeParams; 2],
    positions: &[f32],
    state: &mut CascadeState,
    samples: &mut [f32],
) {
    let [first, second] = &mut *state;
    for (sample, position) in samples.iter_mut().zip(positions) {
        let [one, two] = [0, 1].map(|i| Section::new(from[i].lerp(&to[i], f64::from(*position))));
        *sample = two.tick(second, one.tick(first, f64::from(*sample))) as f32;
    }
    flush_denormals(state);
}

fn flush_denormals(state: &mut CascadeState) {
    for value in state.as_flattened_mut() {
        if value.abs() < FLUSH_BELOW {
            *value = 0.0;
        }
    }
}

/// Section in state-space form, which has the shortest chain of dependent operations from sample to sample.
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
    fn new(SectionParams { g, k, band, low }: SectionParams) -> Self {
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
    fn tick(&self, state: &mut [f64; 2], x: f64) -> f64 {
        let [band, low] = *state;
        *state = self.next_state(*state, x);
        (self.through * x + self.out[0] * band) + self.out[1] * low
    }

    #[inline(always)]
    fn next_state(&self, [band, low]: [f64; 2], x: f64) -> [f64; 2] {
        [0, 1].map(|i| (self.from_input[i] * x + self.from_low[i] * low) + self.from_band[i] * band)
    }
}

/// Section unrolled by two samples: the chain from state to state, which takes the time, is as long as for one.
#[derive(Clone, Copy, Debug)]
struct SectionPair {
    single: Section,
    from_band: [f64; 2],
    from_low: [f64; 2],
    from_first: [f64; 2],
    /// Contributions of the band-pass state, the low-pass state and the first input to the second output.
    to_second: [f64; 3],
}

impl SectionPair {
    fn new(single: Section) -> Self {
        let (band, low) = (single.next_state([1.0, 0.0], 0.0), single.next_state([0.0, 1.0], 0.0));
        let out = |[band, low]: [f64; 2]| single.out[0] * band + single.out[1] * low;
        Self {
            from_band: single.next_state(band, 0.0),
            from_low: single.next_state(low, 0.0),
            from_first: single.next_state(single.from_input, 0.0),
            to_second: [out(band), out(low), out(single.from_input)],
            single,
        }
    }

    #[inline(always)]
    fn tick(&self, state: &mut [f64; 2], [x, y]: [f64; 2]) -> [f64; 2] {
        let [band, low] = *state;
        let Section { from_input, out, through, .. } = &self.single;
        *state = [0, 1].map(|i| {
            let inputs = self.from_first[i] * x + from_input[i] * y;
            (inputs + self.from_low[i] * low) + self.from_band[i] * band
        });
        [
            (through * x + out[0] * band) + out[1] * low,
            (through * y + self.to_second[2] * x) + (self.to_second[0] * band + self.to_second[1] * low),
        ]
    }
}
