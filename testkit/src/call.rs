//! Call over a simulated network: packets in at one end, frames out at the other.

use voxframe::{Frame, Packet, Source};

use crate::network::Network;
use crate::packet_trace::{PacketTrace, TracedPacket};

/// SSRC of the sender.
const SSRC: u32 = 0x5eed;

/// One frame at the far end of a call.
pub struct Heard<'a> {
    /// When it is played, by the receiver's clock.
    pub now_ms: f64,
    /// How long ago the sound in it was captured.
    pub delay_ms: f64,
    pub frame: &'a mut Frame,
}

/// A datagram that arrives.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    at_ms: f64,
    sequence: u16,
    timestamp: u32,
    /// Which of the packets is in it, and how many of its bytes: none in padding, one in a DTX packet of a trace.
    packet: usize,
    bytes: usize,
}

/// Sleep of the playout thread.
#[derive(Clone, Copy, Debug)]
pub struct PlayoutStall {
    pub at_ms: f64,
    pub length_ms: f64,
    /// How much sound the device holds: so much of the stall is made up for by pulls in a row, the rest is heard as
    /// silence.
    pub device_ms: f64,
}

/// A call: what arrives, and when it is played.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    packets: Vec<&'a Packet>,
    deliveries: Vec<Delivery>,
    arrived: Vec<bool>,
    kbps: f64,
    /// When the sound at position 0 of what is heard was captured, by the sender's clock.
    begin_ms: f64,
    drift_ppm: f64,
    stall: Option<PlayoutStall>,
}

impl<'a> Call<'a> {
    /// Sends packets over a network. As browsers do it, of DTX packets only the first of a pause is sent, and none
    /// behind it.
    pub fn over(packets: &'a [Packet], network: &Network) -> Self {
        let is_sent = |index: usize| !packets[index].is_dtx() || index == 0 || !packets[index - 1].is_dtx();
        let sent: Vec<&Packet> = (0..packets.len()).filter(|&i| is_sent(i)).map(|i| &packets[i]).collect();
        let begin = sent.first().map_or(0, |p| p.position());
        let length = sent.windows(2).map(|two| two[1].position() - two[0].position()).min().unwrap_or(960);
        // A packet is sent when its last sound has been captured.
        let sent_ms: Vec<f64> = sent.iter().map(|p| ms(p.position() - begin + length)).collect();
        let arrivals = network.carry(&sent_ms, ms(length));
        let padding = network.carry_padding(&sent_ms, &arrivals);
        let first_ms = arrivals.iter().map(|a| a.packet).min().map_or(0.0, |first| ms(sent[first].position() - begin));
        // Both numbers wrap within the first seconds.
        let timestamp = |packet: usize| ((sent[packet].position() - begin) as u32).wrapping_sub(48_000);
        let mut deliveries: Vec<Delivery> = arrivals
            .iter()
            .map(|&arrival| {
                let paddings = padding.partition_point(|padding| padding.0 < arrival.packet);
                Delivery {
                    at_ms: arrival.at_ms,
                    sequence: ((arrival.packet + paddings) as u16).wrapping_add(65_500),
                    timestamp: timestamp(arrival.packet),
                    packet: arrival.packet,
                    bytes: sent[arrival.packet].as_bytes().len(),
                }
            })
            .collect();
        deliveries.extend(padding.iter().enumerate().filter_map(|(index, &(packet, at_ms))| {
            let sequence = ((packet + 1 + index) as u16).wrapping_add(65_500);
            // The timestamp of some packet before it.
            let old = timestamp(packet.saturating_sub(index % 4));
            Some(Delivery { at_ms: at_ms?, sequence, timestamp: old, packet, bytes: 0 })
        }));
        deliveries.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        let mut arrived = vec![false; sent.len()];
        arrivals.iter().for_each(|arrival| arrived[arrival.packet] = true);
        let kbps = kbps(&sent);
        let drift_ppm = network.drift_ppm;
        Self { packets: sent, deliveries, arrived, kbps, begin_ms: first_ms, drift_ppm, stall: None }
    }

