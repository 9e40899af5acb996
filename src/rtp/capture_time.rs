//! Header extension abs-capture-time (<http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time>), in the one-byte
//! form of RFC 8285.

use rtp_types::RtpPacket;

use crate::core::Result;
use crate::core::error::in_range;
use crate::rtcp::NtpTime;

/// Profile of header extensions with one-byte headers (RFC 8285, section 4.2).
pub(super) const ONE_BYTE_PROFILE: u16 = 0xbede;

/// Longest content of the extension, padded: a one-byte header, two fields of 64 bits, and three bytes of padding.
const MAX_BYTES: usize = 20;

/// Absolute capture time of an RTP packet: when its first sample was captured.
///
/// It survives mixers and relays, whose sender reports tell of their own clocks. Once a second is enough: between two of
/// them a [`MediaClock`](crate::rtcp::MediaClock) knows the time of every sample, also of the one now playing, for lip sync
/// with another medium of the same sender:
///
/// ```
/// # #[cfg(feature = "opus")] {
/// use voxframe::rtcp::{MediaClock, NtpTime};
/// use voxframe::rtp::{AbsCaptureTime, RtpReceiver, RtpSender};
/// use voxframe::{Format, Handle, JitterBuffer, Packet, Source};
/// let (mut datagram, mut packet, mut received) = ([0; 1500], Packet::new(), Packet::new());
/// # packet.set_bytes(&[0xf8, 0xff, 0xfe], 0)?;
/// let now = NtpTime::from(std::time::SystemTime::now());
/// // The sender, under the extension's ID in the SDP:
/// let mut sender = RtpSender::new(111, 0x5eed_cafe, 7, 0)?;
/// sender.set_capture_time(3, AbsCaptureTime::from(now))?;
/// let length = sender.write(&packet, &mut datagram)?.unwrap_or(0);
/// // The receiver:
/// let mut receiver = RtpReceiver::new(111)?.with_capture_time(3)?;
/// let mut clock = MediaClock::default();
/// let control = Handle::new(JitterBuffer::default());
/// let (mut network, mut playout) = control.attach().open(Format::mono(48_000)?)?;
/// let header = receiver.read(&datagram[..length], &mut received)?;
/// if let Some(captured) = header.capture_time {
///     clock.report(captured.time, header.timestamp);
/// }
/// network.push(header.sequence, header.timestamp, header.ssrc, received.as_bytes())?;
/// playout.pull();
/// // The capture time of what plays next, once something plays:
/// let capture_time = control.reading().playout_timestamp.and_then(|timestamp| clock.capture_time(timestamp));
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AbsCaptureTime {
    /// Capture time by the clock of the system that captured, on which that system's sender reports are based.
    pub time: NtpTime,
    /// Offset of that clock, less that of whoever sends this packet, in units of 2⁻³² s; `None` where they are one system,
    /// or it is not known.
    pub clock_offset: Option<i64>,
}

impl From<NtpTime> for AbsCaptureTime {
    /// The time by the sender's own clock.
    fn from(time: NtpTime) -> Self {
        Self { time, clock_offset: None }
    }
}

/// Fails for an ID that a one-byte header cannot have (RFC 8285, section 4.2).
pub(super) fn check_extension_id(setting: &'static str, id: u8) -> Result<()> {
    in_range(setting, id.into(), 1.0, 14.0)
}

/// Header extension with a capture time, as bytes.
pub(super) struct CaptureTimeExtension {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl CaptureTimeExtension {
    pub fn new(id: u8, capture_time: AbsCaptureTime) -> Self {
        let mut bytes = [0; MAX_BYTES];
        let content = if capture_time.clock_offset.is_some() { 16 } else { 8 };
        bytes[0] = id << 4 | (content - 1);
        bytes[1..9].copy_from_slice(&capture_time.time.0.to_be_bytes());
        bytes[9..17].copy_from_slice(&capture_time.clock_offset.unwrap_or(0).to_be_bytes());
        Self { bytes, len: (1 + usize::from(content)).next_multiple_of(4) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Capture time in the header extension with this ID; `None` where there is none, or it is malformed.
pub(super) fn capture_time(rtp: &RtpPacket<'_>, id: u8) -> Option<AbsCaptureTime> {
    let (profile, mut bytes) = rtp.extension()?;
    if profile != ONE_BYTE_PROFILE {
        return None;
    }
    while let [head, rest @ ..] = bytes {
        if *head == 0 {
            // Padding.
            bytes = rest;
            continue;
        }
        let (found, length) = (head >> 4, usize::from(head & 15) + 1);
        // An ID of 15 ends the extensions.
        let content = rest.get(..length).filter(|_| found != 15)?;
        if found == id {
            let time = NtpTime(u64::from_be_bytes(*content.first_chunk()?));
            let clock_offset = content[8..].first_chunk().map(|offset| i64::from_be_bytes(*offset));
            return Some(AbsCaptureTime { time, clock_offset });
        }
        bytes = &rest[length..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: AbsCaptureTime = AbsCaptureTime { time: NtpTime(0x0102_0304_0506_0708), clock_offset: None };

    fn read(extension: &[u8], profile: [u8; 2]) -> Option<AbsCaptureTime> {
        let mut datagram = vec![0x90, 111, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, profile[0], profile[1], 0];
        datagram.push((extension.len() / 4) as u8);
        datagram.extend(extension);
        datagram.extend([0xf8, 1, 2]);
        capture_time(&RtpPacket::parse(&datagram).unwrap(), 5)
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        let short = CaptureTimeExtension::new(5, TIME);
        assert_eq!(short.as_bytes(), [0x57, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0]);
        let long = CaptureTimeExtension::new(14, AbsCaptureTime { clock_offset: Some(-2), ..TIME });
        let wanted = [0xef, 1, 2, 3, 4, 5, 6, 7, 8, 255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0];
        assert_eq!(long.as_bytes(), wanted);
    }

    #[test]
    fn it_is_found_among_others_and_what_is_broken_is_left_out() {
        const ONE: [u8; 2] = [0xbe, 0xde];
        let own = [0x57, 1, 2, 3, 4, 5, 6, 7, 8];
        // An audio level, padding, and then ours.
        assert_eq!(read(&[&[0x10, 0x7f, 0][..], &own].concat(), ONE), Some(TIME));
        assert_eq!(read(&[&own[..], &[0; 3]].concat(), [0x10, 0]), None, "another profile");
        assert_eq!(read(&[&[0x67][..], &own[1..], &[0; 3]].concat(), ONE), None, "another ID");
        assert_eq!(read(&[&[0xf0, 0, 0][..], &own].concat(), ONE), None, "behind the end");
        assert_eq!(read(&[0x57, 1, 2, 3], ONE), None, "cut off");
        assert_eq!(read(&[0x52, 1, 2, 3], ONE), None, "too short");
        let long = CaptureTimeExtension::new(5, AbsCaptureTime { clock_offset: Some(1 << 40), ..TIME });
        assert_eq!(read(long.as_bytes(), ONE), Some(AbsCaptureTime { clock_offset: Some(1 << 40), ..TIME }));
    }
}
