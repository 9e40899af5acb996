//! Pitch search of RNNoise 0.1 and 0.2: that of the CELT encoder of libopus (`celt/pitch.c`).
//!
//! Sums are taken in the order of nnnoiseless, so that they are the same to the bit: the period is a choice between lags that
//! may be equally good to six digits. What would wait for the sum before is done side by side with others.

use crate::dsp::kernels;

/// Shortest and longest period, in samples at 48 kHz: 800 Hz to 62.5 Hz.
const MIN_PERIOD: usize = 60;
pub const MAX_PERIOD: usize = 768;

/// Newest samples whose period is searched for.
const FRAME: usize = 960;

/// Samples that the search needs.
pub const HISTORY: usize = MAX_PERIOD + FRAME;

/// Lags of the first search, at 48 kHz: it leaves out periods shorter than three times the shortest.
const LAGS: usize = MAX_PERIOD - 3 * MIN_PERIOD;

/// Order of the linear prediction that whitens the signal.
const ORDER: usize = 4;

/// The history at half its rate, and its newest samples.
const HALF: usize = HISTORY / 2;
const HALF_FRAME: usize = FRAME / 2;

/// Longest period at that rate.
const MAX: usize = MAX_PERIOD / 2;

/// Values side by side: ten AVX2 registers, all that are there but for the operands.
const LANES: usize = 80;

/// Lags at a quarter of the rate, in whole [`LANES`], and the samples that they need.
const COARSE: usize = (LAGS / 4).next_multiple_of(LANES);
const QUARTER_FRAME: usize = FRAME / 4;
const QUARTER: usize = QUARTER_FRAME + COARSE;

/// Tracker of the pitch period.
#[derive(Clone, Copy, Debug)]
pub struct PitchTracker {
    period: usize,
    /// Pitch gain: normalised correlation at the period.
    gain: f32,
}

impl PitchTracker {
    pub const START: Self = Self { period: 0, gain: 0.0 };

    /// Pitch period of the newest samples, in samples at 48 kHz. `past` is that of the same history.
    pub fn find(&mut self, history: &[f32; HISTORY], past: &mut Past) -> usize {
        *self = find(history, past, *self);
        self.period
    }
}

kernels! {
    /// Period and gain of the newest samples, where those before them had `last`.
    fn find(history: &[f32; HISTORY], past: &mut Past, last: PitchTracker) -> PitchTracker {
        let signal = whiten(history, past);
        let mut energies = Energies { coarse: [0.0; LAGS / 4], fine: [0.0; LAGS / 2], periods: [0.0; MAX + 1] };
        let products = correlate(&signal, &mut energies);
        let period = MAX_PERIOD - best_lag(&signal, &products, &energies);
        without_multiples(&signal, &energies, period, last)
    }
}

/// Energies of the windows of the signal that correlations are compared with.
struct Energies {
    /// By lag of the first search, and of the second; one more, and at least 1.
    coarse: [f32; LAGS / 4],
    fine: [f32; LAGS / 2],
    /// By period.
    periods: [f32; MAX + 1],
}

/// Sums that run from window to window: what enters comes on top, what leaves is taken off.
#[derive(Clone, Copy)]
struct RunningSums {
    /// At a quarter of the rate, and at half of it.
    searches: [f32; 2],
    period: f32,
}

impl RunningSums {
    /// Adds what two samples add to the sums of the searches: at a quarter of the rate there is the first one alone.
    #[inline(always)]
    fn add_to_searches(&mut self, first: f32, second: f32, between: impl FnOnce(f32), bounded: impl Fn(f32) -> f32) {
        self.searches = self.searches.map(|sum| bounded(sum + first));
        between(self.searches[1]);
        let [coarse, fine] = self.searches;
        // As long as the compiler does not know that it adds nothing, it leaves both side by side.
        let nothing = std::hint::black_box(0.0);
        self.searches = [bounded(coarse + nothing), bounded(fine + second)];
    }

