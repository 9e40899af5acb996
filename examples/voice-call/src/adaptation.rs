//! Quality of both directions of a connection, and what is advised for them.

use std::time::Duration;

use voxframe::call::{Adaptation, Advice, ConnectionMonitor, ConnectionReport, ProfileKind};

use crate::signalling::protocol::DirectionState;

/// Monitor of one direction, and the advice for whoever sends.
#[derive(Debug)]
pub struct Direction {
    monitor: ConnectionMonitor,
    adaptation: Adaptation,
    advice: Advice,
}

impl Default for Direction {
    fn default() -> Self {
        let (monitor, adaptation) = (ConnectionMonitor::default(), Adaptation::default());
        let advice = adaptation.advise(&monitor.reading(), None);
        Self { monitor, adaptation, advice }
    }
}

impl Direction {
    /// Takes a report of the time `at`; the advice from it.
    pub fn report(&mut self, at: Duration, report: &ConnectionReport) -> &Advice {
        self.monitor.report(&ConnectionReport { at, ..*report });
        self.advise()
    }

    /// Lets time go on without a report; the advice.
    pub fn poll(&mut self, at: Duration) -> &Advice {
        self.monitor.poll(at);
        self.advise()
    }

    /// Sets the profile that is wanted whatever the connection; the advice with it.
    pub fn wish(&mut self, profile: Option<ProfileKind>) -> &Advice {
        self.adaptation.profile = profile;
        self.advise()
    }

    /// Advice that is followed.
    pub fn advice(&self) -> &Advice {
        &self.advice
    }

    fn advise(&mut self) -> &Advice {
        self.advice = self.adaptation.advise(&self.monitor.reading(), Some(&self.advice));
        &self.advice
    }

    /// State for the page.
    pub fn state(&self) -> DirectionState {
        let (reading, advice) = (self.monitor.reading(), &self.advice);
        let on = if advice.fec.value { "on" } else { "off" };
        DirectionState {
            quality: reading.quality.to_string(),
            reason: reading.reason.map(|reason| reason.to_string()),
            loss: reading.loss,
            round_trip_time_ms: reading.round_trip_time_ms,
            jitter_ms: reading.jitter_ms,
            mean_opinion_score: reading.mean_opinion_score,
            bitrate_bps: advice.bitrate_bps.value,
            fec: advice.fec.value,
            packet_ms: advice.packet_ms.value,
            profile: advice.profile.value,
            reasons: vec![
                format!("profile {}: {}", advice.profile.value, advice.profile.reason),
                format!("{} kb/s: {}", advice.bitrate_bps.value / 1000, advice.bitrate_bps.reason),
                format!("error correction {on}: {}", advice.fec.reason),
                format!("packets of {} ms: {}", advice.packet_ms.value, advice.packet_ms.reason),
            ],
        }
    }
}

/// Both directions of a connection, as its client sees them.
#[derive(Debug, Default)]
pub struct Connection {
    /// From the client.
    pub send: Direction,
    /// To the client.
    pub receive: Direction,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_news_are_followed_and_explained() {
        let mut direction = Direction::default();
        assert_eq!(direction.state().quality, "excellent");
        let mut second = 0;
        let mut run = |direction: &mut Direction, loss: f32, seconds| {
            for _ in 0..seconds {
                second += 1;
                let report = ConnectionReport { loss: Some(loss), ..ConnectionReport::default() };
                direction.report(Duration::from_secs(second), &report);
            }
        };
        run(&mut direction, 0.1, 8);
        let state = direction.state();
        assert_eq!((&*state.quality, state.bitrate_bps, state.fec), ("poor", 32_000, true));
        assert_eq!(state.profile, ProfileKind::LowLatency);
        assert_eq!(state.reasons[1], "32 kb/s: poor connection (loss 10.0 % > 5 %)");
        run(&mut direction, 0.0, 15);
        let state = direction.state();
        assert_eq!((&*state.quality, state.bitrate_bps, state.fec), ("excellent", 64_000, false));
        direction.wish(Some(ProfileKind::HighQuality));
        assert_eq!(direction.state().profile, ProfileKind::HighQuality);
    }
}
