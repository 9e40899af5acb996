//! Opus in RTP packets (RFC 3550, RFC 7587).

use rtp_types::{RtpPacket, RtpPacketBuilder, RtpParseError, RtpWriteError};

use crate::core::error::{RtpError, in_range};
use crate::core::{Error, Packet, Result};
use crate::opus::packet::Layout;

/// Puts Opus packets into RTP packets.
///
/// ```
/// use voxframe::Packet;
/// use voxframe::rtp::{RtpReceiver, RtpSender};
/// let mut sender = RtpSender::new(111, 0x5eed_cafe, 65_535, 0xffff_ff00)?;
/// let mut receiver = RtpReceiver::new(111)?;
/// let mut datagram = [0; 1500];
/// let (mut packet, mut received) = (Packet::new(), Packet::new());
/// packet.set_bytes(&[0xf8, 1, 2, 3], 960)?;
/// if let Some(length) = sender.write(&packet, &mut datagram)? {
///     // socket.send(&datagram[..length]), and on the far side:
///     let header = receiver.read(&datagram[..length], &mut received)?;
///     assert_eq!((header.sequence, header.marker, received.as_bytes()), (65_535, true, packet.as_bytes()));
/// }
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSender {
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// Whether the far side has heard nothing right before the next packet.
    after_silence: bool,
}

impl RtpSender {
    /// The header of a packet without extensions, in bytes: what a datagram needs beside the Opus packet.
    pub const HEADER_BYTES: usize = RtpPacket::MIN_RTP_PACKET_LEN;

    /// A sender of one stream.
    ///
    /// `payload_type` is the dynamic one agreed upon, 96 to 127. `ssrc` names the stream; `sequence` is the first
    /// packet's, and `timestamp` that of [position](Packet::position) 0: all three should be random (RFC 3550,
    /// section 5.1).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a payload type that is not dynamic.
    pub fn new(payload_type: u8, ssrc: u32, sequence: u16, timestamp: u32) -> Result<Self> {
        check_payload_type("RtpSender::payload_type", payload_type)?;
        Ok(Self { payload_type, ssrc, sequence, timestamp, after_silence: true })
    }

    /// Writes `packet` as an RTP packet to the start of `datagram`: the number of bytes to send, or `None` where there
    /// is nothing to send. That is so for DTX packets, gaps and emptied packets; what follows them is marked as the
    /// first of a talkspurt (RFC 3551, section 4.1).
    ///
    /// # Errors
    /// [`RtpError::NoRoom`] in [`Error::Rtp`]; it is then as if there had been no call.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn write(&mut self, packet: &Packet, datagram: &mut [u8]) -> Result<Option<usize>> {
        if packet.is_dtx() || packet.is_lost() || packet.as_bytes().is_empty() {
            self.after_silence = true;
            return Ok(None);
        }
        let builder = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(self.payload_type)
            .ssrc(self.ssrc)
            .sequence_number(self.sequence)
            // Modulo 2³², as both are: the clock of Opus in RTP and of positions is 48 kHz.
            .timestamp(self.timestamp.wrapping_add(packet.position() as u32))
            .marker_bit(self.after_silence)
            .payload(packet.as_bytes());
        let length = builder.write_into(datagram)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.after_silence = false;
        Ok(Some(length))
    }
}

/// What an RTP packet says about the Opus packet in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// One more for each packet sent, modulo 2¹⁶.
    pub sequence: u16,
    /// When its first sample was captured, in ticks of 48 kHz from a random start, modulo 2³².
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Whether it is the first after a silence in which nothing was sent.
    pub marker: bool,
    /// The length of its sound, in ticks of 48 kHz.
    pub duration: u32,
}

/// What an [`RtpReceiver`] has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtpReading {
    /// Packets read.
    pub packets: u64,
    /// Datagrams dropped because they were not RTP, or their payload not Opus.
    pub malformed: u64,
    /// RTP packets dropped for being of another payload type: something else, such as RTCP, on the same port.
    pub foreign: u64,
}

/// Takes Opus packets out of RTP packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpReceiver {
    payload_type: u8,
    /// The stream met last, with its newest timestamp and the position of that.
    newest: Option<(u32, u32, i64)>,
    reading: RtpReading,
}

impl RtpReceiver {
    /// A receiver of packets with the dynamic payload type agreed upon, 96 to 127.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a payload type that is not dynamic.
    pub fn new(payload_type: u8) -> Result<Self> {
        check_payload_type("RtpReceiver::payload_type", payload_type)?;
        Ok(Self { payload_type, newest: None, reading: RtpReading::default() })
    }

    /// Reads a datagram into `packet`.
    ///
    /// The packet's [position](Packet::position) counts from the first packet of its stream, over any number of
    /// wraps of the timestamp, for packets that come less than 12 hours too early or too late. Another SSRC begins at 0
    /// again. Contributing sources, header extensions and padding are skipped.
    ///
    /// # Errors
    /// [`Error::Rtp`] says why the datagram was dropped and counted; [`Error::PacketTooLong`] likewise. `packet` is
    /// then unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn read(&mut self, datagram: &[u8], packet: &mut Packet) -> Result<RtpHeader> {
        let read = self.parse(datagram, packet);
        let count = match read {
            Ok(_) => &mut self.reading.packets,
            Err(Error::Rtp(RtpError::PayloadType(_))) => &mut self.reading.foreign,
            Err(_) => &mut self.reading.malformed,
        };
        *count += 1;
        read
    }

    fn parse(&mut self, datagram: &[u8], packet: &mut Packet) -> Result<RtpHeader> {
        let rtp = RtpPacket::parse(datagram)?;
        if rtp.payload_type() != self.payload_type {
            return Err(RtpError::PayloadType(rtp.payload_type()).into());
        }
        let layout = Layout::of(rtp.payload()).ok_or(RtpError::NotOpus)?;
        let (ssrc, timestamp) = (rtp.ssrc(), rtp.timestamp());
        let (newest, position) = match self.newest {
            Some((known, newest, position)) if known == ssrc => (newest, position),
            _ => (timestamp, 0),
        };
        let ahead = timestamp.wrapping_sub(newest) as i32;
        packet.set_bytes(rtp.payload(), position + i64::from(ahead))?;
        if ahead >= 0 {
            self.newest = Some((ssrc, timestamp, position + i64::from(ahead)));
        }
        Ok(RtpHeader {
            sequence: rtp.sequence_number(),
            timestamp,
            ssrc,
            marker: rtp.marker_bit(),
            duration: layout.ticks(),
        })
    }

    /// What it has met so far.
    pub fn reading(&self) -> RtpReading {
        self.reading
    }
}

fn check_payload_type(setting: &'static str, payload_type: u8) -> Result<()> {
    in_range(setting, payload_type.into(), 96.0, 127.0)
}

impl From<RtpParseError> for Error {
    fn from(error: RtpParseError) -> Self {
        match error {
            RtpParseError::UnsupportedVersion(version) => RtpError::Version(version),
            RtpParseError::Truncated { expected, actual } => RtpError::Truncated { expected, actual },
            RtpParseError::PaddingInvalid(_) => RtpError::Padding,
        }
        .into()
    }
}

impl From<RtpWriteError> for Error {
    fn from(error: RtpWriteError) -> Self {
        match error {
            RtpWriteError::OutputTooSmall(bytes) => RtpError::NoRoom { bytes }.into(),
            // Of the rest, none can come of a checked payload type and an Opus packet alone.
            _ => RtpError::Padding.into(),
        }
    }
}
