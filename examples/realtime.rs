//! Worst frame of each profile beside its median, and what denormals, silence behind speech and NaN cost: `realtime [FRAMES]`
//! (build it with `--release`; by default 10⁶ frames of speech a profile). On a machine that does nothing else: what
//! interrupts it is in the worst frame too.

use std::time::Instant;

use voxframe::call::ProfileKind;
use voxframe::{Format, Frame, Processor, Profile, Result, Stage};
use voxframe_testkit::wav::fixture;

/// Frames before anything is measured.
const WARM_UP: usize = 500;

/// Frames of each input that is not speech.
const ODD_FRAMES: usize = 20_000;

/// What fills the samples of a frame, given its number.
type Fill = fn(usize, &mut [f32]);

/// Times of the frames in µs, in ascending order. Behind the speech of the warm-up comes what `fill` gives.
fn times(profile: Profile, frames: usize, fill: Fill) -> Result<Vec<f32>> {
    let format = Format::mono(48_000)?;
    let mut processor = profile.prepare(format)?;
    let mut frame = Frame::new(format);
    let mut times = Vec::with_capacity(frames);
    for index in 0..WARM_UP + frames {
        if index < WARM_UP {
            speech(index, frame.samples_mut())
        } else {
            fill(index, frame.samples_mut())
        }
        frame.set_position(480 * index as i64);
        frame.clear_detections();
        let start = Instant::now();
        processor.process(&mut frame)?;
        if index >= WARM_UP {
            times.push(start.elapsed().as_nanos() as f32 / 1000.0);
        }
    }
    times.sort_by(f32::total_cmp);
    Ok(times)
}

/// Frame of the recording, which begins again at its end.
fn speech(index: usize, samples: &mut [f32]) {
    static SPEECH: std::sync::LazyLock<Vec<f32>> = std::sync::LazyLock::new(|| fixture("speech_noisy.wav").remove(0));
    let frames = SPEECH.len() / samples.len();
    samples.copy_from_slice(&SPEECH[index % frames * samples.len()..][..samples.len()]);
}

fn main() -> Result<()> {
    let frames = std::env::args().nth(1).and_then(|frames| frames.parse().ok()).unwrap_or(1_000_000);
    println!(
        "| profile | input | median, µs | 99.99 %, µs | worst, µs | median over speech's | worst over speech's median |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for kind in ProfileKind::ALL {
        let mut usual = None;
        let inputs: [(&str, usize, Fill); 4] = [
            ("speech", frames, speech),
            ("denormals", ODD_FRAMES, |_, samples| samples.fill(1e-40)),
            ("silence behind speech", ODD_FRAMES, |_, samples| samples.fill(0.0)),
            ("NaN", ODD_FRAMES, |_, samples| samples.fill(f32::NAN)),
        ];
        for (name, frames, fill) in inputs {
            let times = times(Profile::from(kind), frames, fill)?;
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            let (median, worst) = (at(0.5), at(1.0));
            let usual = *usual.get_or_insert(median);
            println!(
                "| {kind} | {name} | {median:.1} | {:.1} | {worst:.0} | {:.2} | {:.1} |",
                at(0.9999),
                median / usual,
                worst / usual
            );
        }
    }
    Ok(())
}
