//! Queue of packets from the audio callback to the network thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::core::Packet;

/// Packet queue from one thread to another, for at most `capacity` packets (at least 1). Allocates all of them.
///
/// Sending is a system call, and has no place in an audio callback: the callback pushes, the network thread pops and
/// sends. A second of packets is a good capacity, 50 at 20 ms (0.4 MB): more is of no use to a conversation.
///
/// When the queue is full the newest packet is dropped and counted. That is so when the network thread has not run for
/// the whole time that the queue holds. The packets in it are older, but they are one piece of speech; and a writer that
/// took the oldest away would have to wait for the reader. The positions tell of the gap.
///
/// ```
/// # #[cfg(feature = "opus")] {
/// use voxframe::device::packet_queue;
/// use voxframe::{Capture, OpusEncode, Stage};
/// let (mut input, mut output) = packet_queue(50);
/// let mut capture = Capture::for_device(48_000, 2)?;
/// let mut encoder = OpusEncode::voip().prepare(capture.output_format())?;
///
/// let mut callback = move |data: &[f32]| capture.run(data, &mut encoder, |packet| input.push(packet));
/// callback(&[0.1; 2 * 4800])?;
///
/// // On the network thread, whenever it wakes: it has to at least every 10 ms.
/// let mut sent = 0;
/// while let Some(packet) = output.pop() {
///     sent += packet.as_bytes().len(); // socket.send(packet.as_bytes())?
/// }
/// assert!(sent > 0);
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # Waiting
/// The callback wakes nobody, for that would be a system call. The network thread looks for packets each time it wakes
/// for another reason, and often enough: the wait for its socket, or for whatever it does, is at most 10 ms
/// (`UdpSocket::set_read_timeout`, the timeout of `poll`; a plain sender calls `thread::sleep` for 5 ms). Half the wait
/// is what the queue adds to the delay on average.
pub fn packet_queue(capacity: usize) -> (PacketQueueInput, PacketQueueOutput) {
    let capacity = capacity.max(1);
    let (filled_in, filled_out) = RingBuffer::new(capacity);
    // One more is in the reader's hands.
    let (mut empty_in, empty_out) = RingBuffer::new(capacity + 1);
    for _ in 0..=capacity {
        let pushed = empty_in.push(Packet::new());
        debug_assert!(pushed.is_ok(), "as many as there is room for");
    }
    let dropped = Arc::new(AtomicU64::new(0));
    let input = PacketQueueInput { filled: filled_in, empty: empty_out, dropped: Arc::clone(&dropped) };
    (input, PacketQueueOutput { filled: filled_out, empty: empty_in, lent: None, dropped })
}

/// Audio callback's end of a [`packet_queue`].
///
/// # Realtime safety
/// Wait-free: no lock, no allocation, no system call. To drop it frees memory only where the other end is gone.
pub struct PacketQueueInput {
    filled: Producer<Packet>,
    empty: Consumer<Packet>,
    dropped: Arc<AtomicU64>,
}

impl PacketQueueInput {
    /// Puts a copy of `packet` into the queue; where that is full, drops and counts it.
    pub fn push(&mut self, packet: &Packet) {
        // Where there is room, one is empty: the others are in the queue or with the reader.
        let empty = if self.filled.is_full() { None } else { self.empty.pop().ok() };
        let Some(mut copy) = empty else {
            self.dropped.fetch_add(1, Relaxed);
            return;
        };
        copy.copy_from(packet);
        let pushed = self.filled.push(copy);
        debug_assert!(pushed.is_ok(), "only this end fills it");
    }

    /// Count of packets that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl std::fmt::Debug for PacketQueueInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PacketQueueInput({} dropped)", self.dropped())
    }
}

/// Network thread's end of a [`packet_queue`].
///
/// # Realtime safety
/// Wait-free: no lock, no allocation, no system call.
pub struct PacketQueueOutput {
    filled: Consumer<Packet>,
    empty: Producer<Packet>,
    /// The packet popped last.
    lent: Option<Packet>,
    dropped: Arc<AtomicU64>,
}

impl PacketQueueOutput {
    /// Takes the oldest packet out of the queue and lends it until the next call; `None` if there is none, at once.
    pub fn pop(&mut self) -> Option<&mut Packet> {
        if let Some(lent) = self.lent.take() {
            let returned = self.empty.push(lent);
            debug_assert!(returned.is_ok(), "there is room for all packets");
        }
        self.lent = self.filled.pop().ok();
        self.lent.as_mut()
    }

    /// Count of packets that were dropped since the start because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl std::fmt::Debug for PacketQueueOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PacketQueueOutput({} waiting, {} dropped)", self.filled.slots(), self.dropped())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u32) -> Packet {
        let mut packet = Packet::new();
        let bytes = [number.to_le_bytes(); 40];
        packet.set_bytes(&bytes.as_flattened()[..4 + number as usize % 150], i64::from(number) * 960).unwrap();
        packet
    }

    #[test]
    fn packets_come_out_as_they_went_in_and_the_newest_is_dropped() {
        let (mut input, mut output) = packet_queue(3);
        for round in 0..10 {
            (0..5).for_each(|number| input.push(&packet(10 * round + number)));
            // One stays in the reader's hands meanwhile.
            for number in 0..3 {
                assert_eq!(output.pop(), Some(&mut packet(10 * round + number)));
            }
            if round % 2 == 0 {
                assert_eq!(output.pop(), None);
            }
            assert_eq!((input.dropped(), output.dropped()), (2 * u64::from(round + 1), 2 * u64::from(round + 1)));
        }
    }

    #[test]
    fn a_queue_for_nothing_holds_one() {
        let (mut input, mut output) = packet_queue(0);
        input.push(&packet(1));
        input.push(&packet(2));
        assert_eq!(output.pop(), Some(&mut packet(1)));
        drop(output);
        input.push(&packet(3));
        input.push(&packet(4));
        assert_eq!(input.dropped(), 2);
    }

    #[test]
    fn two_threads_lose_and_repeat_nothing() {
        const ALL: u32 = 20_000;
        let (mut input, mut output) = packet_queue(8);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let (mut popped, mut before) = (0u64, -1);
                loop {
                    let Some(found) = output.pop() else {
                        std::thread::yield_now();
                        continue;
                    };
                    let number = found.position() / 960;
                    assert!(number > before);
                    assert_eq!(*found, packet(number as u32));
                    (popped, before) = (popped + 1, number);
                    if number == i64::from(ALL) {
                        return popped;
                    }
                }
            });
            for number in 0..ALL {
                input.push(&packet(number));
            }
            let (mut tries, mut before) = (1, input.dropped());
            input.push(&packet(ALL));
            while input.dropped() > before {
                std::thread::yield_now();
                (tries, before) = (tries + 1, input.dropped());
                input.push(&packet(ALL));
            }
            assert_eq!(reader.join().unwrap() + input.dropped(), u64::from(ALL) + tries);
        });
    }
}
