//! Statistics of a received stream: RFC 3550, appendices A.1, A.3 and A.8.

use super::NtpTime;
use crate::core::Packet;

/// Packets in sequence before a source counts as valid (RFC 3550, A.1: MIN_SEQUENTIAL).
const MIN_SEQUENTIAL: u32 = 2;

/// Largest gap in sequence numbers that is a gap and not another numbering (A.1: MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3000;

/// Furthest a packet may be behind the newest (A.1: MAX_MISORDER).
const MAX_MISORDER: u16 = 100;

/// Largest change of the transit time that counts as jitter, in timestamp units: 5 s. Beyond, a timestamp is wrong, or the
/// sender's clock another one.
const MAX_TRANSIT_CHANGE: u32 = 5 * Packet::CLOCK_HZ;

/// Statistics of one received stream, as a report block tells them: sequence validation, loss and interarrival jitter.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveStatistics {
    /// Highest sequence number seen.
    max_sequence: u16,
    /// Count of sequence number cycles, shifted by 16 bits.
    cycles: u32,
    base_sequence: u32,
    /// The sequence number that would confirm a new numbering.
    bad_sequence: Option<u16>,
    probation: u32,
    received: u32,
    expected_prior: u32,
    received_prior: u32,
    /// Arrival time less timestamp of the packet before, in timestamp units.
    transit: Option<u32>,
    /// Interarrival jitter in timestamp units, times 16.
    jitter: u32,
}

impl ReceiveStatistics {
    /// Statistics of a stream whose first packet has this sequence number, on probation.
    pub fn new(sequence: u16) -> Self {
        let mut statistics = Self {
            max_sequence: 0,
            cycles: 0,
            base_sequence: 0,
            bad_sequence: None,
            probation: MIN_SEQUENTIAL,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter: 0,
        };
        statistics.restart(sequence);
        statistics.max_sequence = sequence.wrapping_sub(1);
        statistics
    }

    fn restart(&mut self, sequence: u16) {
        self.base_sequence = sequence.into();
        self.max_sequence = sequence;
        self.bad_sequence = None;
        self.cycles = 0;
        self.received = 0;
        self.received_prior = 0;
        self.expected_prior = 0;
        self.transit = None;
        self.jitter = 0;
    }

    /// Counts a packet that arrived at `arrival`. Returns whether it belongs to a valid stream: not on probation, not far
    /// out of sequence.
    pub fn packet(&mut self, sequence: u16, timestamp: u32, arrival: NtpTime) -> bool {
        let valid = self.validate(sequence);
        if valid {
            self.measure_jitter(timestamp, arrival);
        }
        valid
    }

    /// RFC 3550, A.1: update_seq.
    fn validate(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.max_sequence);
        if self.probation > 0 {
            if sequence == self.max_sequence.wrapping_add(1) {
                self.probation -= 1;
                self.max_sequence = sequence;
                if self.probation == 0 {
                    self.restart(sequence);
                    self.received += 1;
                    return true;
                }
            } else {
                self.probation = MIN_SEQUENTIAL - 1;
                self.max_sequence = sequence;
            }
            return false;
        }
        if ahead < MAX_DROPOUT {
            if sequence < self.max_sequence {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.max_sequence = sequence;
        } else if ahead <= MAX_MISORDER.wrapping_neg() {
            if self.bad_sequence != Some(sequence) {
                self.bad_sequence = Some(sequence.wrapping_add(1));
                return false;
            }
            // Two in a row: the other side has begun again.
            self.restart(sequence);
        }
        self.received = self.received.wrapping_add(1);
        true
    }

    /// RFC 3550, A.8, of plausible timestamps.
    fn measure_jitter(&mut self, timestamp: u32, arrival: NtpTime) {
        let ticks = (u128::from(arrival.0) * u128::from(Packet::CLOCK_HZ)) >> 32;
        let transit = (ticks as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let change = (transit.wrapping_sub(before) as i32).unsigned_abs();
            if change > MAX_TRANSIT_CHANGE {
                return;
            }
            self.jitter = self.jitter.wrapping_add(change).wrapping_sub(self.jitter.wrapping_add(8) >> 4);
        }
    }

    /// Whether packets in sequence have shown that this is a stream.
    pub fn is_valid(&self) -> bool {
        self.probation == 0
    }

    /// Extended highest sequence number: cycles and number.
    pub fn extended_sequence(&self) -> u32 {
        self.cycles.wrapping_add(self.max_sequence.into())
    }

    /// Packets received, duplicates and late ones included.
    pub fn received(&self) -> u32 {
        self.received
    }

