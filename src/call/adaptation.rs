//! Adaptation: what to send over a connection of this quality from a device of this capability, and why.

use std::fmt;

use super::connection::{ConnectionQuality, ConnectionReading, ConnectionReason};
use super::profile::{Profile, ProfileKind};
use crate::opus::OpusEncode;

/// Processing power of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum DeviceCapability {
    /// Hardly enough for noise suppression.
    Low,
    /// Enough for the balanced profile.
    #[default]
    Medium,
    /// Enough for the high-quality profile.
    High,
}

/// Recommended profile: low-latency over a poor connection, high-quality over an excellent one from a device of high
/// capability, balanced otherwise.
pub fn recommended_profile(quality: ConnectionQuality, capability: DeviceCapability) -> ProfileKind {
    match (quality, capability) {
        (ConnectionQuality::Poor, _) => ProfileKind::LowLatency,
        (ConnectionQuality::Excellent, DeviceCapability::High) => ProfileKind::HighQuality,
        _ => ProfileKind::Balanced,
    }
}

/// Loss from which on redundancy is sent, and below which it rests again (RFC 6716: libopus needs a hint above 0).
const FEC_FROM: f32 = 0.02;
const FEC_UNTIL: f32 = 0.01;

/// Loss from which on deep redundancy is worth more than forward error correction: gaps of several packets are likely.
const DRED_FROM: f32 = 0.10;
const DRED_UNTIL: f32 = 0.07;

/// Depth of deep redundancy in ms.
const DRED_MS: u32 = 1000;

/// Largest loss hint in percent: beyond, the encoder gives so much to redundancy that the speech itself suffers.
const MAX_LOSS_PERCENT: u8 = 20;

/// Share of the estimated bit rate that is used: the rest is for headers, redundancy and what the estimate is wrong by.
const ESTIMATE_SHARE: f32 = 0.8;

/// Packet length of the low-latency profile in ms where headers cost more than their time is worth.
const LOSSY_PACKET_MS: f32 = 20.0;

/// Adaptation: the application's wishes and limits, from which [`advise`](Self::advise) makes an [`Advice`]. A plain value.
///
/// ```
/// use std::time::Duration;
/// use voxframe::call::{Adaptation, ConnectionMonitor, ConnectionReport, ProfileKind};
/// let adaptation = Adaptation::default();
/// let mut monitor = ConnectionMonitor::default();
/// let mut advice = adaptation.advise(&monitor.reading(), None);
/// assert_eq!((advice.bitrate_bps.value, advice.fec.value), (64_000, false));
/// for second in 0..9 {
///     let at = Duration::from_secs(second);
///     monitor.report(&ConnectionReport { at, loss: Some(0.06), ..Default::default() });
///     advice = adaptation.advise(&monitor.reading(), Some(&advice));
/// }
/// assert_eq!(advice.profile.value, ProfileKind::LowLatency);
/// assert_eq!(advice.fec.to_string(), "true: loss 6.0 %");
/// assert_eq!(advice.bitrate_bps.to_string(), "32000: poor connection (loss 6.0 % > 5 %)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Adaptation {
    /// Capability of the device. Default medium.
    pub capability: DeviceCapability,
    /// Profile wanted whatever the connection. Default none.
    pub profile: Option<ProfileKind>,
    /// Lowest and highest bit rate in bits/s. Default 32 000 and 128 000: those of a poor and an excellent connection.
    pub min_bitrate_bps: u32,
    /// See [`min_bitrate_bps`](Self::min_bitrate_bps), which comes first where they contradict.
    pub max_bitrate_bps: u32,
    /// Highest bit rate of one channel in bits/s. Default 64 000: nobody hears more of a voice.
    pub max_mono_bitrate_bps: u32,
    /// Whether two channels are sent. Default no.
    pub stereo: bool,
    /// Whether forward error correction is allowed. Default yes.
    pub fec: bool,
    /// Whether the far end decodes deep redundancy (DRED, libopus 1.5), and this build encodes it. Default no.
    pub dred: bool,
    /// Packet length in ms wanted whatever the profile. Default none.
    pub packet_ms: Option<f32>,
}

