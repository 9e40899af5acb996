//! WAV files out, a sample at a time, beyond 4 GiB too: hound counts bytes in 32 bits.

use std::io::{self, Seek, SeekFrom, Write};

/// The largest size that RIFF can tell.
const MOST_BYTES: u64 = u32::MAX as u64;

/// Bytes of the chunk with the sizes of RF64, without its head.
const DS64_BYTES: usize = 28;

/// Format of the samples that are written.
#[derive(Clone, Copy, Debug)]
pub struct WavFormat {
    pub sample_rate_hz: u32,
    pub channels: u16,
    /// 32-bit floats, or else integers of 16 bits.
    pub is_float: bool,
}

impl WavFormat {
    /// Bytes of a sample of all channels.
    fn block(&self) -> u16 {
        self.channels * if self.is_float { 4 } else { 2 }
    }
}

/// WAV file being written: RIFF, or, where that cannot tell its size, RF64 (EBU Tech 3306).
pub struct WavWriter<W: Write + Seek> {
    output: W,
    format: WavFormat,
    header: Header,
    samples: u64,
    /// The largest size of RIFF: smaller in tests.
    most_bytes: u64,
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writer of `length` samples per channel. Where that is not known, or too much for RIFF, room is left for the
    /// header of RF64: a JUNK chunk, which readers pass over.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(output: W, format: WavFormat, length: Option<u64>) -> io::Result<Self> {
        Self::with_most_bytes(output, format, length, MOST_BYTES)
    }

    fn with_most_bytes(mut output: W, format: WavFormat, length: Option<u64>, most_bytes: u64) -> io::Result<Self> {
        let plain = Header::new(&format, false);
        let fits = |length: u64| plain.riff_bytes(length.saturating_mul(format.block().into())) <= most_bytes;
        let header = if length.is_some_and(fits) { plain } else { Header::new(&format, true) };
        output.write_all(&header.bytes)?;
        Ok(Self { output, format, header, samples: 0, most_bytes })
    }

    /// Writes the next sample, channel by channel. Integers are rounded, and clipped at full scale.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&mut self, sample: f32) -> io::Result<()> {
        self.samples += 1;
        if self.format.is_float {
            self.output.write_all(&sample.to_le_bytes())
        } else {
            // The cast saturates.
            self.output.write_all(&((sample * 32_768.0).round() as i16).to_le_bytes())
        }
    }

    pub fn format(&self) -> WavFormat {
        self.format
    }

    /// Completes the file.
    ///
    /// # Errors
    /// Those of writing; and one that says so if it is longer than was said, and too large for RIFF.
    pub fn finish(mut self) -> io::Result<W> {
        let length = self.samples / u64::from(self.format.channels);
        let data_bytes = length * u64::from(self.format.block());
        let riff_bytes = self.header.riff_bytes(data_bytes);
        let header = if riff_bytes <= self.most_bytes {
            self.header.with_sizes(riff_bytes, data_bytes, length)
        } else if self.header.has_junk {
            self.header.rf64(riff_bytes, data_bytes, length)
        } else {
            return Err(io::Error::other("longer than was said, and larger than a WAV file can be"));
        };
        self.output.seek(SeekFrom::Start(0))?;
        self.output.write_all(&header)?;
        self.output.flush()?;
        Ok(self.output)
    }
}

/// All that stands before the samples.
struct Header {
    bytes: Vec<u8>,
    has_junk: bool,
    /// Where the fact chunk has its number of samples.
    fact: Option<usize>,
}

impl Header {
    fn new(format: &WavFormat, has_junk: bool) -> Self {
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        if has_junk {
            bytes.extend(b"JUNK");
            bytes.extend((DS64_BYTES as u32).to_le_bytes());
            bytes.extend([0; DS64_BYTES]);
        }
        let block = format.block();
        let (tag, extra): (u16, &[u8]) = if format.is_float { (3, &[0, 0]) } else { (1, &[]) };
        bytes.extend(b"fmt ");
        bytes.extend((16 + extra.len() as u32).to_le_bytes());
        bytes.extend(tag.to_le_bytes());
        bytes.extend(format.channels.to_le_bytes());
        bytes.extend(format.sample_rate_hz.to_le_bytes());
        bytes.extend((format.sample_rate_hz * u32::from(block)).to_le_bytes());
        bytes.extend(block.to_le_bytes());
        bytes.extend((8 * block / format.channels).to_le_bytes());
        bytes.extend(extra);
        // All but integers have one, by the standard.
        let fact = format.is_float.then(|| {
            bytes.extend(b"fact\x04\0\0\0\0\0\0\0");
            bytes.len() - 4
        });
        bytes.extend(b"data\0\0\0\0");
        Self { bytes, has_junk, fact }
    }

    /// The size that stands behind `RIFF`.
    fn riff_bytes(&self, data_bytes: u64) -> u64 {
        (self.bytes.len() as u64 - 8).saturating_add(data_bytes)
    }

