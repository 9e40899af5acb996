//! Input of a jitter buffer, and the queue from the network thread to the playout thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::core::{Error, Result};

/// Maximum length of a payload in bytes: what one Ethernet frame carries. An Opus packet of 20 ms has at most 1275.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1500;

/// Packets under way or waiting at most: 6 s of 20 ms packets, so that what piles up in a stall of 5 s is not refused.
pub(super) const QUEUE_PACKETS: usize = 300;

/// One received packet: RTP header fields and payload. A fixed number of them goes round between the two threads.
pub(super) struct ReceivedPacket {
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    len: usize,
    bytes: [u8; MAX_PAYLOAD_BYTES],
}

impl ReceivedPacket {
    fn new() -> Box<Self> {
        Box::new(Self { sequence: 0, timestamp: 0, ssrc: 0, len: 0, bytes: [0; MAX_PAYLOAD_BYTES] })
    }

    pub fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Playout thread's end of the queue.
pub(super) struct Arrivals {
    received: Consumer<Box<ReceivedPacket>>,
    recycled: Producer<Box<ReceivedPacket>>,
    refused: Arc<AtomicU64>,
}

impl Arrivals {
    pub fn next(&mut self) -> Option<Box<ReceivedPacket>> {
        self.received.pop().ok()
    }

    /// Hands a packet back for reuse.
    pub fn recycle(&mut self, packet: Box<ReceivedPacket>) {
        // There are as many places as packets.
        let done = self.recycled.push(packet);
        debug_assert!(done.is_ok());
    }

    /// Packets refused so far on the network thread.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

/// Input of a [`JitterBuffer`](crate::JitterBuffer), for the network thread: takes packets as they come.
pub struct JitterBufferInput {
    received: Producer<Box<ReceivedPacket>>,
    recycled: Consumer<Box<ReceivedPacket>>,
    refused: Arc<AtomicU64>,
}

/// Both ends of a queue.
pub(super) fn packet_queue() -> (JitterBufferInput, Arrivals) {
    let (received_in, received_out) = RingBuffer::new(QUEUE_PACKETS);
    let (mut recycled_in, recycled_out) = RingBuffer::new(QUEUE_PACKETS);
    for _ in 0..QUEUE_PACKETS {
        let done = recycled_in.push(ReceivedPacket::new());
        debug_assert!(done.is_ok());
    }
    let refused = Arc::new(AtomicU64::new(0));
    let input = JitterBufferInput { received: received_in, recycled: recycled_out, refused: Arc::clone(&refused) };
    (input, Arrivals { received: received_out, recycled: recycled_in, refused })
}

impl JitterBufferInput {
    /// Hands on a packet that has just arrived: the fields of its RTP header (RFC 3550, section 5.1; the timestamp in
    /// ticks of 48 kHz, RFC 7587, section 4.1), and its payload. In any order, as often as it comes.
    ///
    /// # Errors
    /// [`Error::PacketTooLong`] beyond 1500 bytes; [`Error::Full`] if nobody pulls. The packet is then dropped, and
    /// counted as [`packets_refused`](super::JitterBufferReading::packets_refused) with the next pull.
    ///
    /// # Realtime safety
    /// Safe: wait-free.
    pub fn push(&mut self, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Result<()> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            self.refused.fetch_add(1, Relaxed);
            return Err(Error::PacketTooLong { bytes: payload.len(), max: MAX_PAYLOAD_BYTES });
        }
        let Ok(mut packet) = self.recycled.pop() else {
            self.refused.fetch_add(1, Relaxed);
            return Err(Error::Full);
        };
        (packet.sequence, packet.timestamp, packet.ssrc) = (sequence, timestamp, ssrc);
        packet.len = payload.len();
        packet.bytes[..payload.len()].copy_from_slice(payload);
        // There are as many places as packets.
        let done = self.received.push(packet);
        debug_assert!(done.is_ok());
        Ok(())
    }
}

impl std::fmt::Debug for JitterBufferInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JitterBufferInput({} waiting)", QUEUE_PACKETS - self.received.slots())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_go_round_between_two_threads() {
        let (mut input, mut arrivals) = packet_queue();
        let network = std::thread::spawn(move || {
            for index in 0..5000u32 {
                while input.push(index as u16, index * 960, 7, &index.to_be_bytes()).is_err() {
                    std::thread::yield_now();
                }
            }
            input
        });
        for index in 0..5000u32 {
            let packet = loop {
                match arrivals.next() {
                    Some(packet) => break packet,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!((packet.sequence, packet.timestamp, packet.ssrc), (index as u16, index * 960, 7));
            assert_eq!(packet.payload(), index.to_be_bytes());
            arrivals.recycle(packet);
        }
        network.join().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused_and_counted() {
        let (mut input, arrivals) = packet_queue();
        assert_eq!(input.push(0, 0, 0, &[0; 1501]), Err(Error::PacketTooLong { bytes: 1501, max: MAX_PAYLOAD_BYTES }));
        for index in 0..QUEUE_PACKETS {
            input.push(index as u16, 0, 0, &[0; MAX_PAYLOAD_BYTES]).unwrap();
        }
        assert_eq!(input.push(0, 0, 0, &[]), Err(Error::Full));
        assert_eq!(arrivals.refused(), 2);
    }
}
