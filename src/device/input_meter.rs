//! Meter of a device's input channels: their levels, and how far they cancel.

use super::input_reading::InputReading;
use super::input_selection::{InputGains, InputSelection};
use super::limits::MAX_DEVICE_CHANNELS;
use super::samples::{DeviceSample, add};
use crate::control::ControlPort;
use crate::core::Format;
use crate::dsp::kernels;
use crate::dsp::level::to_dbfs;

/// Time constant of the smoothed powers in ms.
const SMOOTHING_MS: f32 = 400.0;

/// Highest [`InputReading::cancellation_db`]: that of channels which cancel to nothing.
const MAX_CANCELLATION_DB: f32 = 100.0;

/// Mean power that counts as silence, in which cancellation is unknown: −120 dBFS.
const SILENCE_POWER: f32 = 1e-12;

/// Samples per channel that are measured in one go.
const RUN: usize = 256;

/// Meter behind a handle's port. Wait-free.
pub(super) struct InputMeter {
    port: ControlPort<InputSelection>,
    /// Share of the smoothed powers that a frame leaves.
    keep: f32,
    /// Energy of each device channel in the frame that is being filled.
    energies: [f32; MAX_DEVICE_CHANNELS],
    /// Smoothed mean power of each device channel.
    powers: [f32; MAX_DEVICE_CHANNELS],
    /// Smoothed mean power of each frame channel, and the sum of its weighted inputs' powers.
    mixed: [f32; Format::MAX_CHANNELS],
    weighted: [f32; Format::MAX_CHANNELS],
    run: [f32; RUN],
}

impl InputMeter {
    pub fn new(port: ControlPort<InputSelection>, frame: Format) -> Self {
        Self {
            port,
            keep: (-(frame.frame_ms() as f32) / SMOOTHING_MS).exp(),
            energies: [0.0; MAX_DEVICE_CHANNELS],
            powers: [0.0; MAX_DEVICE_CHANNELS],
            mixed: [0.0; Format::MAX_CHANNELS],
            weighted: [0.0; Format::MAX_CHANNELS],
            run: [0.0; RUN],
        }
    }

    /// The selection, if it was changed since the last call.
    pub fn changed(&mut self) -> Option<InputSelection> {
        self.port.changed()
    }

    /// Measures every `stride`th sample, `length` of them, of a device channel.
    pub fn measure<S: DeviceSample>(&mut self, channel: usize, samples: &[S], stride: usize, length: usize) {
        for start in (0..length).step_by(RUN) {
            let run = &mut self.run[..RUN.min(length - start)];
            run.fill(0.0);
            add(run, &samples[start * stride..], stride, 1.0);
            kernels::sanitize(run);
            self.energies[channel] += kernels::energy(run);
        }
    }

    /// Publishes a reading at the end of a frame, of `length` samples in each of the planes of `mix`.
    pub fn publish(&mut self, gains: &InputGains, mix: &[f32], length: usize) {
        let smooth = |power: &mut f32, energy: f32| {
            *power = self.keep * *power + (1.0 - self.keep) * energy / length as f32;
        };
        let sides = self.mixed.iter_mut().zip(&mut self.weighted).zip(gains.iter().zip(mix.chunks_exact(length)));
        for ((mixed, weighted), (row, plane)) in sides {
            smooth(mixed, kernels::energy(plane));
            smooth(weighted, row.iter().zip(&self.energies).map(|(gain, energy)| gain * gain * energy).sum());
        }
        for (power, energy) in self.powers.iter_mut().zip(&mut self.energies) {
            smooth(power, std::mem::take(energy));
        }
        let sides = self.weighted.iter().zip(&self.mixed).take(mix.len() / length);
        let cancellations = sides.map(|(weighted, mixed)| {
            if *weighted < SILENCE_POWER { 0.0 } else { (10.0 * (weighted / mixed).log10()).min(MAX_CANCELLATION_DB) }
        });
        self.port.publish(InputReading {
            rms_dbfs: self.powers.map(|power| to_dbfs(power.sqrt())),
            selected_dbfs: to_dbfs(self.mixed.into_iter().fold(0.0, f32::max).sqrt()),
            cancellation_db: cancellations.reduce(f32::max).unwrap_or(0.0),
        });
    }

    /// Forgets the mix, at a change of the selection.
    pub fn forget_mix(&mut self) {
        self.mixed = Default::default();
        self.weighted = Default::default();
    }

    /// Forgets all that was measured.
    pub fn reset(&mut self) {
        self.forget_mix();
        self.energies = Default::default();
        self.powers = Default::default();
        self.port.publish(InputReading::default());
    }
}
