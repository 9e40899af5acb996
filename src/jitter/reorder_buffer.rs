//! Reorder buffer: packets back in order, their sequence numbers and timestamps unwrapped (RFC 3550, appendix A.1).

use super::input::{QUEUE_PACKETS, ReceivedPacket};

/// Places for packets ahead of the next one; more than there are packets.
const PLACES: i64 = 512;

/// Longest gap in sequence numbers; what runs ahead by more belongs to another numbering (RFC 3550, appendix A.1).
const MAX_DROPOUT: i64 = 3000;

/// Longest lag of a packet behind the newest; what lags by more belongs to another numbering (ditto).
const MAX_MISORDER: i64 = 100;

/// What became of a packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Kept; the newest so far.
    InOrder,
    /// Kept; a later one came before it.
    Reordered,
    /// Kept as the first of another stream: all before it is void.
    NewStream,
    /// Dropped: it came before.
    Duplicate,
    /// Dropped: its time is over.
    Late,
    /// Dropped: it does not belong to the stream. If the next one is its successor, the stream has a new numbering.
    Stray,
}

/// Packet that waits for its turn.
pub(super) struct BufferedPacket {
    /// Sequence number, counted on without wrapping.
    pub sequence: i64,
    /// Timestamp in ticks, counted on without wrapping.
    pub timestamp: i64,
    pub packet: Box<ReceivedPacket>,
}

/// Packets by their sequence numbers, from the next to be played on.
pub(super) struct ReorderBuffer {
    places: Box<[Option<BufferedPacket>]>,
    /// Sequence number of the last packet that came for each place.
    arrived: Box<[i64]>,
    len: usize,
    /// Sequence number of the next packet to be played.
    next: i64,
    /// Sequence number and timestamp of the newest packet.
    newest: Option<(i64, i64)>,
    ssrc: u32,
    /// Sequence number that would follow the last stray packet.
    after_stray: Option<u16>,
}

impl ReorderBuffer {
    pub fn new() -> Self {
        debug_assert!(QUEUE_PACKETS < PLACES as usize);
        Self {
            places: (0..PLACES).map(|_| None).collect(),
            arrived: vec![i64::MIN; PLACES as usize].into_boxed_slice(),
            len: 0,
            next: 0,
            newest: None,
            ssrc: 0,
            after_stray: None,
        }
    }

