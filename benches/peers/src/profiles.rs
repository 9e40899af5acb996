//! Each stage of each profile alone, on what it is given there.

use std::hint::black_box;

use voxframe::{Format, Frame, Pipeline, Processor, Profile, Stage};

use crate::cases::{Case, Ring, in_place, recording};

pub const PROFILES: [fn() -> Profile; 3] = [Profile::low_latency, Profile::balanced, Profile::high_quality];

/// Names of the stages of a profile, in order, the encoder at last.
pub fn stages(profile: &Profile, format: Format) -> Vec<&'static str> {
    let pipeline = profile.prepare(format).unwrap();
    pipeline.stages().map(|(name, _)| name).chain(["opus"]).collect()
}

/// The case of a stage.
pub fn name(profile: &Profile, stage: &str) -> String {
    format!("{profile}:{stage}")
}

pub fn add(cases: &mut Vec<Case>, format: Format) {
    for profile in PROFILES.map(|profile| profile()) {
        for (index, stage) in stages(&profile, format).into_iter().enumerate() {
            let what = name(&profile, stage);
            if stage == "opus" {
                cases.push(Case::new(&what, format, move |format| encoder(&profile, format)));
            } else {
                cases.push(Case::new(&what, format, move |format| one_stage(&profile, format, index)));
            }
        }
    }
}

/// The recording behind the first stages of a pipeline.
fn frames_behind(pipeline: &mut Pipeline, stages: usize) -> Ring<Frame> {
    let mut frames = recording(pipeline.input_format());
    let behind = frames.items.iter_mut().filter_map(|frame| {
        let first = pipeline.stages_mut().take(stages);
        first.map(|(_, stage)| stage).try_fold(frame, |frame, stage| stage.process(frame).unwrap()).cloned()
    });
    Ring::new(behind.collect())
}

fn one_stage(profile: &Profile, format: Format, index: usize) -> impl FnMut() + use<> {
    let mut pipeline = profile.prepare(format).unwrap();
    let mut frames = frames_behind(&mut pipeline, index);
    let mut frame = frames.next().clone();
    move || {
        frame.copy_from(frames.next()).unwrap();
        let (_, stage) = pipeline.stages_mut().nth(index).expect("it has so many");
        black_box(stage.process(black_box(&mut frame)).unwrap());
    }
}

fn encoder(profile: &Profile, format: Format) -> impl FnMut() + use<> {
    let mut pipeline = profile.prepare(format).unwrap();
    let frames = frames_behind(&mut pipeline, usize::MAX);
    let format = pipeline.output_format();
    in_place(frames, profile.encoder(format.channels()).prepare(format).unwrap())
}
