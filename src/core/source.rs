//! Sources of frames, and stages behind them: the receiving half of the core.

use super::error::{Error, Result};
use super::format::{Format, rescale};
use super::frame::Frame;
use super::processor::Processor;
use super::stage::{Stage, latency_after};

/// Source of frames, pulled by whoever plays or records them: one [`Frame`] whenever one is wanted.
///
/// The output of a [`JitterBuffer`](crate::JitterBuffer) is one, and so is a source with stages behind it. A
/// [`Playout`](crate::Playout) pulls from it.
///
/// ```
/// # #[cfg(feature = "opus")] {
/// use voxframe::{Format, Gain, JitterBuffer, LevelMeter, Limiter, Live, Source};
/// let (_network, output) = JitterBuffer::default().open(Format::mono(48_000)?)?;
/// let (volume, volume_control) = Gain::db(0.0).live();
/// let mut downlink = output.then(volume)?.then(Limiter::default())?.then(LevelMeter::default())?;
/// volume_control.update(|volume| volume.gain_db = -6.0)?;
/// assert_eq!(downlink.pull().samples().len(), 480);
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
pub trait Source {
    /// The next frame, of the [`output_format`](Self::output_format). Never fails, so that sound never stops: what
    /// takes the place of a frame that cannot be made is documented by the source.
    ///
    /// # Realtime safety
    /// Never allocates, locks, blocks or makes a system call.
    fn pull(&mut self) -> &mut Frame;

    /// Format of the frames.
    fn output_format(&self) -> Format;

    /// Forgets all past sound; keeps settings and buffers.
    ///
    /// # Realtime safety
    /// Safe.
    fn reset(&mut self);

    /// Delay from a sound's arrival at the source to its output, in samples per channel at the output rate. Constant
    /// for stages; for a jitter buffer the delay at this moment.
    fn latency(&self) -> usize {
        0
    }

    /// The [`latency`](Self::latency) in ms.
    fn latency_ms(&self) -> f64 {
        self.output_format().ms(self.latency())
    }

    /// The newest error of a stage behind this source, once: the next call answers `None` until another one fails.
    fn take_error(&mut self) -> Option<Error> {
        None
    }

