//! Check of the input: invalid samples, dead, silent and clipped microphones.

use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::in_range;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::kernels;
#[cfg(feature = "serde")]
use crate::dsp::level::serialize;
use crate::dsp::level::{db_to_power, power_to_dbfs};

/// Samples in a row at full scale that make a clipped peak (Audacity's "Find Clipping").
const CLIPPED_RUN: u32 = 3;

/// Input check: silences and counts invalid samples, and detects dead, silent and clipped microphones.
///
/// It belongs at the very front. Every stage silences NaN, infinities and magnitudes over 2³² for itself, but only this
/// one counts them. (What comes through [`Capture`](crate::Capture) is silenced and counted
/// [there](crate::Capture::silenced) already.) Denormal numbers, which make some machines a hundred times slower,
/// become 0. All other samples pass unchanged.
///
/// Three faults are detected that a user should be told about:
/// - *dead*: not a single sample moves. No microphone does that; a muted device, a wrong one, or a driver that delivers
///   empty buffers does.
/// - *silent*: there is nothing but the noise of a converter. The microphone is muted at its own switch, unplugged, or
///   turned down all the way. An offset (DC) does not count as sound.
/// - *clipped*: three or more samples in a row are at full scale of 16-bit PCM or beyond, on the same side. The input
///   gain is too high, and no later stage can repair it. Clipping by an analogue stage, below full scale, is not found.
///
/// Latency: none.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct InputCheck {
    /// Silence threshold in dBFS (RMS without DC, louder channel), −120 to 0. Default −80 (rtcstats: "constant
    /// microphone volume" below 0.0001).
    pub silence_db: f32,
    /// Time after which a microphone counts as silent or dead, in ms, 10 to 600 000. Default 4000 (lib-jitsi-meet).
    pub silence_ms: f32,
}

impl Default for InputCheck {
    fn default() -> Self {
        Self { silence_db: -80.0, silence_ms: 4000.0 }
    }
}

/// Reading of a running [`InputCheck`]. Counts are of all channels together, since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct InputCheckReading {
    /// Samples that were NaN, infinite, or over 2³².
    pub invalid: u64,
    /// Samples that were denormal.
    pub denormal: u64,
    /// Clipped peaks: three or more samples in a row at full scale.
    pub clipped_runs: u64,
    /// Time since a sample last moved, in ms.
    pub still_ms: u64,
    /// Time since the level was last at the silence threshold or above, in ms.
    pub quiet_ms: u64,
    /// Dead microphone: no sample has moved for [`silence_ms`](InputCheck::silence_ms).
    pub dead: bool,
    /// Silent microphone: the level has been below the threshold for [`silence_ms`](InputCheck::silence_ms). A dead one
    /// is silent too.
    pub silent: bool,
    #[cfg_attr(feature = "serde", serde(rename = "level_dbfs", serialize_with = "serialize::power"))]
    power: f32,
}

impl InputCheckReading {
    /// RMS level of the louder channel over the last frame, without DC, in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        power_to_dbfs(self.power)
    }
}

impl Stage for InputCheck {
    type Processor = InputCheckProcessor;