    /// Writes the energies of a lag at a quarter of the rate, those of the searches `bounded`, and goes on to the next.
    #[inline(always)]
    fn advance(&mut self, lag: usize, squares: &[f32; HALF], energies: &mut Energies, bounded: impl Fn(f32) -> f32) {
        let [coarse, fine] = self.searches;
        (energies.coarse[lag], energies.fine[2 * lag]) = (coarse, fine);
        let [first, second] = [2 * lag, 2 * lag + 1].map(|at| squares[at + HALF_FRAME] - squares[at]);
        self.add_to_searches(first, second, |fine| energies.fine[2 * lag + 1] = fine, bounded);
        self.advance_period(2 * lag, squares, energies);
        self.advance_period(2 * lag + 1, squares, energies);
    }

    /// Goes on to the next period, and writes its energy.
    #[inline(always)]
    fn advance_period(&mut self, lag: usize, squares: &[f32; HALF], energies: &mut Energies) {
        self.period += squares[MAX - 1 - lag] - squares[HALF - 1 - lag];
        energies.periods[lag + 1] = self.period.max(0.0);
    }
}

/// Correlations of the first search; writes the energies of all windows. Each sum of squares waits for the one before, and can do
/// so beside the correlations.
#[inline(always)]
fn correlate(signal: &[f32; HALF], energies: &mut Energies) -> [f32; COARSE] {
    let newest = &signal[MAX..];
    let (mut squares, mut quarter, mut newest_quarter) = ([0.0; HALF], [0.0; QUARTER], [0.0; QUARTER_FRAME]);
    for (square, value) in squares.iter_mut().zip(signal) {
        *square = value * value;
    }
    every_second(&mut quarter, signal);
    every_second(&mut newest_quarter, newest);
    let mut products = [0.0; COARSE];
    let (low, high) = products.split_at_mut(LANES);

    let mut sums = RunningSums { searches: [1.0; 2], period: inner_products(newest, [newest])[0] };
    energies.periods[0] = sums.period;
    add_products(low, &newest_quarter, &quarter, |i| {
        sums.add_to_searches(squares[2 * i], squares[2 * i + 1], |_| (), |sum| sum);
    });
    let first = sums;
    let (early, late) = newest_quarter.split_at(LAGS / 4);
    add_products(high, early, &quarter[LANES..], |lag| sums.advance(lag, &squares, energies, |energy| energy));
    add_products(high, late, &quarter[LANES + LAGS / 4..], |_| ());
    // Only near silence a bound says anything, and each sum would wait for it.
    let quiet = |energies: &[f32]| energies.iter().fold(false, |quiet, &energy| quiet | (energy < 1.0));
    if quiet(&energies.coarse) | quiet(&energies.fine) {
        sums = first;
        (0..LAGS / 4).for_each(|lag| sums.advance(lag, &squares, energies, |energy| energy.max(1.0)));
    }
    (LAGS / 2..MAX).for_each(|lag| sums.advance_period(lag, &squares, energies));
    products
}

/// Writes every second value.
#[inline(always)]
fn every_second(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from.as_chunks::<2>().0) {
        *to = from[0];
    }
}

/// Adds the inner products of `a` and what lies in `b` from each of the first lags on. `beside` is done beside each step.
#[inline(always)]
fn add_products(products: &mut [f32], a: &[f32], b: &[f32], mut beside: impl FnMut(usize)) {
    let mut sums = [0.0f32; LANES];
    sums.copy_from_slice(products);
    for (index, (a, b)) in a.iter().zip(b.windows(LANES)).enumerate() {
        for lane in 0..LANES {
            sums[lane] += a * b[lane];
        }
        beside(index);
    }
    products.copy_from_slice(&sums);
}

