//! Ogg Opus files to packets.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;

use ::ogg::reading::BasePacketReader;

use super::error::OggError;
use super::head::{OggHead, codec_of};
use super::page::{Page, Pages};
use super::stream::OpusStream;
use crate::core::format::rescale;
use crate::core::{Frame, Packet};
use crate::opus::packet::ticks_of;

/// Most bytes of a packet that is taken for sound (RFC 7845, section 6), and kept of one that goes over several pages.
const MAX_PACKET_BYTES: usize = 61_440;

/// Reader of Opus packets from an Ogg file (RFC 7845), or from anything else that can be read: a socket, a slice.
///
/// ```
/// # #[cfg(feature = "opus")] {
/// use voxframe::{Format, OpusDecode, Packet, Processor, Stage};
/// use voxframe::ogg::OggReader;
/// # use voxframe::{Frame, OpusEncode};
/// # use voxframe::ogg::{OggError, OggHead, OggWriter};
/// # let mut encoder = OpusEncode::voip().prepare(Format::mono(48_000)?)?;
/// # let mut writer = OggWriter::new(Vec::new(), OggHead::default())?;
/// # for index in 0..102 {
/// #     let mut frame = Frame::new(encoder.input_format());
/// #     frame.set_position(480 * index);
/// #     if let Some(packet) = encoder.process(&mut frame)? { writer.write(packet)?; }
/// # }
/// # let file = writer.finish_at(48_000)?;
///
/// let mut reader = OggReader::new(&file[..])?; // or a `File`: it needs no `BufReader`
/// let format = Format::new(48_000, reader.head().channels)?;
/// let mut decoder = OpusDecode { gain_db: reader.head().gain_db, ..OpusDecode::default() }.prepare(format)?;
/// let mut packet = Packet::new();
/// let mut samples: Vec<f32> = Vec::new();
/// while reader.read(&mut packet)? {
///     while !packet.is_empty() {
///         if let Some(frame) = decoder.process(&mut packet)? {
///             samples.extend(&frame.samples()[reader.audible_range(frame)]); // it is mono
///         }
///     }
/// }
/// assert_eq!(samples.len(), 48_000);
/// # }
/// # Ok::<(), voxframe::ogg::OggError>(())
/// ```
///
/// # What it makes of files
/// - **Positions**: a [`position`](Packet::position) is in ticks of 48 kHz since the beginning of the stream's sound.
///   The pre-skip (section 4.2) is taken off, so the first packet is at minus the pre-skip. Where counting began does not
///   matter: a recording of a live stream may begin anywhere.
/// - **End trimming**: the last page may say that the sound ends within its packets (section 4.4): [`end`](Self::end).
///   Packets behind that are left out.
/// - **Chained streams**, one behind the other, are read one after the other, each with its own [`head`](Self::head) and
///   positions from its own beginning: [`stream`](Self::stream). Of **multiplexed** ones, side by side, the first that is
///   Opus is read.
/// - A header that comes twice counts once.
///
/// # Damage
/// Bytes that make no page with a right checksum are skipped. Where pages are missing between others, [`Packet`]s come
/// that are [lost](Packet::is_lost), as long as the gap by the granule positions, but at most a minute; they hold the
/// bytes of the packet behind, whose FEC or DRED may rebuild some of it. Packets that are not Opus by their first
/// bytes are left out, and packets longer than [`Packet::MAX_BYTES`] are lost. [`damage`](Self::damage) counts all that.
/// Memory is bounded, whatever comes: less than 300 kB.
///
/// # Errors
/// Only a wrong header is refused, and each kind has its own [`OggError`]: another kind of file, another codec, more
/// than two channels. After an error, reading may go on: an [`OggError::Io`] is tried again, of other streams in the
/// file the next one is read.
pub struct OggReader<R> {
    pages: Pages<R>,
    /// Stream that is read, until the next begins.
    stream: Option<OpusStream>,
    /// Gap before the packets of the page read last, as far as it is not handed out yet.
    gap: Gap,
    /// Packets of that page that are not handed out yet.
    packets: VecDeque<PagePacket>,
    /// Whether there was an Opus stream.
    found_opus: bool,
    /// Codec of the first stream that is not Opus, where there is one, by its name where that is known.
    other_codec: Option<Option<&'static str>>,
    head: OggHead,
    /// Number of the stream, of those with packets, and whether it has any so far.
    stream_index: usize,
    stream_has_packets: bool,
    /// Position at which the sound in the packet read last ends.
    end: i64,
    lost_pages: u64,
    invalid_packets: u64,
}

