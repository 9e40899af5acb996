//! Packets back in order.

use super::input::{SLOTS, Slot};

/// Places for packets ahead of the next one; more than there are slots.
const PLACES: i64 = 512;

/// A sequence number that runs ahead by more is no gap but another numbering (RFC 3550, appendix A.1).
const MAX_DROPOUT: i64 = 3000;

/// One that lags behind by more is no straggler (ditto).
const MAX_MISORDER: i64 = 100;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It waits for its turn.
    Kept,
    /// It waits for its turn, and a later one came before it.
    Reordered,
    /// It waits for its turn, and all before it is void: another stream began.
    Restarted,
    /// It was there before.
    Duplicate,
    /// Its time is over.
    Late,
    /// It does not belong to the stream; if the next one is its successor, the stream has a new numbering.
    Stray,
}

/// A packet in its turn.
pub(super) struct Ordered {
    /// Counts without wrapping.
    pub sequence: i64,
    /// In ticks, without wrapping.
    pub timestamp: i64,
    pub slot: Box<Slot>,
}

/// Holds packets by their sequence numbers, and unwraps those and the timestamps.
pub(super) struct ReorderBuffer {
    places: Box<[Option<Ordered>]>,
    /// Which packet came last for each place.
    seen: Box<[i64]>,
    held: usize,
    /// The next packet to be played.
    next: i64,
    /// The newest packet, and its timestamp.
    newest: Option<(i64, i64)>,
    ssrc: u32,
    /// What would follow the last stray packet.
    after_stray: Option<u16>,
}

impl ReorderBuffer {
    pub fn new() -> Self {
        debug_assert!(SLOTS < PLACES as usize);
        Self {
            places: (0..PLACES).map(|_| None).collect(),
            seen: vec![i64::MIN; PLACES as usize].into_boxed_slice(),
            held: 0,
            next: 0,
            newest: None,
            ssrc: 0,
            after_stray: None,
        }
    }

