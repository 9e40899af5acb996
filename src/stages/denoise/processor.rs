//! Processor of noise suppression.

#[cfg(feature = "hush")]
use super::full_band;
use super::lockstep::{self, Lane, Memories};
#[cfg(feature = "hush")]
use super::settings::Engine;
use super::settings::{Denoise, DenoiseReading};
use super::stereo_link::StereoLink;
use super::suppressor::{BLOCK, LATENCY, Suppressor};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::{Error, Format, Frame, Processor, Result, Stage};
use crate::dsp::kernels;
use crate::dsp::level::db_to_gain;
use crate::dsp::ramp::{GainCurve, Ramp};
use crate::neural::lockstep::collect;
use crate::neural::rnnoise2;

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
            link: (input.channels() == 2).then(|| Box::new(StereoLink::new())),
            unprocessed: vec![0.0; (LATENCY + input.samples_per_channel()) * input.channels()].into_boxed_slice(),
            dry_share: Ramp::new(dry_share(&self), input.samples_in_ms(RAMP_MS)),
        })
    }
}

/// Processor of [`Denoise`].
pub struct DenoiseProcessor {
    format: Format,
    port: ControlPort<Denoise>,
    suppressor: Suppressor,
    /// For stereo only, which most streams are not.
    link: Option<Box<StereoLink>>,
    /// Unprocessed sound of each channel: from what is aligned with the output to the end of the newest frame.
    unprocessed: Box<[f32]>,
    dry_share: Ramp,
}

impl DenoiseProcessor {
    /// Takes in a frame, and settings that have changed.
    pub(super) fn begin(&mut self, frame: &mut Frame) -> Result<()> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.dry_share.set(dry_share(&settings), self.format.samples_in_ms(RAMP_MS));
            self.suppressor.set_engine(settings.engine);
        }
        let length = self.format.samples_per_channel();
        for (sound, channel) in self.unprocessed.chunks_exact_mut(LATENCY + length).zip(frame.channels()) {
            sound.copy_within(length.., 0);
            sound[LATENCY..].copy_from_slice(channel);
        }
        Ok(())
    }

    /// Mixes the unprocessed sound back in, for the speech probability of the frame.
    fn finish(&mut self, frame: &mut Frame, probability: f32) {
        let length = self.format.samples_per_channel();
        let share = self.dry_share.advance(length);
        for (wet, dry) in frame.channels_mut().zip(self.unprocessed.chunks_exact(LATENCY + length)) {
            match share {
                GainCurve::Steady(share) => kernels::mix(wet, 1.0 - share, dry, share),
                GainCurve::Moving(share) => share.blend(wet, dry),
            }
        }
        frame.set_position(frame.position() - LATENCY as i64);
        frame.set_speech_probability(Some(probability));
        self.port.publish(DenoiseReading { speech_probability: probability });
    }
}

/// Processor with a frame that it has [taken in](DenoiseProcessor::begin), and memory for it.
pub(super) struct Stream<'a> {
    processor: &'a mut DenoiseProcessor,
    frame: &'a mut Frame,
    memories: Memories<'a>,
    /// Speech probability of the frame so far.
    probability: f32,
}

impl<'a> Stream<'a> {
    pub fn new(processor: &'a mut DenoiseProcessor, frame: &'a mut Frame, memories: Memories<'a>) -> Self {
        Self { processor, frame, memories, probability: 0.0 }
    }

    /// Lane for a block of the frame, if there is one: of stereo, for its mid signal.
    fn lane(&mut self, index: usize) -> Option<Lane<'_>> {
        let DenoiseProcessor { suppressor, link, unprocessed, .. } = &mut *self.processor;
        let block = match link {
            None => self.frame.samples_mut().as_chunks_mut().0.get_mut(index)?,
            Some(link) => {
                let newest = block_of_both(self.frame.samples(), index)?;
                link.mid(newest, [block_of_both(unprocessed, index)?, block_of_both(unprocessed, index + 1)?])
            }
        };
        Some(Lane { suppressor, block, probability: &mut self.probability, memories: self.memories.reborrow() })
    }

    /// Gives both channels what the networks made of the mid signal of a block.
    fn shape(&mut self, index: usize) -> Option<()> {
        let DenoiseProcessor { link, unprocessed, .. } = &mut *self.processor;
        let link = link.as_mut()?;
        let length = self.frame.format().samples_per_channel();
        let (left, right) = self.frame.samples_mut().split_at_mut(length);
        let out = [left.as_chunks_mut().0.get_mut(index)?, right.as_chunks_mut().0.get_mut(index)?];
        link.shape(out, [block_of_both(unprocessed, index)?, block_of_both(unprocessed, index + 1)?]);
        Some(())
    }
}

/// Takes the noise out of the frames of all streams, in lockstep.
pub(super) fn suppress<const N: usize>(mut streams: [Option<Stream<'_>>; N]) {
    for index in 0.. {
        let mut lanes = collect::<_, N>(streams.iter_mut().flatten().filter_map(|stream| stream.lane(index)));
        if lanes[0].is_none() {
            break;
        }
        lockstep::run(&mut lanes);
        streams.iter_mut().flatten().for_each(|stream| _ = stream.shape(index));
    }
    for Stream { processor, frame, probability, .. } in streams.iter_mut().flatten() {
        processor.finish(frame, *probability);
    }
}

impl Processor for DenoiseProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        self.begin(frame)?;
        let mut first = self.suppressor.memory();
        // Memory that no network needs is not cleared.
        let mut second;
        #[cfg(feature = "hush")]
        let mut hush;
        let memories = Memories {
            first: &mut first,
            second: if self.suppressor.is_light_alone() {
                None
            } else {
                second = rnnoise2::Memory::NEW;
                Some(&mut second)
            },
            #[cfg(feature = "hush")]
            hush: if self.suppressor.runs(Engine::Best) {
                hush = full_band::Memory::NEW;
                Some(&mut hush)
            } else {
                None
            },
        };
        suppress([Some(Stream::new(self, frame, memories))]);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.suppressor.reset();
        if let Some(link) = &mut self.link {
            link.reset();
        }
        self.unprocessed.fill(0.0);
        self.dry_share.finish();
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        LATENCY
    }
}

/// Block of both channels of stereo, one channel after the other.
fn block_of_both(samples: &[f32], index: usize) -> Option<[&[f32; BLOCK]; 2]> {
    let (left, right) = samples.split_at(samples.len() / 2);
    Some([left.as_chunks().0.get(index)?, right.as_chunks().0.get(index)?])
}

impl std::fmt::Debug for DenoiseProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DenoiseProcessor({})", self.format)
    }
}
