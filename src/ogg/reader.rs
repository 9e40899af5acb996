//! Ogg Opus files to packets.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;

use ::ogg::reading::BasePacketReader;

use super::head::codec_of;
use super::page::{Page, Pages};
use super::{OggError, OggHead};
use crate::core::format::rescale;
use crate::core::{Frame, Packet};
use crate::opus::packet::ticks_of;

/// The most bytes in a packet that are taken for sound (RFC 7845, section 6), and kept of one that goes over several
/// pages.
const MOST_BYTES: usize = 61_440;

/// The longest hole that is filled: a minute, in ticks.
const LONGEST_HOLE: i64 = 60 * Packet::CLOCK_HZ as i64;

/// The grid of all Opus lengths: 2.5 ms, in ticks.
const GRID: i64 = 120;

/// Reads Opus packets from an Ogg file (RFC 7845), or from anything else that can be read: a socket, a slice.
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
///             samples.extend(&frame.samples()[reader.heard(frame)]); // it is mono
///         }
///     }
/// }
/// assert_eq!(samples.len(), 48_000);
/// # }
/// # Ok::<(), voxframe::ogg::OggError>(())
/// ```
///
/// # What it makes of files
/// - A [`position`](Packet::position) is in ticks of 48 kHz since the beginning of the stream's sound: the pre-skip
///   (section 4.2) is taken off, so the first packet is at minus the pre-skip. Where counting began does not matter: a
///   recording of a live stream may begin anywhere.
/// - The last page may say that the sound ends within its packets (section 4.4): [`end`](Self::end). Packets behind
///   that are left out.
/// - Several streams one behind the other (chained) are read one after the other, each with its own
///   [`head`](Self::head) and positions from its own beginning: [`stream`](Self::stream). Of several side by side
///   (multiplexed), the first that is Opus is read.
/// - A header that comes twice counts once.
///
/// # Damage
/// Bytes that make no page with a right checksum are skipped. Where pages are missing between others, [`Packet`]s come
/// that are [lost](Packet::is_lost), as long as the hole by the granule positions, but at most a minute; they
/// hold the bytes of the packet behind, whose FEC or DRED may rebuild some of it. Packets that are none by their first
/// bytes are left out, and packets longer than [`Packet::MAX_BYTES`] are lost. [`damage`](Self::damage) counts all that.
/// Memory is bounded, whatever comes: less than 300 kB.
///
/// # Errors
/// Whatever is refused is a wrong header, and each has its own [`OggError`]: another kind of file, another codec,
/// more than two channels. After an error, reading may go on: an [`OggError::Io`] is tried again, of other streams in
/// the file the next one is read.
pub struct OggReader<R> {
    pages: Pages<R>,
    /// The stream that is read, until the next begins.
    stream: Option<OpusStream>,
    /// What of the page read last is not handed out yet.
    hole: Hole,
    packets: VecDeque<PagePacket>,
    /// Whether there was a stream at all; and what the first one is that is not Opus.
    found: bool,
    codec: Option<Option<&'static str>>,
    head: OggHead,
    /// Which of the streams that have packets this is, and whether it has any so far.
    index: usize,
    given: bool,
    end: i64,
    lost_pages: u64,
    bad_packets: u64,
}

/// What was wrong with a file so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OggDamage {
    /// Bytes that are in no whole page with a right checksum.
    pub skipped_bytes: u64,
    /// Pages that are missing between others. What is missing at the end is not known.
    pub lost_pages: u64,
    /// Packets that are no Opus packets, or longer than one can be.
    pub bad_packets: u64,
    /// Whether the input ends within a page.
    pub cut_short: bool,
}

/// A packet of the page read last.
struct PagePacket {
    bytes: Vec<u8>,
    position: i64,
    duration: u32,
    end: i64,
}

/// Ticks that are missing before the first packet of a page.
#[derive(Clone, Copy, Default)]
struct Hole {
    position: i64,
    left: u32,
    /// Length of the packets that fill it.
    step: u32,
    /// Where the stream's sound ends.
    end: i64,
}

struct OpusStream {
    serial: u32,
    pre_skip: i64,
    packets: BasePacketReader,
    /// The number of the next page.
    sequence: u32,
    /// Whether a page after the first was there.
    grouped: bool,
    /// Whether its second header, OpusTags, was there.
    tagged: bool,
    /// Whether pages are missing since the last one that is accounted for.
    holed: bool,
    /// Ticks of one of its packets.
    step: u32,
    /// Bytes kept of a packet that goes over several pages.
    kept: usize,
    /// Ticks of all packets so far.
    ticks: i64,
    /// A granule position, and the ticks at which it was.
    known: Option<(i64, i64)>,
}

