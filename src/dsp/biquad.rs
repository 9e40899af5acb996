//! What the filter is made of: two state-variable sections in series.

/// States below −300 dBFS become zero, long before they would be denormal.
const NOTHING: f64 = 1e-15;

/// What a state-variable section (trapezoidal integrators, Zavalishin) is made of.
///
/// All of it may change from sample to sample: the states are what the integrators of the analogue circuit hold, so they
/// stay right whatever the coefficients become, and the circuit is stable for all positive `g` and `k`. Thus a change
/// of cutoff, order or bypass is a walk from one design to another, and needs no second filter to fade to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// tan(π f / fs).
    pub g: f64,
    /// 1 / Q.
    pub k: f64,
    /// How much of the band-pass output is added to the input.
    pub band: f64,
    /// How much of the low-pass output is added to the input.
    pub low: f64,
}

/// Both sections.
pub(crate) type Design = [Shape; 2];

/// What the integrators of both sections hold.
pub(crate) type States = [[f64; 2]; 2];

/// A design as the inner loop wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter([Pair; 2]);

impl Filter {
    pub fn new(design: &Design) -> Self {
        Self(design.map(|shape| Pair::new(Section::new(shape))))
    }

    /// Filters in place.
    pub fn run(&self, states: &mut States, samples: &mut [f32]) {
        let (Self([one, two]), [mut first, mut second]) = (*self, *states);
        let mut pairs = samples.chunks_exact_mut(2);
        for pair in &mut pairs {
            let output = two.tick(&mut second, one.tick(&mut first, [f64::from(pair[0]), f64::from(pair[1])]));
            (pair[0], pair[1]) = (output[0] as f32, output[1] as f32);
        }
        for sample in pairs.into_remainder() {
            *sample = two.once.tick(&mut second, one.once.tick(&mut first, f64::from(*sample))) as f32;
        }
        *states = [first, second];
        settle(states);
    }
}

/// Filters in place on the way from one design to another, each sample so far as `ways` says.
pub(crate) fn walk(from: &Design, to: &Design, ways: &[f32], states: &mut States, samples: &mut [f32]) {
    let [first, second] = &mut *states;
    for (sample, way) in samples.iter_mut().zip(ways) {
        let part = |a: f64, b: f64| a + (b - a) * f64::from(*way);
        let [one, two] = [0, 1].map(|i| {
            let (a, b) = (&from[i], &to[i]);
            let shape =
                Shape { g: part(a.g, b.g), k: part(a.k, b.k), band: part(a.band, b.band), low: part(a.low, b.low) };
            Section::new(shape)
        });
        *sample = two.tick(second, one.tick(first, f64::from(*sample))) as f32;
    }
    settle(states);
}

fn settle(states: &mut States) {
    for value in states.as_flattened_mut() {
        if value.abs() < NOTHING {
            *value = 0.0;
        }
    }
}

/// A section in state-space form, which has the shortest way from one sample to the next.
#[derive(Clone, Copy, Debug)]
struct Section {
    from_band: [f64; 2],
    from_low: [f64; 2],
    from_input: [f64; 2],
    out: [f64; 2],
    through: f64,
}

impl Section {
    fn new(Shape { g, k, band, low }: Shape) -> Self {
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
        *state = self.next(*state, x);
        (self.through * x + self.out[0] * band) + self.out[1] * low
    }

    #[inline(always)]
    fn next(&self, [band, low]: [f64; 2], x: f64) -> [f64; 2] {
        [0, 1].map(|i| (self.from_input[i] * x + self.from_low[i] * low) + self.from_band[i] * band)
    }
}

/// A section that takes two samples at a time: the way from state to state, which is what takes the time, is as long as
/// for one.
#[derive(Clone, Copy, Debug)]
struct Pair {
    once: Section,
    from_band: [f64; 2],
    from_low: [f64; 2],
    from_first: [f64; 2],
    /// What band, low and the first input add to the second output.
    to_second: [f64; 3],
}

impl Pair {
    fn new(once: Section) -> Self {
        let (band, low) = (once.next([1.0, 0.0], 0.0), once.next([0.0, 1.0], 0.0));
        let out = |[band, low]: [f64; 2]| once.out[0] * band + once.out[1] * low;
        Self {
            from_band: once.next(band, 0.0),
            from_low: once.next(low, 0.0),
            from_first: once.next(once.from_input, 0.0),
            to_second: [out(band), out(low), out(once.from_input)],
            once,
        }
    }

    #[inline(always)]
    fn tick(&self, state: &mut [f64; 2], [x, y]: [f64; 2]) -> [f64; 2] {
        let [band, low] = *state;
        let Section { from_input, out, through, .. } = &self.once;
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
