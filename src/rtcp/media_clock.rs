//! The sender's clock: from RTP timestamps to wall-clock time.

use super::NtpTime;
use crate::core::Packet;

/// Sender reports that the line is laid through (WebRTC's `RtpToNtpEstimator`: 20).
const REPORTS: usize = 20;

/// How far a report may lie from the line, in seconds, before it is doubted: a leap of the sender's clock.
const MAX_ERROR_S: f64 = 1.0;

/// Doubted reports in a row that begin a new line (WebRTC: 3).
const MAX_DOUBTED: u32 = 3;

/// Mapping from the RTP timestamps of a stream to the wall-clock time of its sender, learnt from sender reports (RFC 3550,
/// section 6.4.1), for keeping sound and another medium in step.
///
/// A line by least squares through the last 20 reports, so that the sender's sound card may run fast or slow. Before the
/// second report the nominal 48 kHz hold.
#[derive(Clone, Debug, Default)]
pub struct MediaClock {
    /// NTP time and unwrapped timestamp, the oldest first.
    reports: Vec<(NtpTime, i64)>,
    doubted: u32,
}

impl MediaClock {
    /// Takes in a sender report: its NTP time and the RTP timestamp of the same moment.
    pub fn report(&mut self, ntp: NtpTime, timestamp: u32) {
        let Some(&(newest, _)) = self.reports.last() else {
            self.reports.push((ntp, timestamp.into()));
            return;
        };
        let unwrapped = self.unwrap(timestamp);
        let error_s = self.capture_time(timestamp).map_or(0.0, |expected| ntp.seconds_since(expected));
        let backwards = ntp.seconds_since(newest) <= 0.0;
        if backwards || error_s.abs() > MAX_ERROR_S {
            self.doubted += 1;
            if self.doubted >= MAX_DOUBTED {
                *self = Self { reports: vec![(ntp, timestamp.into())], doubted: 0 };
            }
            return;
        }
        self.doubted = 0;
        if self.reports.len() == REPORTS {
            self.reports.remove(0);
        }
        self.reports.push((ntp, unwrapped));
    }

    /// Wall-clock time of the sender at which the sample with this RTP timestamp was captured; `None` before the first
    /// report.
    pub fn capture_time(&self, timestamp: u32) -> Option<NtpTime> {
        let &(last_ntp, last_timestamp) = self.reports.last()?;
        let ticks = |timestamp: i64| (timestamp - last_timestamp) as f64;
        let seconds = |ntp: NtpTime| ntp.seconds_since(last_ntp);
        let count = self.reports.len() as f64;
        let mean_x = self.reports.iter().map(|&(_, t)| ticks(t)).sum::<f64>() / count;
        let mean_y = self.reports.iter().map(|&(n, _)| seconds(n)).sum::<f64>() / count;
        let (mut xx, mut xy) = (0.0, 0.0);
        for &(ntp, timestamp) in &self.reports {
            let x = ticks(timestamp) - mean_x;
            xx += x * x;
            xy += x * (seconds(ntp) - mean_y);
        }
        let slope = if xx > 0.0 { xy / xx } else { 1.0 / f64::from(Packet::CLOCK_HZ) };
        Some(last_ntp.plus_seconds(mean_y + slope * (ticks(self.unwrap(timestamp)) - mean_x)))
    }

    /// The timestamp nearest to the newest report's.
    fn unwrap(&self, timestamp: u32) -> i64 {
        self.reports
            .last()
            .map_or(timestamp.into(), |&(_, newest)| newest + i64::from(timestamp.wrapping_sub(newest as u32) as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: NtpTime = NtpTime(0xe9d3_0000_0000_0000);
    const FIRST: u32 = 0xffff_0000;

    /// The timestamp after `seconds` of a sender whose sound card is off by `ppm`.
    fn timestamp(seconds: f64, ppm: f64) -> u32 {
        FIRST.wrapping_add((seconds * 48_000.0 * (1.0 + ppm * 1e-6)) as i64 as u32)
    }

    #[test]
    fn it_holds_to_a_millisecond_for_a_day_at_200_ppm() {
        for ppm in [-200.0, 0.0, 200.0] {
            let mut clock = MediaClock::default();
            let mut worst: f64 = 0.0;
            for report in 0..17_280 {
                let now = f64::from(report) * 5.0;
                clock.report(START.plus_seconds(now), timestamp(now, ppm));
                if report < 2 {
                    continue;
                }
                // Anything between this report and the next, and what is still in a jitter buffer.
                for offset in [-0.5, 0.0, 2.5, 4.99] {
                    let captured = clock.capture_time(timestamp(now + offset, ppm)).unwrap();
                    worst = worst.max((captured.seconds_since(START) - now - offset).abs());
                }
            }
            assert!(worst < 0.001, "{ppm} ppm: {worst} s");
        }
    }

    #[test]
    fn reports_that_jitter_are_smoothed() {
        let mut clock = MediaClock::default();
        for report in 0..100 {
            let now = f64::from(report) * 5.0;
            // 2 ms of error either way, as a scheduler makes it.
            let error = if report % 2 == 0 { 0.002 } else { -0.002 };
            clock.report(START.plus_seconds(now + error), timestamp(now, 50.0));
        }
        let captured = clock.capture_time(timestamp(500.0, 50.0)).unwrap();
        assert!((captured.seconds_since(START) - 500.0).abs() < 0.001);
    }

    #[test]
    fn one_bad_report_is_ignored_and_a_leap_is_followed() {
        let mut clock = MediaClock::default();
        assert_eq!(clock.capture_time(0), None);
        for report in 0..10 {
            clock.report(START.plus_seconds(f64::from(report)), timestamp(f64::from(report), 0.0));
        }
        clock.report(START.plus_seconds(3600.0), timestamp(10.0, 0.0));
        let captured = clock.capture_time(timestamp(11.0, 0.0)).unwrap();
        assert!((captured.seconds_since(START) - 11.0).abs() < 1e-4);
        for report in 11..15 {
            clock.report(START.plus_seconds(3600.0 + f64::from(report)), timestamp(f64::from(report), 0.0));
        }
        let captured = clock.capture_time(timestamp(15.0, 0.0)).unwrap();
        assert!((captured.seconds_since(START) - 3615.0).abs() < 1e-4);
    }
}
