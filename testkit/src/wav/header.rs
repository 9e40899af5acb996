//! Finds the samples in a WAV file, and believes nothing that the file's length contradicts.
//!
//! hound decodes the samples, but its header reader trusts the sizes it finds, refuses files whose writer could not go
//! back to fill them in, and does not say which encoding it does not know.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::file_kind::file_kind;

pub type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// No writer puts more chunks before the samples; a file made to waste time might.
const MOST_CHUNKS: usize = 10_000;

/// Where the samples are, and what they look like.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub sample_rate_hz: u32,
    pub channels: usize,
    /// Bytes a sample takes.
    pub bytes: u16,
    /// Bits of them that count.
    pub bits: u16,
    pub encoding: Encoding,
    /// Samples per channel that are really there.
    pub samples: u64,
}

/// Encoding of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Integer,
    Float,
    /// Logarithmic 8 bits of ITU-T G.711.
    ALaw,
    MuLaw,
}

impl Encoding {
    fn from_tag(tag: u16) -> Option<Self> {
        match tag {
            1 => Some(Self::Integer),
            3 => Some(Self::Float),
            6 => Some(Self::ALaw),
            7 => Some(Self::MuLaw),
            _ => None,
        }
    }
}

impl std::fmt::Display for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sample_rate_hz, channels, bits, samples, .. } = *self;
        let kind = match self.encoding {
            Encoding::Integer => "integer",
            Encoding::Float => "float",
            Encoding::ALaw => "A-law",
            Encoding::MuLaw => "µ-law",
        };
        let plural = if channels == 1 { "" } else { "s" };
        let seconds = samples as f64 / f64::from(sample_rate_hz);
        write!(f, "{seconds:.3} s, {sample_rate_hz} Hz, {channels} channel{plural}, {bits}-bit {kind}")
    }
}

