//! Opus in Ogg files (RFC 7845).

use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ogg::reading::OggReadError;
use ogg::{PacketReader, PacketWriteEndInfo as End, PacketWriter};
use voxframe::Packet;

use super::output::Output;
use super::wav::WavInput;
use super::{Of, Result, kind_of, note};

/// A page is closed when it holds this much sound: 1 s, in ticks.
const PAGE_TICKS: i64 = 48_000;

/// An Ogg Opus file being written.
pub struct OpusOutput {
    // Before the file that it writes to, so that it is dropped first.
    ogg: PacketWriter<'static, BufWriter<File>>,
    output: Output,
    serial: u32,
    channels: u8,
    input_hz: u32,
    /// Length of the sound, in ticks.
    duration: i64,
    /// Position of the first packet: minus the pre-skip.
    start: Option<i64>,
    /// Granule position at which the page began.
    page: i64,
    full: bool,
    packet_ticks: u32,
    pub packets: u64,
    pub bytes: u64,
}

impl OpusOutput {
    /// For all of `input`, encoded with this many channels.
    pub fn create(path: &Path, channels: usize, input: &WavInput) -> Result<Self> {
        let (input_hz, duration) = (input.header().sample_rate_hz, input.samples_at(Packet::CLOCK_HZ));
        Self::with_duration(path, channels, input_hz, duration)
    }

    /// For `duration` ticks of sound that was captured at `input_hz`.
    pub fn with_duration(path: &Path, channels: usize, input_hz: u32, duration: u64) -> Result<Self> {
        let (output, file) = Output::create(path)?;
        Ok(Self {
            ogg: PacketWriter::new(file),
            output,
            // Streams that may be joined in one file need different ones.
            serial: RandomState::new().hash_one(path) as u32,
            channels: channels as u8,
            input_hz,
            duration: duration as i64,
            start: None,
            page: 0,
            full: false,
            packet_ticks: 0,
            packets: 0,
            bytes: 0,
        })
    }

    /// Writes the next packet; one that begins behind the end is dropped.
    pub fn write(&mut self, packet: &Packet) -> Result {
        if self.full {
            return Ok(());
        }
        let start = match self.start {
            Some(start) => start,
            None => self.write_headers(packet.position())?,
        };
        // What was decoded before position 0 was never captured: the decoder skips it. And it stops where the last
        // page says, in the middle of a packet.
        let end = packet.position() + i64::from(packet.duration());
        self.full = end >= self.duration;
        let granule = end.min(self.duration) - start;
        let info = match self.full {
            true => End::EndStream,
            false if granule - self.page >= PAGE_TICKS => End::EndPage,
            false => End::NormalPacket,
        };
        if info == End::EndPage {
            self.page = granule;
        }
        self.packet_ticks = packet.duration();
        self.packets += 1;
        self.bytes += packet.as_bytes().len() as u64;
        self.put(packet.as_bytes().to_vec(), info, granule)
    }

    /// Length of a packet in ms: all have the same.
    pub fn packet_ms(&self) -> f64 {
        self.packet_ticks as f64 / 48.0
    }

    /// The bit rate of the packets so far, without what Ogg adds.
    pub fn bitrate_kbps(&self) -> f64 {
        self.bytes as f64 * 8.0 / (self.packet_ms() * self.packets as f64).max(1.0)
    }

    /// Whether the packets so far hold all the sound.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Completes the file, but for its name.
    pub fn finish(self) -> Result<Output> {
        self.ogg.into_inner().flush().of(self.output.path())?;
        Ok(self.output)
    }