impl<R: Read> OggReader<R> {
    /// Reads the headers of the first Opus stream.
    ///
    /// # Errors
    /// See [`OggError`].
    pub fn new(input: R) -> Result<Self, OggError> {
        let mut reader = Self {
            pages: Pages::new(input),
            stream: None,
            hole: Hole::default(),
            packets: VecDeque::new(),
            found: false,
            codec: None,
            head: OggHead::default(),
            index: 0,
            given: false,
            end: 0,
            lost_pages: 0,
            bad_packets: 0,
        };
        while !reader.stream.as_ref().is_some_and(|stream| stream.tagged) {
            if reader.read_page()? {
                continue;
            }
            return Err(match (&reader.stream, reader.codec) {
                (None, Some(codec)) => OggError::NotOpus { codec },
                (None, None) if !reader.pages.cut_short => OggError::NotOgg,
                _ => OggError::CutShort,
            });
        }
        Ok(reader)
    }

    /// Reads the next packet; `false` at the end, where `packet` stays as it was.
    ///
    /// # Errors
    /// [`OggError::Io`], and what is wrong with the headers of a further stream.
    pub fn read(&mut self, packet: &mut Packet) -> Result<bool, OggError> {
        while self.hole.left == 0 && self.packets.is_empty() {
            if !self.read_page()? {
                return Ok(false);
            }
        }
        if self.hole.left > 0 {
            let Hole { position, left, step, end } = self.hole;
            let duration = step.min(left);
            let next = self.packets.front().filter(|next| next.bytes.len() <= Packet::MAX_BYTES);
            let (later, at) = next.map_or((&[][..], 0), |next| (&next.bytes, next.position));
            packet.set_lost(position, duration, later, at)?;
            let position = position + i64::from(duration);
            self.hole = Hole { position, left: left - duration, step, end };
            self.end = position.min(end);
        } else if let Some(next) = self.packets.pop_front() {
            if next.bytes.len() <= Packet::MAX_BYTES {
                packet.set_bytes(&next.bytes, next.position)?;
            } else {
                self.bad_packets += 1;
                packet.set_lost(next.position, next.duration, &[], 0)?;
            }
            self.end = next.end;
        }
        Ok(true)
    }

    /// The head of the stream that the packet read last is from; at first, of the first stream.
    pub fn head(&self) -> OggHead {
        self.head
    }

    /// Which stream the packet read last is from: 0 for the first. When it changes, a new decoder is needed, with the
    /// gain in the new [`head`](Self::head).
    pub fn stream(&self) -> usize {
        self.index
    }

    /// Where the sound in the packet read last ends, in ticks: behind the packet, or within it.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Which samples per channel of a frame decoded from the packet read last are to be heard: not the pre-skip, nor what
    /// is behind the [`end`](Self::end).
    ///
    /// Packets that are shorter than a frame may end within one: then a [lost](Packet::set_lost) one behind the last
    /// gets it out of the decoder.
    pub fn heard(&self, frame: &Frame) -> Range<usize> {
        let format = frame.format();
        let length = format.samples_per_channel();
        let end = rescale(self.end, Packet::CLOCK_HZ, format.sample_rate_hz());
        let within = |position: i64| position.saturating_sub(frame.position()).clamp(0, length as i64) as usize;
        within(0)..within(end.max(0))
    }

    /// What was wrong with the file so far.
    pub fn damage(&self) -> OggDamage {
        OggDamage {
            skipped_bytes: self.pages.skipped,
            lost_pages: self.lost_pages,
            bad_packets: self.bad_packets,
            cut_short: self.pages.cut_short,
        }
    }

    /// Reads a page, and takes the packets that end there if they are of our stream; whether there was one.
    fn read_page(&mut self) -> Result<bool, OggError> {
        let Some(page) = self.pages.next()? else { return Ok(false) };
        let ours = self.stream.as_ref().is_some_and(|stream| stream.serial == page.serial);
        if page.begins_stream {
            // While only the first page of a stream was there, another one begins beside it, and later behind it.
            if ours || self.stream.as_ref().is_none_or(|stream| stream.grouped) {
                self.begin(page)?;
            }
            return Ok(true);
        }
        if let (false, Some(codec)) = (self.found, self.codec) {
            // All streams that are side by side have begun.
            return Err(OggError::NotOpus { codec });
        }
        if let Some(stream) = &mut self.stream {
            stream.grouped = true;
            if ours {
                self.take(page)?;
            }
        }
        Ok(true)
    }

