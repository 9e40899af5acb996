//! One Opus packet.

use super::error::{Error, Result};
use crate::opus::packet::ticks_of;

/// One Opus packet, or a gap between packets: lost ones, or a silence in which none was sent.
///
/// Position and duration are in ticks of 48 kHz, as in RTP (RFC 7587, section 4.1), whatever the audio's rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    bytes: Box<[u8; Packet::MAX_BYTES]>,
    len: usize,
    position: i64,
    duration: u32,
    kind: Kind,
    /// For a gap: the position of the packet whose bytes these are.
    later: i64,
    speech: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Received,
    Lost,
    Silence,
}

impl Packet {
    /// The most bytes a packet holds: six Opus frames of 1275 bytes with their lengths (RFC 6716, section 3.2).
    pub const MAX_BYTES: usize = 6 * (1275 + 2) + 2;

    /// Ticks a second of [`position`](Self::position) and [`duration`](Self::duration).
    pub const CLOCK_HZ: u32 = 48_000;

    /// An empty packet: no bytes, no duration. Allocates.
    pub fn new() -> Self {
        Self {
            bytes: Box::new([0; Self::MAX_BYTES]),
            len: 0,
            position: 0,
            duration: 0,
            kind: Kind::Received,
            later: 0,
            speech: false,
        }
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
        self.position = position;
        self.duration = ticks_of(bytes);
        self.kind = Kind::Received;
        self.speech = bytes.len() > 2;
        Ok(())
    }

    /// Makes this a gap of `duration` ticks, left by one or more lost packets: a decoder fills it.
    ///
    /// `later` are the bytes of the first packet after the gap that has arrived, and `later_position` is the position
    /// of that packet: what its sender put into it against losses (in-band FEC, DRED) rebuilds the sound, the older
    /// the further apart the two are. Where none has arrived, pass an empty slice; the position is then of no account.
    ///
    /// A gap of several packets can be given as a whole, if `later` is known, or packet by packet. As a whole is
    /// better: the decoder then fills it 20 ms at a time, and knows how far redundancy reaches. A gap may be given up
    /// half way: its [`position`](Self::position) and [`duration`](Self::duration) say what of it is still to come.
    ///
    /// # Errors
    /// [`Error::PacketTooLong`]; the packet is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn set_lost(&mut self, position: i64, duration: u32, later: &[u8], later_position: i64) -> Result<()> {
        self.store(later)?;
        self.position = position;
        self.duration = duration;
        self.kind = Kind::Lost;
        self.later = later_position;
        self.speech = false;
        Ok(())
    }

    /// Makes this a gap of `duration` ticks in which the sender was silent (DTX): a decoder fills it with comfort
    /// noise.
    ///
    /// In RTP, such a gap is one in the timestamps but not in the sequence numbers.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn set_silence(&mut self, position: i64, duration: u32) {
        self.len = 0;
        self.position = position;
        self.duration = duration;
        self.kind = Kind::Silence;
        self.speech = false;
    }

    fn store(&mut self, bytes: &[u8]) -> Result<()> {
        let too_long = Error::PacketTooLong { bytes: bytes.len(), max: Self::MAX_BYTES };
        self.bytes.get_mut(..bytes.len()).ok_or(too_long)?.copy_from_slice(bytes);
        self.len = bytes.len();
        Ok(())
    }

    /// What goes over the network.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// When the first sample of this packet was captured, in ticks of 48 kHz since the first captured sample.
    ///
    /// All delay so far is taken off, the codec's lookahead included, so the number is negative at first: a packet
    /// at −1032 starts with 1032 ticks of sound that was never captured (the pre-skip of RFC 7845).
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The length of its sound in ticks of 48 kHz; 0 if its bytes are not an Opus packet, and when a decoder has handed
    /// out all of its sound.
    pub fn duration(&self) -> u32 {
        self.duration
    }

    /// Whether this stands for packets that were lost.
    pub fn is_lost(&self) -> bool {
        self.kind == Kind::Lost
    }

    /// Whether this packet need not be sent, or was not: the encoder is silent (DTX), and the far side fills the gap
    /// with comfort noise.
    pub fn is_dtx(&self) -> bool {
        match self.kind {
            Kind::Received => (1..=2).contains(&self.len),
            Kind::Lost => false,
            Kind::Silence => true,
        }
    }

    /// Whether it holds speech: what a detector before the encoder said, or, where there was none, that it is not a
    /// DTX packet.
    pub fn holds_speech(&self) -> bool {
        self.speech
    }

    /// Whether nothing is left in it: no bytes, or a decoder has handed out all of its sound.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.duration == 0
    }

    #[cfg(feature = "opus")]
    pub(crate) fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..]
    }

    /// Declares the first `len` bytes of the buffer to be the packet.
    #[cfg(feature = "opus")]
    pub(crate) fn fill(&mut self, len: usize, position: i64, duration: u32, speech: bool) {
        self.len = len;
        self.position = position;
        self.duration = duration;
        self.kind = Kind::Received;
        self.speech = speech;
    }

    /// Takes the bytes out, leaving `left` ticks of decoded sound to be handed out.
    #[cfg(feature = "opus")]
    pub(crate) fn consume(&mut self, left: u32) {
        self.len = 0;
        self.kind = Kind::Received;
        self.duration = left;
    }

    /// Whether this is a gap of either kind.
    #[cfg(feature = "opus")]
    pub(crate) fn is_gap(&self) -> bool {
        self.kind != Kind::Received
    }

    /// How far ahead of this gap's position the packet is whose bytes it has.
    #[cfg(feature = "opus")]
    pub(crate) fn until_later(&self) -> i64 {
        self.later.saturating_sub(self.position)
    }

    /// Takes the first `ticks` off a gap.
    #[cfg(feature = "opus")]
    pub(crate) fn shorten(&mut self, ticks: u32) {
        self.position = self.position.saturating_add(ticks.into());
        self.duration = self.duration.saturating_sub(ticks);
        if self.duration == 0 {
            self.consume(0);
        }
    }
}

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
        packet.set_bytes(&[8], 0).unwrap();
        assert!(packet.is_dtx() && !packet.holds_speech());
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
}