    /// Plays the packets of a recording with sequence numbers, timestamps and arrival times of a trace.
    pub fn traced(packets: &'a [Packet], trace: &PacketTrace) -> Self {
        let delivery = |(traced, packet): (&TracedPacket, Option<usize>)| {
            let packet = packet?;
            let bytes = if traced.payload_bytes > 2 { packets[packet].as_bytes().len() } else { traced.payload_bytes };
            let TracedPacket { at_ms, sequence, timestamp, .. } = *traced;
            Some(Delivery { at_ms, sequence, timestamp, packet, bytes })
        };
        let deliveries: Vec<_> = trace.packets.iter().zip(trace.sounds(packets)).filter_map(delivery).collect();
        let packets: Vec<&Packet> = packets.iter().collect();
        let mut came: Vec<usize> = deliveries.iter().filter(|d| d.bytes > 0).map(|d| d.packet).collect();
        came.sort_unstable();
        came.dedup();
        Self {
            kbps: kbps(&came.iter().map(|&packet| packets[packet]).collect::<Vec<_>>()),
            packets,
            arrived: arrived(&deliveries),
            deliveries,
            begin_ms: trace.begin_ms(),
            drift_ppm: 0.0,
            stall: None,
        }
    }

    /// Lets the playout thread sleep.
    pub fn with_stall(self, stall: Option<PlayoutStall>) -> Self {
        Self { stall, ..self }
    }

    /// For each packet with sound or of DTX that was sent, in order, whether it arrived.
    pub fn arrived(&self) -> &[bool] {
        &self.arrived
    }

    /// Mean bit rate of what was sent, headers, padding and what of a trace was lost aside, in kb/s.
    pub fn kbps(&self) -> f64 {
        self.kbps
    }