impl Default for Adaptation {
    fn default() -> Self {
        Self {
            capability: DeviceCapability::default(),
            profile: None,
            min_bitrate_bps: 32_000,
            max_bitrate_bps: 128_000,
            max_mono_bitrate_bps: 64_000,
            stereo: false,
            fec: true,
            dred: false,
            packet_ms: None,
        }
    }
}

/// Reason of a [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum DecisionReason {
    /// Wish of the application.
    Wish,
    /// Limit of the application.
    Limit,
    /// Quality of the connection, and the reason for that.
    Connection(ConnectionQuality, Option<ConnectionReason>),
    /// Capability of the device.
    Capability(DeviceCapability),
    /// Share of packets lost, 0 to 1.
    Loss(f32),
    /// Estimate of the available bit rate, in bits/s.
    Estimate(u32),
    /// One channel needs no more.
    Mono,
    /// Deep redundancy in its place, or forward error correction.
    OtherRedundancy,
    /// Default of the profile.
    Profile(ProfileKind),
}

impl fmt::Display for DecisionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wish => f.write_str("wanted"),
            Self::Limit => f.write_str("limit of the application"),
            Self::Connection(quality, None) => write!(f, "{quality} connection"),
            Self::Connection(quality, Some(reason)) => write!(f, "{quality} connection ({reason})"),
            Self::Capability(capability) => {
                let name = match capability {
                    DeviceCapability::Low => "low",
                    DeviceCapability::Medium => "medium",
                    DeviceCapability::High => "high",
                };
                write!(f, "device of {name} capability")
            }
            Self::Loss(loss) => write!(f, "loss {:.1} %", loss * 100.0),
            Self::Estimate(bps) => write!(f, "{:.0} kb/s available", *bps as f32 / 1000.0),
            Self::Mono => f.write_str("one channel"),
            Self::OtherRedundancy => f.write_str("the other redundancy is better here"),
            Self::Profile(kind) => write!(f, "{kind} profile"),
        }
    }
}

/// A value, and the reason for it. Printed as `value: reason`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Decision<T> {
    /// What is advised.
    pub value: T,
    /// Why.
    pub reason: DecisionReason,
}

impl<T: fmt::Display> fmt::Display for Decision<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.value, self.reason)
    }
}

/// Advice: what to send from now on. [`apply`](Self::apply) puts what is live into the encoder's settings; the profile is
/// the application's to exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Advice {
    /// Profile.
    pub profile: Decision<ProfileKind>,
    /// Bit rate in bits/s.
    pub bitrate_bps: Decision<u32>,
    /// Forward error correction.
    pub fec: Decision<bool>,
    /// Deep redundancy in ms; 0 is none.
    pub dred_ms: Decision<u32>,
    /// Loss hint for the encoder in percent.
    pub loss_percent: Decision<u8>,
    /// Packet length in ms.
    pub packet_ms: Decision<f32>,
}

impl Advice {
    /// Puts bit rate, redundancy, loss hint and packet length into the settings of an encoder:
    /// `controls.opus.update(|opus| advice.apply(opus))`.
    pub fn apply(&self, opus: &mut OpusEncode) {
        opus.bitrate_bps = self.bitrate_bps.value;
        opus.fec = self.fec.value;
        opus.dred_ms = self.dred_ms.value;
        opus.loss_percent = self.loss_percent.value;
        opus.packet_ms = self.packet_ms.value;
    }
}

