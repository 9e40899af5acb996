//! What is noted of the call each second, and told in the end.

use std::fmt;

use voxframe::call::{CallControls, ConnectionQuality, ProfileKind};

use crate::network::Network;

/// The call after a report.
pub struct Step {
    pub seconds: f64,
    pub network_loss: f64,
    /// Loss and score as the monitor knows them.
    pub loss: Option<f64>,
    pub round_trip_ms: f64,
    pub jitter_ms: f64,
    pub mean_opinion_score: Option<f64>,
    pub latency_ms: f64,
    pub quality: ConnectionQuality,
    pub profile: ProfileKind,
    pub kbps: f64,
    pub packet_ms: f64,
    pub fec: bool,
    pub loss_percent: f64,
    decisions: String,
}

#[derive(Default)]
pub struct Log {
    pub steps: Vec<Step>,
}

impl Log {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn note(&mut self, seconds: f64, network: &Network, controls: &CallControls, latency_ms: f64) {
        let (connection, opus) = (controls.connection(), controls.uplink.opus.settings());
        let decisions = controls.advice().map(|advice| {
            format!(
                "profile {}; bit rate {}; FEC {}; packet {}",
                advice.profile, advice.bitrate_bps, advice.fec, advice.packet_ms
            )
        });
        self.steps.push(Step {
            seconds,
            network_loss: network.loss(),
            loss: connection.loss.map(f64::from),
            round_trip_ms: network.round_trip_ms(),
            jitter_ms: network.jitter_ms(),
            mean_opinion_score: connection.mean_opinion_score.map(f64::from),
            latency_ms,
            quality: connection.quality,
            profile: controls.profile(),
            kbps: f64::from(opus.bitrate_bps) / 1000.0,
            packet_ms: opus.packet_ms.into(),
            fec: opus.fec,
            loss_percent: opus.loss_percent.into(),
            decisions: decisions.unwrap_or_default(),
        });
    }
}

/// A line for each second in which something was decided anew.
impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for step in &self.steps {
            let decided = (step.quality, step.profile, step.kbps, step.packet_ms, step.fec);
            if last.replace(decided) != Some(decided) {
                writeln!(f, "{:4.0} s  {:9}  {}", step.seconds, step.quality.to_string(), step.decisions)?;
            }
        }
        Ok(())
    }
}
