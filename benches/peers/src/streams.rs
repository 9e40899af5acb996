//! Many streams in one thread, one after the other.

use std::hint::black_box;

use voxframe::{Format, Frame, Processor, Profile, Stage};
use voxframe_testkit::alloc::most_held;

use crate::cases::{Case, recording};

/// Numbers of streams that are measured.
pub const STREAMS: [usize; 4] = [1, 10, 100, 1000];

pub fn name(streams: usize) -> String {
    format!("balanced-of-{streams}")
}

pub fn add(cases: &mut Vec<Case>, format: Format) {
    for streams in STREAMS {
        cases.push(Case::new(&name(streams), format, move |format| in_turn(format, streams)));
    }
}

/// A frame of the next stream. Each is at another place of the recording.
fn in_turn(format: Format, streams: usize) -> impl FnMut() {
    let frames = recording(format).items;
    let mut pipelines: Vec<_> = (0..streams).map(|_| Profile::balanced().prepare(format).unwrap()).collect();
    let mut frame = Frame::new(format);
    let mut tick = 0;
    let mut stream = 0;
    move || {
        frame.copy_from(&frames[(tick + 31 * stream) % frames.len()]).unwrap();
        black_box(pipelines[stream].process(&mut frame).unwrap());
        stream += 1;
        if stream == streams {
            stream = 0;
            tick += 1;
        }
    }
}

/// Most bytes a stream that are aimed at.
pub const BYTES_TARGET: usize = 64 << 10;

/// Bytes on the heap that one more stream of a profile takes, without the encoder.
pub fn bytes_a_stream(profile: Profile, format: Format) -> usize {
    // What all streams share is there after the first; what building takes for a moment is in both.
    drop(profile.prepare(format).unwrap());
    let [few, many] = [10, 20]
        .map(|streams| most_held(|| (0..streams).map(|_| profile.prepare(format).unwrap()).collect::<Vec<_>>()).1);
    (many - few) / 10
}