impl Adaptation {
    /// Advice for a connection in this state. `before` is the advice that is followed now: redundancy begins at more loss
    /// than it ends at, so that it does not come and go.
    pub fn advise(&self, connection: &ConnectionReading, before: Option<&Advice>) -> Advice {
        let loss = connection.loss.unwrap_or(0.0);
        let profile = self.advise_profile(connection);
        let is_on = |on: bool, from: f32, until: f32| loss >= if on { until } else { from };
        let has_dred = before.is_some_and(|before| before.dred_ms.value > 0);
        let has_fec = before.is_some_and(|before| before.fec.value || before.dred_ms.value > 0);
        let dred = self.dred && is_on(has_dred, DRED_FROM, DRED_UNTIL);
        let lossy = is_on(has_fec, FEC_FROM, FEC_UNTIL);
        let fec = self.fec && lossy && !dred;
        let redundancy_reason = |allowed, is_other| match allowed {
            false => DecisionReason::Limit,
            true if is_other => DecisionReason::OtherRedundancy,
            true => DecisionReason::Loss(loss),
        };
        let percent = ((loss * 100.0 - 0.01).ceil() as u8).min(MAX_LOSS_PERCENT);
        Advice {
            profile,
            bitrate_bps: self.advise_bitrate(connection),
            fec: Decision { value: fec, reason: redundancy_reason(self.fec, dred) },
            dred_ms: Decision { value: if dred { DRED_MS } else { 0 }, reason: redundancy_reason(self.dred, fec) },
            loss_percent: Decision {
                value: if fec || dred { percent.max(1) } else { 0 },
                reason: DecisionReason::Loss(loss),
            },
            packet_ms: self.advise_packet(profile.value, lossy, loss),
        }
    }

    fn advise_profile(&self, connection: &ConnectionReading) -> Decision<ProfileKind> {
        if let Some(value) = self.profile {
            return Decision { value, reason: DecisionReason::Wish };
        }
        let value = recommended_profile(connection.quality, self.capability);
        let is_limited = connection.quality == ConnectionQuality::Excellent && value == ProfileKind::Balanced;
        let reason = match is_limited {
            true => DecisionReason::Capability(self.capability),
            false => DecisionReason::Connection(connection.quality, connection.reason),
        };
        Decision { value, reason }
    }

    fn advise_bitrate(&self, connection: &ConnectionReading) -> Decision<u32> {
        let value = match connection.quality {
            ConnectionQuality::Poor => 32_000,
            ConnectionQuality::Fair => 64_000,
            ConnectionQuality::Good => 96_000,
            ConnectionQuality::Excellent => 128_000,
        };
        let reason = DecisionReason::Connection(connection.quality, connection.reason);
        let mut decision = Decision { value, reason };
        let mut limit = |max: u32, reason| {
            if decision.value > max {
                decision = Decision { value: max, reason };
            }
        };
        if !self.stereo {
            limit(self.max_mono_bitrate_bps, DecisionReason::Mono);
        }
        if let Some(bps) = connection.estimate_bps {
            limit((bps as f32 * ESTIMATE_SHARE) as u32, DecisionReason::Estimate(bps));
        }
        limit(self.max_bitrate_bps, DecisionReason::Limit);
        if decision.value < self.min_bitrate_bps {
            decision = Decision { value: self.min_bitrate_bps, reason: DecisionReason::Limit };
        }
        decision
    }

