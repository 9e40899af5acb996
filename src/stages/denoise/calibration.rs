//! What the 4-bit weights are rounded by, written by a test that is run by hand.

use std::cmp::Reverse;
use std::fs;

use super::{Denoise, Engine};
use crate::core::{Format, Frame, Processor, Stage};
use crate::neural::int4::calibration::PRODUCTS;

/// Of all sounds in the folder VOXFRAME_SOUNDS (48 kHz, mono, floats) one file, `target/four-bits.f32`: the sums of the products
/// of all pairs of inputs, for each matrix of 4-bit weights in the order in which a frame needs them, the larger ones first.
#[test]
#[ignore = "for scripts/four-bits"]
fn products_of_inputs() {
    let folder = std::env::var("VOXFRAME_SOUNDS").expect("VOXFRAME_SOUNDS is a folder of sounds");
    let format = Format::mono(48_000).unwrap();
    let mut frame = Frame::new(format);
    PRODUCTS.set(Some(Vec::new()));
    for file in fs::read_dir(folder).unwrap() {
        let mut denoise = Denoise { engine: Engine::Best, ..Denoise::default() }.prepare(format).unwrap();
        let mut wav = hound::WavReader::open(file.unwrap().path()).unwrap();
        let samples: Vec<f32> = wav.samples().map(Result::unwrap).collect();
        for (index, block) in samples.chunks_exact(480).enumerate() {
            frame.set_position((480 * index) as i64);
            frame.samples_mut().copy_from_slice(block);
            denoise.process(&mut frame).unwrap();
        }
    }
    let mut products = PRODUCTS.take().unwrap();
    products.sort_by_key(|(_, products)| Reverse(products.len()));
    let floats = products.into_iter().flat_map(|(_, products)| products);
    fs::write("target/four-bits.f32", floats.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
}
