//! Noise suppression.

#[cfg(feature = "hush")]
mod arbiter;
mod engine;
#[cfg(feature = "hush")]
mod hush;
mod rnnoise;
mod stereo_link;

use crate::control::{ControlPort, Word, record};
use crate::control::{Handle, Live};
use crate::core::in_range;
use crate::core::{Error, Format, Frame, Processor, Result, Stage};
use crate::dsp::delay::Delay;
use crate::dsp::kernels;
use crate::dsp::level::db_to_gain;
use crate::dsp::ramp::{GainCurve, Ramp};
use engine::Network;
use rnnoise::{BLOCK, LATENCY};
use stereo_link::StereoLink;

/// How long a live change takes.
const RAMP_MS: f32 = 5.0;

/// What takes the noise away. Both delay by 10 ms, and take 48 kHz. Default [`RnNoise`](Self::RnNoise).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Engine {
    /// RNNoise, through nnnoiseless.
    #[default]
    RnNoise,
    /// Hush, a network of the DeepFilterNet family: clearly better in noise, at four times the work. It hears up to
    /// 8 kHz; what is above gets a gain that follows from below. RNNoise runs beside it, and steps in for voices that
    /// Hush takes for background, and where there is hardly any noise.
    #[cfg(feature = "hush")]
    Hush,
}

impl Word for Engine {
    fn to_word(self) -> u64 {
        self as u64
    }

    fn from_word(word: u64) -> Self {
        match word {
            #[cfg(feature = "hush")]
            1 => Self::Hush,
            _ => Self::RnNoise,
        }
    }
}

/// Takes noise away and leaves speech, by one of two recurrent neural networks.
///
/// It runs at 48 kHz only: put `Resample::to(48_000)` before it. What the network takes away is put back
/// `suppression_db` quieter, aligned to the sample, because a trace of the room sounds better than a hole. Each
/// frame that comes out says how likely it holds speech. Of a stereo sound the network hears the middle, and both
/// channels get the same treatment, so that the image does not move.
///
/// Latency: 10 ms, bypassed too. The first frame out is silence. Realtime safety: a reset is safe four times, then it
/// allocates, because nnnoiseless has none of its own and only so many fresh networks are kept (25 kB each).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Denoise {
    /// What takes the noise away. Default RNNoise. Fixed once the stage runs.
    pub engine: Engine,
    /// By how much noise is suppressed at most, in dB, 0 (not at all) to 100. Default 18 (WebRTC's levels: 6, 12, 18,
    /// 21).
    pub suppression_db: f32,
    /// Whether the sound passes unchanged (but delayed as ever). Default no.
    pub bypassed: bool,
}

impl Denoise {
    /// Suppresses noise by at most `suppression_db` dB.
    pub fn db(suppression_db: f32) -> Self {
        Self { suppression_db, ..Self::default() }
    }

    /// The share of the unprocessed sound in what comes out.
    fn dry(&self) -> f32 {
        if self.bypassed { 1.0 } else { db_to_gain(-self.suppression_db) }
    }
}

impl Default for Denoise {
    fn default() -> Self {
        Self { engine: Engine::RnNoise, suppression_db: 18.0, bypassed: false }
    }
}

record!(Denoise { engine, suppression_db, bypassed });

/// What a running [`Denoise`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DenoiseReading {
    /// How likely the last frame that came out holds speech, 0 to 1.
    pub speech_probability: f32,
}

record!(DenoiseReading { speech_probability });

impl Stage for Denoise {
    type Processor = DenoiseProcessor;

    fn prepare(self, input: Format) -> Result<DenoiseProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for Denoise {
    type Reading = DenoiseReading;

    fn validate(&self) -> Result<()> {
        in_range("Denoise::suppression_db", self.suppression_db, 0.0, 100.0)
    }

    fn prepare_with(self, input: Format, handle: Handle<Self>) -> Result<DenoiseProcessor> {
        self.validate()?;
        if input.sample_rate_hz() != 48_000 {
            return Err(Error::UnsupportedRate {
                stage: "Denoise",
                rate_hz: input.sample_rate_hz(),
                advice: "put Resample::to(48_000) before it",
            });
        }
        Ok(DenoiseProcessor {
            format: input,
            tap: ControlPort::new(handle),
            network: Network::new(self.engine),
            link: (input.channels() == 2).then(StereoLink::new),
            dry: Frame::new(input),
            delay: Delay::new(input, LATENCY),
            share: Ramp::new(self.dry(), input.samples_in_ms(RAMP_MS), input.samples_per_channel()),
        })
    }
}

/// A running [`Denoise`].
pub struct DenoiseProcessor {
    format: Format,
    tap: ControlPort<Denoise>,
    network: Network,
    link: Option<StereoLink>,
    dry: Frame,
    delay: Delay,
    share: Ramp,
}

impl Processor for DenoiseProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.tap.changed() {
            self.share.set(settings.dry(), self.format.samples_in_ms(RAMP_MS));
        }
        self.dry.copy_from(frame)?;
        self.delay.process(&mut self.dry);

        let probability = match &mut self.link {
            None => frame
                .samples_mut()
                .chunks_exact_mut(BLOCK)
                .fold(0.0f32, |most, block| most.max(self.network.process(block))),
            Some(link) => {
                let (left, right) = frame.samples_mut().split_at_mut(self.format.samples_per_channel());
                let (dry_left, dry_right) = self.dry.samples().split_at(self.format.samples_per_channel());
                let dry = dry_left.chunks_exact(BLOCK).zip(dry_right.chunks_exact(BLOCK));
                let wet = left.chunks_exact_mut(BLOCK).zip(right.chunks_exact_mut(BLOCK));
                wet.zip(dry).fold(0.0f32, |most, (wet, dry)| most.max(link.process(&mut self.network, wet, dry)))
            }
        };

        match self.share.advance(self.format.samples_per_channel()) {
            GainCurve::Steady(dry) => kernels::mix(frame.samples_mut(), 1.0 - dry, self.dry.samples(), dry),
            GainCurve::Moving(dry) => {
                for (wet, unprocessed) in frame.channels_mut().zip(self.dry.channels()) {
                    kernels::blend(wet, unprocessed, dry);
                }
            }
        }
        frame.set_position(frame.position() - LATENCY as i64);
        frame.set_speech_probability(Some(probability));
        self.tap.publish(DenoiseReading { speech_probability: probability });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.network.reset();
        if let Some(link) = &mut self.link {
            link.reset();
        }
        self.delay.reset();
        self.share.finish();
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
