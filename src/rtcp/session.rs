//! One RTCP session: what to send, and what the far side says.

use rtcp_types::{
    Compound, Packet as Rtcp, ReceiverReport, ReportBlock, ReportBlockBuilder, RtcpPacketWriterExt, Sdes, SdesChunk,
    SdesItem, SenderReport,
};

use super::{MediaClock, NtpTime, ReceiveStatistics};
use crate::core::error::RtcpError;
use crate::core::{Packet, Result};

/// Time without a valid packet of the known stream, in seconds, before another SSRC takes over.
const MIN_QUIET_S: f64 = 0.04;

/// RTCP session of a call with one stream each way: counts what is sent and received, writes reports, and reads those of
/// the far side.
///
/// A report is due about every 5 s (RFC 3550, section 6.2); when is left to the application.
///
/// ```
/// use voxframe::rtcp::{NtpTime, RtcpSession};
/// let now = NtpTime(0xe9d3_b705_2000_0000);
/// let mut alice = RtcpSession::new(1, "alice");
/// let mut bob = RtcpSession::new(2, "bob");
/// alice.sent(0, 80, now); // for each RTP packet
/// bob.received(1, 700, 0, now); // for each RTP packet
/// let mut datagram = [0; 512];
/// let length = alice.write(now, &mut datagram)?;
/// bob.read(&datagram[..length], now.plus_seconds(0.05))?;
/// let length = bob.write(now.plus_seconds(2.05), &mut datagram)?;
/// alice.read(&datagram[..length], now.plus_seconds(2.1))?;
/// let round_trip_time = alice.reading().round_trip_time_ms.unwrap();
/// assert!((round_trip_time - 100.0).abs() < 0.1);
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RtcpSession {
    ssrc: u32,
    name: String,
    sent: Option<Sent>,
    stream: Option<Stream>,
    /// Another SSRC, on probation.
    candidate: Option<Stream>,
    reading: RtcpReading,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug)]
struct Sent {
    packets: u32,
    octets: u32,
    timestamp: u32,
    captured: NtpTime,
}

/// The stream that is received.
#[derive(Clone, Debug)]
struct Stream {
    ssrc: u32,
    statistics: ReceiveStatistics,
    clock: MediaClock,
    /// When the last packet arrived.
    arrival: NtpTime,
    /// The compact NTP time in the newest sender report, and when it arrived.
    last_report: Option<(u32, NtpTime)>,
}

/// Statistics of an [`RtcpSession`], with the names of W3C's `RTCRemoteInboundRtpStreamStats` for the far side's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RtcpReading {
    /// Round-trip time in ms, from LSR and DLSR of the newest report block (RFC 3550, section 6.4.1).
    pub round_trip_time_ms: Option<f64>,
    /// Fraction of our packets that the far side lost since its report before, 0 to 1.
    pub fraction_lost: Option<f64>,
    /// Our packets that the far side lost altogether; below 0 where duplicates outnumber them.
    pub packets_lost: Option<i32>,
    /// Interarrival jitter at the far side in ms.
    pub jitter_ms: Option<f64>,
    /// Reports read that have a block about our stream.
    pub reports: u64,
    /// Datagrams that were not RTCP, or broken.
    pub malformed: u64,
    /// Whether the far side has said goodbye.
    pub bye: bool,
}