    /// Takes in a packet: what became of it, and its unwrapped timestamp. Packets dropped, that one or earlier ones, are
    /// given to `recycle`.
    pub fn insert(
        &mut self,
        packet: Box<ReceivedPacket>,
        mut recycle: impl FnMut(Box<ReceivedPacket>),
    ) -> (Arrival, i64) {
        let Some((newest, newest_timestamp)) = self.newest.filter(|_| packet.ssrc == self.ssrc) else {
            return self.begin_stream(packet, recycle);
        };
        let sequence = newest + i64::from(packet.sequence.wrapping_sub(newest as u16) as i16);
        let timestamp = newest_timestamp + i64::from(packet.timestamp.wrapping_sub(newest_timestamp as u32) as i32);
        let ahead = sequence - newest;
        // Along with the numbers the time must go forward; else the sender has reset its clock.
        let reset = ahead > 0 && timestamp < newest_timestamp;
        if reset || !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) {
            if reset || self.after_stray == Some(packet.sequence) {
                return self.begin_stream(packet, recycle);
            }
            self.after_stray = Some(packet.sequence.wrapping_add(1));
            recycle(packet);
            return (Arrival::Stray, timestamp);
        }
        let place = sequence.rem_euclid(PLACES) as usize;
        if self.arrived[place] == sequence {
            recycle(packet);
            return (Arrival::Duplicate, timestamp);
        }
        if sequence < self.next {
            self.arrived[place] = sequence;
            recycle(packet);
            return (Arrival::Late, timestamp);
        }
        self.after_stray = None;
        // Far ahead: there is no room to wait for what is missing that long.
        while sequence - self.next >= PLACES {
            match self.pop_first() {
                Some(old) => recycle(old.packet),
                None => self.next = sequence,
            }
        }
        self.arrived[place] = sequence;
        self.places[place] = Some(BufferedPacket { sequence, timestamp, packet });
        self.len += 1;
        if ahead > 0 {
            self.newest = Some((sequence, timestamp));
        }
        (if ahead > 0 { Arrival::InOrder } else { Arrival::Reordered }, timestamp)
    }

    /// Forgets the stream. The packets that waited are given to `recycle`.
    pub fn reset(&mut self, mut recycle: impl FnMut(Box<ReceivedPacket>)) {
        while let Some(old) = self.pop_first() {
            recycle(old.packet);
        }
        self.arrived.fill(i64::MIN);
        (self.next, self.newest, self.ssrc, self.after_stray) = (0, None, 0, None);
    }

    fn begin_stream(
        &mut self,
        packet: Box<ReceivedPacket>,
        recycle: impl FnMut(Box<ReceivedPacket>),
    ) -> (Arrival, i64) {
        self.reset(recycle);
        let (sequence, timestamp) = (i64::from(packet.sequence), i64::from(packet.timestamp));
        self.ssrc = packet.ssrc;
        // Until playing begins, an earlier packet may still become the first one.
        self.next = sequence - MAX_MISORDER;
        self.newest = Some((sequence, timestamp));
        let place = sequence.rem_euclid(PLACES) as usize;
        self.arrived[place] = sequence;
        self.places[place] = Some(BufferedPacket { sequence, timestamp, packet });
        self.len = 1;
        (Arrival::NewStream, timestamp)
    }

    /// Sequence number of the next packet to be played, whether it is there or not.
    pub fn next_sequence(&self) -> i64 {
        self.next
    }

    /// The next packet to be played, if it is there.
    pub fn next(&self) -> Option<&BufferedPacket> {
        self.get(self.next)
    }

    fn get(&self, sequence: i64) -> Option<&BufferedPacket> {
        self.places[sequence.rem_euclid(PLACES) as usize].as_ref().filter(|packet| packet.sequence == sequence)
    }

    /// The first packet that is there.
    pub fn first(&self) -> Option<&BufferedPacket> {
        if self.len == 0 {
            return None;
        }
        (self.next..self.next + PLACES).find_map(|sequence| self.get(sequence))
    }

    /// Gives up the next packet, which is not there.
    pub fn skip_missing(&mut self) {
        debug_assert!(self.next().is_none());
        self.next += 1;
    }

    /// Takes the first packet that is there; those before it are given up.
    pub fn pop_first(&mut self) -> Option<BufferedPacket> {
        let sequence = self.first()?.sequence;
        self.next = sequence + 1;
        self.len -= 1;
        self.places[sequence.rem_euclid(PLACES) as usize].take()
    }

    /// Number of packets that are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Lets playing begin with the first packet that is there.
    pub fn start_at_first(&mut self) {
        if let Some(first) = self.first() {
            self.next = first.sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::packet_queue;
    use super::*;

    /// What becomes of packets pushed through a queue into a buffer.
    fn insert(buffer: &mut ReorderBuffer, packets: &[(u16, u32, u32)]) -> Vec<Arrival> {
        let (mut input, mut arrivals) = packet_queue();
        let mut outcomes = Vec::new();
        for &(sequence, timestamp, ssrc) in packets {
            input.push(sequence, timestamp, ssrc, &[0]).unwrap();
            outcomes.push(buffer.insert(arrivals.next().unwrap(), drop).0);
        }
        outcomes
    }

    fn numbers(buffer: &mut ReorderBuffer) -> Vec<(i64, i64)> {
        std::iter::from_fn(|| buffer.pop_first().map(|p| (p.sequence, p.timestamp))).collect()
    }

    #[test]
    fn order_is_restored_across_both_wraps() {
        let mut buffer = ReorderBuffer::new();
        let start = u32::MAX - 960;
        let packet = |i: u16| (65_533u16.wrapping_add(i), start.wrapping_add(u32::from(i) * 960), 1);
        let found = insert(&mut buffer, &[packet(0), packet(3), packet(1), packet(4), packet(1), packet(2)]);
        use Arrival::*;
        assert_eq!(found, [NewStream, InOrder, Reordered, InOrder, Duplicate, Reordered]);
        let start = i64::from(start);
        let expected: Vec<_> = (0..5).map(|i| (65_533 + i, start + i * 960)).collect();
        assert_eq!(numbers(&mut buffer), expected);
        assert_eq!(insert(&mut buffer, &[packet(2), packet(6)]), [Duplicate, InOrder]);
    }

    #[test]
    fn late_is_what_comes_after_it_was_given_up() {
        let mut buffer = ReorderBuffer::new();
        insert(&mut buffer, &[(10, 0, 1), (12, 1920, 1)]);
        buffer.start_at_first();
        assert_eq!(buffer.pop_first().unwrap().sequence, 10);
        assert_eq!(buffer.next_sequence(), 11);
        assert_eq!(buffer.first().unwrap().sequence, 12);
        buffer.skip_missing();
        assert_eq!(insert(&mut buffer, &[(11, 960, 1), (11, 960, 1)]), [Arrival::Late, Arrival::Duplicate]);
    }

    #[test]
    fn a_new_numbering_is_believed_at_the_second_packet_a_new_ssrc_at_once() {
        use Arrival::*;
        let mut buffer = ReorderBuffer::new();
        assert_eq!(insert(&mut buffer, &[(10, 0, 1), (30_000, 500, 1), (11, 960, 1)]), [NewStream, Stray, InOrder]);
        assert_eq!(insert(&mut buffer, &[(40_000, 9000, 1), (40_001, 9960, 1)]), [Stray, NewStream]);
        assert_eq!(numbers(&mut buffer), [(40_001, 9960)]);
        assert_eq!(insert(&mut buffer, &[(5, 77, 2), (6, 78, 2)]), [NewStream, InOrder]);
        assert_eq!(numbers(&mut buffer), [(5, 77), (6, 78)]);
        assert_eq!(insert(&mut buffer, &[(7, 5, 2)]), [NewStream], "the clock was set back");
    }

    #[test]
    fn a_jump_ahead_makes_room() {
        let mut buffer = ReorderBuffer::new();
        insert(&mut buffer, &[(0, 0, 1), (1, 960, 1)]);
        assert_eq!(insert(&mut buffer, &[(2500, 2500 * 960, 1)]), [Arrival::InOrder]);
        assert_eq!(numbers(&mut buffer), [(2500, 2500 * 960)]);
    }
}
