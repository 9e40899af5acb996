//! Opus packets to RTP packets.

use rtp_types::{RtpPacket, RtpPacketBuilder};

use super::capture_time::{AbsCaptureTime, CaptureTimeExtension, ONE_BYTE_PROFILE, check_extension_id};
use super::header::{RtpHeader, check_payload_type};
use crate::core::{Packet, Result};

/// Longest time from one DTX packet of a pause to the next that is sent, in ticks: 400 ms, as libopus updates its comfort
/// noise (`MAX_CONSECUTIVE_DTX`).
const DTX_INTERVAL: i64 = 400 * Packet::CLOCK_HZ as i64 / 1000;

/// Sender of one stream: puts Opus packets into RTP packets, as whole datagrams or as headers.
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
///
/// A stack that writes RTP packets itself takes the header as a value:
///
/// ```
/// # use voxframe::Packet;
/// # use voxframe::rtp::RtpSender;
/// # let mut sender = RtpSender::new(111, 0x5eed_cafe, 65_535, 0xffff_ff00)?;
/// # let mut packet = Packet::new();
/// # packet.set_bytes(&[0xf8, 1, 2, 3], 960)?;
/// # let mut write_rtp = |_: u8, _: u16, _: u32, _: bool, _: &[u8]| {};
/// if let Some(header) = sender.next_header(&packet) {
///     write_rtp(header.payload_type, header.sequence, header.timestamp, header.marker, packet.as_bytes());
/// }
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSender {
    payload_type: u8,
    ssrc: u32,
    /// Sequence number of the next packet.
    sequence: u16,
    /// Timestamp of position 0.
    timestamp: u32,
    /// Whether nothing was sent right before the next packet.
    after_silence: bool,
    /// In a pause: the position of the DTX packet sent last.
    dtx: Option<i64>,
    /// Header extension of the next packet: ID and capture time.
    capture_time: Option<(u8, AbsCaptureTime)>,
}

impl RtpSender {
    /// Length of a header without extensions, in bytes: what a datagram needs beside the Opus packet and, where it has one, a
    /// capture time.
    pub const HEADER_BYTES: usize = RtpPacket::MIN_RTP_PACKET_LEN;

    /// Length that a capture time adds to a header at most, in bytes: see [`set_capture_time`](Self::set_capture_time).
    pub const CAPTURE_TIME_BYTES: usize = 24;

    /// Sender of one stream.
    ///
    /// `payload_type` is the dynamic one agreed upon, 96 to 127. `ssrc` names the stream; `sequence` is the first
    /// packet's, and `timestamp` that of [position](Packet::position) 0: all three should be random (RFC 3550,
    /// section 5.1).
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a payload type that is not dynamic.
    pub fn new(payload_type: u8, ssrc: u32, sequence: u16, timestamp: u32) -> Result<Self> {
        check_payload_type("RtpSender::payload_type", payload_type)?;
        Ok(Self { payload_type, ssrc, sequence, timestamp, after_silence: true, dtx: None, capture_time: None })
    }