    /// Begins the stream whose first page this is, if that is Opus.
    fn begin(&mut self, page: Page) -> Result<(), OggError> {
        let mut packets = BasePacketReader::new();
        // From now on it drops what it has only a part of, instead of failing.
        packets.update_after_seek();
        let first = packets.push_page(page.content).ok().and_then(|()| packets.read_packet());
        while packets.read_packet().is_some() {}
        let first = first.map_or(Vec::new(), |packet| packet.data);
        let Some(head) = OggHead::parse(&first) else {
            self.codec.get_or_insert(codec_of(&first));
            return Ok(());
        };
        self.stream = None;
        let (head, pre_skip) = head?;
        self.head = head;
        self.index += usize::from(std::mem::take(&mut self.given));
        self.found = true;
        self.stream = Some(OpusStream {
            serial: page.serial,
            pre_skip: pre_skip.into(),
            packets,
            sequence: page.sequence.wrapping_add(1),
            grouped: false,
            tagged: false,
            holed: false,
            step: 960, // 20 ms, as most have
            kept: 0,
            ticks: 0,
            known: None,
        });
        Ok(())
    }

    /// Takes the packets that end on a page.
    fn take(&mut self, page: Page) -> Result<(), OggError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let missing = page.sequence.wrapping_sub(stream.sequence);
        stream.sequence = page.sequence.wrapping_add(1);
        if missing != 0 {
            // Numbers that go back are no numbers; and a live stream is joined anywhere.
            if missing <= u32::MAX / 2 && stream.known.is_some() {
                self.lost_pages += u64::from(missing);
            }
            stream.holed = true;
            stream.forget_parts();
        }
        stream.kept = if page.ends_packet { 0 } else { stream.kept + page.length };
        if stream.kept > MOST_BYTES {
            // Nobody reads the comments, so they may be as long as they like.
            self.bad_packets += u64::from(stream.tagged);
            stream.tagged = true;
            stream.forget_parts();
        } else if stream.packets.push_page(page.content).is_err() {
            stream.forget_parts();
        }

        while let Some(packet) = stream.packets.read_packet() {
            let bytes = packet.data;
            if !stream.tagged {
                stream.tagged = true;
                if bytes.starts_with(b"OpusTags") {
                    continue;
                }
                if !stream.holed {
                    self.stream = None;
                    return Err(OggError::NoTags);
                }
            }
            let duration = if bytes.len() <= MOST_BYTES { ticks_of(&bytes) } else { 0 };
            if duration > 0 {
                self.packets.push_back(PagePacket { bytes, position: 0, duration, end: 0 });
            } else {
                self.bad_packets += 1;
            }
        }

        let length = self.packets.iter().map(|packet| i64::from(packet.duration)).sum();
        stream.step = self.packets.front().map_or(stream.step, |first| first.duration);
        let gap = stream.gap(page.granule, page.ends_stream, length);
        if length == 0 && (gap == 0 || !page.ends_stream) {
            return Ok(()); // The next page will say the same, and have a packet to rebuild the last lost one from.
        }
        let end = if page.ends_stream { stream.end(page.granule, i64::from(gap) + length) } else { i64::MAX };
        self.hole = Hole { position: stream.ticks - stream.pre_skip, left: gap, step: stream.step, end };
        stream.ticks += i64::from(gap);
        for packet in &mut self.packets {
            packet.position = stream.ticks - stream.pre_skip;
            stream.ticks += i64::from(packet.duration);
            packet.end = (stream.ticks - stream.pre_skip).min(end);
        }
        self.packets.retain(|packet| packet.position < packet.end);
        self.given |= gap > 0 || !self.packets.is_empty();
        if page.granule >= 0 {
            stream.known = Some((page.granule, stream.ticks));
            stream.holed = false;
        }
        Ok(())
    }
}

impl<R> std::fmt::Debug for OggReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OggReader({:?}, stream {}, at {})", self.head, self.index, self.end)
    }
}

impl OpusStream {
    /// Forgets what there is of a packet whose other part is missing, or too long.
    fn forget_parts(&mut self) {
        self.packets.update_after_seek();
        self.kept = 0;
    }

    /// Ticks that are missing before the packets that end on a page, which have `length` ticks.
    fn gap(&self, granule: i64, is_last: bool, length: i64) -> u32 {
        let (true, 0.., Some((known, at))) = (self.holed, granule, self.known) else { return 0 };
        let expected = known.saturating_add(self.ticks - at);
        let mut gap = granule.saturating_sub(length).saturating_sub(expected);
        if is_last {
            // By the granule position the sound ends within a packet, and the packets themselves a little later.
            let step = i64::from(self.step);
            gap = gap.saturating_add(step - 1) / step * step;
        }
        if (0..=LONGEST_HOLE).contains(&gap) { (gap / GRID * GRID) as u32 } else { 0 }
    }

    /// The position at which the sound ends by the granule position of the last page, of which `length` ticks are not
    /// counted yet.
    fn end(&self, granule: i64, length: i64) -> i64 {
        if granule < 0 {
            return i64::MAX;
        }
        // On the only page nothing says where counting began, unless packets would have been cut at the beginning.
        let (known, at) = self.known.unwrap_or((granule.saturating_sub(length).max(0), self.ticks));
        granule.saturating_sub(known).saturating_add(at).saturating_sub(self.pre_skip)
    }
}
