//! Header of an RTP packet (RFC 3550, section 5.1).

use super::capture_time::AbsCaptureTime;
use crate::core::Result;
use crate::core::error::in_range;

/// Header fields of an RTP packet with one Opus packet in it, without contributing sources and other extensions than this
/// crate knows.
///
/// [`RtpReceiver::read`](super::RtpReceiver::read) reads one; [`RtpSender::next_header`](super::RtpSender::next_header)
/// makes one for a stack that writes RTP packets itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RtpHeader {
    /// Payload type: the dynamic one agreed upon, 96 to 127, or that of a packet without Opus, 0 to 127.
    pub payload_type: u8,
    /// Marker bit: the first packet after a silence in which nothing was sent (RFC 3551, section 4.1).
    pub marker: bool,
    /// Sequence number: one more for each packet sent, modulo 2¹⁶.
    pub sequence: u16,
    /// Timestamp of the first sample, in ticks of 48 kHz from a random start, modulo 2³².
    pub timestamp: u32,
    /// Synchronisation source: the stream.
    pub ssrc: u32,
    /// Length of the sound in ticks of 48 kHz, 0 without Opus: not a field of the header, but known from the payload.
    pub duration: u32,
    /// Absolute capture time, where the packet has that header extension.
    pub capture_time: Option<AbsCaptureTime>,
}

/// Fails for a payload type that is not dynamic (RFC 3551, section 6).
pub(super) fn check_payload_type(setting: &'static str, payload_type: u8) -> Result<()> {
    in_range(setting, payload_type.into(), 96.0, 127.0)
}
