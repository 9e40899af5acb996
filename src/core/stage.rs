//! Settings that become a processor, and how they are put together.

use super::error::{Error, Result};
use super::format::{Format, rescale};
use super::frame::Frame;
use super::processor::Processor;

/// Settings that become a [`Processor`] once the incoming format is known, as an `IntoIterator` becomes an `Iterator`.
///
/// Every processor is a stage already prepared, so a running one can stand where a stage is asked for.
pub trait Stage: Sized {
    /// The running step.
    type Processor: Processor;

    /// Checks the settings and allocates every buffer.
    ///
    /// # Errors
    /// Every mistake in the settings, and a format that the stage cannot take. Later nothing of the kind can fail.
    fn prepare(self, input: Format) -> Result<Self::Processor>;

    /// This stage, and then `next`.
    ///
    /// What comes out of one must go into the other; this does not compile, because packets have no gain:
    /// ```compile_fail
    /// use voxframe::{Gain, OpusEncode, Stage};
    /// let wrong = OpusEncode::voip().then(Gain::db(3.0));
    /// ```
    fn then<S>(self, next: S) -> Then<Self, S>
    where
        S: Stage<Processor: Processor<Input = <Self::Processor as Processor>::Output>>,
    {
        Then { first: self, second: next }
    }
}

impl<P: Processor> Stage for P {
    type Processor = P;

    fn prepare(self, input: Format) -> Result<P> {
        let expected = self.input_format();
        if expected == input { Ok(self) } else { Err(Error::WrongFormat { expected, actual: input }) }
    }
}

/// Two stages, one after the other: what [`Stage::then`] returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Then<A, B> {
    first: A,
    second: B,
}

impl<A, B> Stage for Then<A, B>
where
    A: Stage,
    B: Stage<Processor: Processor<Input = <A::Processor as Processor>::Output>>,
{
    type Processor = Chain<A::Processor, B::Processor>;

    fn prepare(self, input: Format) -> Result<Self::Processor> {
        let first = self.first.prepare(input)?;
        let second = self.second.prepare(first.output_format())?;
        Ok(Chain { first, second })
    }
}

/// Two processors, one after the other, composed at compile time.
#[derive(Clone, Copy, Debug)]
pub struct Chain<A, B> {
    first: A,
    second: B,
}

impl<A, B> Chain<A, B> {
    /// A chain of two processors that fit each other.
    pub(crate) fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    pub(crate) fn first(&self) -> &A {
        &self.first
    }
}

impl<A, B> Processor for Chain<A, B>
where
    A: Processor,
    B: Processor<Input = A::Output>,
{
    type Input = A::Input;
    type Output = B::Output;

    fn process<'a>(&'a mut self, input: &'a mut A::Input) -> Result<Option<&'a mut B::Output>> {
        match self.first.process(input)? {
            Some(between) => self.second.process(between),
            None => Ok(None),
        }
    }

    fn reset(&mut self) {
        self.first.reset();
        self.second.reset();
    }

    fn input_format(&self) -> Format {
        self.first.input_format()
    }

    fn output_format(&self) -> Format {
        self.second.output_format()
    }

    fn latency(&self) -> usize {
        let between = self.first.output_format();
        latency_after(self.first.latency(), between, &self.second)
    }

    fn latency_ms(&self) -> f64 {
        self.first.latency_ms() + self.second.latency_ms()
    }
}

/// The latency after `next`, where it was `so_far` samples at the format `next` is given.
pub(crate) fn latency_after(so_far: usize, given: Format, next: &(impl Processor + ?Sized)) -> usize {
    let to_hz = next.output_format().sample_rate_hz();
    rescale(so_far as i64, given.sample_rate_hz(), to_hz) as usize + next.latency()
}

/// A stage that may be absent: `None` lets every frame pass untouched.
impl<S> Stage for Option<S>
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame>>,
{
    type Processor = Optional<S::Processor>;

    fn prepare(self, input: Format) -> Result<Self::Processor> {
        let present = self.map(|stage| stage.prepare(input)).transpose()?;
        Ok(Optional { format: input, present })
    }
}

/// A processor that may be absent: what an `Option<Stage>` becomes.
#[derive(Clone, Copy, Debug)]
pub struct Optional<P> {
    format: Format,
    present: Option<P>,
}

impl<P: Processor<Input = Frame, Output = Frame>> Processor for Optional<P> {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        match &mut self.present {
            Some(processor) => processor.process(frame),
            None => {
                frame.check_and_sanitize(self.format)?;
                Ok(Some(frame))
            }
        }
    }

    fn reset(&mut self) {
        if let Some(processor) = &mut self.present {
            processor.reset();
        }
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn output_format(&self) -> Format {
        self.present.as_ref().map_or(self.format, Processor::output_format)
    }

    fn latency(&self) -> usize {
        self.present.as_ref().map_or(0, Processor::latency)
    }

    fn latency_ms(&self) -> f64 {
        self.present.as_ref().map_or(0.0, Processor::latency_ms)
    }
}

/// A stage made of a closure that changes frames in place.
///
/// ```
/// use voxframe::{Format, Frame, Processor, Stage};
/// use voxframe::pipeline::process_fn;
/// let mut invert = process_fn(|frame| frame.samples_mut().iter_mut().for_each(|s| *s = -*s))
///     .prepare(Format::mono(48_000)?)?;
/// let mut frame = Frame::new(invert.input_format());
/// frame.samples_mut()[7] = 0.5;
/// let inverted = invert.process(&mut frame)?.unwrap();
/// assert_eq!(inverted.samples()[7], -0.5);
/// # Ok::<(), voxframe::Error>(())
/// ```
pub fn process_fn<F: FnMut(&mut Frame)>(function: F) -> ProcessFn<F> {
    ProcessFn { function }
}

/// What [`process_fn`] returns.
#[derive(Clone, Copy, Debug)]
pub struct ProcessFn<F> {
    function: F,
}

impl<F: FnMut(&mut Frame)> Stage for ProcessFn<F> {
    type Processor = FnProcessor<F>;

    fn prepare(self, input: Format) -> Result<Self::Processor> {
        Ok(FnProcessor { format: input, function: self.function })
    }
}

/// A closure that runs as a processor. It has no latency, and nothing of its own to reset.
#[derive(Clone, Copy, Debug)]
pub struct FnProcessor<F> {
    format: Format,
    function: F,
}

impl<F: FnMut(&mut Frame)> Processor for FnProcessor<F> {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        (self.function)(frame);
        Ok(Some(frame))
    }

    fn reset(&mut self) {}

    fn input_format(&self) -> Format {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::gain::Gain;

    #[test]
    fn an_absent_stage_changes_nothing() {
        let format = Format::mono(48_000).unwrap();
        let mut absent = None::<Gain>.then(Some(Gain::db(20.0))).prepare(format).unwrap();
        let mut frame = Frame::new(format);
        frame.samples_mut().fill(0.01);
        let out = absent.process(&mut frame).unwrap().unwrap();
        assert!((out.samples()[0] - 0.1).abs() < 1e-6);
        assert_eq!(absent.latency(), 0);
    }

    #[test]
    fn a_processor_is_a_stage_for_its_own_format_only() {
        let format = Format::mono(48_000).unwrap();
        let running = Gain::db(0.0).prepare(format).unwrap();
        let other = Format::mono(16_000).unwrap();
        let refused = running.prepare(other).err();
        assert_eq!(refused, Some(Error::WrongFormat { expected: format, actual: other }));
    }
}
