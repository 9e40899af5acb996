//! Mix of a device's input channels to those of the frames.

use super::input_meter::InputMeter;
use super::input_selection::{InputGains, InputSelection};
use super::samples::{DeviceSample, add};
use crate::control::Handle;
use crate::core::{Format, Result};
use crate::dsp::kernels;

/// Mixer of a capture: weights, a cross-fade where they change, and a handle's measurements.
pub(super) struct InputMixer {
    device: usize,
    frame: Format,
    gains: InputGains,
    /// Weights from the next frame on.
    next: Option<InputGains>,
    /// Weights to fade from, in the frame that is being filled.
    fading: Option<InputGains>,
    /// The planes that are being filled, with the weights to fade from.
    faded: Box<[f32]>,
    meter: Option<InputMeter>,
    /// Whether sound has been mixed since the start or the last reset.
    started: bool,
}

impl InputMixer {
    /// A mixer of `device` channels, for planes of at most `most` samples.
    pub fn new(device: usize, frame: Format, most: usize) -> Result<Self> {
        Ok(Self {
            device,
            frame,
            gains: InputSelection::default().gains(device, frame.channels())?,
            next: None,
            fading: None,
            faded: vec![0.0; most * frame.channels()].into_boxed_slice(),
            meter: None,
            started: false,
        })
    }

    pub fn select(&mut self, selection: InputSelection) -> Result<()> {
        self.change(selection.gains(self.device, self.frame.channels())?);
        Ok(())
    }

    pub fn attach(&mut self, handle: &Handle<InputSelection>) -> Result<()> {
        let (gains, meter) = handle.attach().take_over(self.frame, |selection, port| {
            let gains = selection.gains(self.device, self.frame.channels())?;
            Ok((gains, InputMeter::new(port, self.frame)))
        })?;
        self.meter = Some(meter);
        self.change(gains);
        Ok(())
    }

    fn change(&mut self, gains: InputGains) {
        if self.started {
            self.next = Some(gains);
        } else {
            self.gains = gains;
        }
    }

    /// Begins a frame.
    pub fn begin(&mut self) {
        if let Some(selection) = self.meter.as_mut().and_then(InputMeter::changed) {
            let refused = self.select(selection);
            debug_assert!(refused.is_ok(), "the handle has checked it");
        }
        if let Some(gains) = self.next.take() {
            self.fading = Some(std::mem::replace(&mut self.gains, gains));
            if let Some(meter) = &mut self.meter {
                meter.forget_mix();
            }
        }
        self.started = true;
    }

    /// Mixes `length` samples to those from `filled` on of each plane of `planes`, which are `stride` long.
    /// `lane(channel)` is the samples of a device channel, and how far apart they are.
    pub fn mix<'a, S: DeviceSample>(
        &mut self,
        (planes, stride): (&mut [f32], usize),
        filled: usize,
        length: usize,
        lane: impl Fn(usize) -> (&'a [S], usize),
    ) {
        let mix = |planes: &mut [f32], gains: &InputGains| {
            for (plane, gains) in planes.chunks_exact_mut(stride).zip(gains) {
                let sums = &mut plane[filled..filled + length];
                sums.fill(0.0);
                for (channel, &gain) in gains.iter().enumerate().filter(|(_, gain)| **gain != 0.0) {
                    let (samples, apart) = lane(channel);
                    add(sums, samples, apart, gain);
                }
            }
        };
        mix(planes, &self.gains);
        if let Some(gains) = &self.fading {
            mix(&mut self.faded, gains);
        }
        if let Some(meter) = &mut self.meter {
            for channel in 0..self.device {
                let (samples, apart) = lane(channel);
                meter.measure(channel, samples, apart, length);
            }
        }
    }

    /// Tells the handle, if there is one, of planes that are full.
    pub fn publish(&mut self, planes: &[f32], stride: usize) {
        if let Some(meter) = &mut self.meter {
            meter.publish(&self.gains, planes, stride);
        }
    }

    /// Cross-fades planes that are full, where the weights have changed.
    pub fn fade(&mut self, planes: &mut [f32], stride: usize) {
        if self.fading.take().is_none() {
            return;
        }
        kernels::sanitize(&mut self.faded[..planes.len()]);
        let step = 1.0 / stride as f32;
        for (plane, faded) in planes.chunks_exact_mut(stride).zip(self.faded.chunks_exact(stride)) {
            for (index, (sample, from)) in plane.iter_mut().zip(faded).enumerate() {
                *sample = from + (*sample - from) * ((index + 1) as f32 * step);
            }
        }
    }

    pub fn reset(&mut self) {
        self.gains = self.next.take().unwrap_or(self.gains);
        self.fading = None;
        self.started = false;
        if let Some(meter) = &mut self.meter {
            meter.reset();
        }
    }
}
