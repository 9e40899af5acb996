//! Stage that may be absent: `Option<Stage>`.

use super::error::Result;
use super::format::Format;
use super::frame::Frame;
use super::processor::Processor;
use super::stage::Stage;

/// Stage that may be absent: `None` passes every frame unchanged.
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

/// Processor of an `Option<Stage>`.
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
}
