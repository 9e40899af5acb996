//! The stages that condition a voice or listen to it, on a recording.

use std::hint::black_box;

use ebur128::{EbuR128, Mode};
use realfft::RealFftPlanner;
use voxframe::control::LiveStage;
use voxframe::denoise::{DenoiseBatch, Engine};
use voxframe::echo::{EchoCancel, far_end};
use voxframe::input_check::InputCheck;
use voxframe::loudness::LoudnessMeter;
use voxframe::spectrum::Spectrum;
use voxframe::{AutoGain, Denoise, Format, Frame, HighPass, Limiter, Live, Processor, Stage, VoiceActivity};

use super::{Case, formats, in_place, recording, usual_formats};

/// Streams in a batch. The frames that the guard counts are five whole ticks of 40; a turn of `peers` is a tick of 64.
const BATCHES: [usize; 2] = [40, 64];

pub fn add(cases: &mut Vec<Case>) {
    for format in usual_formats() {
        cases.push(case("scrub", format, InputCheck::default()));
        cases.push(case("high-pass", format, HighPass::default()));
        cases.push(case("high-pass-against-rumble", format, HighPass { rumble_db: -16.0, ..HighPass::default() }));
        cases.push(case("limiter-idle", format, Limiter::default()));
        cases.push(case("limiter-busy", format, Limiter::db(-30.0)));
        cases.push(case("limiter-no-lookahead", format, Limiter { lookahead_ms: 0.0, ..Limiter::default() }));
        cases.push(case("auto-gain", format, AutoGain::default()));
        cases.push(case("voice-activity", format, VoiceActivity::default()));
        cases.push(case("loudness", format, LoudnessMeter::default()));
        cases.push(Case::new("ebur128", format, ebur128));
        cases.push(Case::new("echo-cancel", format, echo_cancel));
        cases.push(case("spectrum", format, Spectrum::default()));
        cases.push(Case::new("analyser", format, analyser));
        cases.push(Case::new("realfft", format, realfft));
    }
    for format in formats(48_000) {
        for (what, engine) in [("denoise-standard", Engine::Standard), ("denoise-best", Engine::Best)] {
            cases.push(case(what, format, Denoise { engine, ..Denoise::default() }));
            for streams in BATCHES {
                let batch = move |format| denoise_batch(format, engine, streams);
                cases.push(Case::new(&format!("{what}-of-{streams}"), format, batch));
            }
        }
    }
}

/// A stage with a handle, as in a call.
fn case<S>(what: &str, format: Format, stage: S) -> Case
where
    S: LiveStage<Processor: Processor<Input = Frame, Output = Frame> + 'static> + 'static,
{
    Case::new(what, format, move |format| in_place(recording(format), Live::live(stage).0.prepare(format).unwrap()))
}

/// A frame of one of many streams, each at another place of the recording. The frame of the last one completes a tick, in which
/// all are processed.
fn denoise_batch(format: Format, engine: Engine, streams: usize) -> impl FnMut() {
    let frames = recording(format).items;
    let denoise = Denoise { engine, ..Denoise::default() };
    let mut batch = DenoiseBatch::new();
    let mut all: Vec<_> =
        (0..streams).map(|_| (denoise.live().0.prepare(format).unwrap(), Frame::new(format))).collect();
    let (mut tick, mut stream) = (0, 0);
    move || {
        all[stream].1.copy_from(&frames[(tick + 31 * stream) % frames.len()]).unwrap();
        stream += 1;
        if stream == streams {
            batch.process(all.iter_mut().map(|(processor, frame)| (processor, frame))).unwrap();
            black_box(&mut all);
            stream = 0;
            tick += 1;
        }
    }
}

/// Echo of what is played at the same time.
fn echo_cancel(format: Format) -> impl FnMut() {
    let mut frames = recording(format);
    let (mut far_end, reference) = far_end(format);
    let mut canceller = EchoCancel::default().with_far_end(&reference).prepare(format).unwrap();
    let mut frame = Frame::new(format);
    move || {
        let played = black_box(frames.next());
        far_end.push(played).unwrap();
        frame.copy_from(played).unwrap();
        black_box(canceller.process(&mut frame).unwrap());
    }
}

/// The loudness of 10 ms, by the library itself.
fn ebur128(format: Format) -> impl FnMut() {
    let mut frames = recording(format);
    let mode = Mode::M | Mode::S | Mode::I | Mode::TRUE_PEAK;
    let mut meter = EbuR128::new(format.channels() as u32, format.sample_rate_hz(), mode).unwrap();
    move || {
        let planes: Vec<&[f32]> = black_box(frames.next()).channels().collect();
        meter.add_frames_planar_f32(&planes).unwrap();
        black_box(meter.loudness_momentary().unwrap());
    }
}

/// What a reader of the spectrum does for a picture.
fn analyser(format: Format) -> impl FnMut() {
    let (stage, mut analyser) = Spectrum::default().live();
    let mut run = in_place(recording(format), stage.prepare(format).unwrap());
    (0..100).for_each(|_| run());
    let mut bins = vec![0.0; 1024];
    move || {
        analyser.float_frequency_data(&mut bins);
        black_box(&mut bins);
    }
}

/// A transform of 2048 samples alone.
fn realfft(_format: Format) -> impl FnMut() {
    let forward = RealFftPlanner::<f32>::new().plan_fft_forward(2048);
    let (mut time, mut spectrum) = (forward.make_input_vec(), forward.make_output_vec());
    let mut scratch = forward.make_scratch_vec();
    move || {
        time.iter_mut().enumerate().for_each(|(i, sample)| *sample = (i % 7) as f32);
        forward.process_with_scratch(&mut time, &mut spectrum, &mut scratch).unwrap();
        black_box(&mut spectrum);
    }
}