/// Damage found in a file so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OggDamage {
    /// Bytes that are in no whole page with a right checksum.
    pub skipped_bytes: u64,
    /// Pages that are missing between others. What is missing at the end is not known.
    pub lost_pages: u64,
    /// Packets that are not Opus, or longer than an Opus packet can be.
    pub invalid_packets: u64,
    /// Whether the input ends within a page.
    pub truncated: bool,
}

/// Packet of the page read last.
struct PagePacket {
    bytes: Vec<u8>,
    position: i64,
    duration: u32,
    /// Position at which its sound ends.
    end: i64,
}

/// Ticks that are missing before the first packet of a page.
#[derive(Clone, Copy, Default)]
struct Gap {
    position: i64,
    left: u32,
    /// Length of the packets that fill it.
    packet_ticks: u32,
    /// Position at which the stream's sound ends.
    end: i64,
}

impl<R: Read> OggReader<R> {
    /// Reader behind the headers of the first Opus stream.
    ///
    /// # Errors
    /// See [`OggError`].
    pub fn new(input: R) -> Result<Self, OggError> {
        let mut reader = Self {
            pages: Pages::new(input),
            stream: None,
            gap: Gap::default(),
            packets: VecDeque::new(),
            found_opus: false,
            other_codec: None,
            head: OggHead::default(),
            stream_index: 0,
            stream_has_packets: false,
            end: 0,
            lost_pages: 0,
            invalid_packets: 0,
        };
        while !reader.stream.as_ref().is_some_and(|stream| stream.has_tags) {
            if reader.read_page()? {
                continue;
            }
            return Err(match (&reader.stream, reader.other_codec) {
                (None, Some(codec)) => OggError::NotOpus { codec },
                (None, None) if !reader.pages.truncated => OggError::NotOgg,
                _ => OggError::Truncated,
            });
        }
        Ok(reader)
    }

    /// Reads the next packet; `false` at the end, where `packet` stays as it was.
    ///
    /// # Errors
    /// [`OggError::Io`], and what is wrong with the headers of a further stream.
    pub fn read(&mut self, packet: &mut Packet) -> Result<bool, OggError> {
        while self.gap.left == 0 && self.packets.is_empty() {
            if !self.read_page()? {
                return Ok(false);
            }
        }
        if self.gap.left > 0 {
            let Gap { position, left, packet_ticks, end } = self.gap;
            let duration = packet_ticks.min(left);
            let next = self.packets.front().filter(|next| next.bytes.len() <= Packet::MAX_BYTES);
            let (later, later_position) = next.map_or((&[][..], 0), |next| (&next.bytes, next.position));
            packet.set_lost(position, duration, later, later_position)?;
            let position = position + i64::from(duration);
            self.gap = Gap { position, left: left - duration, packet_ticks, end };
            self.end = position.min(end);
        } else if let Some(next) = self.packets.pop_front() {
            if next.bytes.len() <= Packet::MAX_BYTES {
                packet.set_bytes(&next.bytes, next.position)?;
            } else {
                self.invalid_packets += 1;
                packet.set_lost(next.position, next.duration, &[], 0)?;
            }
            self.end = next.end;
        }
        Ok(true)
    }

    /// Identification header of the stream that the packet read last is from; at first, of the first stream.
    pub fn head(&self) -> OggHead {
        self.head
    }

    /// Number of the stream that the packet read last is from: 0 for the first. When it changes, a new decoder is
    /// needed, with the gain in the new [`head`](Self::head).
    pub fn stream(&self) -> usize {
        self.stream_index
    }

    /// Position at which the sound in the packet read last ends, in ticks: behind the packet, or within it.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Samples per channel to be played, of a frame decoded from the packet read last: without the pre-skip, and
    /// without what is behind the [`end`](Self::end).
    ///
    /// Packets that are shorter than a frame may end within one: then a [lost](Packet::set_lost) one behind the last
    /// gets it out of the decoder.
    pub fn audible_range(&self, frame: &Frame) -> Range<usize> {
        let format = frame.format();
        let length = format.samples_per_channel();
        let end = rescale(self.end, Packet::CLOCK_HZ, format.sample_rate_hz());
        let within = |position: i64| position.saturating_sub(frame.position()).clamp(0, length as i64) as usize;
        within(0)..within(end.max(0))
    }

    /// Damage found in the file so far.
    pub fn damage(&self) -> OggDamage {
        OggDamage {
            skipped_bytes: self.pages.skipped,
            lost_pages: self.lost_pages,
            invalid_packets: self.invalid_packets,
            truncated: self.pages.truncated,
        }
    }

