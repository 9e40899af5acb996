//! Pitch search of RNNoise 0.1 and 0.2: that of the CELT encoder of libopus (`celt/pitch.c`).
//!
//! Sums are taken in the order of nnnoiseless, so that they are the same to the bit.

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

/// Tracker of the pitch period.
#[derive(Clone, Copy, Debug)]
pub struct PitchTracker {
    period: usize,
    /// Pitch gain: normalised correlation at the period.
    gain: f32,
}

impl PitchTracker {
    pub const START: Self = Self { period: 0, gain: 0.0 };

    /// Pitch period of the newest samples, in samples at 48 kHz.
    pub fn find(&mut self, history: &[f32; HISTORY]) -> usize {
        let signal = whiten(history);
        let period = MAX_PERIOD - best_lag(&signal);
        (self.period, self.gain) = self.without_multiples(&signal, period);
        self.period
    }

    /// Period and gain, where `period` may be a multiple of the true one.
    fn without_multiples(&self, signal: &[f32; HISTORY / 2], period: usize) -> (usize, f32) {
        const MAX: usize = MAX_PERIOD / 2;
        const LENGTH: usize = FRAME / 2;
        /// Multiple of the divided period that is looked at too, by divisor.
        const SECOND: [usize; 16] = [0, 0, 3, 2, 3, 2, 5, 2, 3, 2, 3, 2, 5, 2, 3, 2];

        let newest = &signal[MAX..];
        let at = |period: usize| inner_product(newest, &signal[MAX - period..], LENGTH);
        let whole = (period / 2).min(MAX - 1);
        let last = self.period / 2;
        let energy = inner_product(newest, newest, LENGTH);

        // Energy of the samples a period earlier.
        let mut energies = [energy; MAX + 1];
        let mut running = energy;
        for lag in 1..=MAX {
            let (entering, leaving) = (signal[MAX - lag], signal[MAX + LENGTH - lag]);
            running += entering * entering - leaving * leaving;
            energies[lag] = running.max(0.0);
        }

        let mut best = whole;
        let (mut best_product, mut best_energy) = (at(whole), energies[whole]);
        let whole_gain = pitch_gain(best_product, energy, best_energy);
        let mut best_gain = whole_gain;
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
            let product = (at(shorter) + at(second)) / 2.0;
            let shorter_energy = (energies[shorter] + energies[second]) / 2.0;
            let gain = pitch_gain(product, energy, shorter_energy);
            let continuity = match shorter.abs_diff(last) {
                0..=1 => self.gain,
                2 if 5 * divisor * divisor < whole => self.gain / 2.0,
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
        let offset = interpolate([at(best - 1), at(best), at(best + 1)]);
        let period = (2 * best).wrapping_add_signed(offset).max(MIN_PERIOD);
        (period, gain.min(best_gain))
    }
}

/// Signal at half the rate, with the spectral envelope taken out.
fn whiten(history: &[f32; HISTORY]) -> [f32; HISTORY / 2] {
    let mut signal = [0.0; HISTORY / 2];
    for (index, value) in signal.iter_mut().enumerate().skip(1) {
        *value = ((history[2 * index - 1] + history[2 * index + 1]) / 2.0 + history[2 * index]) / 2.0;
    }
    signal[0] = (history[1] / 2.0 + history[0]) / 2.0;

    let mut correlation = [0.0; ORDER + 1];
    let whole = signal.len() - ORDER;
    correlate(&mut correlation, &signal[..whole], &signal);
    for (lag, value) in correlation.iter_mut().enumerate() {
        *value += (lag + whole..signal.len()).fold(0.0, |sum, i| sum + signal[i] * signal[i - lag]);
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
    let mut past = [0.0; ORDER + 1];
    for value in &mut signal {
        let out = taps.iter().zip(&past).fold(*value, |sum, (tap, past)| sum + tap * past);
        past.copy_within(..ORDER, 1);
        past[0] = *value;
        *value = out;
    }
    signal
}

/// Coefficients of a linear prediction (Levinson-Durbin), up to a prediction gain of 30 dB.
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

/// Lag of the strongest correlation, from the longest period on: first at a quarter of the rate, then around the two
/// best at half of it.
fn best_lag(signal: &[f32; HISTORY / 2]) -> usize {
    let newest = &signal[MAX_PERIOD / 2..];
    let quarter: [f32; FRAME / 4] = std::array::from_fn(|i| newest[2 * i]);
    let quarter_past: [f32; (FRAME + LAGS) / 4] = std::array::from_fn(|i| signal[2 * i]);
    let mut coarse = [0.0; LAGS / 4];
    correlate(&mut coarse, &quarter, &quarter_past);
    let candidates = strongest(&coarse, &quarter_past, quarter.len());

    let mut fine = [0.0; LAGS / 2];
    for (lag, value) in fine.iter_mut().enumerate() {
        if candidates.iter().any(|candidate| lag.abs_diff(2 * candidate) <= 2) {
            *value = inner_product(newest, &signal[lag..], FRAME / 2).max(-1.0);
        }
    }
    let [best, _] = strongest(&fine, signal, FRAME / 2);
    let offset = match best.checked_sub(1).and_then(|before| fine.get(before..before + 3)) {
        Some(&[before, here, after]) => interpolate([before, here, after]),
        _ => 0,
    };
    (2 * best).wrapping_add_signed(-offset)
}

/// Lags of the two strongest correlations, relative to the energy of `past` there.
fn strongest(correlations: &[f32], past: &[f32], length: usize) -> [usize; 2] {
    let mut lags = [0, 1];
    // Squared correlation and energy of both.
    let mut scores = [(-1.0, 0.0); 2];
    let mut energy = past[..length].iter().fold(1.0, |sum, y| sum + y * y);
    for (lag, &correlation) in correlations.iter().enumerate() {
        if correlation > 0.0 {
            let square = correlation * correlation;
            let beats = |(other, other_energy): (f32, f32)| square * other_energy > other * energy;
            if beats(scores[1]) {
                let place = if beats(scores[0]) {
                    (lags[1], scores[1]) = (lags[0], scores[0]);
                    0
                } else {
                    1
                };
                (lags[place], scores[place]) = (lag, (square, energy));
            }
        }
        energy += past[lag + length] * past[lag + length] - past[lag] * past[lag];
        energy = energy.max(1.0);
    }
    lags
}

/// Step to the true maximum among three neighbours, at twice the rate.
fn interpolate([before, here, after]: [f32; 3]) -> isize {
    if after - before > 0.7 * (here - before) {
        1
    } else if before - after > 0.7 * (here - after) {
        -1
    } else {
        0
    }
}

fn pitch_gain(product: f32, energy: f32, past_energy: f32) -> f32 {
    product / (1.0 + energy * past_energy).sqrt()
}

kernels! {
    /// `out[lag] = Σ a[i] · b[i + lag]`, each sum in order.
    fn correlate(out: &mut [f32], a: &[f32], b: &[f32]) {
        /// Sums side by side: four AVX2 registers hide the latency of an addition.
        const LANES: usize = 32;
        let mut lag = 0;
        for out in out.chunks_mut(LANES) {
            match out.len() {
                LANES => correlate_lanes::<LANES>(out, a, &b[lag..]),
                _ => {
                    for (index, out) in out.chunks_mut(4).enumerate() {
                        let b = &b[lag + 4 * index..];
                        if out.len() == 4 { correlate_lanes::<4>(out, a, b) } else { correlate_each(out, a, b) }
                    }
                }
            }
            lag += LANES;
        }
    }
}

#[inline(always)]
fn correlate_lanes<const LANES: usize>(out: &mut [f32], a: &[f32], b: &[f32]) {
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b.windows(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a * b[lane];
        }
    }
    out.copy_from_slice(&sums);
}

#[inline(always)]
fn correlate_each(out: &mut [f32], a: &[f32], b: &[f32]) {
    for (lag, out) in out.iter_mut().enumerate() {
        *out = a.iter().zip(&b[lag..]).fold(0.0, |sum, (a, b)| sum + a * b);
    }
}

/// Inner product of the first `length` samples, in four running sums.
fn inner_product(a: &[f32], b: &[f32], length: usize) -> f32 {
    let mut sums = [0.0f32; 4];
    let (a, _) = a[..length].as_chunks::<4>();
    let (b, _) = b[..length].as_chunks::<4>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums[0] + sums[1] + sums[2] + sums[3]
}
