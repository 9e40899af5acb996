//! Stages on frames that lie in the second cache, beside a copy of such a frame and beside plain loops.
//!
//! A frame comes from a device or from another thread, and between two frames the core does other things: what it needs is
//! in the second cache at best.

use std::hint::black_box;

use voxframe::{Format, Frame, Gain, HighPass, LevelMeter, Limiter, NoiseGate, Processor, Stage};

use crate::cases::{Case, Ring, as_new, in_place, recording};

/// Size of all frames together.
const BYTES: usize = 256 << 10;

/// A gain that changes the sound, but leaves enough of it for a hundred thousand runs on the same frame.
const FAINT_DB: f32 = -0.0001;

pub fn add(cases: &mut Vec<Case>, format: Format) {
    cases.push(Case::new("copy-l2", format, copy));
    cases.push(Case::new("copy-l2-to-l1", format, copy_to_l1));
    cases.push(changing("gain-l2", format, Gain::db(FAINT_DB)));
    // Open, so that there is sound left.
    let gate = NoiseGate { open_db: -120.0, close_db: -120.0, ..NoiseGate::default() };
    cases.push(changing("gate-meter-l2", format, gate.then(LevelMeter::default())));
    cases.push(changing("meter-l2", format, LevelMeter::default()));
    cases.push(changing("limiter-idle-l2", format, Limiter::default()));
    // These would find another sound the next time, so they are given a copy.
    cases.push(copying("limiter-busy-l2", format, Limiter::db(-30.0)));
    cases.push(copying("high-pass-l2", format, HighPass::default()));
    cases.push(Case::new("plain-gain-l2", format, |format| {
        plain(format, |samples| {
            let gain = black_box(10.0f32.powf(FAINT_DB / 20.0));
            samples.iter_mut().for_each(|sample| *sample *= gain);
        })
    }));
    cases.push(Case::new("plain-rms-l2", format, |format| {
        plain(format, |samples| {
            let sum: f32 = samples.iter().map(|sample| sample * sample).sum();
            black_box((sum / samples.len() as f32).sqrt());
        })
    }));
    cases.push(Case::new("plain-biquads-l2", format, plain_biquads));
}

/// Frames of voice.
fn frames(format: Format) -> Ring<Frame> {
    let mut frames = recording(format).items;
    frames.drain(..100);
    frames.truncate(BYTES / (size_of::<f32>() * format.samples_per_channel() * format.channels()));
    Ring::new(frames)
}

/// A copy that leaves the second cache's frame as it is, and always goes to the same place in the first cache: less than
/// what works in place has to do.
fn copy_to_l1(format: Format) -> impl FnMut() {
    let mut frames = frames(format);
    let mut target = vec![0.0; frames.next().samples().len()];
    move || black_box(&mut target).copy_from_slice(frames.next().samples())
}

/// A copy from one half of the frames to the other: as what works in place, it reads and writes the second cache.
fn copy(format: Format) -> impl FnMut() {
    let mut sources = frames(format);
    let mut targets = Ring::new(sources.items.split_off(sources.items.len() / 2));
    move || black_box(targets.next()).samples_mut().copy_from_slice(sources.next().samples())
}

/// A stage that hardly changes its frames.
fn changing<S>(what: &str, format: Format, stage: S) -> Case
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame> + 'static> + Copy + 'static,
{
    Case::new(what, format, move |format| {
        let (mut frames, mut processor) = (frames(format), stage.prepare(format).unwrap());
        move || {
            black_box(processor.process(as_new(black_box(frames.next()))).unwrap());
        }
    })
}

/// A stage with a copy of each frame, which is counted too.
fn copying<S>(what: &str, format: Format, stage: S) -> Case
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame> + 'static> + Copy + 'static,
{
    Case::new(what, format, move |format| in_place(frames(format), stage.prepare(format).unwrap()))
}

fn plain(format: Format, work: impl Fn(&mut [f32])) -> impl FnMut() {
    let mut frames = frames(format);
    move || work(black_box(frames.next()).samples_mut())
}

/// The same filter as [`HighPass`] has by default, as a textbook writes it: two sections of a Butterworth filter of 4th order,
/// transposed direct form II.
fn plain_biquads(format: Format) -> impl FnMut() {
    let w = (std::f32::consts::PI * 80.0 / format.sample_rate_hz() as f32).tan();
    let section = |q: f32| {
        let scale = 1.0 / (1.0 + w / q + w * w);
        ([scale, -2.0 * scale, scale], [2.0 * (w * w - 1.0) * scale, (1.0 - w / q + w * w) * scale])
    };
    let sections = [section(0.541_196_1), section(1.306_563)];
    let mut state = [[0.0f32; 2]; 2];
    let mut frames = frames(format);
    let mut frame = frames.next().clone();
    move || {
        frame.copy_from(frames.next()).unwrap();
        for sample in black_box(&mut frame).samples_mut() {
            for ((b, a), state) in sections.iter().zip(&mut state) {
                let out = b[0] * *sample + state[0];
                state[0] = b[1] * *sample - a[0] * out + state[1];
                state[1] = b[2] * *sample - a[1] * out;
                *sample = out;
            }
        }
        black_box(&mut frame);
    }
}
