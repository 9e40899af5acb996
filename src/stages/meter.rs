//! Level meter.

use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::in_range;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::kernels::{self, higher};
#[cfg(feature = "serde")]
use crate::dsp::level::serialize;
use crate::dsp::level::{SILENCE_DBFS, db_to_gain, power_to_dbfs, to_dbfs};

/// Level meter: RMS, peak, held peak and clipping, for other threads.
///
/// The sound passes unchanged. Latency: none. For loudness and true peaks there is `LoudnessMeter` (feature
/// `loudness`), for the spectrum `Spectrum` (feature `spectrum`).
///
/// ```
/// use voxframe::{Format, Frame, LevelMeter, Live, Processor, Stage};
/// let (meter, levels) = LevelMeter { interval_ms: 10.0, ..LevelMeter::default() }.live();
/// let mut meter = meter.prepare(Format::mono(48_000)?)?;
/// let mut frame = Frame::new(meter.input_format());
/// frame.samples_mut().fill(0.1);
/// meter.process(&mut frame)?;
/// assert!((levels.reading().rms_dbfs(0) + 20.0).abs() < 0.01);
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct LevelMeter {
    /// Integration time of RMS and peak in ms, 10 to 10 000, rounded to whole frames. Default 100 (GStreamer's
    /// `level`).
    pub interval_ms: f32,
    /// Hold time of a held peak in ms, 0 to 60 000. Default 300 (GStreamer's `level`).
    pub hold_ms: f32,
    /// Fall rate of a held peak after the hold time, in dB/s, 0 to 1000. Default 10 (GStreamer's `level`).
    pub fall_db_per_s: f32,
}

impl Default for LevelMeter {
    fn default() -> Self {
        Self { interval_ms: 100.0, hold_ms: 300.0, fall_db_per_s: 10.0 }
    }
}

/// Reading of a running [`LevelMeter`]. Levels are dBFS as in [`level`](crate::level), [`SILENCE_DBFS`] for silence and
/// for a channel that is not there.
// Magnitudes and powers inside: the thread that reads takes roots and logarithms, not the one that plays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LevelReading {
    #[cfg_attr(feature = "serde", serde(rename = "rms_dbfs", serialize_with = "serialize::powers"))]
    power: [f32; 2],
    #[cfg_attr(feature = "serde", serde(rename = "peak_dbfs", serialize_with = "serialize::magnitudes"))]
    peak: [f32; 2],
    #[cfg_attr(feature = "serde", serde(rename = "held_peak_dbfs", serialize_with = "serialize::magnitudes"))]
    held_peak: [f32; 2],
    #[cfg_attr(feature = "serde", serde(rename = "overall_rms_dbfs", serialize_with = "serialize::powers"))]
    overall_power: [f32; 2],
    #[cfg_attr(feature = "serde", serde(rename = "overall_peak_dbfs", serialize_with = "serialize::magnitudes"))]
    overall_peak: [f32; 2],
    clipped: u64,
    samples: u64,
}

impl LevelReading {
    /// RMS level of a channel over the last whole interval, in dBFS.
    pub fn rms_dbfs(&self, channel: usize) -> f32 {
        power_dbfs(&self.power, channel)
    }

    /// Sample peak of a channel over the last whole interval, in dBFS.
    pub fn peak_dbfs(&self, channel: usize) -> f32 {
        dbfs(&self.peak, channel)
    }

    /// Held peak of a channel, in dBFS: rises at once with each frame, is held, then falls.
    pub fn held_peak_dbfs(&self, channel: usize) -> f32 {
        dbfs(&self.held_peak, channel)
    }

    /// RMS level of a channel since the start or the last reset, in dBFS.
    pub fn overall_rms_dbfs(&self, channel: usize) -> f32 {
        power_dbfs(&self.overall_power, channel)
    }

    /// Sample peak of a channel since the start or the last reset, in dBFS.
    pub fn overall_peak_dbfs(&self, channel: usize) -> f32 {
        dbfs(&self.overall_peak, channel)
    }

    /// Samples at the full scale of 16-bit PCM or beyond since the start or the last reset, all channels together.
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Samples per channel measured since the start or the last reset.
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

fn dbfs(magnitudes: &[f32; 2], channel: usize) -> f32 {
    magnitudes.get(channel).map_or(SILENCE_DBFS, |&magnitude| to_dbfs(magnitude))
}

fn power_dbfs(powers: &[f32; 2], channel: usize) -> f32 {
    powers.get(channel).map_or(SILENCE_DBFS, |&power| power_to_dbfs(power))
}

impl Stage for LevelMeter {
    type Processor = LevelMeterProcessor;

