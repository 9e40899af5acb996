//! Device buffers to frames and back, 10 or 20 ms at a time.

use std::hint::black_box;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters};
use voxframe::{Capture, Error, Format, Frame, Playout};

use super::{Case, few_frames, formats, interleaved, usual_formats};

pub fn add(cases: &mut Vec<Case>) {
    for format in usual_formats() {
        let rate_hz = format.sample_rate_hz();
        cases.push(Case::new("capture", format, move |format| capture(rate_hz, format)));
        cases.push(Case::new("playout", format, move |format| playout(format, rate_hz)));
    }
    for format in formats(48_000) {
        cases.push(Case::new("capture-from-44.1k", format, |format| capture(44_100, format)));
        cases.push(Case::new("playout-to-44.1k", format, |format| playout(format, 44_100)));
        cases.push(Case::new("rubato-sinc-from-44.1k", format, |format| rubato_sinc(44_100, 48_000, format)));
        cases.push(Case::new("rubato-sinc-to-44.1k", format, |format| rubato_sinc(48_000, 44_100, format)));
    }
}

/// As many 16-bit stereo samples as make about one frame.
fn capture(device_hz: u32, format: Format) -> impl FnMut() {
    let mut capture = Capture::new(device_hz, 2, format).unwrap();
    let sound: Vec<i16> = interleaved(2).iter().map(|s| (s * 32_768.0) as i16).collect();
    let few = 2 * (device_hz * format.frame_ms() / 1000) as usize;
    let sound = sound[sound.len() / 2..][..few].to_vec();
    move || {
        let keep = |frame: &mut Frame| -> Result<(), Error> {
            black_box(frame);
            Ok(())
        };
        capture.push_interleaved(black_box(&sound[..]), keep).unwrap();
    }
}

/// One frame in, and all that is there out as 16-bit stereo.
fn playout(format: Format, device_hz: u32) -> impl FnMut() {
    let mut frames = few_frames(format);
    let mut playout = Playout::new(format, device_hz, 2).unwrap();
    let mut device = vec![0i16; 2 * device_hz as usize / 10];
    move || {
        playout.push(black_box(frames.next())).unwrap();
        let there = playout.available();
        playout.pull_interleaved(black_box(&mut device[..2 * there])).unwrap();
    }
}

/// The resampler inside of [`Capture`] and of [`Playout`] alone.
fn rubato_sinc(from_hz: u32, to_hz: u32, format: Format) -> impl FnMut() {
    let quality = SincInterpolationParameters::default();
    let (channels, length) = (format.channels(), format.samples_per_channel());
    let fixed = if to_hz == format.sample_rate_hz() { FixedAsync::Output } else { FixedAsync::Input };
    let ratio = f64::from(to_hz) / f64::from(from_hz);
    let mut engine = Async::<f32>::new_sinc(ratio, 1.0, &quality, length, channels, fixed).unwrap();
    let (most_in, most_out) = (engine.input_frames_max(), engine.output_frames_max());
    let sound = interleaved(1)[100_000..][..most_in * channels].to_vec();
    let mut out = vec![0.0; most_out * channels];
    move || {
        let from = SequentialSlice::new(black_box(&sound[..]), channels, most_in).unwrap();
        let mut to = SequentialSlice::new_mut(&mut out, channels, most_out).unwrap();
        engine.process_into_buffer(&from, &mut to, None).unwrap();
        black_box(&mut out);
    }
}