/// Reads up to the first sample. `notes` gets what is wrong and does no harm.
pub fn read(reader: &mut BufReader<File>, notes: &mut Vec<String>) -> Result<Header> {
    let file_length = reader.get_ref().metadata()?.len();
    let mut head = Vec::new();
    reader.by_ref().take(12).read_to_end(&mut head)?;
    let kind = file_kind(&head);
    // RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088) have their sizes, of 64 bits, in a chunk of their own.
    let wide = head.starts_with(b"RF64") || head.starts_with(b"BW64");
    if !head.starts_with(b"RIFF") && !wide {
        return Err(format!("not a WAV file but {kind}").into());
    }
    match head.get(8..12) {
        Some(b"WAVE") => {}
        Some(form) => return Err(format!("a RIFF file, but of type '{}', not WAVE", form.escape_ascii()).into()),
        None => return Err("a WAV file that ends in its first header".into()),
    }
    let riff_end = 8 + u64::from(le32(&head[4..]));

    let mut position = 12;
    let mut format = None;
    let mut data_bytes = None;
    for _ in 0..MOST_CHUNKS {
        let mut chunk = [0; 8];
        if file_length.saturating_sub(position) < 8 {
            break;
        }
        reader.read_exact(&mut chunk)?;
        position += 8;
        let there = file_length - position;
        let promised = u64::from(le32(&chunk[4..]));
        match &chunk[..4] {
            b"data" => {
                let format: Format = format.ok_or("its samples come before their format (the fmt chunk)")?;
                // Writers that cannot go back leave 0 or the largest number.
                let most = u64::from(u32::MAX);
                let promised = data_bytes.filter(|_| promised == most).unwrap_or(promised);
                let unknown = promised == most || promised == 0 && (riff_end <= position || riff_end > most);
                let length = if unknown { there } else { promised.min(there) };
                let behind = there - length;
                let header = format.header(length, promised, unknown, notes)?;
                if behind >= 8 && !begins_a_chunk(reader, position + length, behind)? {
                    notes.push(format!("{behind} bytes behind its samples are no chunk, and left out"));
                }
                return Ok(header);
            }
            _ if promised > there => {
                let name = chunk[..4].escape_ascii();
                let what = format!("its chunk '{name}' should have {promised} bytes, but the file ends after {there}");
                return Err(what.into());
            }
            b"fmt " => format = Some(Format::read(reader, promised)?),
            b"ds64" if wide && promised >= 16 => {
                let mut sizes = [0; 16];
                reader.read_exact(&mut sizes)?;
                data_bytes = sizes[8..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                reader.seek_relative((promised - 16) as i64)?;
            }
            _ => reader.seek_relative(promised as i64)?,
        }
        position += promised;
        // Chunks begin at even places; some writers forget.
        if promised % 2 == 1 && position < file_length {
            let mut pad = [0];
            reader.read_exact(&mut pad)?;
            match pad {
                [0] => position += 1,
                _ => reader.seek_relative(-1)?,
            }
        }
    }
    let missing =
        if format.is_some() { "no samples: there is no data chunk" } else { "no format: there is no fmt chunk" };
    Err(missing.into())
}

/// Whether, `at` the end of the samples, a chunk begins that ends within the `left` bytes; chunks have names of letters.
/// The position stays.
fn begins_a_chunk(reader: &mut BufReader<File>, at: u64, left: u64) -> Result<bool> {
    let samples = reader.stream_position()?;
    reader.seek(SeekFrom::Start(at))?;
    let mut head = Vec::new();
    reader.by_ref().take(9).read_to_end(&mut head)?;
    reader.seek(SeekFrom::Start(samples))?;
    // An odd chunk is padded, but not by every writer.
    Ok([0, at % 2].into_iter().any(|pad| {
        let chunk = head.get(pad as usize..).and_then(|head| head.split_first_chunk::<4>());
        chunk.is_some_and(|(name, size)| {
            let fits = size.len() >= 4 && u64::from(le32(size)) + 8 + pad <= left;
            fits && name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        })
    }))
}

/// What the fmt chunk says.
#[derive(Clone, Copy, Debug)]
struct Format {
    sample_rate_hz: u32,
    channels: u16,
    block: u16,
    bits: u16,
    encoding: Encoding,
}

impl Format {
    fn read(reader: &mut BufReader<File>, length: u64) -> Result<Self> {
        if length < 16 {
            return Err(format!("its fmt chunk has only {length} bytes").into());
        }
        let mut body = [0; 40];
        let known = length.min(40) as usize;
        reader.read_exact(&mut body[..known])?;
        reader.seek_relative((length - known as u64) as i64)?;

        let mut tag = le16(&body);
        let mut bits = le16(&body[14..]);
        if tag == 0xfffe {
            if length < 40 {
                return Err(format!("its extensible fmt chunk has only {length} bytes").into());
            }
            // The tail of all sub-formats that stand for a tag.
            const TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
            tag = if body[26..] == TAIL { le16(&body[24..]) } else { 0 };
            // How many bits are valid; 0 in files that leave it out.
            bits = if le16(&body[18..]) > 0 { le16(&body[18..]) } else { bits };
        }
        let Some(encoding) = Encoding::from_tag(tag) else {
            let read = "only PCM is read, integers of 8 to 32 bits, floats of 32 and 64, A-law and µ-law";
            return Err(format!("{}: {read}", encoding_name(tag)).into());
        };
        let sample_rate_hz = le32(&body[4..]);
        Ok(Self { sample_rate_hz, channels: le16(&body[2..]), block: le16(&body[12..]), bits, encoding })
    }

    /// The header of `length` bytes of samples, where the file promised others.
    fn header(self, length: u64, promised: u64, unknown: bool, notes: &mut Vec<String>) -> Result<Header> {
        let Self { sample_rate_hz, channels, block, bits, encoding } = self;
        check_readable(sample_rate_hz, channels.into())?;
        let bytes = block / channels;
        if block % channels != 0 || bits == 0 || bits > bytes.saturating_mul(8) {
            let what = format!("{bits} bits in each of {channels} channels do not fit its blocks of {block} bytes");
            return Err(format!("contradicts itself: {what}").into());
        }
        match (encoding, bytes, bits) {
            (Encoding::Float, 4, 32) | (Encoding::Float, 8, 64) | (Encoding::Integer, 1..=4, _) => {}
            (Encoding::ALaw | Encoding::MuLaw, 1, 8) => {}
            (Encoding::Float, ..) => {
                return Err(format!("{bits}-bit floats: only those of 32 and 64 bits are read").into());
            }
            (Encoding::Integer, ..) => {
                return Err(format!("{bits}-bit integers: only those of up to 32 bits are read").into());
            }
            _ => return Err(format!("{bits}-bit G.711: only 8 bits are read").into()),
        }
        let samples = length / u64::from(block);
        if samples == 0 && promised > 0 {
            return Err(format!("no samples: {promised} bytes are promised, {length} are there").into());
        }
        if length < promised && !unknown {
            notes.push(format!("cut short: {promised} bytes of samples are promised, {length} are there"));
        } else if !length.is_multiple_of(block.into()) {
            notes.push(format!("the last {} bytes make no sample", length % u64::from(block)));
        }
        Ok(Header { sample_rate_hz, channels: channels.into(), bytes, bits, encoding, samples })
    }
}

/// Refuses rates and numbers of channels that are not read, of whatever kind the file is.
pub fn check_readable(sample_rate_hz: u32, channels: usize) -> Result {
    if !(1..=8).contains(&channels) {
        return Err(format!("{channels} channels: only 1 to 8 are read").into());
    }
    if !(8_000..=192_000).contains(&sample_rate_hz) {
        return Err(format!("sample rate {sample_rate_hz} Hz: only 8000 to 192000 are read").into());
    }
    Ok(())
}

fn encoding_name(tag: u16) -> String {
    let name = match tag {
        0x0000 => "an unknown encoding",
        0x0002 => "Microsoft ADPCM",
        0x0011 => "IMA ADPCM",
        0x0031 => "GSM 6.10",
        0x0050 => "MPEG audio",
        0x0055 => "MP3",
        0x00ff => "AAC",
        0x0161 => "Windows Media Audio",
        0x2000 => "AC-3",
        0x704f => "Opus",
        0xf1ac => "FLAC",
        _ => return format!("encoding {tag:#06x}"),
    };
    name.to_owned()
}

fn le16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
