//! Loudness and true peak meter.

mod gated;

use ebur128::{Channel, EbuR128, Mode};

use crate::control::{ControlPort, Handle, Live, LiveStage};
use crate::core::error::fixed;
use crate::core::{Error, Format, Frame, Processor, Result, Stage};
#[cfg(feature = "serde")]
use crate::dsp::level::serialize;
use crate::dsp::level::{SILENCE_DBFS, to_dbfs};
use gated::GatedLoudness;

/// Step of the gating blocks of BS.1770, and the longest update interval that EBU Tech 3341 allows a live meter.
const SUB_BLOCK_MS: u32 = 100;
/// Sub-blocks in the momentary window of 400 ms.
const MOMENTARY: usize = 4;
/// Sub-blocks in the short-term window of 3 s.
const SHORT_TERM: usize = 30;

/// Loudness meter: EBU R 128 loudness (ITU-R BS.1770-4) and true peak, for other threads.
///
/// The sound passes unchanged. Latency: none. All readings are renewed every 100 ms. It is no part of
/// [`LevelMeter`](crate::LevelMeter) because it costs about thirty times as much, and most pipelines need the levels
/// only.
///
/// ```
/// use voxframe::{Format, Frame, Live, Processor, Stage};
/// use voxframe::loudness::LoudnessMeter;
/// let (meter, loudness) = LoudnessMeter::default().live();
/// let mut meter = meter.prepare(Format::stereo(48_000)?)?;
/// for index in 0..300 {
///     let mut frame = Frame::new(meter.input_format());
///     for channel in frame.channels_mut() {
///         for (i, sample) in channel.iter_mut().enumerate() {
///             // 1 kHz with a peak of −23 dBFS on both channels is −23 LUFS.
///             *sample = 0.0708 * (0.1309 * (index * 480 + i) as f32).sin();
///         }
///     }
///     meter.process(&mut frame)?;
/// }
/// assert!((loudness.reading().integrated_lufs() + 23.0).abs() < 0.1);
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct LoudnessMeter {
    /// Dual mono: a single channel counts twice (+3 dB), as it does when two loudspeakers play it. Two channels are
    /// always counted as they are. Default off (BS.1770). Fixed while the meter runs.
    pub dual_mono: bool,
    /// Number of the programme that is measured: when it changes, everything is measured anew. Default 0. See
    /// [`Handle::restart`].
    #[cfg_attr(feature = "serde", serde(skip))]
    pub programme: u32,
}

/// Reading of a running [`LoudnessMeter`]. [`SILENCE_DBFS`] stands for silence and for all that is lower.
// Powers and magnitudes inside: the thread that reads takes the logarithms, not the one that plays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LoudnessReading {
    #[cfg_attr(feature = "serde", serde(rename = "momentary_lufs", serialize_with = "serialize_lufs"))]
    momentary: f32,
    #[cfg_attr(feature = "serde", serde(rename = "short_term_lufs", serialize_with = "serialize_lufs"))]
    short_term: f32,
    #[cfg_attr(feature = "serde", serde(rename = "integrated_lufs", serialize_with = "serialize_lufs"))]
    integrated: f32,
    #[cfg_attr(feature = "serde", serde(rename = "true_peak_dbtp", serialize_with = "serialize::magnitudes"))]
    true_peak: [f32; 2],
    #[cfg_attr(feature = "serde", serde(rename = "overall_true_peak_dbtp", serialize_with = "serialize::magnitudes"))]
    overall_true_peak: [f32; 2],
}

impl LoudnessReading {
    /// Momentary loudness: of the last 400 ms, in LUFS.
    pub fn momentary_lufs(&self) -> f32 {
        lufs(self.momentary)
    }

    /// Short-term loudness: of the last 3 s, in LUFS.
    pub fn short_term_lufs(&self) -> f32 {
        lufs(self.short_term)
    }

    /// Integrated loudness: since the start, the last reset or the last [`Handle::restart`], in LUFS. Blocks below −70
    /// LUFS, or 10 LU below the rest, are gated out.
    pub fn integrated_lufs(&self) -> f32 {
        lufs(self.integrated)
    }

    /// True peak of a channel over the last 100 ms, in dBTP: four times oversampled, twice from 96 kHz, not at all at
    /// 192 kHz. Within 0.2 dB; up to 0.4 dB low close to half the sample rate, as BS.1770 allows.
    pub fn true_peak_dbtp(&self, channel: usize) -> f32 {
        self.true_peak.get(channel).map_or(SILENCE_DBFS, |&peak| to_dbfs(peak))
    }

