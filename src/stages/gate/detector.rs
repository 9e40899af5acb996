//! Detector of the gate: level, noise level, thresholds with hysteresis and hold, and the envelope that follows.

use std::ops::Range;

use super::noise::{Lesson, NoiseEstimate, TOGETHER_MS};
use super::settings::NoiseGate;
use crate::core::Format;
use crate::dsp::curve::LinearCurve;
use crate::dsp::kernels::{higher, lower};
use crate::dsp::level::db_to_power;

/// Bounds of the shift of both thresholds by the noise, in dB.
const MIN_SHIFT_DB: f32 = -20.0;
const MAX_SHIFT_DB: f32 = 20.0;

/// Settings of the gate as the detector uses them: powers, and steps a millisecond or a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct GateCoefficients {
    open_power: f32,
    close_power: f32,
    /// Power ratio of the open threshold to the noise; 0 if the gate learns no noise.
    noise_ratio: f32,
    /// Bounds of the shift of the thresholds, as power ratios.
    min_shift: f32,
    max_shift: f32,
    /// Power of the noise at which the thresholds are at their lowest.
    min_noise: f32,
    /// Smoothing coefficient of the level over 1 ms.
    smoothing: f32,
    hold_ms: u32,
    /// Steps of the envelope with each sample.
    attack_step: f32,
    release_step: f32,
}

impl GateCoefficients {
    pub fn new(gate: &NoiseGate, format: Format) -> Self {
        let step = |ms: f32| 1000.0 / (ms * format.sample_rate_hz() as f32);
        let learns = gate.above_noise_db > 0.0;
        Self {
            open_power: db_to_power(gate.open_db),
            close_power: db_to_power(gate.close_db),
            noise_ratio: if learns { db_to_power(gate.above_noise_db) } else { 0.0 },
            min_shift: if learns { db_to_power(MIN_SHIFT_DB) } else { 1.0 },
            max_shift: db_to_power(MAX_SHIFT_DB),
            min_noise: db_to_power(gate.open_db + MIN_SHIFT_DB - gate.above_noise_db),
            smoothing: (-1.0 / gate.window_ms).exp(),
            hold_ms: gate.hold_ms.round() as u32,
            attack_step: step(gate.attack_ms),
            release_step: -step(gate.release_ms),
        }
    }

    /// Powers of the open and the close threshold over a noise.
    fn thresholds(&self, noise: &NoiseEstimate) -> [f32; 2] {
        let min_shift = if noise.may_lower() { self.min_shift } else { 1.0 };
        let max_shift = if noise.may_raise() { self.max_shift } else { 1.0 };
        let shift = (self.noise_ratio * noise.power() / self.open_power).clamp(min_shift, max_shift);
        [self.open_power * shift, self.close_power * shift]
    }
}

/// State of the gate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GateDetector {
    power: f32,
    open: bool,
    /// Time since the level was last above the close threshold, in ms.
    held_ms: u32,
    /// Envelope: 0 closed, 1 open, before smoothing.
    envelope: f32,
    noise: NoiseEstimate,
}

impl GateDetector {
    /// Detector that was told the power of the noise.
    pub fn with_noise(power: f32) -> Self {
        Self { noise: NoiseEstimate::at(power), ..Self::default() }
    }

    /// Takes in the power of each of some milliseconds, and tells for each whether the gate is `open`; returns for how many it is.
    /// The noise is that behind them. The far end does not open the gate.
    pub fn update(
        &mut self,
        gate: &GateCoefficients,
        powers: &[f32; TOGETHER_MS],
        lesson: Lesson,
        far_end: bool,
        open: &mut [bool; TOGETHER_MS],
    ) -> usize {
        self.noise.learn(powers, lesson, gate.min_noise);
        // No power reaches an infinite threshold.
        let [open_power, close_power] = if far_end { [f32::INFINITY; 2] } else { gate.thresholds(&self.noise) };
        let levels = powers.map(|power| {
            self.power = self.power * gate.smoothing + power * (1.0 - gate.smoothing);
            self.power
        });
        // Mostly it stays as it is.
        if self.open && levels.into_iter().fold(f32::INFINITY, lower) >= close_power {
            (self.held_ms, *open) = (0, [true; TOGETHER_MS]);
            return open.len();
        }
        if !self.open && levels.into_iter().fold(0.0, higher) < open_power {
            *open = [false; TOGETHER_MS];
            return 0;
        }
        for (open, level) in open.iter_mut().zip(levels) {
            if level >= close_power {
                self.held_ms = 0;
                self.open |= level >= open_power;
            } else if self.open {
                self.held_ms += 1;
                self.open = self.held_ms <= gate.hold_ms;
            }
            *open = self.open;
        }
        open.iter().filter(|open| **open).count()
    }

    /// Envelope behind the last frame.
    pub fn envelope(&self) -> f32 {
        self.envelope
    }

    /// Whether the envelope stays as it is in a frame in which the gate is open for `open_ms` of `ms`.
    pub fn is_steady(&self, open_ms: usize, ms: usize) -> bool {
        (self.envelope == 1.0 && open_ms == ms) || (self.envelope == 0.0 && open_ms == 0)
    }

    /// Envelope over a frame of `length` samples, for each millisecond of which the gate is `open` or not: its parts, and
    /// the samples that they are for.
    pub fn advance_envelope(
        &mut self,
        gate: &GateCoefficients,
        open: &[bool],
        length: usize,
    ) -> impl Iterator<Item = (Range<usize>, LinearCurve)> {
        let mut done = 0;
        open.chunk_by(|a, b| a == b).map(move |run| {
            // At 44.1 kHz a millisecond is 44 or 45 samples.
            let range = done * length / open.len()..(done + run.len()) * length / open.len();
            let step = if run[0] { gate.attack_step } else { gate.release_step };
            let part = LinearCurve { start: self.envelope, step, range: 0.0..1.0 };
            self.envelope = part.at(range.len() - 1);
            done += run.len();
            (range, part)
        })
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Power that is compared with the thresholds.
    pub fn power(&self) -> f32 {
        self.power
    }

    /// Power of the learnt noise.
    pub fn noise(&self) -> f32 {
        self.noise.power()
    }
}