impl RtcpSession {
    /// A session of the sender `ssrc`, whose canonical name (CNAME) is `name`, at most 255 bytes of it.
    pub fn new(ssrc: u32, name: &str) -> Self {
        let mut end = name.len().min(255);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            ssrc,
            name: name[..end].into(),
            sent: None,
            stream: None,
            candidate: None,
            reading: RtcpReading::default(),
        }
    }

    /// Counts an RTP packet that was sent: its timestamp, the bytes of its payload, and when its first sample was
    /// captured.
    pub fn sent(&mut self, timestamp: u32, payload_bytes: usize, captured: NtpTime) {
        let (packets, octets) = self.sent.map_or((0, 0), |sent| (sent.packets, sent.octets));
        self.sent = Some(Sent {
            packets: packets.wrapping_add(1),
            octets: octets.wrapping_add(payload_bytes as u32),
            timestamp,
            captured,
        });
    }

    /// Counts an RTP packet that arrived. Returns whether the packet belongs to the valid stream: see
    /// [`ReceiveStatistics::packet`].
    ///
    /// Another SSRC begins new statistics once two of its packets came in sequence, and none of the stream before for
    /// 40 ms: two senders that come by turns do not end each other's.
    pub fn received(&mut self, ssrc: u32, sequence: u16, timestamp: u32, arrival: NtpTime) -> bool {
        let stream = self.stream.get_or_insert_with(|| Stream::new(ssrc, sequence, arrival));
        if stream.ssrc == ssrc {
            stream.arrival = arrival;
            return stream.statistics.packet(sequence, timestamp, arrival);
        }
        let is_quiet = !stream.statistics.is_valid() || arrival.seconds_since(stream.arrival) >= MIN_QUIET_S;
        let candidate = match &mut self.candidate {
            Some(candidate) if candidate.ssrc == ssrc => candidate,
            other => other.insert(Stream::new(ssrc, sequence, arrival)),
        };
        let is_valid = candidate.statistics.packet(sequence, timestamp, arrival);
        if is_valid && is_quiet {
            candidate.arrival = arrival;
            self.stream = self.candidate.take();
        }
        is_valid && is_quiet
    }

    /// Writes a compound packet to the start of `datagram`: a sender report, or a receiver report where nothing was sent,
    /// with a block about the received stream, and the canonical name. Returns its bytes. Allocates.
    ///
    /// # Errors
    /// [`RtcpError::NoRoom`] in [`Error::Rtcp`](crate::Error::Rtcp); 340 bytes are always enough.
    pub fn write(&mut self, now: NtpTime, datagram: &mut [u8]) -> Result<usize> {
        let before = self.stream.clone();
        let block = self.stream.as_mut().map(|stream| stream.block(now));
        let chunk = SdesChunk::builder(self.ssrc).add_item(SdesItem::builder(SdesItem::CNAME, &self.name));
        let name = Sdes::builder().add_chunk(chunk);
        let written = match self.sent {
            Some(sent) => {
                let elapsed = now.seconds_since(sent.captured) * f64::from(Packet::CLOCK_HZ);
                let mut report = SenderReport::builder(self.ssrc)
                    .ntp_timestamp(now.0)
                    .rtp_timestamp(sent.timestamp.wrapping_add(elapsed.round() as i64 as u32))
                    .packet_count(sent.packets)
                    .octet_count(sent.octets);
                if let Some(block) = block {
                    report = report.add_report_block(block);
                }
                Compound::builder().add_packet(report).add_packet(name).write_into(datagram)
            }
            None => {
                let mut report = ReceiverReport::builder(self.ssrc);
                if let Some(block) = block {
                    report = report.add_report_block(block);
                }
                Compound::builder().add_packet(report).add_packet(name).write_into(datagram)
            }
        };
        if written.is_err() {
            // As if there had been no call: the interval goes on.
            self.stream = before;
        }
        Ok(written?)
    }

    /// Reads a compound packet of the far side.
    ///
    /// # Errors
    /// [`RtcpError::Malformed`] in [`Error::Rtcp`](crate::Error::Rtcp), counted; what stood before the broken part counts.
    pub fn read(&mut self, datagram: &[u8], now: NtpTime) -> Result<()> {
        let read = self.parse(datagram, now);
        self.reading.malformed += u64::from(read.is_err());
        read
    }

    fn parse(&mut self, datagram: &[u8], now: NtpTime) -> Result<()> {
        for packet in Compound::parse(datagram)? {
            match packet? {
                Rtcp::Sr(report) => {
                    if let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == report.ssrc()) {
                        let ntp = NtpTime(report.ntp_timestamp());
                        stream.clock.report(ntp, report.rtp_timestamp());
                        stream.last_report = Some((ntp.compact(), now));
                    }
                    report.report_blocks().for_each(|block| self.take(&block, now));
                }
                Rtcp::Rr(report) => report.report_blocks().for_each(|block| self.take(&block, now)),
                Rtcp::Bye(bye) => {
                    let ssrc = self.stream.as_ref().map(|stream| stream.ssrc);
                    self.reading.bye |= bye.ssrcs().any(|gone| Some(gone) == ssrc);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes note of what the far side says of our stream.
    fn take(&mut self, block: &ReportBlock, now: NtpTime) {
        if block.ssrc() != self.ssrc {
            return;
        }
        let reading = &mut self.reading;
        reading.reports += 1;
        reading.fraction_lost = Some(f64::from(block.fraction_lost()) / 256.0);
        // 24 bits with a sign.
        reading.packets_lost = Some(((block.cumulative_lost() << 8) as i32) >> 8);
        reading.jitter_ms = Some(f64::from(block.interarrival_jitter()) * 1000.0 / f64::from(Packet::CLOCK_HZ));
        let (last, delay) = (block.last_sender_report_timestamp(), block.delay_since_last_sender_report_timestamp());
        if last != 0 {
            let round_trip = now.compact().wrapping_sub(last).wrapping_sub(delay) as i32;
            // Clocks have a resolution, so that a short way can seem to take less than nothing.
            reading.round_trip_time_ms = Some(f64::from(round_trip.max(0)) * 1000.0 / 65_536.0);
        }
    }

    /// Statistics so far.
    pub fn reading(&self) -> RtcpReading {
        self.reading
    }

    /// Wall-clock time of the far side at which the sample with this RTP timestamp was captured: see [`MediaClock`].
    /// `None` before its first sender report.
    pub fn capture_time(&self, timestamp: u32) -> Option<NtpTime> {
        self.stream.as_ref().and_then(|stream| stream.clock.capture_time(timestamp))
    }
}

impl Stream {
    fn new(ssrc: u32, sequence: u16, arrival: NtpTime) -> Self {
        let statistics = ReceiveStatistics::new(sequence);
        Self { ssrc, statistics, clock: MediaClock::default(), arrival, last_report: None }
    }

    fn block(&mut self, now: NtpTime) -> ReportBlockBuilder {
        let (last, delay) = self.last_report.map_or((0, 0), |(last, arrival)| {
            let delay = now.seconds_since(arrival) * 65_536.0;
            (last, delay.clamp(0.0, f64::from(u32::MAX)) as u32)
        });
        ReportBlock::builder(self.ssrc)
            .fraction_lost(self.statistics.take_fraction_lost())
            .cumulative_lost(self.statistics.packets_lost() as u32 & 0xff_ffff)
            .extended_sequence_number(self.statistics.extended_sequence())
            .interarrival_jitter(self.statistics.jitter())
            .last_sender_report_timestamp(last)
            .delay_since_last_sender_report_timestamp(delay)
    }
}

impl From<rtcp_types::RtcpParseError> for crate::core::Error {
    fn from(_: rtcp_types::RtcpParseError) -> Self {
        RtcpError::Malformed.into()
    }
}

impl From<rtcp_types::RtcpWriteError> for crate::core::Error {
    fn from(error: rtcp_types::RtcpWriteError) -> Self {
        match error {
            rtcp_types::RtcpWriteError::OutputTooSmall(bytes) => RtcpError::NoRoom { bytes }.into(),
            // Of the rest, none can come of one block and a name of at most 255 bytes.
            _ => RtcpError::Malformed.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Error;

    const START: NtpTime = NtpTime(0xe9d3_0000_0000_0000);

    fn at(seconds: f64) -> NtpTime {
        START.plus_seconds(seconds)
    }

    #[test]
    fn the_far_side_learns_loss_jitter_and_round_trip() {
        let (mut near, mut far) = (RtcpSession::new(0xaaaa, "near"), RtcpSession::new(0xbbbb, "far"));
        let mut datagram = [0; 512];
        let send = |from: &mut RtcpSession, to: &mut RtcpSession, datagram: &mut [u8], now: f64, way: f64| {
            let length = from.write(at(now), datagram).unwrap();
            to.read(&datagram[..length], at(now + way)).unwrap();
        };
        for index in 0..500u32 {
            let captured = f64::from(index) * 0.02;
            near.sent(index * 960, 80, at(captured));
            // Every tenth is lost.
            if index % 10 != 5 {
                far.received(0xaaaa, index as u16, index * 960, at(captured + 0.04));
            }
        }
        send(&mut near, &mut far, &mut datagram, 10.0, 0.03);
        send(&mut far, &mut near, &mut datagram, 11.5, 0.045);
        let reading = near.reading();
        assert!((reading.round_trip_time_ms.unwrap() - 75.0).abs() < 0.1, "{reading:?}");
        // The first packet was on probation; 50 of the other 499 are missing.
        assert_eq!(reading.packets_lost, Some(50));
        assert_eq!(reading.fraction_lost, Some(f64::from(50 * 256 / 499) / 256.0));
        assert_eq!(reading.jitter_ms, Some(0.0));
        // 10 s after the first sample, the far side knows when any sample was captured.
        let captured = far.capture_time(480_000 + 4800).unwrap();
        assert!((captured.seconds_since(START) - 10.1).abs() < 1e-3);
    }

    #[test]
    fn two_senders_by_turns_do_not_end_each_other_and_a_change_of_sender_is_followed() {
        let mut session = RtcpSession::new(1, "");
        let mut valid = [0, 0];
        for index in 0..100u16 {
            for ssrc in [2, 3] {
                let time = at(f64::from(index) * 0.02 + f64::from(ssrc) * 0.001);
                valid[ssrc as usize - 2] += i32::from(session.received(ssrc, index, u32::from(index) * 960, time));
            }
        }
        assert_eq!(valid, [99, 0]);
        let valid: Vec<bool> =
            (0..4).map(|i| session.received(4, 700 + i, 77, at(3.0 + 0.02 * f64::from(i)))).collect();
        assert_eq!(valid, [false, true, true, true]);
    }

    #[test]
    fn a_broken_datagram_is_counted_and_a_short_buffer_changes_nothing() {
        let mut session = RtcpSession::new(1, &"é".repeat(200));
        session.received(2, 1, 0, START);
        session.received(2, 2, 960, at(0.02));
        session.received(2, 4, 2880, at(0.06));
        let full = session.clone().write(at(1.0), &mut [0; 512]).unwrap();
        assert!(full <= 340, "{full}");
        for room in 0..full {
            assert_eq!(session.write(at(1.0), &mut vec![0; room]), Err(Error::Rtcp(RtcpError::NoRoom { bytes: full })));
        }
        let (mut first, mut second) = ([0; 512], [0; 512]);
        let length = session.clone().write(at(1.0), &mut first).unwrap();
        session.write(at(1.0), &mut second).unwrap();
        assert_eq!(first[..length], second[..length], "the interval of the loss went on");

        for cut in 1..length {
            let mut other = RtcpSession::new(9, "");
            let whole = other.read(&first[..cut], START).is_ok();
            assert_eq!(other.reading().malformed, u64::from(!whole), "{cut}");
        }
        let mut other = RtcpSession::new(9, "");
        assert_eq!(other.read(&[0x80, 0xff, 1, 2, 3], START), Err(Error::Rtcp(RtcpError::Malformed)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            cases: 5000, failure_persistence: None, ..Default::default()
        })]

        #[test]
        fn nothing_from_the_network_panics(mut bytes: Vec<u8>, kind in 200u8..208, flip in 0usize..64) {
            let mut session = RtcpSession::new(1, "x");
            session.received(2, 1, 0, START);
            let _ = session.read(&bytes, START);
            let mut report = [0; 128];
            let length = session.write(START, &mut report).unwrap();
            report[flip % length] ^= bytes.first().copied().unwrap_or(1);
            let _ = session.read(&report[..length], at(1e9));
            if bytes.len() > 4 {
                let words = (bytes.len() / 4 - 1) as u16;
                bytes.truncate(4 * (usize::from(words) + 1));
                bytes[0] = 0x80 | bytes[0] & 0x1f;
                bytes[1] = kind;
                bytes[2..4].copy_from_slice(&words.to_be_bytes());
                let _ = session.read(&bytes, START);
            }
            let _ = session.capture_time(7);
            let _ = session.write(at(-5.0), &mut report);
        }
    }
}
