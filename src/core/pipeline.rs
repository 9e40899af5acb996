//! Composition of stages at run time.

use super::error::Result;
use super::format::Format;
use super::frame::Frame;
use super::processor::Processor;
use super::stage::{Stage, latency_after};

/// Any processor from frames to frames, that can be sent to the audio thread.
pub type FrameProcessor = dyn Processor<Input = Frame, Output = Frame> + Send;

/// Pipeline: named frame processors in series, composed at run time.
///
/// The same stages give the same sound as when they are composed with [`Stage::then`]. A pipeline costs one virtual
/// call a stage more. An empty one passes frames unchanged.
///
/// ```
/// use voxframe::{Format, Gain, LevelMeter, Pipeline, Processor};
/// let mut pipeline = Pipeline::new(Format::mono(48_000)?);
/// pipeline.push("gain", Gain::db(6.0))?;
/// pipeline.push("meter", LevelMeter::default())?;
/// assert_eq!(pipeline.stages().map(|(name, _)| name).collect::<Vec<_>>(), ["gain", "meter"]);
/// # Ok::<(), voxframe::Error>(())
/// ```
pub struct Pipeline {
    input: Format,
    stages: Vec<(&'static str, Box<FrameProcessor>)>,
}

impl Pipeline {
    /// Empty pipeline for frames of the format `input`.
    pub fn new(input: Format) -> Self {
        Self { input, stages: Vec::new() }
    }

    /// Prepares `stage` for the output of the pipeline so far, and appends it.
    ///
    /// # Errors
    /// Those of [`Stage::prepare`]; the pipeline is unchanged.
    pub fn push<S>(&mut self, name: &'static str, stage: S) -> Result<()>
    where
        S: Stage<Processor: Processor<Input = Frame, Output = Frame> + Send + 'static>,
    {
        let processor = stage.prepare(self.output_format())?;
        self.stages.push((name, Box::new(processor)));
        Ok(())
    }

    /// Processors in order, with their names.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, &FrameProcessor)> {
        self.stages.iter().map(|(name, stage)| (*name, &**stage))
    }

    /// Processors in order, with their names, to be run one at a time (and timed, say).
    pub fn stages_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut FrameProcessor)> {
        self.stages.iter_mut().map(|(name, stage)| (*name, &mut **stage))
    }
}

impl Processor for Pipeline {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        let mut frame = frame;
        if self.stages.is_empty() {
            frame.check_and_sanitize(self.input)?;
        }
        for (_, stage) in &mut self.stages {
            match stage.process(frame)? {
                Some(out) => frame = out,
                None => return Ok(None),
            }
        }
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        for (_, stage) in &mut self.stages {
            stage.reset();
        }
    }

    fn input_format(&self) -> Format {
        self.input
    }

    fn output_format(&self) -> Format {
        self.stages.last().map_or(self.input, |(_, stage)| stage.output_format())
    }

    fn latency(&self) -> usize {
        self.stages.iter().fold(0, |so_far, (_, stage)| latency_after(so_far, stage.input_format(), &**stage))
    }

    fn latency_ms(&self) -> f64 {
        self.stages.iter().map(|(_, stage)| stage.latency_ms()).sum()
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.stages().map(|(name, _)| name);
        write!(f, "Pipeline({}: ", self.input)?;
        f.debug_list().entries(names).finish()?;
        write!(f, ")")
    }
}
