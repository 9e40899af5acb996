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

/// Blocks that the output is late by.
const LATE: usize = LATENCY / BLOCK;

/// Share of the unprocessed sound in the output, 0 to 1.
fn dry_share(settings: &Denoise) -> f32 {
    if settings.bypassed { 1.0 } else { db_to_gain(-settings.suppression_db) }
}

impl Stage for Denoise {
    type Processor = DenoiseProcessor;

    fn prepare(self, input: Format) -> Result<DenoiseProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
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
            unprocessed: vec![[[0.0; BLOCK]; LATE]; input.channels()].into_boxed_slice(),
            oldest: 0,
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
    /// Unprocessed blocks of each channel, in a ring: as many as the output is late by.
    unprocessed: Box<[[[f32; BLOCK]; LATE]]>,
    oldest: usize,
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
        Ok(())
    }
}

/// Processor with a frame that it has [taken in](DenoiseProcessor::begin), and memory for it.
pub(super) struct Stream<'a> {
    processor: &'a mut DenoiseProcessor,
    frame: &'a mut Frame,
    /// Share of the unprocessed sound over the frame.
    dry_share: GainCurve,
    /// Block of one channel without noise.
    output: &'a mut [f32; BLOCK],
    memories: Memories<'a>,
    /// Speech probability of the frame so far.
    probability: f32,
}

impl<'a> Stream<'a> {
    pub fn new(
        processor: &'a mut DenoiseProcessor,
        frame: &'a mut Frame,
        output: &'a mut [f32; BLOCK],
        memories: Memories<'a>,
    ) -> Self {
        let dry_share = processor.dry_share.advance(processor.format.samples_per_channel());
        Self { processor, frame, dry_share, output, memories, probability: 0.0 }
    }

    /// Lane for a block of the frame, if there is one: of stereo, for its mid signal. In the frame, what is as late as the output
    /// takes the place of the block.
    fn lane(&mut self, index: usize) -> Option<Lane<'_>> {
        let DenoiseProcessor { suppressor, link, unprocessed, oldest, .. } = &mut *self.processor;
        for (channel, late) in self.frame.channels_mut().zip(unprocessed.iter_mut()) {
            kernels::swap(channel.as_chunks_mut::<BLOCK>().0.get_mut(index)?, &mut late[*oldest]);
        }
        let block = match link {
            None => {
                *self.output = unprocessed[0][*oldest];
                &mut *self.output
            }
            Some(link) => {
                let [newest, ahead] = [*oldest, next(*oldest)].map(|at| [&unprocessed[0][at], &unprocessed[1][at]]);
                link.mid(newest, [block_of_both(self.frame.samples(), index)?, ahead])
            }
        };
        Some(Lane { suppressor, block, probability: &mut self.probability, memories: self.memories.reborrow() })
    }

    /// Replaces the block of each channel by what the networks made of it, with some of the unprocessed sound.
    fn mix(&mut self, index: usize) -> Option<()> {
        let DenoiseProcessor { link, unprocessed, oldest, .. } = &mut *self.processor;
        let after = next(*oldest);
        match link {
            None => mix(self.frame.samples_mut().as_chunks_mut().0.get_mut(index)?, self.output, self.dry_share, index),
            Some(link) => {
                let dry = block_of_both(self.frame.samples(), index)?;
                let (mut left, mut right) = ([0.0; BLOCK], [0.0; BLOCK]);
                link.shape([&mut left, &mut right], [dry, [&unprocessed[0][after], &unprocessed[1][after]]]);
                for (channel, output) in self.frame.channels_mut().zip([&left, &right]) {
                    mix(channel.as_chunks_mut().0.get_mut(index)?, output, self.dry_share, index);
                }
            }
        }
        *oldest = after;
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
        streams.iter_mut().flatten().for_each(|stream| _ = stream.mix(index));
    }
    for Stream { processor, frame, probability, .. } in streams.iter_mut().flatten() {
        frame.set_position(frame.position() - LATENCY as i64);
        frame.set_speech_probability(Some(*probability));
        processor.port.publish(DenoiseReading { speech_probability: *probability });
    }
}

impl Processor for DenoiseProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        self.begin(frame)?;
        let mut output = [0.0; BLOCK];
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
        suppress([Some(Stream::new(self, frame, &mut output, memories))]);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.suppressor.reset();
        if let Some(link) = &mut self.link {
            link.reset();
        }
        self.unprocessed.fill([[0.0; BLOCK]; LATE]);
        self.dry_share.finish();
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        LATENCY
    }
}

/// Place behind one in a ring of [`LATE`].
fn next(index: usize) -> usize {
    (index + 1) % LATE
}

/// Mixes a block of unprocessed sound with what was made of it: that block of the frame which `dry_share` is the share over.
fn mix(dry: &mut [f32; BLOCK], wet: &[f32; BLOCK], dry_share: GainCurve, index: usize) {
    match dry_share {
        GainCurve::Steady(share) => kernels::mix(dry, share, wet, 1.0 - share),
        GainCurve::Moving(share) => {
            let late = std::mem::replace(dry, *wet);
            share.after(index * BLOCK).blend(dry, &late);
        }
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
