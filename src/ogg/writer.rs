//! Packets to Ogg Opus files.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;

use ::ogg::{PacketWriteEndInfo as End, PacketWriter};

use super::error::OggError;
use super::head::OggHead;
use crate::core::error::CodecError;
use crate::core::{Error, Packet};
use crate::opus::packet::{MAX_TICKS, ticks_of};

/// Length of a page: 1 s, in ticks.
const PAGE_TICKS: i64 = Packet::CLOCK_HZ as i64;

/// Sound held back before a page is written, in ticks: then another second is left, to be cut at the end.
const HELD_TICKS: i64 = 2 * PAGE_TICKS + MAX_PACKET_TICKS;

/// Longest gap between packets that is filled: a day, about as much as RTP timestamps can tell, in ticks.
const MAX_GAP_TICKS: i64 = 24 * 3600 * Packet::CLOCK_HZ as i64;

/// Longest packet, in ticks.
const MAX_PACKET_TICKS: i64 = MAX_TICKS as i64;

/// Configurations (RFC 6716, section 3.1) of the shortest frames there are, and of a gap before any packet.
const CELT_2_5_MS: u8 = 28;
const SILK_20_MS: u8 = 9;

/// Writer of Opus packets as an Ogg file (RFC 7845), or to anything else that can be written to.
///
/// ```
/// # #[cfg(feature = "opus")] {
/// use voxframe::{Capture, Format, OpusEncode, Stage};
/// use voxframe::ogg::{OggError, OggHead, OggWriter};
///
/// let format = Format::mono(48_000)?;
/// let mut capture = Capture::new(48_000, 1, format)?;
/// let mut encoder = OpusEncode::voip().prepare(format)?;
/// let head = OggHead { channels: 1, input_rate_hz: 48_000, ..OggHead::default() };
/// let mut writer = OggWriter::new(Vec::new(), head)?; // or a `BufWriter<File>`
/// let mut write = |samples: &[f32]| capture.run(samples, &mut encoder, |packet| writer.write(packet));
/// write(&[0.1; 70_000])?;
/// write(&[0.0; 960 + 312])?; // the end has to come out of the last frames and the encoder's lookahead
/// let file = writer.finish_at(70_000)?; // exactly as much as went in
/// assert!(file.starts_with(b"OggS"));
/// # }
/// # Ok::<(), voxframe::ogg::OggError>(())
/// ```
///
/// The pre-skip is the part of the first packet before position 0. Packets that are [lost](Packet::is_lost), and those
/// missing between the positions of others, become packets without sound, which a decoder fills as if they had been
/// lost (section 4.1): so a call can be recorded as it arrives.
///
/// A page holds 1 s. It is written when another second is there, in many small writes: give it a
/// [`BufWriter`](std::io::BufWriter). Until it is finished, a file lacks its last two seconds and the mark of its end.
/// Several streams one behind the other (chained) are written by giving what [`finish`](Self::finish) returns to the
/// next writer.
#[must_use = "a file is complete only when it is finished"]
pub struct OggWriter<W: Write> {
    ogg: PacketWriter<'static, W>,
    head: OggHead,
    serial: u32,
    /// Position of the first packet: minus the pre-skip.
    start: Option<i64>,
    /// Whether the headers are written.
    headers_written: bool,
    /// Position at which the next packet has to begin.
    position: i64,
    /// First byte (TOC) of the packet before.
    toc: u8,
    /// Packets that are not written yet, with the positions at which they end.
    packets: VecDeque<(Vec<u8>, i64)>,
    /// Position at which the first of them begins.
    page_start: i64,
}

impl<W: Write> OggWriter<W> {
    /// Writer of a stream with this header; nothing is written yet.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] in [`OggError::Voxframe`].
    pub fn new(output: W, head: OggHead) -> Result<Self, OggError> {
        head.validate()?;
        Ok(Self {
            ogg: PacketWriter::new(output),
            head,
            // Streams that may be joined in one file need different ones.
            serial: RandomState::new().hash_one(()) as u32,
            start: None,
            headers_written: false,
            position: 0,
            toc: SILK_20_MS << 3,
            packets: VecDeque::new(),
            page_start: 0,
        })
    }

