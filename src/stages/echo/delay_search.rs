//! Search for the delay of the echo: PHAT-weighted cross spectra.
//!
//! C. Knapp and G. Carter, "The generalized correlation method for estimation of time delay", IEEE Trans. ASSP 24 (1976).

use super::far_history::{FarHistory, MAX_LAG};
use super::spectrum::{PADDED, Spectrum};

/// First bin that is looked at: 400 Hz.
const FIRST: usize = 8;

/// Bins that are looked at: up to 5.2 kHz.
const COUNT: usize = 96;

/// How a search goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Smoothing of the cross spectra for each block.
    smoothing: f32,
    /// Blocks for which a delay must be the best one, the first time and later.
    confirmed: [u32; 2],
    /// Least coherence of a delay, as a mean over the bins, and over the mean of all others.
    min_coherence: f32,
    min_contrast: f32,
}

/// The slow search finds faint echoes: 0.5 s.
pub const SLOW: Pace = Pace { smoothing: 0.98, confirmed: [6, 15], min_coherence: 0.0126, min_contrast: 1.8 };

/// The fast search finds changes: 0.15 s.
pub const FAST: Pace = Pace { smoothing: 0.94, confirmed: [8, 8], min_coherence: 0.035, min_contrast: 2.3 };

/// Magnitude of a bin, over its mean, below which it is whitened no more: there it is mostly noise, which says nothing of the
/// delay.
const WHITENING: f32 = 0.1;

/// How much better than the present delay another one must be.
const MIN_ADVANTAGE: f32 = 1.4;

/// Delay search: which of the last blocks of the far end the microphone resembles most.
pub struct DelaySearch {
    pace: Pace,
    /// Smoothed, whitened cross spectrum at each lag.
    cross: Box<[Cross]>,
    /// Whitened microphone.
    near: Cross,
    found: Option<usize>,
    candidate: usize,
    confirmed: u32,
    /// Whether the best lag was clearly better than the others in the last block that counted.
    is_clear: bool,
}

#[derive(Clone)]
struct Cross {
    re: [f32; COUNT],
    im: [f32; COUNT],
}

const NOTHING: Cross = Cross { re: [0.0; COUNT], im: [0.0; COUNT] };

impl DelaySearch {
    /// Search that knows nothing yet. Allocates.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            cross: vec![NOTHING; MAX_LAG + 1].into(),
            near: NOTHING,
            found: None,
            candidate: 0,
            confirmed: 0,
            is_clear: false,
        }
    }

    pub fn reset(&mut self) {
        self.cross.fill(NOTHING);
        (self.found, self.candidate, self.confirmed, self.is_clear) = (None, 0, 0, false);
    }

    /// Lag of the echo in blocks, once it is found.
    pub fn found(&self) -> Option<usize> {
        self.found
    }

    /// Lag that the newest blocks resemble clearly more than all others.
    pub fn clear(&self) -> Option<usize> {
        self.is_clear.then_some(self.candidate)
    }

    /// Takes over what another search found.
    pub fn accept(&mut self, found: usize) {
        self.found = Some(found);
    }

    /// Counts all lags as `blocks` longer.
    pub fn relabel(&mut self, blocks: i32) {
        let count = blocks.unsigned_abs().min(MAX_LAG as u32 + 1) as usize;
        if blocks > 0 {
            self.cross.rotate_right(count);
            self.cross[..count].fill(NOTHING);
        } else {
            self.cross.rotate_left(count);
            let kept = self.cross.len() - count;
            self.cross[kept..].fill(NOTHING);
        }
        let moved = |lag: usize| lag.saturating_add_signed(blocks as isize).min(MAX_LAG);
        self.found = self.found.map(moved);
        self.candidate = moved(self.candidate);
    }

    /// Takes in the microphone's spectrum. Returns whether the delay is another one now.
    pub fn update(&mut self, far: &FarHistory, near: &Spectrum) -> bool {
        for bin in 0..COUNT {
            let scale = 1.0 / (near.power(FIRST + bin).sqrt() + 1e-3);
            self.near.re[bin] = near.re[FIRST + bin] * scale;
            self.near.im[bin] = near.im[FIRST + bin] * scale;
        }
        let mean = &far.mean_power()[FIRST..FIRST + COUNT];
        let floor: [f32; COUNT] = std::array::from_fn(|bin| WHITENING * mean[bin].sqrt() + 1e-3);
        let (mut best, mut highest, mut sum, mut present) = (0, 0.0f32, 0.0f32, 0.0f32);
        let mut before = 0.0;
        for (lag, cross) in self.cross.iter_mut().enumerate() {
            if far.tells(lag) {
                accumulate(cross, &self.near, far.spectrum(lag), far.power(lag), &floor, self.pace.smoothing);
            }
            let coherence = cross.re.iter().zip(&cross.im).map(|(re, im)| re * re + im * im).sum::<f32>();
            sum += coherence;
            // An echo seldom begins with a block, and never ends with it.
            let pair = 0.5 * (before + coherence);
            before = coherence;
            if pair > highest {
                (best, highest) = (lag.saturating_sub(1), pair);
            }
            if self.found.is_some_and(|found| found.abs_diff(lag.saturating_sub(1)) <= 1) {
                present = present.max(pair);
            }
        }
        let contrast = highest / ((sum - 2.0 * highest) / (MAX_LAG - 1) as f32 + 1e-9);
        self.is_clear = highest > self.pace.min_coherence * COUNT as f32 && contrast > self.pace.min_contrast;
        self.confirmed = if best.abs_diff(self.candidate) <= 1 { self.confirmed + 1 } else { 0 };
        self.candidate = best;
        let wanted = self.pace.confirmed[usize::from(self.found.is_some())];
        let better = self.found.is_none_or(|found| found.abs_diff(best) > 1 && highest > MIN_ADVANTAGE * present);
        if self.is_clear && self.confirmed >= wanted && better {
            self.found = Some(best);
            return true;
        }
        false
    }
}

/// Adds the whitened cross spectrum with the far end.
fn accumulate(
    cross: &mut Cross,
    near: &Cross,
    far: &Spectrum,
    power: &[f32; PADDED],
    floor: &[f32; COUNT],
    smoothing: f32,
) {
    let bins = FIRST..FIRST + COUNT;
    let (re, im, power) = (&far.re[bins.clone()], &far.im[bins.clone()], &power[bins]);
    for bin in 0..COUNT {
        let scale = (1.0 - smoothing) / (power[bin].sqrt() + floor[bin]);
        // The conjugate of the far end.
        let (a, b) = (near.re[bin] * re[bin] + near.im[bin] * im[bin], near.im[bin] * re[bin] - near.re[bin] * im[bin]);
        cross.re[bin] = cross.re[bin] * smoothing + a * scale;
        cross.im[bin] = cross.im[bin] * smoothing + b * scale;
    }
}