    fn with_sizes(&self, riff_bytes: u64, data_bytes: u64, length: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let mut put = |at: usize, size: u64| {
            bytes[at..][..4].copy_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        };
        put(4, riff_bytes);
        put(self.bytes.len() - 4, data_bytes);
        if let Some(fact) = self.fact {
            put(fact, length);
        }
        bytes
    }

    /// The same with sizes of 64 bits, where those of 32 bits say that they are not these.
    fn rf64(&self, riff_bytes: u64, data_bytes: u64, length: u64) -> Vec<u8> {
        let mut bytes = self.with_sizes(u64::MAX, u64::MAX, u64::MAX);
        bytes[..4].copy_from_slice(b"RF64");
        bytes[12..16].copy_from_slice(b"ds64");
        for (index, size) in [riff_bytes, data_bytes, length].into_iter().enumerate() {
            bytes[20 + 8 * index..][..8].copy_from_slice(&size.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::wav::{Encoding, read};

    const STEREO: WavFormat = WavFormat { sample_rate_hz: 44_100, channels: 2, is_float: false };

    fn written(format: WavFormat, length: Option<u64>, most_bytes: u64, samples: &[f32]) -> io::Result<Vec<u8>> {
        let mut writer = WavWriter::with_most_bytes(Cursor::new(Vec::new()), format, length, most_bytes)?;
        samples.iter().try_for_each(|sample| writer.write(*sample))?;
        Ok(writer.finish()?.into_inner())
    }

    #[test]
    fn what_was_written_is_read_again_in_riff_and_rf64() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        let sound: Vec<f32> = (0..1000).map(|index| (index as f32 * 0.1).sin() * 0.9).collect();
        for is_float in [false, true] {
            let format = WavFormat { is_float, ..STEREO };
            let header = Header::new(&format, true).bytes.len() as u64;
            let size = header + 500 * u64::from(format.block());
            let cases = [
                (Some(500), MOST_BYTES, &b"RIFF"[..], size - 36),
                (None, MOST_BYTES, b"RIFF", size),
                // The last size that fits, and the first that does not.
                (None, size - 8, b"RIFF", size),
                (None, size - 9, b"RF64", size),
                (Some(500), size - 45, b"RF64", size),
                (Some(500), size - 44, b"RIFF", size - 36),
            ];
            for (length, most_bytes, kind, size) in cases {
                let bytes = written(format, length, most_bytes, &sound).unwrap();
                assert_eq!((&bytes[..4], bytes.len() as u64), (kind, size), "{length:?} {most_bytes}");
                std::fs::write(&path, &bytes).unwrap();
                let wav = read(&path);
                let encoding = if is_float { Encoding::Float } else { Encoding::Integer };
                let (rate_hz, bits) = (wav.header.sample_rate_hz, if is_float { 32 } else { 16 });
                assert_eq!((rate_hz, wav.header.bits, wav.header.encoding), (44_100, bits, encoding));
                assert_eq!((wav.header.channels, wav.header.samples), (2, 500));
                let off = wav.samples.iter().zip(&sound).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off <= if is_float { 0.0 } else { 0.51 / 32_768.0 }, "{off}");
            }
        }
    }

    #[test]
    fn sizes_are_where_the_standard_has_them() {
        let bytes = written(STEREO, None, 100, &[0.5; 100]).unwrap();
        let le32 = |at: usize| u32::from_le_bytes(bytes[at..][..4].try_into().unwrap());
        let le64 = |at: usize| u64::from_le_bytes(bytes[at..][..8].try_into().unwrap());
        assert_eq!(
            (&bytes[..4], &bytes[8..16], &bytes[48..52], &bytes[72..76]),
            (&b"RF64"[..], &b"WAVEds64"[..], &b"fmt "[..], &b"data"[..])
        );
        assert_eq!((le32(4), le32(16), le32(76)), (u32::MAX, 28, u32::MAX));
        // RIFF size, data size, samples per channel, no further sizes.
        assert_eq!((le64(20), le64(28), le64(36), le32(44)), (bytes.len() as u64 - 8, 200, 50, 0));
    }

    #[test]
    fn integers_are_rounded_and_clipped() {
        let bytes = written(STEREO, Some(3), MOST_BYTES, &[0.5, -0.5, 2.0, -2.0, 1e-5, f32::NAN]).unwrap();
        let samples: Vec<i16> =
            bytes[44..].chunks(2).map(|bytes| i16::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert_eq!(samples, [16_384, -16_384, i16::MAX, i16::MIN, 0, 0]);
    }

    #[test]
    fn a_length_that_was_wrong_is_no_broken_file() {
        assert!(written(STEREO, Some(1), 100, &[0.5; 100]).is_err());
        assert!(written(STEREO, Some(u64::MAX), 1000, &[0.5; 100]).is_ok());
    }
}
