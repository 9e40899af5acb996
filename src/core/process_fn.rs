//! Stage made of a closure.

use super::error::Result;
use super::format::Format;
use super::frame::Frame;
use super::processor::Processor;
use super::stage::Stage;

/// Stage made of a closure that changes frames in place.
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

/// Stage made of a closure: what [`process_fn`] returns.
#[derive(Clone, Copy, Debug)]
pub struct ProcessFn<F> {
    function: F,
}

impl<F: FnMut(&mut Frame)> Stage for ProcessFn<F> {
    type Processor = ProcessFnProcessor<F>;

    fn prepare(self, input: Format) -> Result<Self::Processor> {
        Ok(ProcessFnProcessor { format: input, function: self.function })
    }
}

/// Processor of [`ProcessFn`]. It has no latency, and nothing of its own to reset.
#[derive(Clone, Copy, Debug)]
pub struct ProcessFnProcessor<F> {
    format: Format,
    function: F,
}

impl<F: FnMut(&mut Frame)> Processor for ProcessFnProcessor<F> {
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
