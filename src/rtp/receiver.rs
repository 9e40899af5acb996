//! RTP packets to Opus packets.

use rtp_types::RtpPacket;

use super::header::{RtpHeader, check_payload_type};
use crate::core::error::RtpError;
use crate::core::{Error, Packet, Result};
use crate::opus::packet::Layout;

/// Counters of an [`RtpReceiver`], since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RtpReading {
    /// Packets read.
    pub packets_received: u64,
    /// Datagrams dropped because they were not RTP, or their payload not Opus.
    pub packets_malformed: u64,
    /// RTP packets dropped for being of another payload type: something else, such as RTCP, on the same port.
    pub packets_of_other_type: u64,
}

/// Receiver of one stream at a time: takes Opus packets out of RTP packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpReceiver {
    payload_type: u8,
    /// SSRC met last, with its newest timestamp and the position of that.
    newest: Option<(u32, u32, i64)>,
    reading: RtpReading,
}

impl RtpReceiver {
    /// Receiver of packets with the dynamic payload type agreed upon, 96 to 127.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a payload type that is not dynamic.
    pub fn new(payload_type: u8) -> Result<Self> {
        check_payload_type("RtpReceiver::payload_type", payload_type)?;
        Ok(Self { payload_type, newest: None, reading: RtpReading::default() })
    }

    /// Reads a datagram into `packet`.
    ///
    /// The [position](Packet::position) of the packet counts from the first packet of its stream, over any number of
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
            Ok(_) => &mut self.reading.packets_received,
            Err(Error::Rtp(RtpError::PayloadType(_))) => &mut self.reading.packets_of_other_type,
            Err(_) => &mut self.reading.packets_malformed,
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
            payload_type: self.payload_type,
            marker: rtp.marker_bit(),
            sequence: rtp.sequence_number(),
            timestamp,
            ssrc,
            duration: layout.ticks(),
        })
    }

    /// Counters so far.
    pub fn reading(&self) -> RtpReading {
        self.reading
    }
}
