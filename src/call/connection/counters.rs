//! Cumulative packet counters: what was lost and received between two reports, over wraps and new beginnings.

/// Packets counted so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counters {
    pub lost: i64,
    pub received: u64,
}

/// Packets between two reports. Below 0 are late packets that had counted as lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Interval {
    pub lost: i64,
    pub received: i64,
}

/// Largest number of packets that is believed between two reports: an hour of 2.5 ms packets.
const MAX_PACKETS: i64 = 3600 * 400;

impl Counters {
    /// Packets since `before`; `None` where the counters began anew.
    pub fn since(self, before: Self) -> Option<Interval> {
        // As 32-bit counters they may have wrapped (RFC 3550); wider ones never get there.
        let mut received = self.received.wrapping_sub(before.received) as i64;
        if received < 0 && before.received <= u32::MAX.into() {
            received += 1 << 32;
        }
        let mut lost = self.lost.checked_sub(before.lost)?;
        // The number lost has 24 bits and a sign in RTCP.
        if lost.unsigned_abs() > 1 << 23 && self.lost.unsigned_abs().max(before.lost.unsigned_abs()) <= 1 << 23 {
            lost -= lost.signum() << 24;
        }
        let is_plausible = (0..=MAX_PACKETS).contains(&received) && (-MAX_PACKETS..=MAX_PACKETS).contains(&lost);
        // A counter that begins anew falls to nearly nothing, a late packet makes it fall by one.
        let has_begun_anew = lost < -received.max(8);
        (is_plausible && !has_begun_anew).then_some(Interval { lost, received })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(now: (i64, u64), before: (i64, u64)) -> Option<(i64, i64)> {
        let counters = |(lost, received)| Counters { lost, received };
        counters(now).since(counters(before)).map(|interval| (interval.lost, interval.received))
    }

    #[test]
    fn counters_go_on_over_wraps_and_begin_anew() {
        assert_eq!(since((7, 150), (5, 100)), Some((2, 50)));
        assert_eq!(since((4, 150), (5, 100)), Some((-1, 50)), "a late packet");
        assert_eq!(since((5, 20), (5, u64::from(u32::MAX) - 29)), Some((0, 50)), "32 bits");
        assert_eq!(since((-(1 << 23) + 1, 50), ((1 << 23) - 1, 0)), Some((2, 50)), "24 bits and a sign");
        assert_eq!(since((5, 1 << 40), (5, (1 << 40) - 9)), Some((0, 9)));
        assert_eq!(since((0, 3), (0, 10_000)), None, "begun anew");
        assert_eq!(since((0, 60), (500, 50)), None, "the one counter only");
        assert_eq!(since((i64::MAX, 1), (i64::MIN, 0)), None);
        assert_eq!(since((0, u64::MAX), (0, 0)), None);
    }
}
