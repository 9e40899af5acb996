//! Handle to the inputs of a capture: selection in, levels and cancellation out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use triple_buffer::{Input, Output, triple_buffer};

use super::MAX_DEVICE_CHANNELS;
use super::input_selection::{InputGains, InputSelection};
use super::samples::{DeviceSample, add};
use crate::core::{Format, Result};
use crate::dsp::kernels;
use crate::dsp::level::{SILENCE_DBFS, to_dbfs};

/// Time constant of the smoothed powers in ms.
const SMOOTHING_MS: f32 = 400.0;

/// Highest [`InputReading::cancellation_db`]: that of channels which cancel to nothing.
const MAX_CANCELLATION_DB: f32 = 100.0;

/// Mean power that counts as silence, in which cancellation is unknown: [`SILENCE_DBFS`].
const SILENCE_POWER: f32 = 1e-12;

/// Samples per channel that are measured in one go.
const RUN: usize = 256;

/// Levels of a device's input channels, and how far they cancel in the mix.
///
/// Powers are smoothed exponentially with a time constant of 400 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct InputReading {
    /// RMS level of each device channel in dBFS, before any weight; −120 for silence and for channels that the device
    /// lacks.
    pub rms_dbfs: [f32; MAX_DEVICE_CHANNELS],
    /// RMS level of what is selected, in dBFS, of the louder channel in stereo frames.
    pub selected_dbfs: f32,
    /// Level of the weighted channels' summed power above that of their mix, in dB, −9 to 100. 0 for a single channel,
    /// for channels that have nothing in common and in silence; −3 for two with the same sound; 100 for two of opposite
    /// polarity. Above 6 the channels cancel: select one of them.
    pub cancellation_db: f32,
}

impl Default for InputReading {
    fn default() -> Self {
        Self { rms_dbfs: [SILENCE_DBFS; MAX_DEVICE_CHANNELS], selected_dbfs: SILENCE_DBFS, cancellation_db: 0.0 }
    }
}

impl InputReading {
    /// Index of the loudest device channel; `None` in silence. What to offer as
    /// [`InputSelection::Channel`] where the mix is much softer than it.
    pub fn loudest(&self) -> Option<usize> {
        let (index, level) = self.rms_dbfs.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        (*level > SILENCE_DBFS).then_some(index)
    }
}

/// Handle to the inputs of a [`Capture`](super::Capture): their selection and their levels, from any control thread.
///
/// A handle outlives the captures it is [attached](super::Capture::attach) to. A selection made while there is none
/// waits for the next.
///
/// ```
/// use voxframe::{Capture, Format};
/// use voxframe::device::{InputHandle, InputSelection};
/// let input = InputHandle::new(InputSelection::Average);
/// let mut capture = Capture::new(48_000, 2, Format::mono(48_000)?)?;
/// capture.attach(&input)?;
/// // In the device callback: a laptop whose second microphone is inverted.
/// capture.push_interleaved(&[0.5, -0.5].repeat(4800), |_frame| {})?;
/// // In the user interface:
/// if input.reading().cancellation_db > 6.0 {
///     input.select(InputSelection::Channel(0))?;
/// }
/// assert_eq!(input.selection(), InputSelection::Channel(0));
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # Realtime safety
/// For control threads. A call may wait for another control thread that uses the same handle; it never makes the
/// audio thread wait.
#[derive(Clone)]
pub struct InputHandle {
    state: Arc<Mutex<State>>,
}

struct State {
    selection: InputSelection,
    link: Option<Link>,
}

/// Control side of an attached capture.
struct Link {
    selections: Input<InputSelection>,
    readings: Output<InputReading>,
    running: Weak<()>,
    device: usize,
    frame: usize,
}

impl InputHandle {
    /// A handle to no capture yet.
    pub fn new(selection: InputSelection) -> Self {
        Self { state: Arc::new(Mutex::new(State { selection, link: None })) }
    }

    /// The selection in force, or waiting for the next capture.
    pub fn selection(&self) -> InputSelection {
        self.state().selection
    }

    /// Selects other inputs, from the next frame on, cross-faded over its length.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a gain, or for a channel that the device of the attached
    /// capture lacks; nothing is changed.
    pub fn select(&self, selection: InputSelection) -> Result<()> {
        let mut state = self.state();
        match state.link.as_mut().filter(|link| link.running.strong_count() > 0) {
            Some(link) => {
                selection.gains(link.device, link.frame)?;
                link.selections.write(selection);
            }
            // The channels of the next device are not known.
            None => _ = selection.gains(MAX_DEVICE_CHANNELS, Format::MAX_CHANNELS)?,
        }
        state.selection = selection;
        Ok(())
    }

    /// The newest reading of the capture attached last; the default before its first frame.
    pub fn reading(&self) -> InputReading {
        self.state().link.as_mut().map(|link| *link.readings.read()).unwrap_or_default()
    }

    /// The audio side for a capture with these channels, and the weights it begins with.
    pub(super) fn connect(&self, device: usize, frame: Format) -> Result<(InputPort, InputGains)> {
        let mut state = self.state();
        let gains = state.selection.gains(device, frame.channels())?;
        let (selections_in, selections) = triple_buffer(&state.selection);
        let (readings, readings_out) = triple_buffer(&InputReading::default());
        let running = Arc::new(());
        state.link = Some(Link {
            selections: selections_in,
            readings: readings_out,
            running: Arc::downgrade(&running),
            device,
            frame: frame.channels(),
        });
        let keep = (-(frame.frame_ms() as f32) / SMOOTHING_MS).exp();
        let port = InputPort {
            selections,
            readings,
            _running: running,
            keep,
            energies: [0.0; MAX_DEVICE_CHANNELS],
            powers: [0.0; MAX_DEVICE_CHANNELS],
            mixed: [0.0; Format::MAX_CHANNELS],
            weighted: [0.0; Format::MAX_CHANNELS],
            run: [0.0; RUN],
        };
        Ok((port, gains))
    }

    /// Nothing in here panics halfway, so a poisoned lock is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for InputHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InputHandle({:?})", self.selection())
    }
}

/// Audio side of an [`InputHandle`]: takes selections, measures inputs. Wait-free.
pub(super) struct InputPort {
    selections: Output<InputSelection>,
    readings: Input<InputReading>,
    /// Lets the handle know that the capture exists.
    _running: Arc<()>,
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

impl InputPort {
    /// The selection, if it was changed since the last call.
    pub fn changed(&mut self) -> Option<InputSelection> {
        self.selections.update().then(|| *self.selections.output_buffer())
    }

    /// Measures every `stride`th sample, `length` of them, of a device channel.
    pub fn measure<S: DeviceSample>(&mut self, channel: usize, samples: &[S], stride: usize, length: usize) {
        for start in (0..length).step_by(RUN) {
            let run = &mut self.run[..RUN.min(length - start)];
            run.fill(0.0);
            add(run, &samples[start * stride..], stride, 1.0);
            kernels::sanitise(run);
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
        self.readings.write(InputReading {
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
        self.readings.write(InputReading::default());
    }
}
