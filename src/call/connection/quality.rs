//! Classes of connection quality, their thresholds, and why a connection has one.

use std::fmt;

use crate::core::Result;
use crate::core::error::in_range;

/// Connection quality, from worst to best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum ConnectionQuality {
    /// Speech breaks up or a conversation is laboured.
    Poor,
    /// Impairments are heard.
    Fair,
    /// Impairments are hardly heard.
    Good,
    /// No impairment; also before anything is known.
    #[default]
    Excellent,
}

impl fmt::Display for ConnectionQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Poor => "poor",
            Self::Fair => "fair",
            Self::Good => "good",
            Self::Excellent => "excellent",
        })
    }
}

/// Metric of a connection that is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ConnectionMetric {
    /// Share of packets lost, 0 to 1.
    Loss,
    /// Round-trip time in ms.
    RoundTripTime,
    /// Interarrival jitter in ms.
    Jitter,
    /// Time without a report, in ms.
    Silence,
}

/// Reason for a quality: the worst metric, and the threshold that it is beyond; or, where the quality is excellent, the
/// threshold it is nearest to. Printed as `loss 6.1 % > 5 %`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConnectionReason {
    /// The metric.
    pub metric: ConnectionMetric,
    /// Its smoothed value, in the unit of the metric.
    pub value: f32,
    /// The threshold, in the same unit.
    pub threshold: f32,
}

impl fmt::Display for ConnectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.value > self.threshold { '>' } else { '≤' };
        let (value, threshold) = (self.value, self.threshold);
        match self.metric {
            ConnectionMetric::Loss => write!(f, "loss {:.1} % {sign} {} %", value * 100.0, threshold * 100.0),
            ConnectionMetric::RoundTripTime => write!(f, "round-trip time {value:.0} ms {sign} {threshold} ms"),
            ConnectionMetric::Jitter => write!(f, "jitter {value:.0} ms {sign} {threshold} ms"),
            ConnectionMetric::Silence => write!(f, "no report for {:.1} s {sign} {} s", value / 1e3, threshold / 1e3),
        }
    }
}

/// Thresholds of connection quality. The worst metric counts.
///
/// Each holds three values: beyond the first the quality is no longer excellent, beyond the second no longer good, beyond
/// the third it is poor. They rise.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct ConnectionThresholds {
    /// Share of packets lost, 0 to 1. Default 1, 2 and 5 %.
    pub loss: [f32; 3],
    /// Round-trip time in ms, 0 to 10 000. Default 50, 100 and 200.
    pub round_trip_time_ms: [f32; 3],
    /// Interarrival jitter in ms, 0 to 10 000. Default 20, 30 and 50.
    pub jitter_ms: [f32; 3],
}

impl Default for ConnectionThresholds {
    fn default() -> Self {
        Self { loss: [0.01, 0.02, 0.05], round_trip_time_ms: [50.0, 100.0, 200.0], jitter_ms: [20.0, 30.0, 50.0] }
    }
}

/// Smoothed metrics of a connection; `None` where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Metrics {
    pub loss: Option<f32>,
    pub round_trip_time_ms: Option<f32>,
    pub jitter_ms: Option<f32>,
}

impl ConnectionThresholds {
    pub(super) fn check(&self) -> Result<()> {
        let rising = |setting, values: [f32; 3], max| {
            in_range(setting, values[0], 0.0, max)?;
            in_range(setting, values[1], values[0], max)?;
            in_range(setting, values[2], values[1], max)
        };
        rising("ConnectionThresholds::loss", self.loss, 1.0)?;
        rising("ConnectionThresholds::round_trip_time_ms", self.round_trip_time_ms, 10_000.0)?;
        rising("ConnectionThresholds::jitter_ms", self.jitter_ms, 10_000.0)
    }

    /// Quality of these metrics, and the reason for it; thresholds multiplied by `factor`.
    pub(super) fn classify(&self, metrics: &Metrics, factor: f32) -> (ConnectionQuality, Option<ConnectionReason>) {
        use ConnectionQuality::*;
        let rated = [
            (ConnectionMetric::Loss, metrics.loss, self.loss),
            (ConnectionMetric::RoundTripTime, metrics.round_trip_time_ms, self.round_trip_time_ms),
            (ConnectionMetric::Jitter, metrics.jitter_ms, self.jitter_ms),
        ];
        let mut worst = (Excellent, None, 0.0);
        for (metric, value, thresholds) in rated {
            let Some(value) = value else { continue };
            let beyond = thresholds.iter().filter(|&&threshold| value > threshold * factor).count();
            let quality = [Excellent, Good, Fair, Poor][beyond];
            let threshold = thresholds[beyond.saturating_sub(1)];
            let nearness = value / threshold.max(f32::MIN_POSITIVE);
            if worst.1.is_none() || quality < worst.0 || quality == worst.0 && nearness > worst.2 {
                worst = (quality, Some(ConnectionReason { metric, value, threshold }), nearness);
            }
        }
        (worst.0, worst.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionQuality::*;

    #[test]
    fn the_worst_metric_counts_and_is_named() {
        let thresholds = ConnectionThresholds::default();
        for (loss, rtt, jitter, quality, reason) in [
            (0.061, 20.0, 5.0, Poor, "loss 6.1 % > 5 %"),
            (0.05, 20.0, 5.0, Fair, "loss 5.0 % > 2 %"),
            (0.0, 101.0, 5.0, Fair, "round-trip time 101 ms > 100 ms"),
            (0.011, 60.0, 21.0, Good, "round-trip time 60 ms > 50 ms"),
            (0.0, 20.0, 51.0, Poor, "jitter 51 ms > 50 ms"),
            (0.0, 20.0, 15.0, Excellent, "jitter 15 ms ≤ 20 ms"),
        ] {
            let metrics = Metrics { loss: Some(loss), round_trip_time_ms: Some(rtt), jitter_ms: Some(jitter) };
            let (found, why) = thresholds.classify(&metrics, 1.0);
            assert_eq!((found, why.unwrap().to_string().as_str()), (quality, reason));
        }
        assert_eq!(thresholds.classify(&Metrics::default(), 1.0), (Excellent, None));
        let falling = ConnectionThresholds { jitter_ms: [30.0, 20.0, 50.0], ..thresholds };
        assert!(falling.check().is_err() && thresholds.check().is_ok());
    }
}
