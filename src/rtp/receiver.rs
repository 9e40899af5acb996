//! RTP packets to Opus packets.

use rtp_types::RtpPacket;

use super::capture_time::{capture_time, check_extension_id};
use super::header::{RtpHeader, check_payload_type};
use crate::core::error::RtpError;
use crate::core::{Error, Packet, Result};
use crate::opus::packet::Layout;

/// Counters of an [`RtpReceiver`], since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RtpReading {
    /// Opus packets read.
    pub packets_received: u64,
    /// RTP packets without a payload: padding, with which senders probe the network.
    pub packets_empty: u64,
    /// Datagrams dropped because they were not RTP, or their payload not Opus.
    pub packets_malformed: u64,
    /// RTP packets of another payload type: left out of the stream, such as telephone-events (RFC 4733), or something else
    /// on the same port, such as RTCP.
    pub packets_of_other_type: u64,
}

/// Streams whose positions are kept, so that two that come by turns both count on.
const STREAMS: usize = 4;

/// Newest packet of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    ssrc: u32,
    timestamp: u32,
    position: i64,
}

/// Receiver that takes Opus packets out of RTP packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpReceiver {
    payload_type: u8,
    /// ID of the header extension abs-capture-time.
    capture_time_id: Option<u8>,
    /// Streams met, the last first.
    newest: [Option<Newest>; STREAMS],
    reading: RtpReading,
}

impl RtpReceiver {
    /// Receiver of packets with the dynamic payload type agreed upon, 96 to 127.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a payload type that is not dynamic.
    pub fn new(payload_type: u8) -> Result<Self> {
        check_payload_type("RtpReceiver::payload_type", payload_type)?;
        Ok(Self { payload_type, capture_time_id: None, newest: [None; STREAMS], reading: RtpReading::default() })
    }

    /// Receiver that also reads the header extension abs-capture-time, under its ID in the SDP (`extmap`), 1 to 14.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for another ID.
    pub fn with_capture_time(self, id: u8) -> Result<Self> {
        check_extension_id("RtpReceiver::with_capture_time", id)?;
        Ok(Self { capture_time_id: Some(id), ..self })
    }

    /// Reads a datagram into `packet`.
    ///
    /// The [position](Packet::position) of the packet counts from the first packet of its stream, over any number of
    /// wraps of the timestamp, for packets that come less than 12 hours too early or too late. Another SSRC begins at 0;
    /// the last four are remembered. Contributing sources, padding and other header extensions are skipped.
    ///
    /// A packet of the stream that holds no Opus, padding or another payload type such as telephone-events, gives an empty
    /// `packet` and a header with a [`duration`](RtpHeader::duration) of 0. Hand it on to the jitter buffer, so that its
    /// number is not taken for a loss.
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
            Ok(header) if header.payload_type != self.payload_type => &mut self.reading.packets_of_other_type,
            Ok(header) if header.duration == 0 => &mut self.reading.packets_empty,
            Ok(_) => &mut self.reading.packets_received,
            Err(Error::Rtp(RtpError::PayloadType(_))) => &mut self.reading.packets_of_other_type,
            Err(_) => &mut self.reading.packets_malformed,
        };
        *count += 1;
        read
    }

    fn parse(&mut self, datagram: &[u8], packet: &mut Packet) -> Result<RtpHeader> {
        let rtp = RtpPacket::parse(datagram)?;
        let mut header = RtpHeader {
            payload_type: rtp.payload_type(),
            marker: rtp.marker_bit(),
            sequence: rtp.sequence_number(),
            timestamp: rtp.timestamp(),
            ssrc: rtp.ssrc(),
            duration: 0,
            capture_time: self.capture_time_id.and_then(|id| capture_time(&rtp, id)),
        };
        let is_other = header.payload_type != self.payload_type;
        let known = self.newest.iter().position(|newest| newest.is_some_and(|newest| newest.ssrc == header.ssrc));
        if is_other && known.is_none() {
            return Err(RtpError::PayloadType(header.payload_type).into());
        }
        if is_other || rtp.payload().is_empty() {
            packet.set_bytes(&[], known.and_then(|index| self.newest[index]).map_or(0, |newest| newest.position))?;
            return Ok(header);
        }
        header.duration = Layout::of(rtp.payload()).ok_or(RtpError::NotOpus)?.ticks();
        let first = Newest { ssrc: header.ssrc, timestamp: header.timestamp, position: 0 };
        let mut newest = known.and_then(|index| self.newest[index]).unwrap_or(first);
        let ahead = header.timestamp.wrapping_sub(newest.timestamp) as i32;
        let position = newest.position + i64::from(ahead);
        packet.set_bytes(rtp.payload(), position)?;
        if ahead >= 0 {
            (newest.timestamp, newest.position) = (header.timestamp, position);
        }
        self.newest[..=known.unwrap_or(STREAMS - 1)].rotate_right(1);
        self.newest[0] = Some(newest);
        Ok(header)
    }

    /// Counters so far.
    pub fn reading(&self) -> RtpReading {
        self.reading
    }
}
