//! From the network thread to the playout thread.

use rtrb::{Consumer, Producer, RingBuffer};

use super::stats::JitterBufferStatistics;
use crate::core::{Error, Result};

/// The most bytes of a payload: what one Ethernet frame carries. An Opus packet of 20 ms has at most 1275.
pub(super) const MAX_PAYLOAD: usize = 1500;

/// Packets under way or waiting at most: 6 s of 20 ms packets, so that what piles up in a stall of 5 s is not refused.
pub(super) const SLOTS: usize = 300;

/// One received packet. There is a fixed number of them; they go round between the two threads.
pub(super) struct Slot {
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    len: usize,
    bytes: [u8; MAX_PAYLOAD],
}

impl Slot {
    fn new() -> Box<Self> {
        Box::new(Self { sequence: 0, timestamp: 0, ssrc: 0, len: 0, bytes: [0; MAX_PAYLOAD] })
    }

    pub fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The playout thread's end.
pub(super) struct Arrivals {
    full: Consumer<Box<Slot>>,
    empty: Producer<Box<Slot>>,
}

impl Arrivals {
    pub fn next(&mut self) -> Option<Box<Slot>> {
        self.full.pop().ok()
    }

    /// Hands a slot back for reuse.
    pub fn recycle(&mut self, slot: Box<Slot>) {
        // There are as many places as slots.
        let done = self.empty.push(slot);
        debug_assert!(done.is_ok());
    }
}

/// The network thread's end of a [`JitterBuffer`](crate::JitterBuffer): takes packets as they come.
pub struct JitterBufferInput {
    full: Producer<Box<Slot>>,
    empty: Consumer<Box<Slot>>,
    statistics: JitterBufferStatistics,
}

/// Both ends.
pub(super) fn queue(statistics: JitterBufferStatistics) -> (JitterBufferInput, Arrivals) {
    let (full_in, full_out) = RingBuffer::new(SLOTS);
    let (mut empty_in, empty_out) = RingBuffer::new(SLOTS);
    for _ in 0..SLOTS {
        let done = empty_in.push(Slot::new());
        debug_assert!(done.is_ok());
    }
    (JitterBufferInput { full: full_in, empty: empty_out, statistics }, Arrivals { full: full_out, empty: empty_in })
}

impl JitterBufferInput {
    /// Hands on a packet that has just arrived: the fields of its RTP header (RFC 3550, section 5.1; the timestamp in
    /// ticks of 48 kHz, RFC 7587, section 4.1), and its payload. In any order, as often as it comes.
    ///
    /// # Errors
    /// [`Error::PacketTooLong`] beyond 1500 bytes; [`Error::Full`] if nobody pulls. The packet is then dropped.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn push(&mut self, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Result<()> {
        if payload.len() > MAX_PAYLOAD {
            self.statistics.refused();
            return Err(Error::PacketTooLong { bytes: payload.len(), max: MAX_PAYLOAD });
        }
        let Ok(mut slot) = self.empty.pop() else {
            self.statistics.refused();
            return Err(Error::Full);
        };
        (slot.sequence, slot.timestamp, slot.ssrc) = (sequence, timestamp, ssrc);
        slot.len = payload.len();
        slot.bytes[..payload.len()].copy_from_slice(payload);
        // There are as many places as slots.
        let done = self.full.push(slot);
        debug_assert!(done.is_ok());
        Ok(())
    }

    /// What the buffer tells.
    pub fn statistics(&self) -> JitterBufferStatistics {
        self.statistics.clone()
    }
}

impl std::fmt::Debug for JitterBufferInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JitterBufferInput({} waiting)", SLOTS - self.full.slots())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_go_round_between_two_threads() {
        let (mut sender, mut arrivals) = queue(JitterBufferStatistics::default());
        let network = std::thread::spawn(move || {
            for index in 0..5000u32 {
                while sender.push(index as u16, index * 960, 7, &index.to_be_bytes()).is_err() {
                    std::thread::yield_now();
                }
            }
            sender
        });
        for index in 0..5000u32 {
            let slot = loop {
                match arrivals.next() {
                    Some(slot) => break slot,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!((slot.sequence, slot.timestamp, slot.ssrc), (index as u16, index * 960, 7));
            assert_eq!(slot.payload(), index.to_be_bytes());
            arrivals.recycle(slot);
        }
        network.join().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused_and_counted() {
        let (mut sender, _arrivals) = queue(JitterBufferStatistics::default());
        assert_eq!(sender.push(0, 0, 0, &[0; 1501]), Err(Error::PacketTooLong { bytes: 1501, max: MAX_PAYLOAD }));
        for index in 0..SLOTS {
            sender.push(index as u16, 0, 0, &[0; MAX_PAYLOAD]).unwrap();
        }
        assert_eq!(sender.push(0, 0, 0, &[]), Err(Error::Full));
        assert_eq!(sender.statistics().reading().refused, 2);
    }
}