    /// Takes a packet, or gives it back if it is of no use; with its timestamp unwrapped. What has to go for it is
    /// given to `recycle`.
    pub fn insert(&mut self, slot: Box<Slot>, mut recycle: impl FnMut(Box<Slot>)) -> (Arrival, i64) {
        let Some((newest, newest_timestamp)) = self.newest.filter(|_| slot.ssrc == self.ssrc) else {
            return self.restart(slot, recycle);
        };
        let sequence = newest + i64::from(slot.sequence.wrapping_sub(newest as u16) as i16);
        let timestamp = newest_timestamp + i64::from(slot.timestamp.wrapping_sub(newest_timestamp as u32) as i32);
        let ahead = sequence - newest;
        // Along with the numbers the time must go forward; else the sender has reset its clock.
        let reset = ahead > 0 && timestamp < newest_timestamp;
        if reset || !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) {
            if reset || self.after_stray == Some(slot.sequence) {
                return self.restart(slot, recycle);
            }
            self.after_stray = Some(slot.sequence.wrapping_add(1));
            recycle(slot);
            return (Arrival::Stray, timestamp);
        }
        let place = sequence.rem_euclid(PLACES) as usize;
        if self.seen[place] == sequence {
            recycle(slot);
            return (Arrival::Duplicate, timestamp);
        }
        if sequence < self.next {
            self.seen[place] = sequence;
            recycle(slot);
            return (Arrival::Late, timestamp);
        }
        self.after_stray = None;
        // Far ahead: there is no room to wait for what is missing that long.
        while sequence - self.next >= PLACES {
            match self.pop() {
                Some(old) => recycle(old.slot),
                None => self.next = sequence,
            }
        }
        self.seen[place] = sequence;
        self.places[place] = Some(Ordered { sequence, timestamp, slot });
        self.held += 1;
        if ahead > 0 {
            self.newest = Some((sequence, timestamp));
        }
        (if ahead > 0 { Arrival::Kept } else { Arrival::Reordered }, timestamp)
    }

    /// Forgets the stream; what waits is given to `recycle`.
    pub fn reset(&mut self, mut recycle: impl FnMut(Box<Slot>)) {
        while let Some(old) = self.pop() {
            recycle(old.slot);
        }
        self.seen.fill(i64::MIN);
        (self.next, self.newest, self.ssrc, self.after_stray) = (0, None, 0, None);
    }

    fn restart(&mut self, slot: Box<Slot>, mut recycle: impl FnMut(Box<Slot>)) -> (Arrival, i64) {
        while let Some(old) = self.pop() {
            recycle(old.slot);
        }
        let (sequence, timestamp) = (i64::from(slot.sequence), i64::from(slot.timestamp));
        self.ssrc = slot.ssrc;
        self.seen.fill(i64::MIN);
        self.after_stray = None;
        // Until playing begins, an earlier packet may still become the first one.
        self.next = sequence - MAX_MISORDER;
        self.newest = Some((sequence, timestamp));
        let place = sequence.rem_euclid(PLACES) as usize;
        self.seen[place] = sequence;
        self.places[place] = Some(Ordered { sequence, timestamp, slot });
        self.held = 1;
        (Arrival::Restarted, timestamp)
    }

    /// The sequence number of the next packet to be played, whether it is there or not.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The packet that is there with this sequence number.
    pub fn get(&self, sequence: i64) -> Option<&Ordered> {
        self.places[sequence.rem_euclid(PLACES) as usize].as_ref().filter(|held| held.sequence == sequence)
    }

    /// The first packet that is there.
    pub fn first(&self) -> Option<&Ordered> {
        if self.held == 0 {
            return None;
        }
        (self.next..self.next + PLACES).find_map(|sequence| self.get(sequence))
    }

    /// The next packet will not be waited for any longer.
    pub fn pass(&mut self) {
        debug_assert!(self.get(self.next).is_none());
        self.next += 1;
    }

    /// Takes the first packet that is there; those before it have been waited for in vain.
    pub fn pop(&mut self) -> Option<Ordered> {
        let sequence = self.first()?.sequence;
        self.next = sequence + 1;
        self.held -= 1;
        self.places[sequence.rem_euclid(PLACES) as usize].take()
    }

    /// The packets that are there.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Playing begins with the first packet that is there.
    pub fn begin(&mut self) {
        if let Some(first) = self.first() {
            self.next = first.sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::queue;
    use super::*;

    /// Pushes packets through a queue into an order; what became of each.
    fn insert(order: &mut ReorderBuffer, packets: &[(u16, u32, u32)]) -> Vec<Arrival> {
        let (mut sender, mut arrivals) = queue(Default::default());
        let mut fates = Vec::new();
        for &(sequence, timestamp, ssrc) in packets {
            sender.push(sequence, timestamp, ssrc, &[0]).unwrap();
            fates.push(order.insert(arrivals.next().unwrap(), drop).0);
        }
        fates
    }

    fn numbers(order: &mut ReorderBuffer) -> Vec<(i64, i64)> {
        std::iter::from_fn(|| order.pop().map(|p| (p.sequence, p.timestamp))).collect()
    }

    #[test]
    fn order_is_restored_across_both_wraps() {
        let mut order = ReorderBuffer::new();
        let start = u32::MAX - 960;
        let packet = |i: u16| (65_533u16.wrapping_add(i), start.wrapping_add(u32::from(i) * 960), 1);
        let found = insert(&mut order, &[packet(0), packet(3), packet(1), packet(4), packet(1), packet(2)]);
        use Arrival::*;
        assert_eq!(found, [Restarted, Kept, Reordered, Kept, Duplicate, Reordered]);
        let start = i64::from(start);
        let wanted: Vec<_> = (0..5).map(|i| (65_533 + i, start + i * 960)).collect();
        assert_eq!(numbers(&mut order), wanted);
        assert_eq!(insert(&mut order, &[packet(2), packet(6)]), [Duplicate, Kept]);
    }

    #[test]
    fn late_is_what_comes_after_it_was_passed() {
        let mut order = ReorderBuffer::new();
        insert(&mut order, &[(10, 0, 1), (12, 1920, 1)]);
        order.begin();
        assert_eq!(order.pop().unwrap().sequence, 10);
        assert_eq!(order.next(), 11);
        assert_eq!(order.first().unwrap().sequence, 12);
        order.pass();
        assert_eq!(insert(&mut order, &[(11, 960, 1), (11, 960, 1)]), [Arrival::Late, Arrival::Duplicate]);
    }

    #[test]
    fn a_new_numbering_is_believed_at_the_second_packet_a_new_ssrc_at_once() {
        use Arrival::*;
        let mut order = ReorderBuffer::new();
        assert_eq!(insert(&mut order, &[(10, 0, 1), (30_000, 500, 1), (11, 960, 1)]), [Restarted, Stray, Kept]);
        assert_eq!(insert(&mut order, &[(40_000, 9000, 1), (40_001, 9960, 1)]), [Stray, Restarted]);
        assert_eq!(numbers(&mut order), [(40_001, 9960)]);
        assert_eq!(insert(&mut order, &[(5, 77, 2), (6, 78, 2)]), [Restarted, Kept]);
        assert_eq!(numbers(&mut order), [(5, 77), (6, 78)]);
        assert_eq!(insert(&mut order, &[(7, 5, 2)]), [Restarted], "the clock was set back");
    }

    #[test]
    fn a_jump_ahead_makes_room() {
        let mut order = ReorderBuffer::new();
        insert(&mut order, &[(0, 0, 1), (1, 960, 1)]);
        assert_eq!(insert(&mut order, &[(2500, 2500 * 960, 1)]), [Arrival::Kept]);
        assert_eq!(numbers(&mut order), [(2500, 2500 * 960)]);
    }
}