/// Period and gain, where `period` may be a multiple of the true one.
#[inline(always)]
fn without_multiples(signal: &[f32; HALF], energies: &Energies, period: usize, last: PitchTracker) -> PitchTracker {
    /// Multiple of the divided period that is looked at too, by divisor.
    const SECOND: [usize; 16] = [0, 0, 3, 2, 3, 2, 5, 2, 3, 2, 3, 2, 5, 2, 3, 2];

    let past = |period: usize| &signal[MAX - period..];
    let energies = &energies.periods;
    let whole = (period / 2).min(MAX - 1);
    let last_period = last.period / 2;
    let energy = energies[0];

    // The period and its parts, each with one of its multiples.
    let mut pairs = [[whole; 2]; SECOND.len()];
    let mut count = 2;
    for (divisor, multiple) in SECOND.into_iter().enumerate().skip(2) {
        let shorter = (2 * whole + divisor) / (2 * divisor);
        if shorter < MIN_PERIOD / 2 {
            break;
        }
        let second = match divisor {
            2 if shorter + whole > MAX => whole,
            2 => whole + shorter,
            _ => (2 * multiple * whole + divisor) / (2 * divisor),
        };
        pairs[divisor] = [shorter, second];
        count = divisor + 1;
    }
    let mut products = [[0.0; 2]; SECOND.len()];
    for (products, pairs) in products[..count.next_multiple_of(4)].chunks_exact_mut(4).zip(pairs.chunks_exact(4)) {
        let found: [f32; 8] = inner_products(&signal[MAX..], std::array::from_fn(|i| past(pairs[i / 2][i % 2])));
        products.as_flattened_mut().copy_from_slice(&found);
    }

    let mut best = whole;
    let (mut best_product, mut best_energy) = (products[0][0], energies[whole]);
    let whole_gain = pitch_gain(best_product, energy, best_energy);
    let mut best_gain = whole_gain;
    for divisor in 2..count {
        let [shorter, second] = pairs[divisor];
        let product = (products[divisor][0] + products[divisor][1]) / 2.0;
        let shorter_energy = (energies[shorter] + energies[second]) / 2.0;
        let gain = pitch_gain(product, energy, shorter_energy);
        let continuity = match shorter.abs_diff(last_period) {
            0..=1 => last.gain,
            2 if 5 * divisor * divisor < whole => last.gain / 2.0,
            _ => 0.0,
        };
        // Very short periods correlate by chance.
        let threshold = if shorter < 3 * (MIN_PERIOD / 2) {
            (0.85 * whole_gain - continuity).max(0.4)
        } else {
            (0.7 * whole_gain - continuity).max(0.3)
        };
        if gain > threshold {
            (best, best_product, best_energy, best_gain) = (shorter, product, shorter_energy, gain);
        }
    }

    let product = best_product.max(0.0);
    let gain = if best_energy <= product { 1.0 } else { product / (best_energy + 1.0) };
    let offset = interpolate(inner_products(&signal[MAX..], [best - 1, best, best + 1].map(past)));
    let period = (2 * best).wrapping_add_signed(offset).max(MIN_PERIOD);
    PitchTracker { period, gain: gain.min(best_gain) }
}

/// Autocorrelation of the samples before the newest, at half their rate. Its sums wait for each other, and can do so beside a
/// filter that waits for itself.
pub struct Past {
    /// Between as many zeros as the filter looks back, and the correlation ahead.
    padded: [f32; ORDER + 1 + HALF + 8],
    /// Sums of [`known`](Self::known).
    pub sums: [f32; 8],
}

/// Values at half the rate that are summed up as the past, one for each sample of a frame.
const PAST: usize = NEWEST;

/// Samples that are new in a frame, and values at half the rate that none of them is part of.
const NEWEST: usize = FRAME / 2;
const KNOWN: usize = (HISTORY - NEWEST) / 2;

impl Past {
    /// Past of a history whose newest frame need not be there.
    #[inline(always)]
    pub fn new(history: &[f32; HISTORY]) -> Self {
        let mut past = Self { padded: [0.0; ORDER + 1 + HALF + 8], sums: [0.0; 8] };
        let halved = &mut past.padded[ORDER + 1..][..KNOWN];
        halved[0] = (history[1] / 2.0 + history[0]) / 2.0;
        halve(halved, 1, history);
        past
    }

    /// Values, each with the eight from itself on, to whose products with it the sums are to come.
    #[inline(always)]
    pub fn known(&self) -> impl Iterator<Item = (&f32, &[f32])> {
        let halved = &self.padded[ORDER + 1..];
        halved[..PAST].iter().zip(halved.windows(8))
    }
}

/// Writes samples at half their rate, from one that is not the first on.
#[inline(always)]
fn halve(halved: &mut [f32], from: usize, history: &[f32; HISTORY]) {
    for (value, samples) in halved[from..].iter_mut().zip(history[2 * from - 1..].windows(3).step_by(2)) {
        *value = ((samples[0] + samples[2]) / 2.0 + samples[1]) / 2.0;
    }
}

