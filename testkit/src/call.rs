//! Call over a simulated network: packets in at one end, frames out at the other.

use voxframe::{Format, Frame, Packet};

use crate::network::Network;

/// The receiving end of a call. A trait, because the jitter buffer is there with its feature only.
pub trait Receiver {
    /// State of the jitter buffer.
    type Reading: Copy;

    /// Takes a packet from the network.
    fn push(&mut self, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]);

    /// The next frame to play, and the state behind it.
    fn pull(&mut self) -> (&mut Frame, Self::Reading);
}

impl<R: Receiver> Receiver for &mut R {
    type Reading = R::Reading;

    fn push(&mut self, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) {
        (**self).push(sequence, timestamp, ssrc, payload);
    }

    fn pull(&mut self) -> (&mut Frame, R::Reading) {
        (**self).pull()
    }
}

/// One frame at the far end of a call.
pub struct Heard<'a, R> {
    /// When it is played, by the receiver's clock.
    pub now_ms: f64,
    /// How long ago the sound in it was captured.
    pub delay_ms: f64,
    pub frame: &'a mut Frame,
    pub reading: R,
}

/// Sends packets over a network to a receiver of frames of `format`, and plays them to the end of the last one. Returns
/// the last reading.
pub fn call<R: Receiver>(
    packets: &[Packet],
    network: &Network,
    format: Format,
    mut receiver: R,
    mut heard: impl FnMut(Heard<'_, R::Reading>),
) -> R::Reading {
    // A packet of silence need not be sent.
    let sent: Vec<&Packet> = packets.iter().filter(|p| !p.is_dtx()).collect();
    let ms = |ticks: i64| ticks as f64 / 48.0;
    let begin = sent.first().map_or(0, |p| p.position());
    let length = sent.windows(2).map(|two| two[1].position() - two[0].position()).min().unwrap_or(960);
    // A packet is sent when its last sound has been captured.
    let sent_ms: Vec<f64> = sent.iter().map(|p| ms(p.position() - begin + length)).collect();
    let arrivals = network.carry(&sent_ms, ms(length));
    let first = arrivals.iter().map(|a| a.packet).min().unwrap_or(0);
    let end_ms = arrivals.last().map_or(0.0, |a| a.at_ms) + 1000.0;
    let mut next = arrivals.iter().peekable();
    let mut now_ms = 0.0;
    let mut standing = None;
    loop {
        while let Some(arrival) = next.next_if(|a| a.at_ms <= now_ms) {
            let packet = sent[arrival.packet];
            // Both numbers wrap within the first seconds.
            let sequence = (arrival.packet as u16).wrapping_add(65_500);
            let timestamp = ((packet.position() - begin) as u32).wrapping_sub(48_000);
            receiver.push(sequence, timestamp, 0x5eed, packet.as_bytes());
        }
        let (frame, reading) = receiver.pull();
        let position = frame.position();
        let captured = sent.get(first).map_or(0.0, |p| ms(p.position() - begin))
            + position as f64 * 1000.0 / f64::from(format.sample_rate_hz());
        let delay_ms = now_ms - network.received_ms(captured);
        heard(Heard { now_ms, delay_ms, frame, reading });
        // All was heard once the sound stands still and nothing more comes.
        let over = next.peek().is_none() && standing == Some(position);
        standing = (position > 0).then_some(position);
        now_ms += f64::from(format.frame_ms());
        if over || now_ms > end_ms {
            return reading;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays each packet for 20 ms as it comes.
    struct Straight {
        frame: Frame,
        pushed: Vec<(u16, u32)>,
    }

    impl Receiver for Straight {
        type Reading = usize;

        fn push(&mut self, sequence: u16, timestamp: u32, _: u32, _: &[u8]) {
            self.pushed.push((sequence, timestamp));
        }

        fn pull(&mut self) -> (&mut Frame, usize) {
            let played = self.frame.position().max(0) + 480;
            self.frame.set_position(played.min(960 * self.pushed.len() as i64));
            (&mut self.frame, self.pushed.len())
        }
    }

    #[test]
    fn packets_come_in_time_and_the_call_ends_with_the_last() {
        let packet = |index: i64| {
            let mut packet = Packet::new();
            packet.set_bytes(&[0xf8, 1, 2], 960 * index + 77).unwrap();
            packet
        };
        let packets: Vec<Packet> = (0..100).map(packet).collect();
        let format = Format::mono(48_000).unwrap();
        let mut receiver = Straight { frame: Frame::new(format), pushed: Vec::new() };
        let (mut frames, mut delays) = (0, Vec::new());
        let received = call(&packets, &Network::default(), format, &mut receiver, |heard| {
            frames += 1;
            delays.push((heard.now_ms, heard.delay_ms));
        });
        assert_eq!((received, frames), (100, 203));
        assert_eq!(receiver.pushed[..2], [(65_500, 0u32.wrapping_sub(48_000)), (65_501, 960u32.wrapping_sub(48_000))]);
        // The first packet comes after 20 ms, and the frame pulled then ends 10 ms later.
        assert_eq!(delays[2], (20.0, 10.0));
    }
}
