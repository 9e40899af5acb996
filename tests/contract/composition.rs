//! However processors are composed, what they say of themselves and how they are reset comes through.

use voxframe::{Format, Frame, Gain, Limiter, Pipeline, Processor, Stage};

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