    fn write_headers(&mut self, start: i64) -> Result<i64> {
        let pre_skip = u16::try_from(-start).map_err(|_| "the first packet must begin at most 1.3 s before the sound");
        let mut head = b"OpusHead\x01".to_vec();
        head.push(self.channels);
        head.extend(pre_skip.of(self.output.path())?.to_le_bytes());
        head.extend(self.input_hz.to_le_bytes());
        head.extend([0; 3]); // no gain, channel mapping family 0
        self.put(head, End::EndPage, 0)?;

        let vendor = concat!("voxframe ", env!("CARGO_PKG_VERSION"));
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor.as_bytes());
        tags.extend([0; 4]); // no comments
        self.put(tags, End::EndPage, 0)?;
        self.start = Some(start);
        Ok(start)
    }

    fn put(&mut self, bytes: Vec<u8>, info: End, granule: i64) -> Result {
        self.ogg.write_packet(bytes, self.serial, info, granule as u64).of(self.output.path())
    }
}

/// What a stream says of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpusHead {
    pub channels: usize,
    pub pre_skip: i64,
    pub gain_db: f32,
}

impl OpusHead {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let codecs: [(&[u8], &str); 5] = [
            (b"\x01vorbis", "Vorbis"),
            (b"\x7fFLAC", "FLAC"),
            (b"Speex   ", "Speex"),
            (b"\x80theora", "Theora video"),
            (b"fishead", "Skeleton"),
        ];
        if !bytes.starts_with(b"OpusHead") {
            let found = codecs.iter().find(|(magic, _)| bytes.starts_with(magic));
            return Err(format!("not Opus but {} in Ogg", found.map_or("something else", |(_, name)| name)));
        }
        let (Some(&version), Some(&channels), Some(rest)) = (bytes.get(8), bytes.get(9), bytes.get(10..19)) else {
            return Err(format!("its OpusHead has only {} bytes", bytes.len()));
        };
        let family = rest[8];
        if version >> 4 != 0 {
            return Err(format!("version {version} of OpusHead is not known"));
        }
        if family != 0 || !(1..=2).contains(&channels) {
            let only = "only mono and stereo (family 0) are decoded";
            return Err(format!("{channels} channels in mapping family {family}: {only}"));
        }
        let pre_skip = u16::from_le_bytes([rest[0], rest[1]]).into();
        let gain_db = f32::from(i16::from_le_bytes([rest[6], rest[7]])) / 256.0;
        Ok(Self { channels: channels.into(), pre_skip, gain_db })
    }
}

/// A packet from a file.
#[derive(Clone, Debug)]
pub struct FilePacket {
    /// The header of its stream.
    pub head: OpusHead,
    /// Whether it is the first of its stream.
    pub is_first: bool,
    pub bytes: Vec<u8>,
    /// In ticks since the beginning of its stream's sound: negative during the pre-skip.
    pub position: i64,
    /// In ticks.
    pub duration: u32,
    /// Where its sound ends: behind it, or where the stream's last page says; in ticks.
    pub end: i64,
}

/// An Ogg Opus file being read: one stream, or several after each other (chained).
pub struct OpusInput {
    path: PathBuf,
    ogg: PacketReader<BufReader<File>>,
    stream: Option<Stream>,
    /// Packets of the page read last.
    page: VecDeque<FilePacket>,
    scratch: Packet,
    packets: u64,
}

struct Stream {
    serial: u32,
    head: OpusHead,
    /// Whether its second header, OpusTags, was there.
    tagged: bool,
    /// The granule position before the first packet; a recording of a live stream may begin anywhere.
    first: Option<i64>,
    /// Ticks of all packets so far.
    ticks: i64,
}

impl OpusInput {
    pub fn open(path: &Path) -> Result<Self> {
        if !path.metadata().of(path)?.is_file() {
            return Err("not a file").of(path);
        }
        let mut reader = BufReader::new(File::open(path).of(path)?);
        let mut head = Vec::new();
        reader.by_ref().take(8).read_to_end(&mut head).of(path)?;
        if !head.starts_with(b"OggS") {
            return Err(format!("not an Ogg file but {}", kind_of(&head))).of(path);
        }
        reader.rewind().of(path)?;
        let ogg = PacketReader::new(reader);
        let (page, scratch) = (VecDeque::new(), Packet::new());
        Ok(Self { path: path.to_owned(), ogg, stream: None, page, scratch, packets: 0 })
    }

