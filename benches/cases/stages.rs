//! The frame stages.

use std::hint::black_box;

use nnnoiseless::DenoiseState;
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};
use voxframe::denoise::Engine;
use voxframe::{Denoise, Format, Frame, Gain, LevelMeter, Live, NoiseGate, Processor, Resample, Stage};

use super::{Case, Ring, aligned, as_new, few_frames, formats, in_place, recording, usual_formats};

/// A gain that changes the sound, but leaves enough of it for millions of runs on the same frame.
const FAINT_DB: f32 = -0.0001;

pub fn add(cases: &mut Vec<Case>) {
    for format in usual_formats() {
        cases.push(Case::new("copy", format, copy));
        cases.push(quick("gain", format, || Gain::db(FAINT_DB).live().0));
        cases.push(Case::new("gain-ramping", format, ramping_gain));
        cases.push(quick("gate-open", format, || open_gate().live().0));
        cases.push(quick("gate-closed", format, || closed_gate().live().0));
        cases.push(quick("gate-lookahead", format, || NoiseGate { lookahead_ms: 10.0, ..open_gate() }.live().0));
        cases.push(quick("meter", format, || LevelMeter::default().live().0));
        cases.push(quick("gain-gate-meter", format, || {
            Gain::db(FAINT_DB).live().0.then(open_gate().live().0).then(LevelMeter::default().live().0)
        }));
    }
    for (from_hz, to_hz) in [(44_100, 48_000), (48_000, 16_000), (16_000, 48_000)] {
        for format in formats(from_hz) {
            let to = format!("to-{}k", to_hz / 1000);
            cases.push(Case::new(&format!("resample-{to}"), format, move |format| resample(format, to_hz)));
            cases.push(Case::new(&format!("rubato-{to}"), format, move |format| rubato(format, to_hz)));
        }
    }
    for format in formats(48_000) {
        cases.push(Case::new("denoise-light", format, |format| denoise(format, recording(format))));
        cases.push(Case::new("nnnoiseless", format, nnnoiseless));
        if format.channels() == 2 {
            cases.push(Case::new("denoise-light-same-channels", format, |format| {
                denoise(format, same_channels(format))
            }));
        }
    }
}

/// A stage that hardly changes the sound, and whose time hardly depends on it. It has a handle, as in a call.
fn quick<S>(what: &str, format: Format, stage: impl Fn() -> S + 'static) -> Case
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame> + 'static>,
{
    Case::new(what, format, move |format| over_and_over(format, stage().prepare(format).unwrap()))
}

fn over_and_over(format: Format, mut processor: impl Processor<Input = Frame, Output = Frame>) -> impl FnMut() {
    let mut frames = few_frames(format);
    move || {
        black_box(processor.process(as_new(black_box(frames.next()))).unwrap());
    }
}

fn copy(format: Format) -> impl FnMut() {
    let mut frames = few_frames(format);
    let mut frame = aligned(frames.next());
    move || black_box(&mut frame).copy_from(frames.next()).unwrap()
}

fn open_gate() -> NoiseGate {
    NoiseGate { open_db: -120.0, close_db: -120.0, ..NoiseGate::default() }
}

fn closed_gate() -> NoiseGate {
    NoiseGate { open_db: 0.0, close_db: 0.0, floor_db: FAINT_DB, ..NoiseGate::default() }
}

/// A gain that is set anew before every frame, so that it never arrives.
fn ramping_gain(format: Format) -> impl FnMut() {
    let (gain, control) = Gain { ramp_ms: 1000.0, ..Gain::default() }.live();
    let mut run = over_and_over(format, gain.prepare(format).unwrap());
    move || {
        control.update(|gain| gain.gain_db = if gain.gain_db < 0.0 { 0.0 } else { FAINT_DB }).unwrap();
        run();
    }
}

fn resample(format: Format, to_hz: u32) -> impl FnMut() {
    let mut frames = recording(format);
    let mut stage = Resample::to(to_hz).prepare(format).unwrap();
    // It leaves its input as it was, so it needs no copy.
    move || {
        black_box(stage.process(black_box(frames.next())).unwrap());
    }
}

/// rubato as [`Resample`] sets it.
fn rubato(format: Format, to_hz: u32) -> impl FnMut() {
    let mut frames = recording(format);
    let (channels, length) = (format.channels(), format.samples_per_channel());
    let (from_hz, to_hz, blocks) = (format.sample_rate_hz() as usize, to_hz as usize, format.frame_ms() as usize / 10);
    let window = WindowFunction::BlackmanHarris2;
    let mut engine =
        Fft::<f32>::new_custom(from_hz, to_hz, length, blocks, channels, window, FixedSync::Input).unwrap();
    let out_length = to_hz * length / from_hz;
    let mut out = vec![0.0; out_length * channels];
    move || {
        let from = SequentialSlice::new(black_box(frames.next()).samples(), channels, length).unwrap();
        let mut to = SequentialSlice::new_mut(&mut out, channels, out_length).unwrap();
        engine.process_into_buffer(&from, &mut to, None).unwrap();
        black_box(&mut out);
    }
}

fn denoise(format: Format, frames: Ring<Frame>) -> impl FnMut() {
    let stage = Denoise { engine: Engine::Light, ..Denoise::default() }.live().0.prepare(format).unwrap();
    in_place(frames, stage)
}

fn same_channels(format: Format) -> Ring<Frame> {
    let mut frames = recording(format);
    for frame in &mut frames.items {
        let (left, right) = frame.samples_mut().split_at_mut(format.samples_per_channel());
        right.copy_from_slice(left);
    }
    frames
}

/// nnnoiseless at its own scale, a network for each channel.
fn nnnoiseless(format: Format) -> impl FnMut() {
    let mut frames = recording(format);
    frames.items.iter_mut().flat_map(|frame| frame.samples_mut()).for_each(|sample| *sample *= 32_768.0);
    let mut networks: Vec<_> = (0..format.channels()).map(|_| DenoiseState::new()).collect();
    let mut out = [0.0; DenoiseState::FRAME_SIZE];
    move || {
        let frame = black_box(frames.next());
        for (network, channel) in networks.iter_mut().zip(frame.channels()) {
            for block in channel.chunks_exact(DenoiseState::FRAME_SIZE) {
                black_box(network.process_frame(&mut out, block));
            }
        }
    }
}
