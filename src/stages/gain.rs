//! Gain and mute.

use crate::control::{ControlPort, Handle, Live, LiveStage};
use crate::core::error::in_range;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::level::{db_to_gain, to_dbfs};
use crate::dsp::ramp::{GainCurve, Ramp};

/// Gain in dB and mute, both without a click.
///
/// Latency: none. Nothing is clipped: what exceeds full scale stays so. Put a [`Limiter`](crate::Limiter) behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Gain {
    /// Gain in dB, −120 to 60. Default 0.
    pub gain_db: f32,
    /// Mute: silence, whatever the gain. Default off.
    pub muted: bool,
    /// Ramp time of a live change in ms, 1 to 1000. Default 5 (Firewheel's smoothing).
    pub ramp_ms: f32,
}

impl Gain {
    /// Gain of `gain_db` dB.
    pub fn db(gain_db: f32) -> Self {
        Self { gain_db, ..Self::default() }
    }

    fn factor(&self) -> f32 {
        if self.muted { 0.0 } else { db_to_gain(self.gain_db) }
    }
}

impl Default for Gain {
    fn default() -> Self {
        Self { gain_db: 0.0, muted: false, ramp_ms: 5.0 }
    }
}

/// Reading of a running [`Gain`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GainReading {
    /// Gain at the end of the last frame, in dB; −120 when muted.
    pub gain_db: f32,
}

impl Handle<Gain> {
    /// Fades to silence.
    pub fn mute(&self) {
        self.set_muted(true);
    }

    /// Fades back in.
    pub fn unmute(&self) {
        self.set_muted(false);
    }

    fn set_muted(&self, muted: bool) {
        // Refused only where the gain itself is out of range: then there is no processor to be muted.
        let _ = self.update(|gain| gain.muted = muted);
    }
}

impl Stage for Gain {
    type Processor = GainProcessor;

    fn prepare(self, input: Format) -> Result<GainProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for Gain {
    type Reading = GainReading;

    fn validate(&self) -> Result<()> {
        in_range("Gain::gain_db", self.gain_db, -120.0, 60.0)?;
        in_range("Gain::ramp_ms", self.ramp_ms, 1.0, 1000.0)
    }
}

impl LiveStage for Gain {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<GainProcessor> {
        self.validate()?;
        let ramp = Ramp::new(self.factor(), input.samples_in_ms(self.ramp_ms));
        let mut processor = GainProcessor { format: input, port, ramp };
        processor.publish();
        Ok(processor)
    }
}

/// Processor of [`Gain`].
#[derive(Debug)]
pub struct GainProcessor {
    format: Format,
    port: ControlPort<Gain>,
    ramp: Ramp,
}

impl GainProcessor {
    fn publish(&mut self) {
        self.port.publish(GainReading { gain_db: to_dbfs(self.ramp.value()) });
    }
}

impl Processor for GainProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_format(self.format)?;
        if let Some(gain) = self.port.changed() {
            self.ramp.set(gain.factor(), self.format.samples_in_ms(gain.ramp_ms));
        }
        match self.ramp.advance(self.format.samples_per_channel()) {
            GainCurve::Steady(1.0) => _ = frame.peaks(),
            GainCurve::Steady(gain) => frame.scale(gain),
            GainCurve::Moving(gains) => {
                frame.peaks();
                frame.channels_mut().for_each(|channel| gains.multiply(channel));
                self.publish();
            }
        }
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.ramp.finish();
        self.publish();
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_is_exact_and_a_change_arrives_in_time() {
        let format = Format::stereo(48_000).unwrap();
        let (gain, control) = Gain::db(-20.0).live();
        let mut gain = gain.prepare(format).unwrap();
        let mut run = || {
            let mut frame = Frame::new(format);
            frame.samples_mut().fill(1.0);
            gain.process(&mut frame).unwrap().unwrap().clone()
        };
        assert!(run().samples().iter().all(|s| (s - 0.1).abs() < 1e-6));
        assert_eq!(control.reading().gain_db, -20.0);
        control.update(|gain| gain.gain_db = 0.0).unwrap();
        let moving = run();
        assert_eq!(control.reading().gain_db, 0.0);
        for channel in moving.channels() {
            assert!(channel[0] < 0.101 && channel[238] < 1.0 && channel[239..].iter().all(|s| *s > 0.999_99));
            assert!(channel.windows(2).all(|w| (0.0..0.006).contains(&(w[1] - w[0]))));
        }
        control.mute();
        run();
        assert!(run().samples().iter().all(|&s| s == 0.0));
        control.unmute();
        run();
        assert!(run().samples().iter().all(|&s| s == 1.0));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let format = Format::mono(48_000).unwrap();
        for bad in [f32::NAN, f32::INFINITY, -121.0, 60.1] {
            assert!(Gain::db(bad).prepare(format).is_err());
        }
        assert!(Gain { ramp_ms: 0.0, ..Gain::default() }.prepare(format).is_err());
    }
}