    /// Reads a page, and takes the packets that end there if they are of our stream; `false` at the end.
    fn read_page(&mut self) -> Result<bool, OggError> {
        let Some(page) = self.pages.next()? else { return Ok(false) };
        let ours = self.stream.as_ref().is_some_and(|stream| stream.serial == page.serial);
        if page.begins_stream {
            // While only the first page of a stream was there, another one begins beside it, and later behind it.
            if ours || self.stream.as_ref().is_none_or(|stream| stream.is_past_first_page) {
                self.begin_stream(page)?;
            }
            return Ok(true);
        }
        if let (false, Some(codec)) = (self.found_opus, self.other_codec) {
            // All streams that are side by side have begun.
            return Err(OggError::NotOpus { codec });
        }
        if let Some(stream) = &mut self.stream {
            stream.is_past_first_page = true;
            if ours {
                self.take_packets(page)?;
            }
        }
        Ok(true)
    }

    /// Begins the stream whose first page this is, if that is Opus.
    fn begin_stream(&mut self, page: Page) -> Result<(), OggError> {
        let mut packets = BasePacketReader::new();
        // From now on it drops what it has only a part of, instead of failing.
        packets.update_after_seek();
        let first = packets.push_page(page.content).ok().and_then(|()| packets.read_packet());
        while packets.read_packet().is_some() {}
        let first = first.map_or(Vec::new(), |packet| packet.data);
        let Some(head) = OggHead::parse(&first) else {
            self.other_codec.get_or_insert(codec_of(&first));
            return Ok(());
        };
        self.stream = None;
        let (head, pre_skip) = head?;
        self.head = head;
        self.stream_index += usize::from(std::mem::take(&mut self.stream_has_packets));
        self.found_opus = true;
        self.stream = Some(OpusStream::new(page.serial, page.sequence, pre_skip, packets));
        Ok(())
    }

    /// Takes the packets that end on a page.
    fn take_packets(&mut self, page: Page) -> Result<(), OggError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        self.lost_pages += u64::from(stream.count_page(&page));
        stream.partial_bytes = if page.ends_packet { 0 } else { stream.partial_bytes + page.length };
        if stream.partial_bytes > MAX_PACKET_BYTES {
            // Nobody reads the comments, so they may be as long as they like.
            self.invalid_packets += u64::from(stream.has_tags);
            stream.has_tags = true;
            stream.forget_partial();
        } else if stream.packets.push_page(page.content).is_err() {
            stream.forget_partial();
        }

        while let Some(packet) = stream.packets.read_packet() {
            let bytes = packet.data;
            if !stream.has_tags {
                stream.has_tags = true;
                if bytes.starts_with(b"OpusTags") {
                    continue;
                }
                if !stream.has_gap {
                    self.stream = None;
                    return Err(OggError::NoTags);
                }
            }
            let duration = if bytes.len() <= MAX_PACKET_BYTES { ticks_of(&bytes) } else { 0 };
            if duration > 0 {
                self.packets.push_back(PagePacket { bytes, position: 0, duration, end: 0 });
            } else {
                self.invalid_packets += 1;
            }
        }

        let length = self.packets.iter().map(|packet| i64::from(packet.duration)).sum();
        stream.packet_ticks = self.packets.front().map_or(stream.packet_ticks, |first| first.duration);
        let gap = stream.gap_ticks(page.granule, page.ends_stream, length);
        if length == 0 && (gap == 0 || !page.ends_stream) {
            return Ok(()); // The next page will say the same, and have a packet to rebuild the last lost one from.
        }
        let end = if page.ends_stream { stream.end_position(page.granule, i64::from(gap) + length) } else { i64::MAX };
        let position = stream.ticks - stream.pre_skip;
        self.gap = Gap { position, left: gap, packet_ticks: stream.packet_ticks, end };
        stream.ticks += i64::from(gap);
        for packet in &mut self.packets {
            packet.position = stream.ticks - stream.pre_skip;
            stream.ticks += i64::from(packet.duration);
            packet.end = (stream.ticks - stream.pre_skip).min(end);
        }
        self.packets.retain(|packet| packet.position < packet.end);
        self.stream_has_packets |= gap > 0 || !self.packets.is_empty();
        if page.granule >= 0 {
            stream.anchor = Some((page.granule, stream.ticks));
            stream.has_gap = false;
        }
        Ok(())
    }
}

impl<R> std::fmt::Debug for OggReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OggReader({:?}, stream {}, at {})", self.head, self.stream_index, self.end)
    }
}