    fn advise_packet(&self, profile: ProfileKind, lossy: bool, loss: f32) -> Decision<f32> {
        if let Some(value) = self.packet_ms {
            return Decision { value, reason: DecisionReason::Wish };
        }
        let own = Profile::from(profile).opus.packet_ms;
        if lossy && own < LOSSY_PACKET_MS {
            return Decision { value: LOSSY_PACKET_MS, reason: DecisionReason::Loss(loss) };
        }
        Decision { value: own, reason: DecisionReason::Profile(profile) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(quality: ConnectionQuality, loss: f32, estimate_bps: Option<u32>) -> ConnectionReading {
        let mut reading = ConnectionReading::default();
        (reading.quality, reading.loss, reading.estimate_bps) = (quality, Some(loss), estimate_bps);
        reading
    }

    #[test]
    fn the_recommended_profile_is_the_guides() {
        use ConnectionQuality::*;
        use DeviceCapability::*;
        for quality in [Poor, Fair, Good, Excellent] {
            for capability in [Low, Medium, High] {
                let expected = match (quality, capability) {
                    (Poor, _) => "low-latency",
                    (Excellent, High) => "high-quality",
                    _ => "balanced",
                };
                assert_eq!(recommended_profile(quality, capability).to_string(), expected);
            }
        }
    }

    #[test]
    fn the_bit_rate_follows_the_quality_within_every_limit() {
        let stereo = Adaptation { stereo: true, ..Adaptation::default() };
        let rate = |adaptation: Adaptation, quality, estimate| {
            adaptation.advise(&connection(quality, 0.0, estimate), None).bitrate_bps.to_string()
        };
        use ConnectionQuality::*;
        assert_eq!(rate(stereo, Excellent, None), "128000: excellent connection");
        assert_eq!(rate(stereo, Good, None), "96000: good connection");
        assert_eq!(rate(Adaptation::default(), Good, None), "64000: one channel");
        assert_eq!(rate(Adaptation::default(), Poor, None), "32000: poor connection");
        assert_eq!(rate(stereo, Excellent, Some(100_000)), "80000: 100 kb/s available");
        assert_eq!(rate(stereo, Excellent, Some(10_000)), "32000: limit of the application");
        let narrow = Adaptation { max_bitrate_bps: 20_000, min_bitrate_bps: 8000, ..stereo };
        assert_eq!(rate(narrow, Excellent, Some(10_000)), "8000: 10 kb/s available");
        assert_eq!(rate(narrow, Excellent, None), "20000: limit of the application");
    }

    #[test]
    fn redundancy_comes_with_loss_and_does_not_come_and_go() {
        let adaptation = Adaptation::default();
        let follow = |adaptation: &Adaptation, losses: &[f32]| {
            let mut before = None;
            let mut found = Vec::new();
            for &loss in losses {
                let advice = adaptation.advise(&connection(ConnectionQuality::Fair, loss, None), before.as_ref());
                found.push((advice.fec.value, advice.dred_ms.value, advice.loss_percent.value));
                before = Some(advice);
            }
            found
        };
        let found = follow(&adaptation, &[0.0, 0.019, 0.02, 0.012, 0.009, 0.15, 0.5]);
        let fec = |percent| (true, 0, percent);
        assert_eq!(found, [(false, 0, 0), (false, 0, 0), fec(2), fec(2), (false, 0, 0), fec(15), fec(20)]);
        let deep = Adaptation { dred: true, ..adaptation };
        let found = follow(&deep, &[0.05, 0.1, 0.08, 0.06, 0.0]);
        assert_eq!(found, [fec(5), (false, 1000, 10), (false, 1000, 8), fec(6), (false, 0, 0)]);
        let none = Adaptation { fec: false, ..adaptation };
        assert_eq!(follow(&none, &[0.1]), [(false, 0, 0)]);
    }

    #[test]
    fn wishes_come_first_and_advice_is_what_an_encoder_takes() {
        let poor = connection(ConnectionQuality::Poor, 0.08, None);
        let adaptation = Adaptation::default();
        let advice = adaptation.advise(&poor, None);
        assert_eq!(advice.packet_ms.to_string(), "20: loss 8.0 %");
        let wished = Adaptation { profile: Some(ProfileKind::HighQuality), packet_ms: Some(60.0), ..adaptation };
        let advice = wished.advise(&poor, None);
        assert_eq!(advice.profile.to_string(), "high-quality: wanted");
        let mut opus = OpusEncode::voip();
        advice.apply(&mut opus);
        assert_eq!((opus.packet_ms, opus.bitrate_bps, opus.fec, opus.loss_percent), (60.0, 32_000, true, 8));
        let slow = connection(ConnectionQuality::Poor, 0.0, None);
        assert_eq!(adaptation.advise(&slow, None).packet_ms.to_string(), "10: low-latency profile");
        let excellent = connection(ConnectionQuality::Excellent, 0.0, None);
        let advice = adaptation.advise(&excellent, None);
        assert_eq!(advice.profile.to_string(), "balanced: device of medium capability");
    }
}
