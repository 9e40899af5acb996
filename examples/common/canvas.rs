//! The picture as pixels.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::output::Output;
use super::{Of, Result};

/// Everything is drawn so many times larger and then averaged: smooth lines and letters.
pub const SCALE: u32 = 2;

/// Red, green and blue of each pixel.
pub struct Canvas {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

impl Canvas {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![255; (width * height * 3) as usize] }
    }

    /// The average of each square of `SCALE` pixels.
    pub fn reduced(&self) -> Self {
        let (width, height) = (self.width / SCALE, self.height / SCALE);
        let mut small = Self::new(width, height);
        for (index, value) in small.pixels.iter_mut().enumerate() {
            let (pixel, colour) = (index as u32 / 3, index as u32 % 3);
            let (x, y) = (pixel % width * SCALE, pixel / width * SCALE);
            let square = (0..SCALE * SCALE).map(|i| (x + i % SCALE, y + i / SCALE));
            let sum: u32 =
                square.map(|(x, y)| u32::from(self.pixels[((y * self.width + x) * 3 + colour) as usize])).sum();
            *value = ((sum + SCALE * SCALE / 2) / (SCALE * SCALE)) as u8;
        }
        small
    }
}

/// A PNG file to be written.
pub struct PngOutput {
    output: Output,
    file: BufWriter<File>,
}

impl PngOutput {
    pub fn create(path: &Path) -> Result<Self> {
        let (output, file) = Output::create(path)?;
        Ok(Self { output, file })
    }

    /// Completes the file, but for its name.
    pub fn finish(mut self, picture: Result<Canvas, Box<dyn Error>>) -> Result<Output> {
        let canvas = picture.of(self.output.path())?;
        let mut encoder = png::Encoder::new(&mut self.file, canvas.width, canvas.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&canvas.pixels)?;
            writer.finish()
        });
        written.of(self.output.path())?;
        self.file.flush().of(self.output.path())?;
        Ok(self.output)
    }
}

/// The colour map "magma" of matplotlib (CC0): perceptually uniform, from black over violet and orange to pale yellow.
/// `share` is from 0 to 1.
pub fn magma(share: f32) -> (u8, u8, u8) {
    const ANCHORS: [[f32; 3]; 9] = [
        [0.0, 0.0, 4.0],
        [28.0, 16.0, 68.0],
        [79.0, 18.0, 123.0],
        [129.0, 37.0, 129.0],
        [181.0, 54.0, 122.0],
        [229.0, 80.0, 100.0],
        [251.0, 135.0, 97.0],
        [254.0, 194.0, 135.0],
        [252.0, 253.0, 191.0],
    ];
    let place = share.clamp(0.0, 1.0) * (ANCHORS.len() - 1) as f32;
    let below = (place as usize).min(ANCHORS.len() - 2);
    let part = place - below as f32;
    let mix = |colour: usize| {
        let (from, to) = (ANCHORS[below][colour], ANCHORS[below + 1][colour]);
        (from + (to - from) * part).round() as u8
    };
    (mix(0), mix(1), mix(2))
}
