//! Packet trace: what arrived in a real call, and when.

use std::error::Error;
use std::path::Path;

use voxframe::Packet;

/// Latest arrival in a trace, in ms: a day. A call is simulated frame by frame.
const MAX_MS: f64 = 24.0 * 3600.0 * 1000.0;

/// An RTP packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TracedPacket {
    /// When, by the receiver's clock.
    pub at_ms: f64,
    pub sequence: u16,
    pub timestamp: u32,
    /// None is padding, one or two are a DTX packet.
    pub payload_bytes: usize,
}

/// The packets of a call in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PacketTrace {
    pub packets: Vec<TracedPacket>,
}

impl PacketTrace {
    /// A trace from a file with a line for each packet, `arrival_ms sequence timestamp payload_bytes`. Empty lines, and
    /// those that begin with `#`, are comments.
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        Self::parse(&crate::text::read(path)?)
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut packets = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !(line.is_empty() || line.starts_with('#')) {
                let packet = TracedPacket::parse(line);
                packets.push(packet.ok_or_else(|| {
                    format!("line {}: not `arrival_ms sequence timestamp payload_bytes` of one day: {line}", index + 1)
                })?);
            }
        }
        if !packets.iter().any(|packet| packet.payload_bytes > 2) {
            return Err("a packet trace without a packet of sound".into());
        }
        packets.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        Ok(Self { packets })
    }

    /// The length of its packets of sound, in ticks of 48 kHz: the shortest step of the timestamp.
    pub fn packet_ticks(&self) -> u32 {
        let mut timestamps: Vec<i64> = self.media().map(|(_, ticks)| ticks).collect();
        timestamps.sort_unstable();
        let steps = timestamps.windows(2).map(|two| two[1] - two[0]);
        steps.filter(|&step| step > 0).min().and_then(|step| step.try_into().ok()).unwrap_or(960)
    }

    /// Its packets with sound, and their timestamps in ticks since the first of them that came.
    fn media(&self) -> impl Iterator<Item = (&TracedPacket, i64)> {
        let media = self.packets.iter().filter(|packet| packet.payload_bytes > 0);
        let mut newest = None;
        media.map(move |packet| {
            let (timestamp, ticks) = newest.unwrap_or((packet.timestamp, 0i64));
            let ticks = ticks + i64::from(packet.timestamp.wrapping_sub(timestamp) as i32);
            newest = Some((packet.timestamp, ticks));
            (packet, ticks)
        })
    }

    /// For each packet, which of the recording's `packets` has the sound of its timestamp; `None` behind the recording's
    /// end. The oldest timestamp has the first packet. Padding has the packet before it.
    pub fn sounds(&self, packets: &[Packet]) -> Vec<Option<usize>> {
        let begin = packets.first().map_or(0, Packet::position);
        let oldest = self.media().map(|(_, ticks)| ticks).min().unwrap_or(0);
        let sound = |ticks: i64| {
            let position = begin + ticks - oldest;
            let index = packets.partition_point(|packet| packet.position() <= position).checked_sub(1)?;
            let packet = &packets[index];
            (position < packet.position() + i64::from(packet.duration())).then_some(index)
        };
        let mut media = self.media().map(|(_, ticks)| sound(ticks));
        let mut last = Some(0);
        let mut next = |packet: &TracedPacket| {
            if packet.payload_bytes > 0 {
                last = media.next().flatten();
            }
            last
        };
        self.packets.iter().map(&mut next).collect()
    }

    /// When the sound of the oldest timestamp was captured, taken that the fastest packet took no time.
    pub fn begin_ms(&self) -> f64 {
        let transit = |(packet, ticks): (&TracedPacket, i64)| packet.at_ms - ticks as f64 / 48.0;
        let oldest = self.media().map(|(_, ticks)| ticks).min().unwrap_or(0);
        let fastest = self.media().map(transit).fold(f64::MAX, f64::min);
        // A packet is sent when its last sound has been captured.
        fastest + (oldest as f64 - f64::from(self.packet_ticks())) / 48.0
    }
}

impl TracedPacket {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let at_ms: f64 = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let timestamp = fields.next()?.parse().ok()?;
        let payload_bytes = fields.next()?.parse().ok()?;
        let all = fields.next().is_none() && at_ms.abs() <= MAX_MS;
        all.then_some(Self { at_ms, sequence, timestamp, payload_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_says_what_came_and_each_packet_finds_its_sound() {
        let trace =
            "# made by hand\n\n100.5 65535 4294966336 80\n161 1 960 1\n140 0 0 80\n141 2 0 0\n1000 9 48000 80\n";
        let trace = PacketTrace::parse(trace).unwrap();
        assert_eq!(trace.packets.iter().map(|p| p.sequence).collect::<Vec<_>>(), [65_535, 0, 2, 1, 9]);
        assert_eq!(trace.packet_ticks(), 960);
        let packet = |index: i64| {
            let mut packet = Packet::new();
            packet.set_bytes(&[0xf8, 1, 2], 960 * index - 312).unwrap();
            packet
        };
        let packets: Vec<Packet> = (0..10).map(packet).collect();
        assert_eq!(trace.sounds(&packets), [Some(0), Some(1), Some(1), Some(2), None]);
        // The last packet was the fastest: 1020 ms of sound until 1000 ms.
        assert_eq!(trace.begin_ms(), 1000.0 - 1020.0 - 20.0);
        for wrong in ["", "1 2 3", "1 2 3 4 5", "1 70000 3 4", "nan 1 2 3", "1 2 3 0"] {
            assert!(PacketTrace::parse(wrong).is_err(), "{wrong}");
        }
    }
}