    fn prepare(self, input: Format) -> Result<LevelMeterProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for LevelMeter {
    type Reading = LevelReading;

    fn validate(&self) -> Result<()> {
        in_range("LevelMeter::interval_ms", self.interval_ms, 10.0, 10_000.0)?;
        in_range("LevelMeter::hold_ms", self.hold_ms, 0.0, 60_000.0)?;
        in_range("LevelMeter::fall_db_per_s", self.fall_db_per_s, 0.0, 1000.0)
    }
}

impl LiveStage for LevelMeter {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<LevelMeterProcessor> {
        self.validate()?;
        Ok(LevelMeterProcessor {
            format: input,
            port,
            fall: fall(&self, input),
            settings: self,
            channels: Default::default(),
            interval_ms: 0,
            reading: LevelReading::default(),
        })
    }
}

/// Processor of [`LevelMeter`].
#[derive(Debug)]
pub struct LevelMeterProcessor {
    format: Format,
    port: ControlPort<LevelMeter>,
    settings: LevelMeter,
    /// Gain of a held peak that falls, over a frame.
    fall: f32,
    channels: [ChannelSums; Format::MAX_CHANNELS],
    /// Length of the interval so far.
    interval_ms: u32,
    reading: LevelReading,
}

/// Sums of one channel.
#[derive(Clone, Copy, Debug, Default)]
struct ChannelSums {
    interval_energy: f64,
    interval_peak: f32,
    overall_energy: f64,
    /// Time since the held peak was reached, in ms.
    held_ms: f32,
}

impl Processor for LevelMeterProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_format(self.format)?;
        let (peaks, energies) = (frame.peaks(), frame.energies());
        if let Some(settings) = self.port.changed() {
            self.fall = fall(&settings, self.format);
            self.settings = settings;
        }
        let frame_ms = self.format.frame_ms() as f32;
        let reading = &mut self.reading;
        reading.samples += self.format.samples_per_channel() as u64;
        self.interval_ms += self.format.frame_ms();
        // The interval ends with the frame that comes nearest to its length.
        let interval_over = self.interval_ms as f32 + 0.5 * frame_ms > self.settings.interval_ms;

        for (index, sums) in self.channels[..self.format.channels()].iter_mut().enumerate() {
            let (peak, energy) = (peaks[index], f64::from(energies[index]));
            sums.interval_energy += energy;
            sums.interval_peak = higher(sums.interval_peak, peak);
            sums.overall_energy += energy;
            reading.overall_power[index] = (sums.overall_energy / reading.samples as f64) as f32;
            reading.overall_peak[index] = higher(reading.overall_peak[index], peak);
            if peak >= kernels::FULL_SCALE_16_BIT {
                reading.clipped += frame.channels().nth(index).map_or(0, |c| u64::from(kernels::count_clipped(c)));
            }

            let held = &mut reading.held_peak[index];
            sums.held_ms += frame_ms;
            if peak >= *held {
                (*held, sums.held_ms) = (peak, 0.0);
            } else if sums.held_ms > self.settings.hold_ms {
                *held = higher(*held * self.fall, peak);
            }

            if interval_over {
                let samples = self.interval_ms * self.format.sample_rate_hz() / 1000;
                reading.power[index] = (sums.interval_energy / f64::from(samples)) as f32;
                reading.peak[index] = sums.interval_peak;
                (sums.interval_energy, sums.interval_peak) = (0.0, 0.0);
            }
        }
        if interval_over {
            self.interval_ms = 0;
        }
        self.port.publish(self.reading);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.channels = Default::default();
        self.interval_ms = 0;
        self.reading = LevelReading::default();
        self.port.publish(self.reading);
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

fn fall(settings: &LevelMeter, format: Format) -> f32 {
    db_to_gain(-settings.fall_db_per_s * format.frame_ms() as f32 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(meter: &mut LevelMeterProcessor, frames: usize, value: impl Fn(usize) -> f32) {
        let mut frame = Frame::new(meter.input_format());
        for index in 0..frames {
            for channel in frame.channels_mut() {
                channel.fill(value(index));
            }
            meter.process(&mut frame).unwrap();
        }
    }

    #[test]
    fn rms_and_peak_are_those_of_the_interval() {
        let (meter, levels) = LevelMeter::default().live();
        let mut meter = meter.prepare(Format::stereo(16_000).unwrap()).unwrap();
        feed(&mut meter, 9, |_| 0.5);
        assert_eq!(levels.reading().rms_dbfs(0), SILENCE_DBFS);
        feed(&mut meter, 1, |_| 0.5);
        assert!((levels.reading().rms_dbfs(1) + 6.0206).abs() < 1e-3);
        feed(&mut meter, 10, |i| if i == 3 { 1.0 } else { 0.0 });
        let now = levels.reading();
        assert!((now.rms_dbfs(0) + 10.0).abs() < 1e-3);
        assert_eq!(now.peak_dbfs(0), 0.0);
        assert!((now.overall_rms_dbfs(0) - 10.0 * (0.35f32 / 2.0).log10()).abs() < 1e-3);
        assert_eq!((now.clipped(), now.samples()), (320, 3200));
        assert_eq!(now.rms_dbfs(2), SILENCE_DBFS);
    }

    #[test]
    fn a_peak_is_held_then_falls_at_its_rate() {
        let (meter, levels) = LevelMeter::default().live();
        let mut meter = meter.prepare(Format::mono(48_000).unwrap()).unwrap();
        feed(&mut meter, 1, |_| 1.0);
        feed(&mut meter, 30, |_| 0.001);
        assert_eq!(levels.reading().held_peak_dbfs(0), 0.0);
        feed(&mut meter, 100, |_| 0.001);
        assert!((levels.reading().held_peak_dbfs(0) + 10.0).abs() < 0.01);
        feed(&mut meter, 1000, |_| 0.001);
        assert!((levels.reading().held_peak_dbfs(0) + 60.0).abs() < 0.01);
        feed(&mut meter, 1, |_| 0.25);
        assert!((levels.reading().held_peak_dbfs(0) + 12.04).abs() < 0.01);
        meter.reset();
        assert_eq!(levels.reading(), LevelReading::default());
    }
}
