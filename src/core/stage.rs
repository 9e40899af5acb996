//! Stages, and their composition at compile time.

use super::error::{Error, Result};
use super::format::{Format, rescale};
use super::processor::Processor;

/// Stage: the settings of a [`Processor`], which is made once the incoming format is known, as an `Iterator` is made of
/// an `IntoIterator`.
///
/// A processor is a stage that is already prepared, so a running one can stand where a stage is asked for.
pub trait Stage: Sized {
    /// What runs.
    type Processor: Processor;

    /// Checks the settings, and makes the processor with every buffer it will need.
    ///
    /// # Errors
    /// Every mistake in the settings, and a format that the stage cannot take: all are
    /// [set-up errors](Error::is_setup). Later nothing of the kind can fail.
    fn prepare(self, input: Format) -> Result<Self::Processor>;

    /// This stage, and then `next`, whose input must be this one's output. This does not compile, because packets have
    /// no gain:
    ///
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

/// Two stages in series: what [`Stage::then`] returns. Its processor is a [`Chain`].
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

/// Two processors in series, composed at compile time.
#[derive(Clone, Copy, Debug)]
pub struct Chain<A, B> {
    first: A,
    second: B,
}

impl<A, B> Chain<A, B> {
    /// Chain of two processors that fit each other.
    pub(crate) fn new(first: A, second: B) -> Self {
        Self { first, second }
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

/// Latency behind `next`, where it was `so_far` samples at the format that `next` is given.
pub(crate) fn latency_after(so_far: usize, given: Format, next: &(impl Processor + ?Sized)) -> usize {
    let to_hz = next.output_format().sample_rate_hz();
    rescale(so_far as i64, given.sample_rate_hz(), to_hz) as usize + next.latency()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::frame::Frame;

    /// A processor that passes frames of one format.
    #[derive(Debug)]
    struct Pass(Format);

    impl Processor for Pass {
        type Input = Frame;
        type Output = Frame;

        fn process<'a>(&'a mut self, frame: &'a mut Self::Input) -> Result<Option<&'a mut Self::Output>> {
            Ok(Some(frame))
        }

        fn reset(&mut self) {}

        fn input_format(&self) -> Format {
            self.0
        }
    }

    #[test]
    fn a_processor_is_a_stage_for_its_own_format_only() {
        let (format, other) = (Format::mono(48_000).unwrap(), Format::mono(16_000).unwrap());
        assert_eq!(Pass(format).prepare(format).unwrap().input_format(), format);
        let refused = Pass(format).prepare(other).err();
        assert_eq!(refused, Some(Error::WrongFormat { expected: format, actual: other }));
    }
}