    /// This source, and then `stage`, prepared for its frames. One frame in is one frame out.
    ///
    /// # Errors
    /// Those of [`Stage::prepare`]; [`Error::WrongFormat`] for a stage that changes the length of a frame. It may change
    /// rate and channels.
    fn then<S>(self, stage: S) -> Result<SourceChain<Self, S::Processor>>
    where
        Self: Sized,
        S: Stage<Processor: Processor<Input = Frame, Output = Frame>>,
    {
        let frames = self.output_format();
        let processor = stage.prepare(frames)?;
        let actual = processor.output_format();
        let expected = actual.with_frame_ms(frames.frame_ms())?;
        if actual != expected {
            return Err(Error::WrongFormat { expected, actual });
        }
        Ok(SourceChain { source: self, processor, substitute: Frame::new(actual), error: None })
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn pull(&mut self) -> &mut Frame {
        (**self).pull()
    }

    fn output_format(&self) -> Format {
        (**self).output_format()
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn latency(&self) -> usize {
        (**self).latency()
    }

    fn latency_ms(&self) -> f64 {
        (**self).latency_ms()
    }

    fn take_error(&mut self) -> Option<Error> {
        (**self).take_error()
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn pull(&mut self) -> &mut Frame {
        (**self).pull()
    }

    fn output_format(&self) -> Format {
        (**self).output_format()
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn latency(&self) -> usize {
        (**self).latency()
    }

    fn latency_ms(&self) -> f64 {
        (**self).latency_ms()
    }

    fn take_error(&mut self) -> Option<Error> {
        (**self).take_error()
    }
}

/// Source with a stage behind it: what [`Source::then`] returns.
///
/// A frame for which the stage fails, or lends nothing, is played as silence of the same position: unprocessed sound
/// could be loud, or muted on purpose. [`take_error`](Source::take_error) tells of it, and the next frame is processed
/// as if nothing had been.
#[derive(Debug)]
pub struct SourceChain<S, P> {
    source: S,
    processor: P,
    /// Silence, for frames that the processor does not make.
    substitute: Frame,
    error: Option<Error>,
}

impl<S, P> SourceChain<S, P> {
    /// The source in front of the stage.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The source in front of the stage.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }
}

impl<S, P> Source for SourceChain<S, P>
where
    S: Source,
    P: Processor<Input = Frame, Output = Frame>,
{
    fn pull(&mut self) -> &mut Frame {
        let latency = self.processor.latency() as i64;
        let frame = self.source.pull();
        let (position, from_hz) = (frame.position(), frame.format().sample_rate_hz());
        match self.processor.process(frame) {
            Ok(Some(processed)) => return processed,
            Ok(None) => {}
            Err(error) => self.error = Some(error),
        }
        let to_hz = self.substitute.format().sample_rate_hz();
        self.substitute.samples_mut().fill(0.0);
        self.substitute.clear_detections();
        self.substitute.set_position(rescale(position, from_hz, to_hz) - latency);
        &mut self.substitute
    }

    fn output_format(&self) -> Format {
        self.substitute.format()
    }

    fn reset(&mut self) {
        self.source.reset();
        self.processor.reset();
        self.error = None;
    }

    fn latency(&self) -> usize {
        latency_after(self.source.latency(), self.source.output_format(), &self.processor)
    }

    fn latency_ms(&self) -> f64 {
        self.source.latency_ms() + self.processor.latency_ms()
    }

    fn take_error(&mut self) -> Option<Error> {
        let behind = self.source.take_error();
        self.error.take().or(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::gain::Gain;
    use crate::stages::limiter::Limiter;

    /// Frames that count up: every sample is the frame's number.
    struct Counter {
        frame: Frame,
        pulled: i64,
        error: Option<Error>,
    }

    impl Counter {
        fn new(format: Format) -> Self {
            Self { frame: Frame::new(format), pulled: 0, error: None }
        }
    }

    impl Source for Counter {
        fn pull(&mut self) -> &mut Frame {
            self.frame.samples_mut().fill(self.pulled as f32);
            self.frame.set_position(self.pulled * self.frame.format().samples_per_channel() as i64);
            self.pulled += 1;
            &mut self.frame
        }

        fn output_format(&self) -> Format {
            self.frame.format()
        }

        fn reset(&mut self) {
            self.pulled = 0;
        }

        fn latency(&self) -> usize {
            480
        }

        fn take_error(&mut self) -> Option<Error> {
            self.error.take()
        }
    }

    /// A processor with a delay on paper that fails, lends nothing, or lends what it was given.
    struct Moody {
        input: Format,
        output: Format,
        mood: fn(i64) -> Result<bool>,
    }

    impl Processor for Moody {
        type Input = Frame;
        type Output = Frame;

        fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
            let number = frame.samples()[0] as i64;
            Ok((self.mood)(number)?.then_some(frame))
        }

        fn reset(&mut self) {}

        fn input_format(&self) -> Format {
            self.input
        }

        fn output_format(&self) -> Format {
            self.output
        }

        fn latency(&self) -> usize {
            96
        }
    }

    fn format() -> Format {
        Format::mono(48_000).unwrap()
    }

    #[test]
    fn stages_stand_behind_a_source_in_order() {
        let mut chain = Counter::new(format())
            .then(Gain::db(20.0))
            .unwrap()
            .then(None::<Gain>)
            .unwrap()
            .then(Gain::db(-40.0))
            .unwrap();
        for number in 0..5 {
            let frame = chain.pull();
            assert!((frame.samples()[7] - number as f32 * 0.1).abs() < 1e-4);
            assert_eq!(frame.position(), number * 480);
        }
        chain.reset();
        assert_eq!(chain.pull().position(), 0);
        let mut boxed: Box<dyn Source> = Box::new(&mut chain);
        assert_eq!(boxed.pull().position(), 480);
    }

    fn check(name: &str, mut source: impl Source) {
        assert_eq!((source.latency(), source.output_format()), (480, format()), "{name}");
        assert!((source.latency_ms() - 10.0).abs() < 1e-9, "{name}");
        assert_eq!((source.pull().position(), source.pull().position()), (0, 480), "{name}");
        source.reset();
        assert_eq!(source.pull().position(), 0, "{name}");
        assert_eq!((source.take_error(), source.take_error()), (Some(Error::Full), None), "{name}");
    }

    #[test]
    fn sources_are_the_same_however_they_are_composed() {
        let counter = || Counter { error: Some(Error::Full), ..Counter::new(format()) };
        check("alone", counter());
        check("borrowed", &mut counter());
        check("boxed", Box::new(counter()));
        check("before a stage", counter().then(Gain::db(0.0)).unwrap());
    }

    #[test]
    fn latencies_add_up() {
        let limiter = Limiter::default();
        let alone = limiter.prepare(format()).unwrap().latency();
        let chain = Counter::new(format()).then(limiter).unwrap();
        assert_eq!(chain.latency(), 480 + alone);
        assert!((chain.latency_ms() - 10.0 - alone as f64 / 48.0).abs() < 1e-9);
        assert!(alone > 0);
    }

    #[test]
    fn a_stage_that_fails_or_lends_nothing_is_heard_as_silence_and_the_sound_goes_on() {
        let mood = |number| match number {
            1 => Ok(false),
            2 => Err(Error::Full),
            _ => Ok(true),
        };
        let moody = Moody { input: format(), output: format(), mood };
        let mut chain = Counter::new(format()).then(moody).unwrap().then(Gain::db(0.0)).unwrap();
        let mut pull = || {
            let frame = chain.pull();
            (frame.samples()[479], frame.position())
        };
        assert_eq!([pull(), pull(), pull(), pull()], [(0.0, 0), (0.0, 480 - 96), (0.0, 960 - 96), (3.0, 1440)]);
        assert_eq!((chain.take_error(), chain.take_error()), (Some(Error::Full), None));
    }

    #[test]
    fn a_stage_may_change_the_rate_but_not_the_length_of_a_frame() {
        let slower = Moody { input: format(), output: Format::mono(16_000).unwrap(), mood: |_| Ok(false) };
        let mut chain = Counter::new(format()).then(slower).unwrap();
        chain.pull();
        let frame = chain.pull();
        assert_eq!((frame.format(), frame.position()), (Format::mono(16_000).unwrap(), 160 - 96));
        let output = format().with_frame_ms(20).unwrap();
        let refused = Counter::new(format()).then(Moody { input: format(), output, mood: |_| Ok(true) }).err();
        assert_eq!(refused, Some(Error::WrongFormat { expected: format(), actual: output }));
        let other = Gain::db(0.0).prepare(Format::mono(8_000).unwrap()).unwrap();
        assert!(matches!(Counter::new(format()).then(other), Err(Error::WrongFormat { .. })), "prepared for another");
    }
}
