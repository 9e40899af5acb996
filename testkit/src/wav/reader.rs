//! Samples of a WAV file, a block at a time: memory does not grow with the file.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use hound::{Sample, SampleFormat};

use super::header::{self, Encoding, Header, Result};

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
        let Header { bytes, bits, encoding, channels, .. } = self.header;
        let length = self.left.min(BLOCK * channels as u64);
        // Narrower integers stand in the upper bits of their bytes.
        let bits = if bits == 24 { 24 } else { 8 * bytes };
        let scale = 0.5f32.powi(i32::from(bits) - 1);
        self.block.clear();
        for _ in 0..length {
            let sample = match encoding {
                Encoding::Integer => i32::read(&mut self.reader, SampleFormat::Int, bytes, bits)? as f32 * scale,
                Encoding::Float if bytes == 8 => f64::from_le_bytes(read_bytes(&mut self.reader)?) as f32,
                Encoding::Float => f32::read(&mut self.reader, SampleFormat::Float, bytes, bits)?,
                Encoding::ALaw => expand_a_law(read_bytes::<1>(&mut self.reader)?[0]),
                Encoding::MuLaw => expand_mu_law(read_bytes::<1>(&mut self.reader)?[0]),
            };
            self.block.push(sample);
        }
        self.left -= length;
        Ok(&self.block)
    }
}

fn read_bytes<const N: usize>(reader: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A-law of ITU-T G.711: sign, segment and step, every other bit inverted. 13 bits of full scale 1.
fn expand_a_law(code: u8) -> f32 {
    let code = code ^ 0x55;
    let (segment, step) = (code >> 4 & 7, f32::from(code & 15) + 0.5);
    let magnitude = if segment == 0 { step } else { (step + 16.0) * f32::from(1u8 << (segment - 1)) };
    magnitude * if code & 0x80 == 0 { -1.0 } else { 1.0 } / 2048.0
}

/// µ-law of ITU-T G.711: sign, segment and step, all inverted. 14 bits of full scale 1.
fn expand_mu_law(code: u8) -> f32 {
    let code = !code;
    let (segment, step) = (code >> 4 & 7, f32::from(code & 15) + 16.5);
    let magnitude = step * f32::from(1u8 << segment) - 16.5;
    magnitude * if code & 0x80 == 0 { 1.0 } else { -1.0 } / 4096.0
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

    #[test]
    fn g_711_is_expanded_as_its_tables_say() {
        // Tables 1 and 2 of G.711, in 16 bits, as other readers give them.
        for (code, wanted) in [(0xd5, 8), (0x55, -8), (0xaa, 32_256), (0x2a, -32_256), (0x80, 5504), (0x91, 2624)] {
            assert_eq!(expand_a_law(code) * 32_768.0, wanted as f32, "A-law {code:#x}");
        }
        for (code, wanted) in [(0xff, 0), (0x7f, 0), (0x80, 32_124), (0x00, -32_124), (0xef, 132), (0x9a, 10_876)] {
            assert_eq!(expand_mu_law(code) * 32_768.0, wanted as f32, "µ-law {code:#x}");
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
