//! What is measured: each stage and profile, and beside it the bare library on the same sound.
//!
//! A case is named `what/format`. `speed.rs` gives all of them to criterion, `guard` counts their instructions and measures pairs of
//! them, `peers` measures them beside other libraries.

mod edges;
mod opus;
mod profiles;
mod stages;
mod voice;

use std::hint::black_box;

use voxframe::{Capture, Error, Format, Frame, Processor};
use voxframe_testkit::wav::fixture;

/// Runs a case a number of times.
pub type Run = Box<dyn FnMut(u64)>;

/// Something to measure.
pub struct Case {
    pub name: String,
    /// Samples in one run, all channels together.
    #[allow(dead_code, reason = "the guard does not need them")]
    pub samples: u64,
    build: Box<dyn Fn(Format) -> Run>,
    format: Format,
}

impl Case {
    pub fn new<F: FnMut() + 'static>(what: &str, format: Format, build: impl Fn(Format) -> F + 'static) -> Self {
        let build = move |format| -> Run {
            let mut once = build(format);
            Box::new(move |times| (0..times).for_each(|_| once()))
        };
        let samples = format.samples_per_channel() * format.channels();
        Self { name: format!("{what}/{}", name(format)), samples: samples as u64, build: Box::new(build), format }
    }

    /// Prepares everything; nothing is allocated afterwards.
    pub fn build(&self) -> Run {
        (self.build)(self.format)
    }
}

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    stages::add(&mut cases);
    voice::add(&mut cases);
    edges::add(&mut cases);
    opus::add(&mut cases);
    profiles::add(&mut cases);
    cases
}

/// The formats at a rate: mono and stereo, 10 and 20 ms.
fn formats(rate_hz: u32) -> impl Iterator<Item = Format> {
    [(1, 10), (1, 20), (2, 10), (2, 20)]
        .into_iter()
        .map(move |(channels, ms)| Format::new(rate_hz, channels).and_then(|f| f.with_frame_ms(ms)).unwrap())
}

/// 48 kHz mono and stereo, and 16 kHz mono.
fn usual_formats() -> impl Iterator<Item = Format> {
    formats(48_000).chain(formats(16_000).filter(|format| format.channels() == 1))
}

fn name(format: Format) -> String {
    let channels = if format.channels() == 1 { "mono" } else { "stereo" };
    format!("{}k-{channels}-{}ms", format.sample_rate_hz() as f32 / 1000.0, format.frame_ms())
}

/// Noisy speech; the right channel hears it half a millisecond later.
fn interleaved(channels: usize) -> Vec<f32> {
    let mono = fixture("speech_noisy.wav").remove(0);
    let late = |channel: usize| std::iter::repeat_n(0.0, 24 * channel).chain(mono.iter().copied());
    let channels: Vec<Vec<f32>> = (0..channels).map(|channel| late(channel).take(mono.len()).collect()).collect();
    (0..mono.len()).flat_map(|index| channels.iter().map(move |channel| channel[index])).collect()
}

/// Things to be taken one after the other, over and over.
pub struct Ring<T> {
    pub items: Vec<T>,
    next: usize,
}

impl<T> Ring<T> {
    pub fn new(items: Vec<T>) -> Self {
        Self { items, next: 0 }
    }

    pub fn next(&mut self) -> &mut T {
        self.next = if self.next + 1 < self.items.len() { self.next + 1 } else { 0 };
        &mut self.items[self.next]
    }
}

/// The recording in frames.
pub fn recording(format: Format) -> Ring<Frame> {
    let mut frames = Vec::new();
    let mut capture = Capture::new(48_000, format.channels(), format).unwrap();
    let keep = |frame: &mut Frame| -> Result<(), Error> {
        frames.push(frame.clone());
        Ok(())
    };
    capture.push_interleaved(&interleaved(format.channels())[..], keep).unwrap();
    Ring::new(frames)
}

/// A few frames of voice, which stay in the fastest cache: what a stage finds that has just been given a frame.
fn few_frames(format: Format) -> Ring<Frame> {
    let few = 2048 / (format.samples_per_channel() * format.channels());
    Ring::new(recording(format).items.iter().skip(100).take(few).map(aligned).collect())
}

/// A frame of which nothing is known any more from the last time a stage was given it.
pub fn as_new(frame: &mut Frame) -> &mut Frame {
    frame.samples_mut();
    frame
}

/// A copy that begins on a cache line, as every fourth frame does: the others cost up to a fifth more, and which one
/// a stage gets is chance.
fn aligned(frame: &Frame) -> Frame {
    let mut tried = Vec::new();
    loop {
        let copy = frame.clone();
        if copy.samples().as_ptr().addr().is_multiple_of(64) || tried.len() > 64 {
            return copy;
        }
        tried.push(copy);
    }
}

/// A processor that works in place, and so is given a copy of each frame.
pub fn in_place<P>(mut frames: Ring<Frame>, mut processor: P) -> impl FnMut() + 'static
where
    P: Processor<Input = Frame, Output: Sized> + 'static,
{
    let mut frame = frames.next().clone();
    move || {
        frame.copy_from(frames.next()).unwrap();
        black_box(processor.process(black_box(&mut frame)).unwrap());
    }
}
