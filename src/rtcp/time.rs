//! NTP timestamps (RFC 3550, section 4).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from 1900 (NTP) to 1970 (Unix).
const UNIX_S: u64 = 2_208_988_800;

/// NTP timestamp: seconds since 1900 in fixed point, 32 bits before and 32 after the point.
///
/// Differences are modulo 2³² s, so that a wrap in 2036 does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, as in the LSR field of a report block: units of 2⁻¹⁶ s.
    pub fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Time from `earlier` to this, in seconds; negative where `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.wrapping_sub(earlier.0) as i64 as f64 / 4_294_967_296.0
    }

    /// This time plus so many seconds, which may be negative.
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self(self.0.wrapping_add((seconds * 4_294_967_296.0) as i64 as u64))
    }
}

impl From<Duration> for NtpTime {
    /// A time since the Unix epoch.
    fn from(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs().wrapping_add(UNIX_S);
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }
}

impl From<SystemTime> for NtpTime {
    fn from(time: SystemTime) -> Self {
        time.duration_since(UNIX_EPOCH).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_rfc() {
        // RFC 3550, section 6.4.1, figure 2: 0xb44db705.20000000.
        let sent = NtpTime(0xb44d_b705_2000_0000);
        assert_eq!(sent.compact(), 0xb705_2000);
        assert_eq!(NtpTime::from(Duration::new(0, 500_000_000)).0, UNIX_S << 32 | 1 << 31);
        assert_eq!(sent.plus_seconds(-0.25).seconds_since(sent), -0.25);
        // Over the wrap of 2036.
        let late = NtpTime(u64::MAX).plus_seconds(1.0);
        assert!((late.seconds_since(NtpTime(u64::MAX)) - 1.0).abs() < 1e-9);
    }
}
