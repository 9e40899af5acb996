//! Processor of noise suppression.

use super::settings::{Denoise, DenoiseReading};
use super::stereo_link::StereoLink;
use super::suppressor::{BLOCK, LATENCY, Suppressor};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::{Error, Format, Frame, Processor, Result, Stage};
use crate::dsp::delay::Delay;
use crate::dsp::kernels;
use crate::dsp::level::db_to_gain;
use crate::dsp::ramp::{GainCurve, Ramp};

/// Fade time of a change of the settings, in ms.
const RAMP_MS: f32 = 5.0;

/// Share of the unprocessed sound in the output, 0 to 1.
fn dry_share(settings: &Denoise) -> f32 {
    if settings.bypassed { 1.0 } else { db_to_gain(-settings.suppression_db) }
}

impl Stage for Denoise {
    type Processor = DenoiseProcessor;

    fn prepare(self, input: Format) -> Result<DenoiseProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for Denoise {
    type Reading = DenoiseReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for Denoise {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<DenoiseProcessor> {
        self.check()?;
        if input.sample_rate_hz() != 48_000 {
            return Err(Error::UnsupportedRate {
                stage: "Denoise",
                rate_hz: input.sample_rate_hz(),
                advice: "put Resample::to(48_000) before it",
            });
        }
        Ok(DenoiseProcessor {
            format: input,
            port,
            suppressor: Suppressor::new(self.engine),
            link: (input.channels() == 2).then(StereoLink::new),
            ahead: Frame::new(input),
            ahead_delay: Delay::new(input, LATENCY - BLOCK),
            dry: Frame::new(input),
            dry_delay: Delay::new(input, BLOCK),
            dry_share: Ramp::new(dry_share(&self), input.samples_in_ms(RAMP_MS), input.samples_per_channel()),
        })
    }
}

/// Processor of [`Denoise`].
pub struct DenoiseProcessor {
    format: Format,
    port: ControlPort<Denoise>,
    suppressor: Suppressor,
    link: Option<StereoLink>,
    /// Unprocessed sound, one block ahead of the output.
    ahead: Frame,
    ahead_delay: Delay,
    /// Unprocessed sound, aligned with the output.
    dry: Frame,
    dry_delay: Delay,
    dry_share: Ramp,
}

impl Processor for DenoiseProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.dry_share.set(dry_share(&settings), self.format.samples_in_ms(RAMP_MS));
            self.suppressor.set_engine(settings.engine);
        }
        self.ahead.copy_from(frame)?;
        self.ahead_delay.process(&mut self.ahead);
        self.dry.copy_from(&self.ahead)?;
        self.dry_delay.process(&mut self.dry);

        let probability = match &mut self.link {
            None => {
                let (blocks, _) = frame.samples_mut().as_chunks_mut::<BLOCK>();
                blocks.iter_mut().fold(0.0f32, |max, block| max.max(self.suppressor.process(block)))
            }
            Some(link) => {
                let length = self.format.samples_per_channel();
                let (left, right) = frame.samples_mut().split_at_mut(length);
                let wet = left.as_chunks_mut().0.iter_mut().zip(right.as_chunks_mut().0);
                let unprocessed = blocks(&self.dry).zip(blocks(&self.ahead));
                wet.zip(unprocessed).fold(0.0f32, |max, (wet, (dry, ahead))| {
                    max.max(link.process(&mut self.suppressor, wet, dry, ahead))
                })
            }
        };

        match self.dry_share.advance(self.format.samples_per_channel()) {
            GainCurve::Steady(dry) => kernels::mix(frame.samples_mut(), 1.0 - dry, self.dry.samples(), dry),
            GainCurve::Moving(dry) => {
                for (wet, unprocessed) in frame.channels_mut().zip(self.dry.channels()) {
                    kernels::blend(wet, unprocessed, dry);
                }
            }
        }
        frame.set_position(frame.position() - LATENCY as i64);
        frame.set_speech_probability(Some(probability));
        self.port.publish(DenoiseReading { speech_probability: probability });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.suppressor.reset();
        if let Some(link) = &mut self.link {
            link.reset();
        }
        self.ahead_delay.reset();
        self.dry_delay.reset();
        self.dry_share.finish();
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        LATENCY
    }
}

/// Blocks of both channels of a stereo frame.
fn blocks(frame: &Frame) -> impl Iterator<Item = [&[f32; BLOCK]; 2]> {
    let (left, right) = frame.samples().split_at(frame.samples().len() / 2);
    left.as_chunks().0.iter().zip(right.as_chunks().0).map(|(left, right)| [left, right])
}

impl std::fmt::Debug for DenoiseProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DenoiseProcessor({})", self.format)
    }
}
