//! Reorder buffer: packets back in order, their sequence numbers and timestamps unwrapped (RFC 3550, appendix A.1).

use super::input::{QUEUE_PACKETS, ReceivedPacket};
use super::probation::Probation;
use super::ticks::MAX_PACKET_TICKS;

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
    /// Kept, with those on probation: the first of another stream. All before is void.
    NewStream,
    /// Dropped: it came before.
    Duplicate,
    /// Dropped: its time is over.
    Late,
    /// On probation: it does not belong to the stream.
    Stray,
    /// Dropped, but its number is known: it holds no sound (padding).
    Empty,
}

/// Packet that waits for its turn.
pub(super) struct BufferedPacket {
    /// Sequence number, counted on without wrapping.
    pub sequence: i64,
    /// Timestamp in ticks, counted on without wrapping.
    pub timestamp: i64,
    pub packet: Box<ReceivedPacket>,
}

/// Newest packets of the stream.
#[derive(Clone, Copy)]
struct Newest {
    /// Sequence number of the newest packet of any kind.
    sequence: i64,
    /// Sequence number and timestamp of the newest one that holds sound, and when it came.
    sound: i64,
    timestamp: i64,
    sound_arrival: i64,
    /// When the last packet of the stream came.
    arrival: i64,
}

/// Packets by their sequence numbers, from the next to be played on.
pub(super) struct ReorderBuffer {
    places: Box<[Option<BufferedPacket>]>,
    /// Sequence number of the last packet that came for each place.
    arrived: Box<[i64]>,
    len: usize,
    /// Sequence number of the next packet to be played; never that of an empty one.
    next: i64,
    newest: Option<Newest>,
    ssrc: u32,
    probation: Probation,
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
            probation: Probation::new(),
        }
    }

    /// Takes in a packet that came at `now`: what became of it, and its unwrapped timestamp where the arrival says
    /// something of the network. A timestamp after `latest` is believed only where the sequence numbers support it.
    /// Packets dropped, that one or earlier ones, are given to `recycle`.
    pub fn insert(
        &mut self,
        packet: Box<ReceivedPacket>,
        now: i64,
        latest: i64,
        mut recycle: impl FnMut(Box<ReceivedPacket>),
    ) -> (Arrival, Option<i64>) {
        let is_empty = packet.payload().is_empty();
        let Some(newest) = self.newest else {
            if is_empty {
                recycle(packet);
                return (Arrival::Empty, None);
            }
            let timestamp = i64::from(packet.timestamp);
            self.append(packet, now);
            return (Arrival::NewStream, Some(timestamp));
        };
        let sequence = newest.sequence + i64::from(packet.sequence.wrapping_sub(newest.sequence as u16) as i16);
        let timestamp = newest.timestamp + i64::from(packet.timestamp.wrapping_sub(newest.timestamp as u32) as i32);
        let place = sequence.rem_euclid(PLACES) as usize;
        let is_known =
            packet.ssrc == self.ssrc && (-MAX_MISORDER..=MAX_DROPOUT).contains(&(sequence - newest.sequence));

        if is_known && self.has_arrived(sequence) {
            recycle(packet);
            return (Arrival::Duplicate, None);
        }
        if is_empty {
            recycle(packet);
            if is_known {
                self.arrived[place] = sequence;
                self.newest = Some(Newest { sequence: sequence.max(newest.sequence), arrival: now, ..newest });
                self.pass_empty();
            }
            return (Arrival::Empty, None);
        }
        if !is_known || !self.supports(newest, sequence, timestamp, latest) {
            if !self.probation.hold(packet, now - newest.arrival, &mut recycle) {
                return (Arrival::Stray, None);
            }
            return (Arrival::NewStream, self.take_over(now, recycle));
        }
        // Of a packet farther back the delay holds a pause.
        let learnt = newest.timestamp - timestamp <= (newest.sound - sequence).max(0) * MAX_PACKET_TICKS;
        let learnt = Some(timestamp).filter(|_| learnt);
        if sequence < self.next {
            self.arrived[place] = sequence;
            recycle(packet);
            return (Arrival::Late, learnt);
        }
        // Far ahead: there is no room to wait for what is missing that long.
        while sequence - self.next >= PLACES {
            match self.pop_first() {
                Some(old) => recycle(old.packet),
                None => self.next = sequence,
            }
        }
        self.keep(BufferedPacket { sequence, timestamp, packet });
        let newest = Newest { sequence: sequence.max(newest.sequence), arrival: now, ..newest };
        if sequence > newest.sound {
            self.newest = Some(Newest { sound: sequence, timestamp, sound_arrival: now, ..newest });
            (Arrival::InOrder, learnt)
        } else {
            self.newest = Some(newest);
            (Arrival::Reordered, learnt)
        }
    }

    /// Whether the timestamp of a packet lies between those of its neighbours. Behind the newest one the sequence numbers
    /// bound it: no packet is longer than 120 ms; in a pause time does. A sender may leave it as it was.
    fn supports(&self, newest: Newest, sequence: i64, timestamp: i64, latest: i64) -> bool {
        let timestamp_of = |sequence: i64| self.get(sequence).map(|packet| packet.timestamp);
        if sequence > newest.sound {
            let ahead = timestamp - newest.timestamp;
            return ahead >= 0 && (ahead <= (sequence - newest.sound) * MAX_PACKET_TICKS || timestamp <= latest);
        }
        let after = (sequence + 1..newest.sound).find_map(timestamp_of).unwrap_or(newest.timestamp);
        let before = (self.next..sequence).rev().find_map(timestamp_of);
        timestamp < after && before.is_none_or(|before| timestamp > before)
    }

    /// Forgets the stream. The packets that waited are given to `recycle`.
    pub fn reset(&mut self, mut recycle: impl FnMut(Box<ReceivedPacket>)) {
        self.forget_stream(&mut recycle);
        self.probation.reset(recycle);
    }

    fn forget_stream(&mut self, mut recycle: impl FnMut(Box<ReceivedPacket>)) {
        while let Some(old) = self.pop_first() {
            recycle(old.packet);
        }
        self.arrived.fill(i64::MIN);
        (self.next, self.newest, self.ssrc) = (0, None, 0);
    }

    /// Goes over to the packets on probation; the timestamp of the last.
    fn take_over(&mut self, now: i64, recycle: impl FnMut(Box<ReceivedPacket>)) -> Option<i64> {
        self.forget_stream(recycle);
        while let Some(packet) = self.probation.release() {
            self.append(packet, now);
        }
        self.newest.map(|newest| newest.timestamp)
    }

    /// Keeps the first packet of a stream, or one right after the newest.
    fn append(&mut self, packet: Box<ReceivedPacket>, now: i64) {
        let (sequence, timestamp) = match self.newest {
            Some(newest) => {
                let ahead = packet.timestamp.wrapping_sub(newest.timestamp as u32);
                (newest.sequence + 1, newest.timestamp + i64::from(ahead))
            }
            None => {
                self.ssrc = packet.ssrc;
                // Until playing begins, an earlier packet may still become the first one.
                self.next = i64::from(packet.sequence) - MAX_MISORDER;
                (i64::from(packet.sequence), i64::from(packet.timestamp))
            }
        };
        self.newest = Some(Newest { sequence, sound: sequence, timestamp, sound_arrival: now, arrival: now });
        self.keep(BufferedPacket { sequence, timestamp, packet });
    }

    fn keep(&mut self, packet: BufferedPacket) {
        let place = packet.sequence.rem_euclid(PLACES) as usize;
        self.arrived[place] = packet.sequence;
        self.places[place] = Some(packet);
        self.len += 1;
    }

    /// Lets `next` pass numbers known to be empty.
    fn pass_empty(&mut self) {
        while self.has_arrived(self.next) && self.next().is_none() {
            self.next += 1;
        }
    }

    /// Timestamp of the newest packet with sound, and when it came.
    pub fn newest(&self) -> Option<(i64, i64)> {
        self.newest.map(|newest| (newest.timestamp, newest.sound_arrival))
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

    /// Number of packets missing before the first that is there.
    pub fn missing_before_first(&self) -> i64 {
        let Some(first) = self.first() else { return 0 };
        (self.next..first.sequence).filter(|&sequence| !self.has_arrived(sequence)).count() as i64
    }

    fn has_arrived(&self, sequence: i64) -> bool {
        self.arrived[sequence.rem_euclid(PLACES) as usize] == sequence
    }

    /// Gives up the next packet, which is not there.
    pub fn skip_missing(&mut self) {
        debug_assert!(self.next().is_none());
        self.next += 1;
        self.pass_empty();
    }

    /// Takes the first packet that is there; those before it are given up.
    pub fn pop_first(&mut self) -> Option<BufferedPacket> {
        let sequence = self.first()?.sequence;
        self.next = sequence + 1;
        self.len -= 1;
        let packet = self.places[sequence.rem_euclid(PLACES) as usize].take();
        self.pass_empty();
        packet
    }

    /// Number of packets that are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Packets that belonged to no stream, so far.
    pub fn strays(&self) -> u64 {
        self.probation.dropped()
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

    /// What becomes of packets pushed through a queue into a buffer, 20 ms apart; and whether something is learnt.
    fn learn(buffer: &mut ReorderBuffer, packets: &[(u16, u32, u32)], bytes: usize) -> Vec<(Arrival, bool)> {
        let (mut input, mut arrivals) = packet_queue();
        let now = buffer.newest.map_or(0, |newest| newest.arrival);
        let mut outcomes = Vec::new();
        for (index, &(sequence, timestamp, ssrc)) in packets.iter().enumerate() {
            input.push(sequence, timestamp, ssrc, &[0; 3][..bytes]).unwrap();
            let latest = buffer.newest.map_or(0, |newest| newest.timestamp) + 48_000;
            let now = now + 960 * (index as i64 + 1);
            let (arrival, timestamp) = buffer.insert(arrivals.next().unwrap(), now, latest, drop);
            outcomes.push((arrival, timestamp.is_some()));
        }
        outcomes
    }

    fn insert(buffer: &mut ReorderBuffer, packets: &[(u16, u32, u32)]) -> Vec<Arrival> {
        learn(buffer, packets, 3).into_iter().map(|(arrival, _)| arrival).collect()
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
        assert_eq!(buffer.missing_before_first(), 1);
        assert_eq!(buffer.first().unwrap().sequence, 12);
        buffer.skip_missing();
        assert_eq!(insert(&mut buffer, &[(11, 960, 1), (11, 960, 1)]), [Arrival::Late, Arrival::Duplicate]);
    }

    #[test]
    fn another_stream_is_believed_at_the_second_packet_and_nothing_of_it_is_lost() {
        use Arrival::*;
        let mut buffer = ReorderBuffer::new();
        assert_eq!(insert(&mut buffer, &[(10, 0, 1), (30_000, 500, 1), (11, 960, 1)]), [NewStream, Stray, InOrder]);
        assert_eq!(insert(&mut buffer, &[(40_000, 9000, 1), (40_001, 9960, 1)]), [Stray, NewStream]);
        assert_eq!(buffer.strays(), 1, "30 000");
        assert_eq!(numbers(&mut buffer), [(40_000, 9000), (40_001, 9960)]);
        assert_eq!(insert(&mut buffer, &[(5, 77, 2), (6, 1037, 2)]), [Stray, NewStream]);
        assert_eq!(numbers(&mut buffer), [(5, 77), (6, 1037)]);
        let set_back = [(7, 5, 2), (8, 965, 2), (9, 1925, 2)];
        assert_eq!(insert(&mut buffer, &set_back), [Stray, NewStream, InOrder]);
        assert_eq!(numbers(&mut buffer), [(7, 5), (8, 965), (9, 1925)]);
    }

    #[test]
    fn two_streams_that_come_by_turns_do_not_take_over() {
        let mut buffer = ReorderBuffer::new();
        insert(&mut buffer, &[(0, 0, 1)]);
        for turn in 0..50u16 {
            let packet = |index: u16, ssrc| (index, u32::from(index) * 960, ssrc);
            let (one, other) = (2 * turn, 2 * turn + 1);
            let found =
                insert(&mut buffer, &[packet(one + 1, 1), packet(one, 2), packet(one + 2, 1), packet(other, 2)]);
            assert_eq!(found, [Arrival::InOrder, Arrival::Stray, Arrival::InOrder, Arrival::Stray]);
            numbers(&mut buffer);
        }
    }

    #[test]
    fn a_timestamp_that_the_numbers_do_not_support_is_a_stray() {
        use Arrival::*;
        for wrong in [20_000u32, 20 * 48_000, 3600 * 48_000, 1 << 30, 1 << 31, 0xffff_0000] {
            let mut buffer = ReorderBuffer::new();
            let packet = |index: u16| (index, u32::from(index) * 960, 1);
            let damaged = |index: u16| (index, (u32::from(index) * 960).wrapping_add(wrong), 1);
            // Overtaken; too late; in order, where time is bounded by more than a second only.
            let found = insert(&mut buffer, &[packet(0), packet(1), packet(3), damaged(2), packet(4)]);
            assert_eq!(found[..3], [NewStream, InOrder, InOrder]);
            if wrong < 1 << 31 {
                assert_eq!(found[3..], [Stray, InOrder], "{wrong}");
                assert_eq!(numbers(&mut buffer), [(0, 0), (1, 960), (3, 2880), (4, 3840)]);
                assert_eq!(insert(&mut buffer, &[damaged(2)]), [Stray], "late as well");
            }
            if wrong > 100_000 {
                assert_eq!(insert(&mut buffer, &[damaged(5), packet(6)]), [Stray, InOrder], "{wrong}");
            }
        }
    }

    #[test]
    fn what_is_late_by_more_than_its_number_teaches_nothing() {
        let mut buffer = ReorderBuffer::new();
        insert(&mut buffer, &[(10, 100_000, 1), (12, 101_920, 1)]);
        numbers(&mut buffer);
        assert_eq!(learn(&mut buffer, &[(9, 99_040, 1)], 3), [(Arrival::Late, true)]);
        assert_eq!(learn(&mut buffer, &[(11, 1000, 1)], 3), [(Arrival::Late, false)]);
    }

    #[test]
    fn a_packet_without_sound_is_a_number_and_no_more() {
        let mut buffer = ReorderBuffer::new();
        assert_eq!(learn(&mut buffer, &[(9, 0, 1)], 0), [(Arrival::Empty, false)]);
        insert(&mut buffer, &[(10, 960, 1)]);
        buffer.start_at_first();
        // Browsers repeat the last timestamp, or an old one.
        let found = learn(&mut buffer, &[(11, 960, 1), (12, 0, 1), (12, 0, 1), (14, 77, 2)], 0);
        use Arrival::*;
        assert_eq!(found, [(Empty, false), (Empty, false), (Duplicate, false), (Empty, false)]);
        assert_eq!(insert(&mut buffer, &[(14, 2880, 1), (13, 1920, 1)]), [InOrder, Reordered]);
        assert_eq!(buffer.missing_before_first(), 0);
        assert_eq!(numbers(&mut buffer), [(10, 960), (13, 1920), (14, 2880)]);
        learn(&mut buffer, &[(16, 0, 1)], 0);
        insert(&mut buffer, &[(18, 4800, 1)]);
        assert_eq!(buffer.missing_before_first(), 2, "15 and 17");
        buffer.skip_missing();
        assert_eq!(buffer.missing_before_first(), 1);
    }

    #[test]
    fn a_jump_ahead_makes_room() {
        let mut buffer = ReorderBuffer::new();
        insert(&mut buffer, &[(0, 0, 1), (1, 960, 1)]);
        assert_eq!(insert(&mut buffer, &[(2500, 2500 * 960, 1)]), [Arrival::InOrder]);
        assert_eq!(numbers(&mut buffer), [(2500, 2500 * 960)]);
    }
}
