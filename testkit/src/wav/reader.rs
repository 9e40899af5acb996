//! Samples of a WAV file, a block at a time: memory does not grow with the file.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

use hound::{Sample, SampleFormat};

use super::header::{self, Header, Result};

/// Samples per channel that are read at a time.
const BLOCK: u64 = 4096;

/// A WAV file being read.
pub struct WavReader {
    header: Header,
    notes: Vec<String>,
    reader: BufReader<File>,
    /// Samples, all channels together, that are not read yet.
    left: u64,
    block: Vec<f32>,
}

impl WavReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// What is wrong with it, without its name.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.metadata()?.is_file() {
            return Err("not a file".into());
        }
        let mut reader = BufReader::new(File::open(path)?);
        let mut notes = Vec::new();
        let mut header = header::read(&mut reader, &mut notes)?;
        if (header.bytes, header.bits) == (4, 24) {
            let first = reader.stream_position()?;
            if !low_bits_count(&mut reader, &header)? {
                header.bits = 32;
            }
            reader.seek(SeekFrom::Start(first))?;
        }
        let left = header.samples * header.channels as u64;
        Ok(Self { header, notes, reader, left, block: Vec::new() })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What is wrong with the file, and did not keep it from being read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Samples, all channels together, that are not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next samples, interleaved, at most 4096 per channel; none at the end.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn next_block(&mut self) -> Result<&[f32]> {
        let Header { bytes, bits, float, channels, .. } = self.header;
        let length = self.left.min(BLOCK * channels as u64);
        // Narrower integers stand in the upper bits of their bytes.
        let bits = if bits == 24 { 24 } else { 8 * bytes };
        let scale = 0.5f32.powi(i32::from(bits) - 1);
        self.block.clear();
        for _ in 0..length {
            let sample = match float {
                true => f32::read(&mut self.reader, SampleFormat::Float, bytes, bits),
                false => i32::read(&mut self.reader, SampleFormat::Int, bytes, bits).map(|s| s as f32 * scale),
            };
            self.block.push(sample?);
        }
        self.left -= length;
        Ok(&self.block)
    }
}

/// Whether 24-bit samples in 4 bytes stand in the lower ones. The standard wants them in the upper; many files do not
/// care. Read the wrong way, they are noise: so look for a lowest byte that is used.
fn low_bits_count(reader: &mut BufReader<File>, header: &Header) -> hound::Result<bool> {
    for _ in 0..header.samples * header.channels as u64 {
        if i32::read(reader, SampleFormat::Int, 4, 32)? & 0xff != 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A whole WAV file.
pub struct Wav {
    pub header: Header,
    /// All channels, interleaved.
    pub samples: Vec<f32>,
}

impl Wav {
    /// All channels apart.
    pub fn planar(&self) -> Vec<Vec<f32>> {
        let channels = self.header.channels;
        (0..channels).map(|channel| self.samples.iter().skip(channel).step_by(channels).copied().collect()).collect()
    }
}

/// Reads a WAV file that must be good.
#[track_caller]
pub fn read(path: &Path) -> Wav {
    let whole = || -> Result<Wav> {
        let mut wav = WavReader::open(path)?;
        let mut samples = Vec::new();
        while let block @ [_, ..] = wav.next_block()? {
            samples.extend_from_slice(block);
        }
        Ok(Wav { header: *wav.header(), samples })
    };
    whole().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wav::{RawWav, write};

    #[test]
    fn every_width_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.wav");
        let sound: Vec<f32> = (0..9000).map(|i| ((i * i) as f32 * 0.001).sin() * 0.9).collect();
        for (bits, rounding) in [(32, 0.0), (33, 1e-7), (24, 1e-7), (16, 2e-5), (8, 0.004)] {
            write(&path, 44_100, 3, bits, &sound);
            let wav = read(&path);
            assert_eq!((wav.header.sample_rate_hz, wav.header.channels, wav.header.samples), (44_100, 3, 3000));
            assert!(wav.samples.iter().zip(&sound).all(|(a, b)| (a - b).abs() <= rounding), "{bits} bits");
            assert_eq!(wav.planar()[2][5], wav.samples[17]);
        }
    }

    /// Reads all of a file: the samples, all channels together, and how many there can be at most.
    fn read_through(path: &Path) -> Option<(u64, u64)> {
        let mut wav = WavReader::open(path).ok()?;
        let header = *wav.header();
        let mut samples = 0;
        while let block @ 1.. = wav.next_block().map_or(0, <[f32]>::len) {
            assert!(block <= 8 * 4096);
            samples += block as u64;
        }
        assert_eq!(samples, header.samples * header.channels as u64);
        Some((samples, path.metadata().unwrap().len() / u64::from(header.bytes)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn no_header_does_harm(
            changes in prop::collection::vec(
                (0usize..80, prop::sample::select(vec![0u8, 1, 2, 3, 8, 0x7f, 0x80, 0xfe, 0xff])), 0..6),
            cut in prop::option::of(0usize..200),
            bits in prop::sample::select(vec![8u16, 16, 24, 32]),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("in.wav");
            let extra = [22, 0, 24, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113].to_vec();
            let before = b"LIST\x03\0\0\0abc\0".to_vec();
            let wav = RawWav { tag: 0xfffe, block: bits / 8, bits, extra, before, ..RawWav::new(vec![7; 96]) };
            let mut bytes = wav.bytes();
            for (place, value) in changes {
                bytes[place] = value;
            }
            bytes.truncate(cut.unwrap_or(bytes.len()));
            std::fs::write(&path, &bytes).unwrap();
            if let Some((samples, most)) = read_through(&path) {
                prop_assert!(samples <= most);
            }
        }
    }
}
