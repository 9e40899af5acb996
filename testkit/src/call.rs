//! Call over a simulated network: packets in at one end, frames out at the other.

use voxframe::{Frame, Packet, Source};

use crate::network::Network;

/// One frame at the far end of a call.
pub struct Heard<'a> {
    /// When it is played, by the receiver's clock.
    pub now_ms: f64,
    /// How long ago the sound in it was captured.
    pub delay_ms: f64,
    pub frame: &'a mut Frame,
}

/// Sends packets over a network: what arrives goes to `push` (sequence number, timestamp, SSRC, payload), and `source`
/// is played to the end of the last packet.
pub fn call(
    packets: &[Packet],
    network: &Network,
    mut push: impl FnMut(u16, u32, u32, &[u8]),
    mut source: impl Source,
    mut heard: impl FnMut(Heard<'_>),
) {
    // A packet of silence need not be sent.
    let sent: Vec<&Packet> = packets.iter().filter(|p| !p.is_dtx()).collect();
    let ms = |ticks: i64| ticks as f64 / 48.0;
    let begin = sent.first().map_or(0, |p| p.position());
    let length = sent.windows(2).map(|two| two[1].position() - two[0].position()).min().unwrap_or(960);
    // A packet is sent when its last sound has been captured.
    let sent_ms: Vec<f64> = sent.iter().map(|p| ms(p.position() - begin + length)).collect();
    let arrivals = network.carry(&sent_ms, ms(length));
    let first_ms = arrivals.iter().map(|a| a.packet).min().map_or(0.0, |first| ms(sent[first].position() - begin));
    let end_ms = arrivals.last().map_or(0.0, |a| a.at_ms) + 1000.0;
    let (rate_hz, frame_ms) = (source.output_format().sample_rate_hz(), source.output_format().frame_ms());
    let mut next = arrivals.iter().peekable();
    let mut standing = None;
    for pull in 0.. {
        let now_ms = f64::from(pull) * f64::from(frame_ms);
        if now_ms > end_ms {
            break;
        }
        while let Some(arrival) = next.next_if(|a| a.at_ms <= now_ms) {
            let packet = sent[arrival.packet];
            // Both numbers wrap within the first seconds.
            let sequence = (arrival.packet as u16).wrapping_add(65_500);
            let timestamp = ((packet.position() - begin) as u32).wrapping_sub(48_000);
            push(sequence, timestamp, 0x5eed, packet.as_bytes());
        }
        let frame = source.pull();
        let position = frame.position();
        let captured_ms = first_ms + position as f64 * 1000.0 / f64::from(rate_hz);
        heard(Heard { now_ms, delay_ms: now_ms - network.received_ms(captured_ms), frame });
        // All was heard once the sound stands still and nothing more comes.
        if next.peek().is_none() && standing == Some(position) {
            break;
        }
        standing = (position > 0).then_some(position);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use voxframe::Format;

    use super::*;

    /// Plays each packet for 20 ms as it comes.
    struct Straight<'a> {
        frame: Frame,
        received: &'a Cell<i64>,
    }

    impl Source for Straight<'_> {
        fn pull(&mut self) -> &mut Frame {
            let played = self.frame.position() + 480;
            self.frame.set_position(played.min(960 * self.received.get()));
            &mut self.frame
        }

        fn output_format(&self) -> Format {
            self.frame.format()
        }

        fn reset(&mut self) {}
    }

    #[test]
    fn packets_come_in_time_and_the_call_ends_with_the_last() {
        let packet = |index: i64| {
            let mut packet = Packet::new();
            packet.set_bytes(&[0xf8, 1, 2], 960 * index + 77).unwrap();
            packet
        };
        let packets: Vec<Packet> = (0..100).map(packet).collect();
        let received = Cell::new(0);
        let source = Straight { frame: Frame::new(Format::mono(48_000).unwrap()), received: &received };
        let (mut numbers, mut delays) = (Vec::new(), Vec::new());
        let push = |sequence, timestamp, _, _: &[u8]| {
            received.set(received.get() + 1);
            numbers.push((sequence, timestamp));
        };
        call(&packets, &Network::default(), push, source, |heard| delays.push((heard.now_ms, heard.delay_ms)));
        assert_eq!(numbers.len(), 100);
        assert_eq!(numbers[..2], [(65_500, 0u32.wrapping_sub(48_000)), (65_501, 960u32.wrapping_sub(48_000))]);
        // The first packet comes after 20 ms, and the frame pulled then is counted as its end.
        assert_eq!(delays[2], (20.0, 10.0));
        assert_eq!(delays.len(), 203);
    }
}
