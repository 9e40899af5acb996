//! However processors and sources are composed, what they say of themselves and how they are reset comes through.

use voxframe::{Error, Format, Frame, Gain, Limiter, Pipeline, Processor, Result, Source, Stage};

fn format() -> Format {
    Format::mono(48_000).unwrap()
}

/// Output of two frames, the first of which ends in an impulse that the second still holds.
fn two_frames(processor: &mut impl Processor<Input = Frame, Output = Frame>) -> Vec<f32> {
    let mut frame = Frame::new(format());
    let mut out = Vec::new();
    for sample in [0.7, 0.0] {
        frame.samples_mut().fill(0.0);
        frame.samples_mut()[479] = sample;
        out.extend_from_slice(processor.process(&mut frame).unwrap().unwrap().samples());
    }
    out
}

fn check(name: &str, mut processor: impl Processor<Input = Frame, Output = Frame>) {
    let limiter = Limiter::default().prepare(format()).unwrap();
    assert!(limiter.latency() > 1, "else there is nothing to hand on");
    assert_eq!(processor.latency(), limiter.latency(), "{name}");
    assert!((processor.latency_ms() - limiter.latency_ms()).abs() < 1e-9, "{name}");
    assert_eq!((processor.input_format(), processor.output_format()), (format(), format()), "{name}");
    let first = two_frames(&mut processor);
    assert!(first.iter().any(|sample| *sample > 0.5), "{name}");
    // Half of an impulse is left in the lookahead.
    let mut frame = Frame::new(format());
    frame.samples_mut().fill(0.5);
    processor.process(&mut frame).unwrap().unwrap();
    processor.reset();
    assert!(two_frames(&mut processor) == first, "{name}: a reset one is a fresh one");
}

#[test]
fn processors_are_the_same_however_they_are_composed() {
    let limiter = || Limiter::default().prepare(format()).unwrap();
    check("alone", limiter());
    check("boxed", Box::new(limiter()));
    check("optional", Some(Limiter::default()).prepare(format()).unwrap());
    check("behind another", Gain::db(0.0).then(Limiter::default()).prepare(format()).unwrap());
    check("before another", Limiter::default().then(None::<Gain>).prepare(format()).unwrap());
    let mut pipeline = Pipeline::new(format());
    pipeline.push("gain", Gain::db(0.0)).unwrap();
    pipeline.push("limiter", Limiter::default()).unwrap();
    assert_eq!(pipeline.stages().map(|(name, _)| name).collect::<Vec<_>>(), ["gain", "limiter"]);
    assert!(format!("{pipeline:?}").contains("\"gain\", \"limiter\""));
    check("pipeline", pipeline);
}

/// Source that counts its frames, with a latency of 7 samples, and tells an error once.
struct Counter {
    frame: Frame,
    pulled: i64,
    error: Option<Error>,
}

impl Source for Counter {
    fn pull(&mut self) -> &mut Frame {
        self.frame.set_position(480 * self.pulled);
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
        7
    }

    fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }
}

fn check_source(name: &str, mut source: impl Source) {
    assert_eq!((source.latency(), source.output_format()), (7, format()), "{name}");
    assert!((source.latency_ms() - 7.0 / 48.0).abs() < 1e-9, "{name}");
    assert_eq!((source.pull().position(), source.pull().position()), (0, 480), "{name}");
    source.reset();
    assert_eq!(source.pull().position(), 0, "{name}");
    assert_eq!((source.take_error(), source.take_error()), (Some(Error::Full), None), "{name}");
}

#[test]
fn sources_are_the_same_however_they_are_composed() -> Result<()> {
    let counter = || Counter { frame: Frame::new(format()), pulled: 0, error: Some(Error::Full) };
    check_source("alone", counter());
    check_source("borrowed", &mut counter());
    check_source("boxed", Box::new(counter()));
    check_source("before a stage", counter().then(Gain::db(0.0))?);
    Ok(())
}