/// Signal at half the rate, with the spectral envelope taken out.
#[inline(always)]
fn whiten(history: &[f32; HISTORY], past: &mut Past) -> [f32; HALF] {
    let whole = HALF - ORDER;
    halve(&mut past.padded[ORDER + 1..][..HALF], KNOWN, history);
    let Past { padded, sums } = past;
    let halved = &padded[ORDER + 1..];
    for (value, ahead) in halved[PAST..whole].iter().zip(halved[PAST..].windows(8)) {
        for lane in 0..8 {
            sums[lane] += value * ahead[lane];
        }
    }
    let mut correlation: [f32; ORDER + 1] = std::array::from_fn(|lag| sums[lag]);
    for (lag, value) in correlation.iter_mut().enumerate() {
        *value += (lag + whole..HALF).fold(0.0, |sum, i| sum + halved[i] * halved[i - lag]);
    }
    // A noise floor at −40 dB, and a window over the lags.
    correlation[0] *= 1.0001;
    for (lag, value) in correlation.iter_mut().enumerate().skip(1) {
        *value -= *value * (0.008 * lag as f32) * (0.008 * lag as f32);
    }
    let mut prediction = predict(&correlation);
    let mut expansion = 1.0;
    for coefficient in &mut prediction {
        expansion *= 0.9;
        *coefficient *= expansion;
    }
    // One zero more.
    let [a, b, c, d] = prediction;
    let taps = [a + 0.8, b + 0.8 * a, c + 0.8 * b, d + 0.8 * c, 0.8 * d];
    let mut signal = [0.0; HALF];
    for (index, value) in signal.iter_mut().enumerate() {
        let mut out = padded[index + ORDER + 1];
        for (lag, tap) in taps.iter().enumerate() {
            out += tap * padded[index + ORDER - lag];
        }
        *value = out;
    }
    signal
}

/// Coefficients of a linear prediction (Levinson-Durbin), up to a prediction gain of 30 dB.
#[inline(always)]
fn predict(correlation: &[f32; ORDER + 1]) -> [f32; ORDER] {
    let mut coefficients = [0.0f32; ORDER];
    let mut error = correlation[0];
    if error == 0.0 {
        return coefficients;
    }
    for order in 0..ORDER {
        let sum = (0..order).fold(0.0, |sum, i| sum + coefficients[i] * correlation[order - i]);
        let reflection = -(sum + correlation[order + 1]) / error;
        coefficients[order] = reflection;
        for i in 0..order.div_ceil(2) {
            let (low, high) = (coefficients[i], coefficients[order - 1 - i]);
            coefficients[i] = low + reflection * high;
            coefficients[order - 1 - i] = high + reflection * low;
        }
        error -= reflection * reflection * error;
        if error < 0.001 * correlation[0] {
            break;
        }
    }
    coefficients
}

/// Lag of the strongest correlation, from the longest period on: first of the `products` at a quarter of the rate, then around
/// the two best at half of it.
#[inline(always)]
fn best_lag(signal: &[f32; HALF], products: &[f32; COARSE], energies: &Energies) -> usize {
    let mut candidates = strongest_of_all(products.first_chunk().unwrap_or(&[0.0; LAGS / 4]), &energies.coarse);
    candidates.sort_unstable();

    // Lags around both, which may be some of the same.
    let mut fine = [0.0; LAGS / 2 + 4];
    for candidate in candidates {
        let first = (2 * candidate).saturating_sub(2);
        let found: [f32; 5] = inner_products(&signal[MAX..], std::array::from_fn(|i| &signal[first + i..]));
        fine[first..][..5].copy_from_slice(&found.map(|product| product.max(-1.0)));
    }
    let fine = &mut fine[..LAGS / 2];
    if candidates[0] == 0 {
        // The first five of them are two more than are near.
        fine[3..(2 * candidates[1]).saturating_sub(2).clamp(3, 5)].fill(0.0);
    }
    let nearby = |candidate: usize| (2 * candidate).saturating_sub(2)..(2 * candidate + 3).min(LAGS / 2);
    let [near, far] = candidates.map(nearby);
    let far = far.start.max(near.end)..far.end;
    let [best, _] = strongest(near.chain(far).map(|lag| (lag, fine[lag], energies.fine[lag])));
    let offset = match best.checked_sub(1).and_then(|before| fine.get(before..before + 3)) {
        Some(&[before, here, after]) => interpolate([before, here, after]),
        _ => 0,
    };
    (2 * best).wrapping_add_signed(-offset)
}