    /// True peak of a channel since the start, the last reset or the last [`Handle::restart`], in dBTP.
    pub fn overall_true_peak_dbtp(&self, channel: usize) -> f32 {
        self.overall_true_peak.get(channel).map_or(SILENCE_DBFS, |&peak| to_dbfs(peak))
    }
}

/// Loudness of a K-weighted mean square, by the formula of BS.1770.
fn lufs(power: f32) -> f32 {
    (ebur128::energy_to_loudness(f64::from(power)) as f32).max(SILENCE_DBFS)
}

#[cfg(feature = "serde")]
fn serialize_lufs<S: serde::Serializer>(power: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f32(lufs(*power))
}

impl Handle<LoudnessMeter> {
    /// Begins a new programme: everything is measured anew from the next frame on.
    pub fn restart(&self) {
        let restarted = self.update(|meter| meter.programme = meter.programme.wrapping_add(1));
        debug_assert!(restarted.is_ok(), "every programme is valid");
    }
}

impl Stage for LoudnessMeter {
    type Processor = LoudnessMeterProcessor;

    fn prepare(self, input: Format) -> Result<LoudnessMeterProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for LoudnessMeter {
    type Reading = LoudnessReading;

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
        fixed("LoudnessMeter::dual_mono", self.dual_mono == prepared.dual_mono)
    }
}

impl LiveStage for LoudnessMeter {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<LoudnessMeterProcessor> {
        // Only the filters, the power of the last frame and the true peak are ebur128's. It sums up its long windows
        // whole at every reading, 3 s in half a millisecond; its integrated loudness is a list that grows for ever, or
        // rounds every block to 0.1 LU.
        let mode = Mode::M | Mode::TRUE_PEAK;
        let refused = |_| Error::UnsupportedRate {
            stage: "LoudnessMeter",
            rate_hz: input.sample_rate_hz(),
            advice: "put Resample::to(48_000) before it",
        };
        let mut engine = EbuR128::new(input.channels() as u32, input.sample_rate_hz(), mode).map_err(refused)?;
        if self.dual_mono && input.channels() == 1 {
            engine.set_channel(0, Channel::DualMono).map_err(refused)?;
        }
        Ok(LoudnessMeterProcessor {
            format: input,
            port,
            programme: self.programme,
            engine,
            power: 0.0,
            frames: 0,
            powers: [0.0; SHORT_TERM],
            blocks: 0,
            gated: GatedLoudness::new(),
            true_peak: [0.0; Format::MAX_CHANNELS],
        })
    }
}

/// Processor of [`LoudnessMeter`].
#[derive(Debug)]
pub struct LoudnessMeterProcessor {
    format: Format,
    port: ControlPort<LoudnessMeter>,
    programme: u32,
    engine: EbuR128,
    /// Sum of the K-weighted mean squares of the frames in the unfinished sub-block, and their number.
    power: f64,
    frames: u32,
    /// Mean squares of the last sub-blocks, in a ring.
    powers: [f64; SHORT_TERM],
    /// Sub-blocks so far.
    blocks: usize,
    gated: GatedLoudness,
    /// True peaks in the unfinished sub-block.
    true_peak: [f32; Format::MAX_CHANNELS],
}

impl LoudnessMeterProcessor {
    fn measure(&mut self, frame: &Frame) -> Result<(), ebur128::Error> {
        let (first, second) = frame.samples().split_at(self.format.samples_per_channel());
        let channels = [first, second];
        self.engine.add_frames_planar_f32(&channels[..self.format.channels()])?;
        for (channel, peak) in self.true_peak.iter_mut().enumerate().take(self.format.channels()) {
            *peak = peak.max(self.engine.prev_true_peak(channel as u32)? as f32);
        }
        // The inverse of BS.1770's formula: ebur128 does not give the power itself.
        let lufs = self.engine.loudness_window(self.format.frame_ms())?;
        self.power += 10f64.powf((lufs + 0.691) / 10.0);
        self.frames += 1;
        if self.frames * self.format.frame_ms() >= SUB_BLOCK_MS {
            let reading = self.finish_sub_block()?;
            self.port.publish(reading);
        }
        Ok(())
    }

