//! One Opus packet.

use super::error::{Error, Result};
use crate::opus::packet::ticks_of;

/// Opus packet, or a gap between packets: lost ones, or a silence in which none was sent.
///
/// Position and duration are in ticks of 48 kHz, as in RTP (RFC 7587, section 4.1), whatever the audio's rate.
///
/// A processor lends its packet until it is called again. To keep one, [`copy_from`](Self::copy_from) it into a packet of
/// one's own, which does not allocate; cloning does. Two packets are equal if they have the same bytes and the same
/// description.
#[derive(Clone, Debug)]
pub struct Packet {
    bytes: Box<[u8; Packet::MAX_BYTES]>,
    len: usize,
    about: About,
}

/// Description of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct About {
    position: i64,
    duration: u32,
    kind: Kind,
    /// For a gap: the position of the packet whose bytes these are.
    later: i64,
    speech: bool,
    /// Magnitude of the level in dBov, if known.
    level: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Received,
    Lost,
    Silence,
}

impl Packet {
    /// Largest packet in bytes: six Opus frames of 1275 bytes with their lengths (RFC 6716, section 3.2).
    pub const MAX_BYTES: usize = 6 * (1275 + 2) + 2;

    /// Clock of [`position`](Self::position) and [`duration`](Self::duration), in ticks a second.
    pub const CLOCK_HZ: u32 = 48_000;

    /// An empty packet: no bytes, no duration. Allocates.
    pub fn new() -> Self {
        let about = About { position: 0, duration: 0, kind: Kind::Received, later: 0, speech: false, level: None };
        Self { bytes: Box::new([0; Self::MAX_BYTES]), len: 0, about }
    }

    /// Makes this the same packet as `other`: what a clone would be, without an allocation.
    ///
    /// ```
    /// use voxframe::{Packet, Processor, Result};
    /// # use voxframe::Frame;
    /// struct Voice<P> {
    ///     uplink: P,
    ///     kept: Packet, // made once, with `Packet::new`
    /// }
    /// impl<P: Processor<Input = Frame, Output = Packet>> Voice<P> {
    ///     /// The packet does not borrow the uplink, so that `self` can be used while it is there.
    ///     fn tick(&mut self, frame: &mut Frame) -> Result<Option<&Packet>> {
    ///         let Some(packet) = self.uplink.process(frame)? else { return Ok(None) };
    ///         self.kept.copy_from(packet);
    ///         Ok(Some(&self.kept))
    ///     }
    /// }
    /// ```
    ///
    /// # Realtime safety
    /// Safe.
    pub fn copy_from(&mut self, other: &Packet) {
        self.bytes[..other.len].copy_from_slice(other.as_bytes());
        self.len = other.len;
        self.about = other.about;
    }