    /// The next packet; none at the end.
    pub fn next_packet(&mut self) -> Result<Option<FilePacket>> {
        while self.page.is_empty() {
            if !self.read_page()? {
                return Ok(None);
            }
        }
        Ok(self.page.pop_front())
    }

    /// Reads the packets that end on the next page; whether there was one.
    fn read_page(&mut self) -> Result<bool> {
        let mut packets = Vec::new();
        let (granule, is_last) = loop {
            let packet = match self.ogg.read_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) if self.stream.is_none() => return Err("no Ogg page in it").of(&self.path),
                Ok(None) => return Ok(false),
                Err(OggReadError::ReadError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    if self.stream.is_none() {
                        return Err("ends within its first Ogg page").of(&self.path);
                    }
                    note(&self.path, "cut short: its last Ogg page is not whole");
                    return Ok(false);
                }
                Err(OggReadError::HashMismatch(..)) => {
                    return Err("damaged: an Ogg page has a wrong checksum").of(&self.path);
                }
                Err(OggReadError::InvalidData) => {
                    return Err("damaged: its Ogg pages do not follow each other").of(&self.path);
                }
                Err(error) => return Err(format!("damaged: {error}")).of(&self.path),
            };
            if packet.first_in_stream() {
                self.begin(packet.stream_serial(), &packet.data)?;
            } else {
                self.belongs(packet.stream_serial())?;
                packets.push(packet.data.clone());
            }
            if packet.last_in_page() {
                break (packet.absgp_page() as i64, packet.last_in_stream());
            }
        };
        let Some(stream) = &mut self.stream else { return Ok(true) };
        let first_ticks = stream.ticks;
        for bytes in packets {
            if !stream.tagged {
                if !bytes.starts_with(b"OpusTags") {
                    return Err("damaged: its second packet is not OpusTags").of(&self.path);
                }
                stream.tagged = true;
                continue;
            }
            self.packets += 1;
            let duration = match self.scratch.set_bytes(&bytes, 0) {
                Ok(()) => self.scratch.duration(),
                Err(error) => return Err(format!("packet {}: {error}", self.packets)).of(&self.path),
            };
            if duration == 0 {
                return Err(format!("packet {} is not Opus", self.packets)).of(&self.path);
            }
            let (head, is_first) = (stream.head, stream.ticks == 0);
            let position = stream.ticks - head.pre_skip;
            let end = position + i64::from(duration);
            self.page.push_back(FilePacket { head, is_first, bytes, position, duration, end });
            stream.ticks += i64::from(duration);
        }
        if self.page.is_empty() || granule < 0 {
            return Ok(true);
        }
        // The first page says where counting began, unless it is also the last, whose packets may be cut.
        let began = granule.saturating_sub(stream.ticks - first_ticks).max(0);
        let first = *stream.first.get_or_insert(began);
        if is_last {
            let end = granule.saturating_sub(first).saturating_sub(stream.head.pre_skip);
            self.page.iter_mut().for_each(|packet| packet.end = packet.end.min(end));
        }
        Ok(true)
    }

    /// A new stream, behind the one before.
    fn begin(&mut self, serial: u32, bytes: &[u8]) -> Result {
        if self.stream.as_ref().is_some_and(|stream| stream.ticks == 0) {
            return Err("has several streams side by side: only those with a single one are decoded").of(&self.path);
        }
        let head = OpusHead::parse(bytes).of(&self.path)?;
        self.stream = Some(Stream { serial, head, tagged: false, first: None, ticks: 0 });
        Ok(())
    }

    fn belongs(&self, serial: u32) -> Result {
        match &self.stream {
            Some(stream) if stream.serial == serial => Ok(()),
            _ => Err("damaged: an Ogg page belongs to no stream").of(&self.path),
        }
    }
}