    /// Adds the next packet.
    ///
    /// # Errors
    /// [`OggError::StartPosition`], [`OggError::Position`], [`CodecError::InvalidPacket`]: the file is then as if the packet
    /// had never come. [`OggError::Io`]: it is of no use any more.
    pub fn write(&mut self, packet: &Packet) -> Result<(), OggError> {
        let (bytes, position) = (packet.as_bytes(), packet.position());
        let is_gap = packet.is_lost() || bytes.is_empty();
        let duration = if is_gap { packet.duration() } else { ticks_of(bytes) };
        if duration == 0 {
            return Err(Error::Codec(CodecError::InvalidPacket).into());
        }
        if self.start.is_none() {
            let pre_skip =
                u16::try_from(position.saturating_neg()).map_err(|_| OggError::StartPosition { position })?;
            self.start = Some(-i64::from(pre_skip));
            (self.position, self.page_start) = (position, position);
        }
        let end = position.saturating_add(duration.into());
        if position < self.position || end.saturating_sub(self.position) > MAX_GAP_TICKS {
            return Err(OggError::Position { expected: self.position, actual: position });
        }
        if is_gap {
            return self.fill_gap(end);
        }
        self.fill_gap(position)?;
        self.toc = bytes[0];
        self.push(bytes)
    }

    /// Ends the file behind the last packet.
    ///
    /// # Errors
    /// [`OggError::Io`].
    pub fn finish(self) -> Result<W, OggError> {
        let end = self.position;
        self.finish_at(end)
    }

    /// Ends the file at a position, in ticks: a player stops there, in the middle of a packet. Packets that begin
    /// behind it are left out; if the last one ends before it, the rest is a gap.
    ///
    /// # Errors
    /// [`OggError::EndPosition`] if that is more than a second before the end of the packets, or more than a day behind;
    /// [`OggError::Io`].
    pub fn finish_at(mut self, end: i64) -> Result<W, OggError> {
        if self.start.is_some() {
            let latest = self.position.saturating_add(MAX_GAP_TICKS);
            if !(self.page_start..=latest).contains(&end) {
                return Err(OggError::EndPosition { end, earliest: self.page_start, latest });
            }
            if end > self.position {
                // In whole frames, as those before.
                self.fill_gap(end.saturating_add(i64::from(ticks_of(&[self.toc & !3])) - 1))?;
            }
            let last = self.packets.iter().position(|(_, position)| *position >= end);
            self.packets.truncate(last.map_or(self.packets.len(), |last| last + 1));
            if let Some((_, position)) = self.packets.back_mut() {
                *position = end;
            }
        }
        self.write_page(End::EndStream)?;
        while !self.packets.is_empty() {
            self.write_page(End::EndStream)?;
        }
        let mut output = self.ogg.into_inner();
        output.flush()?;
        Ok(output)
    }

    /// Adds packets without sound up to a position, as near as the grid of Opus lengths allows.
    fn fill_gap(&mut self, end: i64) -> Result<(), OggError> {
        loop {
            let left = end - self.position;
            let config = self.toc >> 3;
            let shortest = if (12..16).contains(&config) { config & !1 } else { config & !3 };
            let with_length = [config, shortest, CELT_2_5_MS].map(|config| (config, ticks_of(&[config << 3])));
            let Some((config, ticks)) = with_length.into_iter().find(|(_, ticks)| i64::from(*ticks) <= left) else {
                return Ok(());
            };
            // As many frames as there may be, of no bytes each (RFC 6716, section 3.2.5).
            let frames = (left.min(MAX_PACKET_TICKS) / i64::from(ticks)) as u8;
            self.push(&[config << 3 | self.toc & 4 | 3, frames])?;
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), OggError> {
        if self.position - self.page_start >= HELD_TICKS {
            self.write_page(End::EndPage)?;
        }
        self.position += i64::from(ticks_of(bytes));
        self.packets.push_back((bytes.to_vec(), self.position));
        Ok(())
    }

    /// Writes a page, and before the first the headers. `end` is for the last packet there is, or, where there is none,
    /// for the headers.
    fn write_page(&mut self, end: End) -> Result<(), OggError> {
        let start = self.start.unwrap_or(0);
        if !self.headers_written {
            self.headers_written = true;
            self.ogg.write_packet(self.head.to_bytes(-start as u16), self.serial, End::EndPage, 0)?;
            let vendor = concat!("voxframe ", env!("CARGO_PKG_VERSION"));
            let mut tags = b"OpusTags".to_vec();
            tags.extend((vendor.len() as u32).to_le_bytes());
            tags.extend(vendor.as_bytes());
            tags.extend([0; 4]); // no comments
            let end = if self.packets.is_empty() { end } else { End::EndPage };
            self.ogg.write_packet(tags, self.serial, end, 0)?;
        }
        let page_end = self.page_start + PAGE_TICKS;
        while let Some((bytes, position)) = self.packets.pop_front() {
            self.page_start = position;
            let full = position >= page_end;
            let info = match self.packets.is_empty() {
                true => end,
                false if full => End::EndPage,
                false => End::NormalPacket,
            };
            self.ogg.write_packet(bytes, self.serial, info, (position - start) as u64)?;
            if full {
                break;
            }
        }
        Ok(())
    }
}

impl<W: Write> std::fmt::Debug for OggWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OggWriter({:?}, at {})", self.head, self.position)
    }
}