    fn finish_sub_block(&mut self) -> Result<LoudnessReading, ebur128::Error> {
        self.powers[self.blocks % SHORT_TERM] = self.power / f64::from(self.frames);
        (self.power, self.frames) = (0.0, 0);
        self.blocks += 1;
        let mean_of_last = |count: usize| {
            let sum: f64 = (1..=count).map(|back| self.powers[(self.blocks + SHORT_TERM - back) % SHORT_TERM]).sum();
            sum / count as f64
        };
        let momentary = mean_of_last(MOMENTARY);
        if self.blocks >= MOMENTARY {
            self.gated.add(momentary);
        }
        let mut reading = LoudnessReading {
            momentary: momentary as f32,
            short_term: mean_of_last(SHORT_TERM) as f32,
            integrated: self.gated.power() as f32,
            true_peak: self.true_peak,
            overall_true_peak: [0.0; Format::MAX_CHANNELS],
        };
        for (channel, peak) in reading.overall_true_peak.iter_mut().enumerate().take(self.format.channels()) {
            *peak = self.engine.true_peak(channel as u32)? as f32;
        }
        self.true_peak = Default::default();
        Ok(reading)
    }
}

impl Processor for LoudnessMeterProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed()
            && settings.programme != self.programme
        {
            self.programme = settings.programme;
            self.reset();
        }
        let measured = self.measure(frame);
        debug_assert!(measured.is_ok(), "channels and modes are those it was made for");
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.engine.reset();
        (self.power, self.frames) = (0.0, 0);
        self.powers = [0.0; SHORT_TERM];
        self.blocks = 0;
        self.gated.reset();
        self.true_peak = Default::default();
        self.port.publish(LoudnessReading::default());
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// Measures `seconds` of what `signal` gives for each sample, on all channels.
    fn feed(meter: &mut LoudnessMeterProcessor, seconds: f64, signal: impl Fn(usize) -> f64) {
        let format = meter.input_format();
        let length = format.samples_per_channel();
        for index in 0..(seconds * 1000.0 / f64::from(format.frame_ms())).round() as usize {
            let mut frame = Frame::new(format);
            for (i, sample) in frame.samples_mut()[..length].iter_mut().enumerate() {
                *sample = signal(index * length + i) as f32;
            }
            if format.channels() == 2 {
                frame.samples_mut().copy_within(..length, length);
            }
            let before = frame.clone();
            assert_eq!(meter.process(&mut frame).unwrap().unwrap(), &before);
        }
    }

    /// A sine of `hz` with a peak of `dbfs`, as the test signals of EBU Tech 3341 are given.
    fn sine(format: Format, hz: f64, dbfs: f64) -> impl Fn(usize) -> f64 {
        let (peak, step) = (10f64.powf(dbfs / 20.0), TAU * hz / f64::from(format.sample_rate_hz()));
        move |i| peak * (step * i as f64).sin()
    }

    fn meter(format: Format) -> (LoudnessMeterProcessor, Handle<LoudnessMeter>) {
        let (meter, handle) = LoudnessMeter::default().live();
        (meter.prepare(format).unwrap(), handle)
    }

    /// EBU Tech 3341, table 1, cases 1 to 5, with the tolerance it states. The gates do not depend on the rate: two
    /// cases will do for those that are not 48 kHz.
    #[test]
    fn the_test_signals_of_the_standard_are_as_loud_as_it_says() {
        let cases = [
            (-23.0, &[(-23.0, 20.0)][..]),
            (-33.0, &[(-33.0, 20.0)]),
            (-23.0, &[(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)]),
            (-23.0, &[(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)]),
            (-23.0, &[(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)]),
        ];
        for rate_hz in [8_000, 44_100, 48_000, 192_000] {
            let format = Format::stereo(rate_hz).unwrap();
            for (case, levels) in &cases[..if rate_hz == 48_000 { 5 } else { 2 }] {
                let (mut meter, handle) = meter(format);
                for &(dbfs, seconds) in *levels {
                    feed(&mut meter, seconds, sine(format, 1000.0, dbfs));
                    let now = handle.reading();
                    for lufs in [now.momentary_lufs(), now.short_term_lufs()] {
                        assert!((f64::from(lufs) - dbfs).abs() <= 0.1, "{lufs} for {dbfs} at {rate_hz} Hz");
                    }
                }
                let integrated = f64::from(handle.reading().integrated_lufs());
                assert!((integrated - case).abs() <= 0.1, "{integrated} for {case} at {rate_hz} Hz");
            }
        }
    }

    /// EBU Tech 3341, table 1, cases 15 to 19, with the tolerance it states.
    #[test]
    fn peaks_between_the_samples_are_found() {
        for rate_hz in [8_000, 16_000, 44_100, 48_000] {
            let format = Format::mono(rate_hz).unwrap();
            for (divisor, degrees, peak) in
                [(4.0, 0.0, 0.5), (4.0, 45.0, 0.5), (6.0, 60.0, 0.5), (8.0, 67.5, 0.5), (4.0, 45.0, 1.41)]
            {
                let (mut meter, handle) = meter(format);
                // Faded in, because a sine that starts at once overshoots between its samples.
                feed(&mut meter, 1.0, |i| {
                    let fade = (i as f64 / f64::from(rate_hz) * 4.0).min(1.0);
                    fade * peak * (TAU * (i as f64 / divisor + degrees / 360.0)).sin()
                });
                let wanted = 20.0 * f64::log10(peak);
                let now = handle.reading();
                for found in [now.true_peak_dbtp(0), now.overall_true_peak_dbtp(0)] {
                    let off = f64::from(found) - wanted;
                    assert!((-0.4..=0.2).contains(&off), "{off} dB at {rate_hz} / {divisor} Hz, {degrees} degrees");
                }
                assert_eq!(now.true_peak_dbtp(1), SILENCE_DBFS);
            }
        }
    }

    #[test]
    fn windows_are_400_ms_and_3_s_long() {
        let format = Format::stereo(48_000).unwrap().with_frame_ms(20).unwrap();
        let (mut meter, handle) = meter(format);
        feed(&mut meter, 3.0, sine(format, 1000.0, -20.0));
        feed(&mut meter, 0.2, |_| 0.0);
        let now = handle.reading();
        assert!((now.momentary_lufs() + 20.0 - 10.0 * 0.5f32.log10()).abs() < 0.1, "{now:?}");
        assert!((now.short_term_lufs() + 20.0 - 10.0 * (2.8f32 / 3.0).log10()).abs() < 0.02, "{now:?}");
        assert_eq!(now.true_peak_dbtp(0), SILENCE_DBFS);
        assert!((now.overall_true_peak_dbtp(0) + 20.0).abs() < 0.1);
        feed(&mut meter, 0.2, |_| 0.0);
        assert!(handle.reading().momentary_lufs() < -60.0);
        feed(&mut meter, 3.0, |_| 0.0);
        let now = handle.reading();
        assert_eq!((now.momentary_lufs(), now.short_term_lufs()), (SILENCE_DBFS, SILENCE_DBFS));
        assert!((now.integrated_lufs() + 20.0).abs() < 0.5, "the gate leaves the silence out");
    }

    #[test]
    fn a_single_channel_counts_twice_if_asked_to() {
        let format = Format::mono(48_000).unwrap();
        let lufs = |dual_mono| {
            let (meter, handle) = LoudnessMeter { dual_mono, ..LoudnessMeter::default() }.live();
            feed(&mut meter.prepare(format).unwrap(), 1.0, sine(format, 1000.0, -20.0));
            [handle.reading().momentary_lufs(), handle.reading().integrated_lufs()]
        };
        let ([momentary, integrated], [momentary_twice, integrated_twice]) = (lufs(false), lufs(true));
        assert!((momentary_twice - momentary - 3.0103).abs() < 1e-3, "{momentary} {momentary_twice}");
        assert!((integrated_twice - integrated - 3.0103).abs() < 1e-3, "{integrated} {integrated_twice}");
    }

    #[test]
    fn a_new_programme_is_measured_on_its_own() {
        let format = Format::stereo(48_000).unwrap();
        let (mut meter, handle) = meter(format);
        assert_eq!(handle.reading().integrated_lufs(), SILENCE_DBFS);
        feed(&mut meter, 1.0, sine(format, 1000.0, 0.0));
        handle.restart();
        feed(&mut meter, 1.05, sine(format, 1000.0, -30.0));
        let restarted = handle.reading();
        assert!((restarted.integrated_lufs() + 30.0).abs() < 0.1);
        assert!((restarted.overall_true_peak_dbtp(1) + 30.0).abs() < 0.1);
        meter.reset();
        assert_eq!(handle.reading(), LoudnessReading::default());
        feed(&mut meter, 1.05, sine(format, 1000.0, -30.0));
        assert_eq!(handle.reading(), restarted);
    }

    #[test]
    fn the_loudest_sound_admitted_leaves_all_readings_finite() {
        let (mut meter, handle) = meter(Format::stereo(48_000).unwrap());
        feed(&mut meter, 4.0, |i| if i % 48 < 24 { 4.2e9 } else { -4.2e9 });
        let now = handle.reading();
        for level in [now.momentary_lufs(), now.short_term_lufs(), now.integrated_lufs(), now.true_peak_dbtp(0)] {
            assert!(level.is_finite() && level > 20.0, "{now:?}");
        }
    }
}