    fn prepare(self, input: Format) -> Result<InputCheckProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for InputCheck {
    type Reading = InputCheckReading;

    fn validate(&self) -> Result<()> {
        in_range("InputCheck::silence_db", self.silence_db, -120.0, 0.0)?;
        in_range("InputCheck::silence_ms", self.silence_ms, 10.0, 600_000.0)
    }
}

impl LiveStage for InputCheck {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<InputCheckProcessor> {
        self.validate()?;
        Ok(InputCheckProcessor {
            format: input,
            port,
            silence_power: db_to_power(self.silence_db),
            silence_ms: f64::from(self.silence_ms),
            runs: Default::default(),
            reading: InputCheckReading::default(),
        })
    }
}

/// Processor of [`InputCheck`].
#[derive(Debug)]
pub struct InputCheckProcessor {
    format: Format,
    port: ControlPort<InputCheck>,
    silence_power: f32,
    silence_ms: f64,
    runs: [FullScaleRun; Format::MAX_CHANNELS],
    reading: InputCheckReading,
}

/// Run of samples at full scale on the same side, up to the end of the last frame.
#[derive(Clone, Copy, Debug, Default)]
struct FullScaleRun {
    length: u32,
    positive: bool,
}

impl FullScaleRun {
    /// Goes on through `samples`; returns the number of runs that became clipped peaks.
    fn count_clipped_peaks(&mut self, samples: &[f32]) -> u64 {
        if kernels::peak(samples) < kernels::FULL_SCALE_16_BIT {
            self.length = 0;
            return 0;
        }
        let mut peaks = 0;
        for sample in samples {
            let positive = *sample > 0.0;
            self.length = if sample.abs() < kernels::FULL_SCALE_16_BIT {
                0
            } else if positive == self.positive {
                self.length.saturating_add(1)
            } else {
                1
            };
            self.positive = positive;
            peaks += u64::from(self.length == CLIPPED_RUN);
        }
        peaks
    }
}

impl Processor for InputCheckProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        // Not `check_and_sanitize`, which would silence before anything is counted.
        frame.check_format(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.silence_power = db_to_power(settings.silence_db);
            self.silence_ms = f64::from(settings.silence_ms);
        }
        let reading = &mut self.reading;
        let found = kernels::sanitize_and_count(frame.samples_mut());
        reading.invalid += u64::from(found.invalid);
        reading.denormal += u64::from(found.denormal);

        let (mut still, mut power) = (true, 0.0f32);
        for (channel, run) in frame.channels().zip(&mut self.runs) {
            reading.clipped_runs += run.count_clipped_peaks(channel);
            still &= channel.iter().all(|sample| *sample == channel[0]);
            power = power.max(kernels::ac_energy(channel) / channel.len() as f32);
        }
        let frame_ms = u64::from(self.format.frame_ms());
        reading.power = power;
        reading.still_ms = if still { reading.still_ms + frame_ms } else { 0 };
        reading.quiet_ms = if power < self.silence_power { reading.quiet_ms + frame_ms } else { 0 };
        reading.dead = reading.still_ms as f64 >= self.silence_ms;
        reading.silent = reading.quiet_ms as f64 >= self.silence_ms;
        self.port.publish(*reading);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.runs = Default::default();
        self.reading = InputCheckReading::default();
        self.port.publish(self.reading);
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of what `sample(channel, index)` gives, and what comes out.
    fn run(check: &mut InputCheckProcessor, frames: usize, sample: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let mut out = Vec::new();
        let length = check.input_format().samples_per_channel();
        for start in (0..frames).map(|frame| frame * length) {
            let mut frame = Frame::new(check.input_format());
            for (c, channel) in frame.channels_mut().enumerate() {
                channel.iter_mut().enumerate().for_each(|(i, s)| *s = sample(c, start + i));
            }
            out.extend_from_slice(check.process(&mut frame).unwrap().unwrap().samples());
        }
        out
    }