    /// Plays the call: what arrives goes to `push` (sequence number, timestamp, SSRC, payload), and `source` is played
    /// to the end of the last packet.
    pub fn play(
        &self,
        mut push: impl FnMut(u16, u32, u32, &[u8]),
        mut source: impl Source,
        mut heard: impl FnMut(Heard<'_>),
    ) {
        let end_ms = self.deliveries.last().map_or(0.0, |d| d.at_ms) + 1000.0;
        let (rate_hz, frame_ms) = (source.output_format().sample_rate_hz(), source.output_format().frame_ms());
        let mut silence = Frame::new(source.output_format());
        let mut next = self.deliveries.iter().peekable();
        let (mut standing, mut delay_ms) = (None, 0.0);
        for index in 0.. {
            let now_ms = f64::from(index) * f64::from(frame_ms);
            if now_ms > end_ms {
                break;
            }
            let mut pulled_ms = now_ms;
            if let Some(stall) = self.stall.filter(|s| (s.at_ms..s.at_ms + s.length_ms).contains(&now_ms)) {
                pulled_ms = stall.at_ms + stall.length_ms;
                if now_ms < pulled_ms - stall.device_ms {
                    silence.samples_mut().fill(0.0);
                    heard(Heard { now_ms, delay_ms, frame: &mut silence });
                    continue;
                }
            }
            while let Some(delivery) = next.next_if(|d| d.at_ms <= pulled_ms) {
                let bytes = self.packets[delivery.packet].as_bytes();
                // A DTX packet is a TOC with nothing behind it: one Opus frame, whatever the packet's own are.
                let dtx = [bytes.first().map_or(0, |toc| toc & !3)];
                let payload = if delivery.bytes == 1 { &dtx } else { &bytes[..delivery.bytes] };
                push(delivery.sequence, delivery.timestamp, SSRC, payload);
            }
            let frame = source.pull();
            let position = frame.position();
            let captured_ms = self.begin_ms + position as f64 * 1000.0 / f64::from(rate_hz);
            delay_ms = now_ms - captured_ms / (1.0 + self.drift_ppm * 1e-6);
            heard(Heard { now_ms, delay_ms, frame });
            // All was heard once the sound stands still and nothing more comes.
            if next.peek().is_none() && standing == Some(position) {
                break;
            }
            standing = (position > 0).then_some(position);
        }
    }
}

/// For each packet of a trace that is known to have been sent, whether it arrived. A number that did not come was a packet
/// with sound, as far as there is sound missing between its neighbours; what is missing without a number was not sent.
fn arrived(deliveries: &[Delivery]) -> Vec<bool> {
    let mut newest = deliveries.first().map_or(0, |d| i64::from(d.sequence));
    let unwrapped = deliveries.iter().map(|delivery| {
        let ahead = delivery.sequence.wrapping_sub(newest as u16) as i16;
        newest = newest.max(newest + i64::from(ahead));
        (newest + i64::from(ahead).min(0), delivery)
    });
    let mut by_number: Vec<(i64, &Delivery)> = unwrapped.collect();
    by_number.sort_by_key(|&(number, _)| number);
    by_number.dedup_by_key(|&mut (number, _)| number);
    let mut arrived = Vec::new();
    // Numbers missing since the last packet with sound, and which that was.
    let (mut missing, mut last) = (0, None);
    let mut expected = by_number.first().map_or(0, |first| first.0);
    for (number, delivery) in by_number {
        missing += (number - expected) as usize;
        expected = number + 1;
        if delivery.bytes > 0 {
            let without = last.map_or(0, |last| delivery.packet.saturating_sub(last + 1));
            arrived.extend(std::iter::repeat_n(false, without.min(missing)));
            arrived.push(true);
            (missing, last) = (0, Some(delivery.packet));
        }
    }
    arrived
}

fn kbps(packets: &[&Packet]) -> f64 {
    let bytes: usize = packets.iter().map(|packet| packet.as_bytes().len()).sum();
    let ends = packets.first().zip(packets.last());
    let ticks = ends.map_or(0, |(first, last)| last.position() + i64::from(last.duration()) - first.position());
    bytes as f64 * 8.0 / ms(ticks).max(1.0)
}

fn ms(ticks: i64) -> f64 {
    ticks as f64 / 48.0
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

    fn packets(count: i64) -> Vec<Packet> {
        let packet = |index: i64| {
            let mut packet = Packet::new();
            packet.set_bytes(&[0xf8, 1, 2], 960 * index + 77).unwrap();
            packet
        };
        (0..count).map(packet).collect()
    }

    #[test]
    fn packets_come_in_time_and_the_call_ends_with_the_last() {
        let packets = packets(100);
        let received = Cell::new(0);
        let source = Straight { frame: Frame::new(Format::mono(48_000).unwrap()), received: &received };
        let (mut numbers, mut delays) = (Vec::new(), Vec::new());
        let push = |sequence, timestamp, _, _: &[u8]| {
            received.set(received.get() + 1);
            numbers.push((sequence, timestamp));
        };
        Call::over(&packets, &Network::default())
            .play(push, source, |heard| delays.push((heard.now_ms, heard.delay_ms)));
        assert_eq!(numbers.len(), 100);
        assert_eq!(numbers[..2], [(65_500, 0u32.wrapping_sub(48_000)), (65_501, 960u32.wrapping_sub(48_000))]);
        // The first packet comes after 20 ms, and the frame pulled then is counted as its end.
        assert_eq!(delays[2], (20.0, 10.0));
        assert_eq!(delays.len(), 203);
    }

    /// A packet that is pushed: sequence number, timestamp, bytes of its payload.
    type Pushed = (u16, u32, usize);

    /// What is pushed, and when each frame is heard with how many packets having come.
    fn played(call: &Call<'_>) -> (Vec<Pushed>, Vec<(f64, i64)>) {
        let received = Cell::new(0);
        let source = Straight { frame: Frame::new(Format::mono(48_000).unwrap()), received: &received };
        let (mut pushed, mut heard) = (Vec::new(), Vec::new());
        let push = |sequence, timestamp, _, payload: &[u8]| {
            received.set(received.get() + 1);
            pushed.push((sequence, timestamp, payload.len()));
        };
        call.play(push, source, |frame| heard.push((frame.now_ms, received.get())));
        (pushed, heard)
    }

    #[test]
    fn padding_has_numbers_of_its_own_and_timestamps_of_packets_before_it() {
        let packets = packets(1000);
        let network = Network { padding: 0.3, ..Network::default() };
        let (pushed, _) = played(&Call::over(&packets, &network));
        let numbers: Vec<u16> = pushed.iter().map(|p| p.0).collect();
        assert!(numbers.windows(2).all(|two| two[1] == two[0].wrapping_add(1)), "each number once, and in order");
        let (media, padding): (Vec<_>, Vec<_>) = pushed.iter().copied().partition(|p| p.2 > 0);
        assert!(media.len() == 1000 && (350..520).contains(&padding.len()), "{}", padding.len());
        let mut newest = media[0].1;
        for &(_, timestamp, bytes) in &pushed {
            let ahead = timestamp.wrapping_sub(newest) as i32;
            assert!(if bytes > 0 { ahead == 960 || timestamp == media[0].1 } else { (-2880..=0).contains(&ahead) });
            newest = if bytes > 0 { timestamp } else { newest };
        }
    }

    #[test]
    fn of_a_pause_the_first_packet_is_sent() {
        let mut packets = packets(10);
        (3..8).for_each(|index| packets[index].set_bytes(&[0xf8], 960 * index as i64 + 77).unwrap());
        let (pushed, _) = played(&Call::over(&packets, &Network::default()));
        let lengths: Vec<usize> = pushed.iter().map(|p| p.2).collect();
        assert_eq!(lengths, [3, 3, 3, 1, 3, 3]);
    }

    #[test]
    fn a_thread_that_slept_pulls_what_its_device_holds_and_the_rest_is_silence() {
        let packets = packets(100);
        let stall = |device_ms| PlayoutStall { at_ms: 500.0, length_ms: 300.0, device_ms };
        let call = Call::over(&packets, &Network::default());
        let (_, heard) = played(&call.clone().with_stall(Some(stall(1000.0))));
        // Everything that came meanwhile is there for the first frame.
        assert_eq!((heard[49], heard[50], heard[79]), ((490.0, 24), (500.0, 40), (790.0, 40)));
        let (_, heard) = played(&call.with_stall(Some(stall(50.0))));
        assert_eq!((heard[50], heard[74], heard[75], heard[80]), ((500.0, 24), (740.0, 24), (750.0, 40), (800.0, 40)));
    }

    #[test]
    fn a_trace_is_played_as_it_stands() {
        let packets = packets(100);
        let traced =
            |at_ms, sequence, timestamp, payload_bytes| TracedPacket { at_ms, sequence, timestamp, payload_bytes };
        let trace =
            vec![traced(70.0, 7, 99, 80), traced(90.0, 8, 1059, 1), traced(90.0, 9, 99, 0), traced(95.0, 3, 3939, 9)];
        let call = Call::traced(&packets, &PacketTrace { packets: trace });
        assert_eq!(played(&call).0, [(7, 99, 3), (8, 1059, 1), (9, 99, 0), (3, 3939, 3)]);
        // Between 3 and 7 are numbers that nothing is known of, but no sound.
        assert_eq!(call.arrived(), [true, true, true]);
        let lost =
            vec![traced(70.0, 7, 0, 80), traced(80.0, 8, 0, 0), traced(90.0, 10, 3840, 80), traced(95.0, 11, 9600, 80)];
        let call = Call::traced(&packets, &PacketTrace { packets: lost });
        assert_eq!(call.arrived(), [true, false, true, true], "one number is missing, and the rest was not sent");
    }
}
