//! The network: loss in bursts, jitter, spikes, duplicates, stalls.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

/// Packets after which a burst of bad network begins or ends.
const BURST_PACKETS: u64 = 500;

#[derive(Default)]
pub struct Network {
    /// Arrival time in µs, order of sending, and bytes.
    under_way: BinaryHeap<Reverse<(u64, u64, Vec<u8>)>>,
    sent: u64,
    stalled_until_ms: f64,
    settled_ms: f64,
}

impl Network {
    /// Takes a datagram, and loses it, maybe.
    pub fn send(&mut self, now_ms: f64, datagram: &[u8], random: &mut Rng) {
        self.sent += 1;
        let bad = (self.sent / BURST_PACKETS) % 7 == 3;
        if random.f32() < if bad { 0.3 } else { 0.01 } {
            return;
        }
        let mut delay_ms = 30.0 + random.f64() * if bad { 60.0 } else { 8.0 };
        if random.u32(0..2000) == 0 {
            delay_ms += 50.0 + 350.0 * random.f64();
        }
        let at_ms = (now_ms + delay_ms).max(self.stalled_until_ms);
        self.deliver(at_ms, datagram);
        if random.u32(0..500) == 0 {
            self.deliver(at_ms + 20.0, datagram);
        }
    }

    fn deliver(&mut self, at_ms: f64, datagram: &[u8]) {
        self.under_way.push(Reverse(((1000.0 * at_ms) as u64, self.sent, datagram.to_vec())));
    }

    /// The next datagram that has arrived.
    pub fn receive(&mut self, now_ms: f64) -> Option<Vec<u8>> {
        let Reverse((at_us, ..)) = self.under_way.peek()?;
        if *at_us > (1000.0 * now_ms) as u64 {
            return None;
        }
        self.under_way.pop().map(|Reverse((_, _, datagram))| datagram)
    }

    /// Holds all back until then.
    pub fn stall_until(&mut self, until_ms: f64) {
        self.stalled_until_ms = self.stalled_until_ms.max(until_ms);
        self.disturb_until(until_ms);
    }

    /// Says that until then something happens that may cost delay.
    pub fn disturb_until(&mut self, until_ms: f64) {
        self.settled_ms = self.settled_ms.max(until_ms);
    }

    /// Since when nothing of that kind has happened.
    pub fn settled_ms(&self) -> f64 {
        self.settled_ms
    }
}