    /// Sets the header extension abs-capture-time of the next packet: when its first sample was captured. `id` is that of
    /// the extension in the SDP (`extmap`), 1 to 14.
    ///
    /// The time is for the packet of the next [`write`](Self::write) or [`next_header`](Self::next_header), and for no
    /// other, whether or not that one is sent. Once a second is enough.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for another ID.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn set_capture_time(&mut self, id: u8, capture_time: AbsCaptureTime) -> Result<()> {
        check_extension_id("RtpSender::set_capture_time", id)?;
        self.capture_time = Some((id, capture_time));
        Ok(())
    }

    /// Header under which `packet` is to be sent now; `None` where there is nothing to send.
    ///
    /// Of the DTX packets ([`Packet::is_dtx`]) of a pause the first is sent, from which a far side with NetEQ learns that
    /// comfort noise is due rather than concealment, and then one each 400 ms. Gaps and emptied packets are not sent. A
    /// packet with sound before which something was left out is marked as the first of a talkspurt (RFC 3551, section
    /// 4.1).
    ///
    /// # Realtime safety
    /// Safe.
    pub fn next_header(&mut self, packet: &Packet) -> Option<RtpHeader> {
        let header = self.header(packet);
        match header {
            Some(_) => self.sent(packet),
            None => self.not_sent(),
        }
        header
    }

    /// Writes `packet` as an RTP packet to the start of `datagram`: the number of bytes to send, or `None` where there
    /// is nothing to send, as for [`next_header`](Self::next_header).
    ///
    /// # Errors
    /// [`RtpError::NoRoom`](crate::error::RtpError::NoRoom) in [`Error::Rtp`](crate::Error::Rtp); it is then as if there
    /// had been no call.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn write(&mut self, packet: &Packet, datagram: &mut [u8]) -> Result<Option<usize>> {
        let Some(header) = self.header(packet) else {
            self.not_sent();
            return Ok(None);
        };
        let extension = self.capture_time.map(|(id, time)| CaptureTimeExtension::new(id, time));
        let mut builder = RtpPacketBuilder::<&[u8], &[u8]>::new();
        if let Some(extension) = &extension {
            builder = builder.extension(ONE_BYTE_PROFILE, extension.as_bytes());
        }
        let length = builder
            .payload_type(header.payload_type)
            .ssrc(header.ssrc)
            .sequence_number(header.sequence)
            .timestamp(header.timestamp)
            .marker_bit(header.marker)
            .payload(packet.as_bytes())
            .write_into(datagram)?;
        self.sent(packet);
        Ok(Some(length))
    }

    fn header(&self, packet: &Packet) -> Option<RtpHeader> {
        let is_due = |last: i64| !(0..DTX_INTERVAL).contains(&(packet.position() - last));
        let is_sent = !packet.is_dtx() || self.dtx.is_none_or(is_due);
        let has_bytes = !(packet.is_lost() || packet.as_bytes().is_empty());
        (is_sent && has_bytes).then(|| RtpHeader {
            payload_type: self.payload_type,
            marker: self.after_silence && !packet.is_dtx(),
            sequence: self.sequence,
            // Modulo 2³², as both are: the clock of Opus in RTP and of positions is 48 kHz.
            timestamp: self.timestamp.wrapping_add(packet.position() as u32),
            ssrc: self.ssrc,
            duration: packet.duration(),
            capture_time: self.capture_time.map(|(_, time)| time),
        })
    }

    fn not_sent(&mut self) {
        (self.after_silence, self.capture_time) = (true, None);
    }

    fn sent(&mut self, packet: &Packet) {
        self.sequence = self.sequence.wrapping_add(1);
        // A DTX packet neither begins a talkspurt nor hides the silence before it.
        self.after_silence &= packet.is_dtx();
        self.dtx = packet.is_dtx().then(|| packet.position());
        self.capture_time = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::RtpReceiver;
    use super::*;

    #[test]
    fn headers_are_those_of_the_datagrams() {
        let mut headers = RtpSender::new(111, 7, 65_534, u32::MAX - 1000).unwrap();
        let (mut datagrams, mut receiver) = (headers.clone(), RtpReceiver::new(111).unwrap());
        let (mut packet, mut received, mut datagram) = (Packet::new(), Packet::new(), [0; 100]);
        let mut sent = 0;
        // A pause of 500 ms.
        for index in 0..31i64 {
            let bytes: &[u8] = if (3..28).contains(&index) { &[0xf8] } else { &[0xf8, 1, 2] };
            packet.set_bytes(bytes, 960 * index).unwrap();
            let header = headers.next_header(&packet);
            let written = datagrams.write(&packet, &mut datagram).unwrap();
            let read = written.map(|length| receiver.read(&datagram[..length], &mut received).unwrap());
            assert_eq!(header, read);
            assert_eq!(headers, datagrams);
            sent += u32::from(header.is_some_and(|header| header.marker == (index == 0 || index == 28)));
        }
        assert_eq!(sent, 8);
        packet.set_silence(0, 960);
        assert_eq!(headers.next_header(&packet), None);
    }
}
