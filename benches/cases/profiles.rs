//! The profiles on a 48 kHz microphone, with and without Opus; beside each, its heavy stages alone.

use voxframe::call::ProfileKind;
use voxframe::{Format, Frame, Processor, Profile, Resample, Stage};

use super::{Case, formats, in_place, recording};

pub fn add(cases: &mut Vec<Case>) {
    // Frames of 10 ms: what all profiles are made for.
    for format in formats(48_000).filter(|format| format.frame_ms() == 10) {
        for kind in ProfileKind::ALL {
            let profile = Profile::from(kind);
            cases.push(case(&format!("{kind}"), format, move || profile.pipeline(format).unwrap().0));
            cases.push(case(&format!("{kind}-heavy"), format, move || heavy(profile)));
            cases.push(case(&format!("{kind}-opus"), format, move || profile.uplink(format).unwrap().0));
            cases.push(case(&format!("{kind}-opus-heavy"), format, move || {
                heavy(profile).then(profile.encoder(format.channels()))
            }));
        }
    }
}

fn case<S>(what: &str, format: Format, stage: impl Fn() -> S + 'static) -> Case
where
    S: Stage<Processor: Processor<Input = Frame, Output: Sized> + 'static>,
{
    Case::new(what, format, move |format| in_place(recording(format), stage().prepare(format).unwrap()))
}

/// The stages of a profile that cost anything.
fn heavy(profile: Profile) -> impl Stage<Processor: Processor<Input = Frame, Output = Frame> + 'static> {
    let rate = Resample { sample_rate_hz: profile.sample_rate_hz, quality: profile.resample };
    profile.denoise.then(rate).then(profile.high_pass).then(profile.auto_gain).then(profile.limiter)
}