    /// Makes this the packet with these bytes, received for `position`.
    ///
    /// # Errors
    /// [`Error::PacketTooLong`]; the packet is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn set_bytes(&mut self, bytes: &[u8], position: i64) -> Result<()> {
        self.store(bytes)?;
        self.about = About {
            position,
            duration: ticks_of(bytes),
            kind: Kind::Received,
            later: 0,
            speech: bytes.len() > 2,
            level: None,
        };
        Ok(())
    }

    /// Makes this a gap of `duration` ticks, left by one or more lost packets, which a decoder fills.
    ///
    /// `later` is the payload of the first packet after the gap that has arrived, and `later_position` the position
    /// of that packet. Its redundancy (in-band FEC, DRED) rebuilds the sound; the further apart the two positions are,
    /// the older the sound. Where none has arrived, pass an empty slice; the position then does not count.
    ///
    /// A gap of several packets can be given as a whole, if `later` is known, or packet by packet. As a whole is
    /// better: the decoder then fills it 20 ms at a time, and knows how far redundancy reaches. A gap may be given up
    /// half way: its [`position`](Self::position) and [`duration`](Self::duration) tell the part still to come.
    ///
    /// # Errors
    /// [`Error::PacketTooLong`]; the packet is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn set_lost(&mut self, position: i64, duration: u32, later: &[u8], later_position: i64) -> Result<()> {
        self.store(later)?;
        self.about = About { position, duration, kind: Kind::Lost, later: later_position, speech: false, level: None };
        Ok(())
    }

    /// Makes this a gap of `duration` ticks in which the sender was silent (DTX), which a decoder fills with comfort
    /// noise.
    ///
    /// In RTP, such a gap is one in the timestamps but not in the sequence numbers.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn set_silence(&mut self, position: i64, duration: u32) {
        self.len = 0;
        self.about = About { position, duration, kind: Kind::Silence, later: 0, speech: false, level: None };
    }

    fn store(&mut self, bytes: &[u8]) -> Result<()> {
        let too_long = Error::PacketTooLong { bytes: bytes.len(), max: Self::MAX_BYTES };
        self.bytes.get_mut(..bytes.len()).ok_or(too_long)?.copy_from_slice(bytes);
        self.len = bytes.len();
        Ok(())
    }

    /// Bytes of the packet: the payload that goes over the network.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Capture time of the first sample, in ticks of 48 kHz since the first captured sample.
    ///
    /// All delay so far is taken off, the codec's lookahead included, so the number is negative at first: a packet
    /// at −1032 starts with 1032 ticks of sound that was never captured (the pre-skip of RFC 7845).
    pub fn position(&self) -> i64 {
        self.about.position
    }

    /// Length of the sound in ticks of 48 kHz; 0 if the bytes are not an Opus packet, and when a decoder has handed
    /// out all of the sound.
    pub fn duration(&self) -> u32 {
        self.about.duration
    }

    /// Capture time of the end, in ticks: [`position`](Self::position) and [`duration`](Self::duration).
    pub fn end(&self) -> i64 {
        self.about.position.saturating_add(self.about.duration.into())
    }

    /// Whether this stands for packets that were lost.
    pub fn is_lost(&self) -> bool {
        self.about.kind == Kind::Lost
    }

    /// Whether this packet holds no sound (DTX), or stands for packets that were not sent for that reason: the far side
    /// fills the gap with comfort noise.
    ///
    /// Of the DTX packets of a pause only the first need be sent, to tell that it is one, and one now and then;
    /// `rtp::RtpSender` leaves out the rest.
    pub fn is_dtx(&self) -> bool {
        match self.about.kind {
            Kind::Received => (1..=2).contains(&self.len),
            Kind::Lost => false,
            Kind::Silence => true,
        }
    }

    /// Voice activity of the packet: the verdict of a detector before the encoder, or, where there was none, that it is
    /// not a DTX packet. The V bit of the RTP audio level (RFC 6464, section 3).
    pub fn holds_speech(&self) -> bool {
        self.about.speech
    }

    /// Audio level of the packet's own sound in −dBov, 0 (full scale) to 127 (digital silence), as RTP carries it
    /// (RFC 6464, section 3); `None` for packets that were received, and for gaps.
    ///
    /// It is the RMS of all samples that the encoder took in for this packet, all channels together, rounded to 1 dB. 0
    /// dBov is the RMS of a full-scale square wave, as everywhere in this crate. The byte of the
    /// header extension is `level | u8::from(packet.holds_speech()) << 7`.
    pub fn level_dbov(&self) -> Option<u8> {
        self.about.level
    }

    /// Whether nothing is left: no bytes, or a decoder has handed out all of the sound.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.about.duration == 0
    }

    #[cfg(feature = "opus")]
    pub(crate) fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..]
    }

    /// Declares the first `len` bytes of the buffer to be the packet, of sound with this mean power.
    #[cfg(feature = "opus")]
    pub(crate) fn fill(&mut self, len: usize, position: i64, duration: u32, speech: bool, power: f32) {
        self.len = len;
        self.about = About { position, duration, kind: Kind::Received, later: 0, speech, level: Some(dbov(power)) };
    }

    /// Takes the bytes out, leaving `left` ticks of decoded sound to be handed out.
    #[cfg(feature = "opus")]
    pub(crate) fn consume(&mut self, left: u32) {
        self.len = 0;
        self.about.kind = Kind::Received;
        self.about.duration = left;
    }

    /// Whether this is a gap of either kind.
    #[cfg(feature = "opus")]
    pub(crate) fn is_gap(&self) -> bool {
        self.about.kind != Kind::Received
    }

    /// Distance from this gap's position to the packet whose bytes it has, in ticks.
    #[cfg(feature = "opus")]
    pub(crate) fn until_later(&self) -> i64 {
        self.about.later.saturating_sub(self.about.position)
    }

    /// Takes the first `ticks` off a gap.
    #[cfg(feature = "opus")]
    pub(crate) fn shorten(&mut self, ticks: u32) {
        self.about.position = self.about.position.saturating_add(ticks.into());
        self.about.duration = self.about.duration.saturating_sub(ticks);
        if self.about.duration == 0 {
            self.consume(0);
        }
    }
}

/// Level of a mean power in −dBov, 0 to 127 (the reference of RFC 6465, appendix A).
#[cfg(feature = "opus")]
fn dbov(power: f32) -> u8 {
    // The cast makes 0 of what is above full scale. The power 0 is −∞ dBov.
    (-10.0 * power.log10()).round().min(127.0) as u8
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes() && self.about == other.about
    }
}

