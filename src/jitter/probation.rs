//! Probation: packets that do not belong to the stream wait until they prove to be another one (RFC 3550, appendix A.1).

use super::input::ReceivedPacket;
use super::ticks::TICKS_PER_MS;

/// Packets in sequence that make a stream (RFC 3550, appendix A.1).
const MIN_SEQUENTIAL: usize = 2;

/// Packets that are kept at most.
const MAX_PACKETS: usize = 8;

/// Time without a packet of the known stream, in ticks, before another one takes over: two that come by turns are no
/// change.
const MIN_QUIET_TICKS: i64 = 40 * TICKS_PER_MS;

/// Packets that may be the first of another stream, in sequence.
pub(super) struct Probation {
    #[expect(clippy::vec_box, reason = "the boxes go round between two threads")]
    packets: Vec<Box<ReceivedPacket>>,
    /// Packets dropped so far.
    dropped: u64,
}

impl Probation {
    pub fn new() -> Self {
        Self { packets: Vec::with_capacity(MAX_PACKETS), dropped: 0 }
    }

    /// Keeps a packet, `quiet` ticks after the last one of the known stream; whether those kept are another stream.
    pub fn hold(
        &mut self,
        packet: Box<ReceivedPacket>,
        quiet: i64,
        mut recycle: impl FnMut(Box<ReceivedPacket>),
    ) -> bool {
        let follows = self.packets.last().is_some_and(|last| {
            let ahead = packet.timestamp.wrapping_sub(last.timestamp) as i32;
            packet.ssrc == last.ssrc && packet.sequence == last.sequence.wrapping_add(1) && ahead > 0
        });
        let drop = if follows { self.packets.len() / MAX_PACKETS } else { self.packets.len() };
        self.dropped += drop as u64;
        self.packets.drain(..drop).for_each(&mut recycle);
        self.packets.push(packet);
        self.packets.len() >= MIN_SEQUENTIAL && quiet >= MIN_QUIET_TICKS
    }

    /// Gives back the oldest packet kept.
    pub fn release(&mut self) -> Option<Box<ReceivedPacket>> {
        (!self.packets.is_empty()).then(|| self.packets.remove(0))
    }

    /// Packets dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets the packets and their number.
    pub fn reset(&mut self, recycle: impl FnMut(Box<ReceivedPacket>)) {
        self.packets.drain(..).for_each(recycle);
        self.dropped = 0;
    }
}