    fn noise(index: usize) -> f32 {
        ((index as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0
    }

    #[test]
    fn invalid_samples_are_silenced_and_counted_and_the_rest_is_untouched() {
        let (stage, reading) = InputCheck::default().live();
        let mut check = stage.prepare(Format::stereo(48_000).unwrap()).unwrap();
        let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -5e9, 1e-40, -1e-45, f32::MIN_POSITIVE, -0.0];
        let out = run(&mut check, 1, |c, i| if c == 1 { *bad.get(i).unwrap_or(&noise(i)) } else { noise(i) });
        assert_eq!((reading.reading().invalid, reading.reading().denormal), (4, 2));
        for (i, sample) in out.iter().enumerate() {
            let wanted =
                if (480..486).contains(&i) { 0.0 } else { *bad.get(i.wrapping_sub(480)).unwrap_or(&noise(i % 480)) };
            assert_eq!(sample.to_bits(), wanted.to_bits(), "sample {i}");
        }
        run(&mut check, 1, |_, _| f32::NAN);
        assert_eq!(reading.reading().invalid, 4 + 960);
    }

    #[test]
    fn a_clipped_peak_is_three_samples_of_one_sign_whatever_the_frames() {
        let (stage, reading) = InputCheck::default().live();
        let mut check = stage.prepare(Format::mono(8_000).unwrap()).unwrap();
        let runs = |check: &mut InputCheckProcessor, input: &[(usize, f32)]| {
            let before = reading.reading().clipped_runs;
            run(check, 3, |_, i| input.iter().find(|(at, _)| *at == i).map_or(0.1, |(_, s)| *s));
            reading.reading().clipped_runs - before
        };
        let full = 32_767.0 / 32_768.0;
        assert_eq!(runs(&mut check, &[(10, full), (11, 1.0)]), 0);
        assert_eq!(runs(&mut check, &[(10, full), (11, -1.0), (12, full), (13, -1.0)]), 0);
        assert_eq!(runs(&mut check, &[(10, full), (11, 1.0), (12, 2.0)]), 1);
        assert_eq!(runs(&mut check, &[(10, -1.0), (11, -1.0), (12, -1.0), (13, -1.0), (14, 1.0)]), 1);
        assert_eq!(runs(&mut check, &[(78, 1.0), (79, 1.0), (80, 1.0), (81, 1.0)]), 1, "across a frame's border");
        assert_eq!(runs(&mut check, &[(10, 0.999), (11, 0.999), (12, 0.999)]), 0);
    }

    #[test]
    fn dead_and_silent_microphones_are_told_from_a_quiet_room() {
        let (stage, reading) = InputCheck { silence_ms: 100.0, ..InputCheck::default() }.live();
        let mut check = stage.prepare(Format::stereo(16_000).unwrap()).unwrap();
        let mut told = |frames: usize, sample: &dyn Fn(usize, usize) -> f32| {
            run(&mut check, frames, sample);
            (reading.reading().dead, reading.reading().silent)
        };
        assert_eq!(told(9, &|_, _| 0.0), (false, false));
        assert_eq!(told(1, &|_, _| 0.0), (true, true));
        // One channel is enough for life.
        assert_eq!(told(10, &|c, i| c as f32 * 0.01 * noise(i)), (false, false));
        // Stuck at an offset, and a converter's noise on an offset.
        assert_eq!(told(10, &|c, _| 0.25 - c as f32), (true, true));
        assert_eq!(told(10, &|_, i| 0.25 + 5e-5 * noise(i)), (false, true));
        // A quiet room: −75 dBFS.
        assert_eq!(told(10, &|_, i| 0.25 + 3e-4 * noise(i)), (false, false));
        let level = reading.reading().level_dbfs();
        assert!((level + 75.2).abs() < 0.3, "{level}");
        reading.update(|check| check.silence_db = -70.0).unwrap();
        assert_eq!(told(10, &|_, i| 0.25 + 3e-4 * noise(i)), (false, true));
        assert_eq!(reading.reading().quiet_ms, 100);
    }

    #[test]
    fn after_a_reset_it_is_as_new() {
        let (stage, reading) = InputCheck::default().live();
        let mut check = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
        run(&mut check, 5, |_, i| if i % 2 == 0 { f32::NAN } else { 0.0 });
        run(&mut check, 1, |_, _| 1.0);
        check.reset();
        assert_eq!(reading.reading(), InputCheckReading::default());
        run(&mut check, 1, |_, i| if i < 2 { 1.0 } else { 0.0 });
        assert_eq!(reading.reading().clipped_runs, 0);
    }

    #[test]
    fn a_frame_of_another_format_is_refused_untouched() {
        let mut check = InputCheck::default().prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut frame = Frame::new(Format::stereo(48_000).unwrap());
        frame.samples_mut()[0] = f32::NAN;
        assert!(check.process(&mut frame).is_err());
        assert!(frame.samples()[0].is_nan());
    }
}
