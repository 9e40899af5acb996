//! Quality of a connection: what is reported of it, how it is classified, and a monitor that never flaps.

mod counters;
mod e_model;
mod monitor;
mod quality;

pub use e_model::mean_opinion_score;
pub use monitor::{ConnectionMonitor, ConnectionReading};
pub use quality::{ConnectionMetric, ConnectionQuality, ConnectionReason, ConnectionThresholds};

use std::time::Duration;

/// Report on a connection at one moment, as W3C `getStats`, RTCP or a WebRTC stack gives it. Every value is optional.
///
/// | field | `getStats` | RTCP | str0m |
/// | --- | --- | --- | --- |
/// | `loss` | `remote-inbound-rtp.fractionLost` | fraction lost / 256 | `loss` |
/// | `packets_lost`, `packets_received` | `inbound-rtp.packetsLost`, `.packetsReceived` | cumulative number lost | counters |
/// | `jitter_ms` | `jitter` · 1000 | interarrival jitter / 48 | – |
/// | `round_trip_time_ms` | `candidate-pair.currentRoundTripTime` · 1000 | LSR, DLSR | `rtt` |
/// | `estimate_bps` | `candidate-pair.availableOutgoingBitrate` | – | bandwidth estimate |
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct ConnectionReport {
    /// Time of the report, since any moment that stays the same.
    pub at: Duration,
    /// Share of packets lost since the report before, 0 to 1. Used where the counters do not tell.
    pub loss: Option<f32>,
    /// Packets lost so far. May fall when late packets come; may wrap at 24 or 32 bits, and begin anew.
    pub packets_lost: Option<i64>,
    /// Packets received so far. May wrap at 32 bits, and begin anew.
    pub packets_received: Option<u64>,
    /// Interarrival jitter in ms (RFC 3550, section 6.4.1).
    pub jitter_ms: Option<f32>,
    /// Round-trip time in ms.
    pub round_trip_time_ms: Option<f32>,
    /// Estimate of the available bit rate, in bits/s.
    pub estimate_bps: Option<u32>,
}