/// Two strongest correlations, relative to the energy of the past there.
struct Strongest {
    lags: [usize; 2],
    /// Squared correlation and energy of both.
    scores: [(f32, f32); 2],
}

impl Strongest {
    const START: Self = Self { lags: [0, 1], scores: [(-1.0, 0.0); 2] };

    /// Whether a correlation is stronger than one of both.
    #[inline(always)]
    fn is_beaten(&self, place: usize, correlation: f32, energy: f32) -> bool {
        let (other, other_energy) = self.scores[place];
        (correlation > 0.0) & (correlation * correlation * other_energy > other * energy)
    }

    #[inline(always)]
    fn add(&mut self, lag: usize, correlation: f32, energy: f32) {
        if self.is_beaten(1, correlation, energy) {
            let place = if self.is_beaten(0, correlation, energy) {
                (self.lags[1], self.scores[1]) = (self.lags[0], self.scores[0]);
                0
            } else {
                1
            };
            (self.lags[place], self.scores[place]) = (lag, (correlation * correlation, energy));
        }
    }
}

/// Lags of the two strongest of these correlations: lag, correlation, energy.
#[inline(always)]
fn strongest(correlations: impl Iterator<Item = (usize, f32, f32)>) -> [usize; 2] {
    let mut strongest = Strongest::START;
    correlations.for_each(|(lag, correlation, energy)| strongest.add(lag, correlation, energy));
    strongest.lags
}

/// [`strongest`] of the correlations of all lags. Most are none of both, so eight at a time are left out.
#[inline(always)]
fn strongest_of_all<const N: usize>(correlations: &[f32; N], energies: &[f32; N]) -> [usize; 2] {
    let mut strongest = Strongest::START;
    for (group, (correlations, energies)) in correlations.chunks(8).zip(energies.chunks(8)).enumerate() {
        let pairs = correlations.iter().zip(energies);
        if pairs.clone().fold(false, |any, (correlation, energy)| any | strongest.is_beaten(1, *correlation, *energy)) {
            pairs
                .enumerate()
                .for_each(|(i, (correlation, energy))| strongest.add(8 * group + i, *correlation, *energy));
        }
    }
    strongest.lags
}

/// Step to the true maximum among three neighbours, at twice the rate.
#[inline(always)]
fn interpolate([before, here, after]: [f32; 3]) -> isize {
    if after - before > 0.7 * (here - before) {
        1
    } else if before - after > 0.7 * (here - after) {
        -1
    } else {
        0
    }
}

#[inline(always)]
fn pitch_gain(product: f32, energy: f32, past_energy: f32) -> f32 {
    product / (1.0 + energy * past_energy).sqrt()
}

/// Inner products of the newest samples and others, each in four running sums.
#[inline(always)]
fn inner_products<const N: usize>(newest: &[f32], others: [&[f32]; N]) -> [f32; N] {
    const COUNT: usize = HALF_FRAME / 4;
    let newest = newest.as_chunks::<4>().0.first_chunk::<COUNT>().unwrap_or(&[[0.0; 4]; COUNT]);
    let others = others.map(|other| other.as_chunks::<4>().0.first_chunk::<COUNT>().unwrap_or(newest));
    let mut sums = [[0.0f32; 4]; N];
    for index in 0..COUNT {
        for n in 0..N {
            for lane in 0..4 {
                sums[n][lane] += newest[index][lane] * others[n][index][lane];
            }
        }
    }
    // Otherwise the compiler turns the loop round, to have the sums that are added up side by side.
    let sums = std::hint::black_box(sums);
    sums.map(|sums| sums[0] + sums[1] + sums[2] + sums[3])
}