    fn expected(&self) -> u32 {
        self.extended_sequence().wrapping_sub(self.base_sequence).wrapping_add(1)
    }

    /// Cumulative number of packets lost, duplicates counted against it: −2²³ to 2²³ − 1.
    pub fn packets_lost(&self) -> i32 {
        (self.expected().wrapping_sub(self.received) as i32).clamp(-0x80_0000, 0x7f_ffff)
    }

    /// Interarrival jitter in ticks of 48 kHz.
    pub fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    /// Fraction of packets lost since the last call, in 256ths, 0 where more arrived than were expected (A.3).
    pub fn take_fraction_lost(&mut self) -> u8 {
        let expected = self.expected();
        let expected_interval = expected.wrapping_sub(self.expected_prior);
        let received_interval = self.received.wrapping_sub(self.received_prior);
        (self.expected_prior, self.received_prior) = (expected, self.received);
        let lost_interval = expected_interval.wrapping_sub(received_interval) as i32;
        if expected_interval == 0 || lost_interval <= 0 {
            return 0;
        }
        ((u64::from(lost_interval.unsigned_abs()) << 8) / u64::from(expected_interval)).min(255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: NtpTime = NtpTime(0xb44d_b705_0000_0000);

    fn at_ms(ms: f64) -> NtpTime {
        START.plus_seconds(ms / 1000.0)
    }

    /// 20 ms packets from 65 533 on, past probation: three numbers, over the wrap.
    fn started() -> ReceiveStatistics {
        let mut statistics = ReceiveStatistics::new(65_533);
        assert!(!statistics.packet(65_533, 0, at_ms(0.0)), "on probation");
        assert!(statistics.packet(65_534, 960, at_ms(20.0)));
        statistics
    }

    #[test]
    fn loss_by_hand() {
        let mut statistics = started();
        assert_eq!((statistics.packets_lost(), statistics.take_fraction_lost()), (0, 0));
        // 65 535, 0, (1, 2 lost), 3, 3 again, 5 (4 comes late).
        for sequence in [65_535, 0, 3, 3, 5, 4] {
            assert!(statistics.packet(sequence, 0, at_ms(40.0)));
        }
        // Expected since 65 534: 8 (65 534 … 65 535, 0 … 5); received 1 + 6, one of them a duplicate.
        assert_eq!(statistics.extended_sequence(), 65_536 + 5);
        assert_eq!((statistics.packets_lost(), statistics.received()), (1, 7));
        // In the interval: expected 7, received 6: 1/7 of 256.
        assert_eq!(statistics.take_fraction_lost(), 36);
        // Duplicates only: nothing is lost, and less than nothing altogether.
        for _ in 0..3 {
            statistics.packet(5, 0, at_ms(60.0));
        }
        assert_eq!((statistics.packets_lost(), statistics.take_fraction_lost()), (-2, 0));
    }

    #[test]
    fn jitter_by_hand() {
        let mut statistics = started();
        // 20 ms apart in both: no jitter. Then 10 ms late: |D| = 480, J = 480/16 = 30; then on time again:
        // J += (480 − 30)/16 = 58.1.
        statistics.packet(65_535, 1920, at_ms(40.0));
        assert_eq!(statistics.jitter(), 0);
        statistics.packet(0, 2880, at_ms(70.0));
        assert_eq!(statistics.jitter(), 30);
        statistics.packet(1, 3840, at_ms(80.0));
        assert_eq!(statistics.jitter(), 58);
        // A timestamp of another hour is none.
        statistics.packet(2, 4800 + 3600 * 48_000, at_ms(100.0));
        statistics.packet(3, 5760, at_ms(120.0));
        assert_eq!(statistics.jitter(), 58);
    }

    #[test]
    fn one_packet_far_off_is_a_stray_and_two_in_a_row_are_a_new_numbering() {
        let mut statistics = started();
        assert!(!statistics.packet(30_000, 0, at_ms(40.0)));
        assert!(statistics.packet(65_535, 1920, at_ms(40.0)));
        assert_eq!(statistics.packets_lost(), 0);
        assert!(!statistics.packet(30_000, 0, at_ms(60.0)));
        assert!(statistics.packet(30_001, 960, at_ms(80.0)));
        assert_eq!((statistics.extended_sequence(), statistics.packets_lost()), (30_001, 0));
    }

    #[test]
    fn a_source_is_on_probation_until_two_come_in_sequence() {
        let mut statistics = ReceiveStatistics::new(7);
        let valid: Vec<bool> = [7, 9, 11, 12, 13].map(|sequence| statistics.packet(sequence, 0, START)).to_vec();
        assert_eq!(valid, [false, false, false, true, true]);
    }
}