impl Eq for Packet {}

impl Default for Packet {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_received_lost_or_too_long() {
        let mut packet = Packet::new();
        assert!(packet.is_empty());
        packet.set_bytes(&[1, 2, 3], 960).unwrap();
        assert_eq!((packet.as_bytes(), packet.position(), packet.is_lost()), (&[1, 2, 3][..], 960, false));
        assert!(packet.holds_speech() && !packet.is_dtx() && !packet.is_empty());
        assert_eq!(packet.set_bytes(&[0; 9000], 0), Err(Error::PacketTooLong { bytes: 9000, max: Packet::MAX_BYTES }));
        assert_eq!(packet.as_bytes(), &[1, 2, 3]);
        packet.set_lost(1920, 960, &[], 0).unwrap();
        assert!(packet.is_lost() && !packet.is_empty() && !packet.is_dtx());
        packet.set_silence(2880, 960);
        assert!(packet.is_dtx() && !packet.is_lost() && !packet.is_empty() && !packet.holds_speech());
        for dtx in [&[8][..], &[8, 1]] {
            packet.set_bytes(dtx, 0).unwrap();
            assert!(packet.is_dtx() && !packet.holds_speech());
        }
    }

    #[cfg(feature = "opus")]
    #[test]
    fn a_gap_is_filled_bit_by_bit_until_it_is_empty() {
        let mut gap = Packet::new();
        gap.set_lost(1000, 2880, &[8, 1, 2], 3880).unwrap();
        assert!(gap.is_gap());
        assert_eq!((gap.until_later(), gap.end()), (2880, 3880));
        gap.shorten(960);
        assert_eq!((gap.position(), gap.duration(), gap.until_later()), (1960, 1920, 1920));
        assert!(gap.is_lost() && gap.as_bytes() == [8, 1, 2], "the rest still needs them");
        gap.shorten(1920);
        assert!(gap.is_empty() && !gap.is_gap() && !gap.is_lost());
        assert_eq!((gap.position(), gap.duration()), (3880, 0));
    }

    #[test]
    fn the_first_bytes_tell_how_long_a_packet_is() {
        let toc = |config: u8, code: u8| config << 3 | code;
        let cases: [(&[u8], u32); 10] = [
            (&[], 0),
            (&[toc(0, 0)], 480),                // SILK, 10 ms, one frame
            (&[toc(11, 0)], 2880),              // SILK, 60 ms
            (&[toc(11, 1)], 5760),              // two of them
            (&[toc(13, 0)], 960),               // hybrid, 20 ms
            (&[toc(28, 2), 0], 240),            // CELT, 2.5 ms, two frames
            (&[toc(31, 3), 0b1100_0110], 5760), // CELT, 20 ms, six frames, variable and padded
            (&[toc(31, 3), 7], 0),              // 140 ms is too long
            (&[toc(31, 3), 0], 0),              // no frames
            (&[toc(31, 3)], 0),                 // no count
        ];
        let mut packet = Packet::new();
        for (bytes, ticks) in cases {
            packet.set_bytes(bytes, 7).unwrap();
            assert_eq!(packet.duration(), ticks, "{bytes:?}");
        }
    }
    #[test]
    fn a_copy_is_equal_whatever_was_there_before() {
        let (mut packet, mut copy) = (Packet::new(), Packet::new());
        copy.set_bytes(&[9; 100], 5).unwrap();
        packet.set_lost(1920, 960, &[1, 2, 3], 2880).unwrap();
        assert_ne!(copy, packet);
        copy.copy_from(&packet);
        assert_eq!(copy, packet);
        assert_eq!((copy.as_bytes(), copy.end()), (&[1, 2, 3][..], 2880));
        packet.set_bytes(&[1, 2, 3], 1920).unwrap();
        assert_ne!(copy, packet, "a gap is no packet");
    }

    #[cfg(feature = "opus")]
    #[test]
    fn levels_are_those_of_rfc_6464() {
        // Full-scale square and sine, 0.1, half a dB on either side of a rounding, the least number, silence.
        let cases = [(1.0, 0), (0.5, 3), (0.01, 20), (0.0113, 19), (0.0112, 20), (4.0, 0), (1e-12, 120), (0.0, 127)];
        let mut packet = Packet::new();
        for (power, level) in cases {
            packet.fill(3, 0, 960, true, power);
            assert_eq!(packet.level_dbov(), Some(level), "{power}");
        }
        packet.fill(3, 0, 960, true, f32::MIN_POSITIVE);
        assert_eq!(packet.level_dbov(), Some(127));
        packet.set_bytes(&[8, 1, 2], 0).unwrap();
        assert_eq!(packet.level_dbov(), None);
    }
}
