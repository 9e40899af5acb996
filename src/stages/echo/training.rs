//! What the network learns from: the powers that it would hear in calls, written by a test that is run by hand.

use std::fs;
use std::path::Path;

use super::canceller::Canceller;
use super::far_end::far_end;
use super::settings::EchoCancel;
use crate::core::{Format, Frame};

const BLOCK: usize = 160;

fn samples(path: &Path) -> Vec<f32> {
    fs::read(path).unwrap().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// For each NAME.far and NAME.mic in the folder VOXFRAME_CALLS (16 kHz, floats) NAME.bin: a row of powers for each frame,
/// of zeros where the network would not run.
#[test]
#[ignore = "for scripts/echo-network"]
fn powers_of_calls() {
    let folder = std::env::var("VOXFRAME_CALLS").expect("VOXFRAME_CALLS is a folder of calls");
    let format = Format::mono(16_000).unwrap();
    let far_ends = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in far_ends.filter(|path| path.extension().is_some_and(|extension| extension == "far")) {
        let (mut input, reference) = far_end(format);
        let mut canceller = Canceller::new(format, &reference);
        let (far, mut mic) = (samples(&path), samples(&path.with_extension("mic")));
        let mut rows = Vec::new();
        for (index, (far, mic)) in far.chunks_exact(BLOCK).zip(mic.chunks_exact_mut(BLOCK)).enumerate() {
            let mut frame = Frame::new(format);
            frame.set_position((index * BLOCK) as i64);
            frame.samples_mut().copy_from_slice(far);
            input.push(&frame).unwrap();
            canceller.process(&EchoCancel::default(), &mut [mic]);
            rows.extend(canceller.take_powers().iter().flat_map(|power| power.to_le_bytes()));
        }
        fs::write(path.with_extension("bin"), rows).unwrap();
    }
}
