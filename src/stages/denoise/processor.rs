//! Processor of noise suppression.

use super::engine::RunningEngine;
use super::rnnoise::{BLOCK, LATENCY};
use super::settings::{Denoise, DenoiseReading};
use super::stereo_link::StereoLink;
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::fixed;
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

    fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
        fixed("Denoise::engine", self.engine == prepared.engine)
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
            engine: RunningEngine::new(self.engine),
            link: (input.channels() == 2).then(StereoLink::new),
            dry: Frame::new(input),
            delay: Delay::new(input, LATENCY),
            dry_share: Ramp::new(dry_share(&self), input.samples_in_ms(RAMP_MS), input.samples_per_channel()),
        })
    }
}

/// Processor of [`Denoise`].
pub struct DenoiseProcessor {
    format: Format,
    port: ControlPort<Denoise>,
    engine: RunningEngine,
    link: Option<StereoLink>,
    dry: Frame,
    delay: Delay,
    dry_share: Ramp,
}

impl Processor for DenoiseProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.dry_share.set(dry_share(&settings), self.format.samples_in_ms(RAMP_MS));
        }
        self.dry.copy_from(frame)?;
        self.delay.process(&mut self.dry);

        let probability = match &mut self.link {
            None => {
                let (blocks, _) = frame.samples_mut().as_chunks_mut::<BLOCK>();
                blocks.iter_mut().fold(0.0f32, |max, block| max.max(self.engine.process(block)))
            }
            Some(link) => {
                let (left, right) = frame.samples_mut().split_at_mut(self.format.samples_per_channel());
                let (dry_left, dry_right) = self.dry.samples().split_at(self.format.samples_per_channel());
                let dry = dry_left.as_chunks().0.iter().zip(dry_right.as_chunks().0);
                let wet = left.as_chunks_mut().0.iter_mut().zip(right.as_chunks_mut().0);
                wet.zip(dry).fold(0.0f32, |max, (wet, dry)| max.max(link.process(&mut self.engine, wet, dry)))
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
        self.engine.reset();
        if let Some(link) = &mut self.link {
            link.reset();
        }
        self.delay.reset();
        self.dry_share.finish();
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        LATENCY
    }
}

impl std::fmt::Debug for DenoiseProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DenoiseProcessor({})", self.format)
    }
}
