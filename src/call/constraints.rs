//! Constraints on a microphone, as `getUserMedia` takes them.

use std::fmt;

use super::profile::Profile;
use crate::stages::auto_gain::AutoGain;
use crate::stages::denoise::Denoise;
use crate::stages::echo::EchoCancel;

/// Sample rates that can be encoded, in Hz.
const RATES_HZ: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Constraint on one property (W3C Media Capture and Streams, section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Constraint<T> {
    /// None: the profile decides.
    #[default]
    Absent,
    /// Wish: met as well as it can be.
    Ideal(T),
    /// Condition: what does not meet it is refused.
    Exact(T),
}

impl<T: Copy> Constraint<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Ideal(value) | Self::Exact(value) => Some(value),
        }
    }
}

/// Property that can be constrained, by its name in `MediaTrackConstraints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub enum ConstraintName {
    /// Echo cancellation.
    EchoCancellation,
    /// Noise suppression.
    NoiseSuppression,
    /// Automatic gain.
    AutoGainControl,
    /// Sample rate.
    SampleRate,
    /// Number of channels.
    ChannelCount,
}

impl fmt::Display for ConstraintName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EchoCancellation => "echoCancellation",
            Self::NoiseSuppression => "noiseSuppression",
            Self::AutoGainControl => "autoGainControl",
            Self::SampleRate => "sampleRate",
            Self::ChannelCount => "channelCount",
        })
    }
}

/// Constraints on a microphone: those of `getUserMedia` that concern its sound. From them and a profile comes the profile
/// that meets them.
///
/// ```
/// use voxframe::Profile;
/// use voxframe::call::{Constraint, ConstraintName, Constraints};
/// let constraints = Constraints {
///     auto_gain_control: Constraint::Exact(false),
///     channel_count: Constraint::Ideal(2),
///     ..Constraints::default()
/// };
/// // A microphone of 48 kHz with one channel.
/// let met = constraints.apply(Profile::balanced(), 48_000, 1).unwrap();
/// assert!(met.profile.auto_gain.is_none() && met.profile.denoise.is_some());
/// assert_eq!((met.channels, &met.unmet[..]), (1, &[ConstraintName::ChannelCount][..]));
///
/// let stereo = Constraints { channel_count: Constraint::Exact(2), ..constraints };
/// assert_eq!(stereo.apply(Profile::balanced(), 48_000, 1), Err(ConstraintName::ChannelCount));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, rename_all = "camelCase"))]
pub struct Constraints {
    /// Echo cancellation. It works where the uplink has a far end
    /// ([`Controls::with_far_end`](super::Controls::with_far_end)).
    pub echo_cancellation: Constraint<bool>,
    /// Noise suppression. Feature `denoise`.
    pub noise_suppression: Constraint<bool>,
    /// Automatic gain.
    pub auto_gain_control: Constraint<bool>,
    /// Sample rate in Hz: 8, 12, 16, 24 or 48 kHz, and no higher than the device's.
    pub sample_rate: Constraint<u32>,
    /// Number of channels: 1 or 2, and no more than the device has.
    pub channel_count: Constraint<u32>,
}

/// Profile that meets [`Constraints`], and which of their wishes it does not meet.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Constrained {
    /// Profile with the stages that are wanted.
    pub profile: Profile,
    /// Number of channels to capture.
    pub channels: usize,
    /// Wishes that are not met.
    pub unmet: Vec<ConstraintName>,
}

impl Constraints {
    /// `profile`, changed so that it meets these constraints with a device of this rate and so many channels. Where
    /// nothing is asked for it stays as it is. Mono without a constraint.
    ///
    /// # Errors
    /// Name of the first condition that cannot be met, like `OverconstrainedError`.
    pub fn apply(
        &self,
        profile: Profile,
        device_rate_hz: u32,
        device_channels: usize,
    ) -> Result<Constrained, ConstraintName> {
        let mut met = Constrained { profile, channels: 1, unmet: Vec::new() };
        let Profile { echo_cancel, denoise, auto_gain, .. } = profile;
        if let Some(wanted) = self.echo_cancellation.value() {
            met.profile.echo_cancel = wanted.then(|| echo_cancel.unwrap_or_else(EchoCancel::default));
        }
        if let Some(wanted) = self.noise_suppression.value() {
            let possible = wanted && cfg!(feature = "denoise");
            met.profile.denoise = possible.then(|| denoise.unwrap_or_else(Denoise::default));
            met.check(self.noise_suppression, possible, ConstraintName::NoiseSuppression)?;
        }
        if let Some(wanted) = self.auto_gain_control.value() {
            met.profile.auto_gain = wanted.then(|| auto_gain.unwrap_or_else(AutoGain::default));
        }
        if let Some(wanted) = self.sample_rate.value() {
            // The lowest rate that holds what is wanted, or the highest there is.
            let mut possible = RATES_HZ.into_iter().filter(|&rate_hz| rate_hz <= device_rate_hz.max(RATES_HZ[0]));
            let highest = possible.clone().next_back().unwrap_or(RATES_HZ[0]);
            let rate_hz = possible.find(|&rate_hz| rate_hz >= wanted).unwrap_or(highest);
            met.profile.sample_rate_hz = rate_hz;
            met.check(self.sample_rate, rate_hz, ConstraintName::SampleRate)?;
        }
        if let Some(wanted) = self.channel_count.value() {
            met.channels = (wanted as usize).clamp(1, device_channels.clamp(1, 2));
            met.check(self.channel_count, met.channels as u32, ConstraintName::ChannelCount)?;
        }
        Ok(met)
    }
}

impl Constrained {
    /// Compares what there is with what is wanted.
    fn check<T: Copy + PartialEq>(
        &mut self,
        constraint: Constraint<T>,
        actual: T,
        name: ConstraintName,
    ) -> Result<(), ConstraintName> {
        match constraint {
            Constraint::Exact(wanted) if wanted != actual => return Err(name),
            Constraint::Ideal(wanted) if wanted != actual => self.unmet.push(name),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_stays_as_the_profile_has_it() {
        for profile in [Profile::low_latency(), Profile::balanced(), Profile::high_quality()] {
            let met = Constraints::default().apply(profile, 44_100, 2).unwrap();
            assert_eq!(met, Constrained { profile, channels: 1, unmet: Vec::new() });
        }
    }

    #[test]
    fn stages_come_and_go() {
        let all = |on| Constraints {
            echo_cancellation: Constraint::Ideal(on),
            noise_suppression: Constraint::Ideal(on),
            auto_gain_control: Constraint::Exact(on),
            ..Constraints::default()
        };
        for profile in [Profile::low_latency(), Profile::balanced()] {
            for on in [false, true] {
                let met = all(on).apply(profile, 48_000, 1).unwrap();
                assert_eq!(met.profile.echo_cancel.is_some(), on);
                assert_eq!(met.profile.auto_gain.is_some(), on);
                assert_eq!(met.profile.denoise.is_some(), on && cfg!(feature = "denoise"));
                assert_eq!(met.unmet.is_empty(), !on || cfg!(feature = "denoise"));
            }
        }
        let balanced = all(true).apply(Profile::balanced(), 48_000, 1).unwrap().profile;
        assert_eq!(balanced.auto_gain, Profile::balanced().auto_gain, "as the profile has it");
    }

    #[test]
    fn rates_and_channels_are_those_of_device_and_encoder() {
        let rate = |constraint, device_hz| {
            let constraints = Constraints { sample_rate: constraint, ..Constraints::default() };
            constraints
                .apply(Profile::balanced(), device_hz, 1)
                .map(|met| (met.profile.sample_rate_hz, met.unmet.len()))
        };
        let refused = Err(ConstraintName::SampleRate);
        assert_eq!(rate(Constraint::Exact(16_000), 48_000), Ok((16_000, 0)));
        assert_eq!(rate(Constraint::Ideal(44_100), 48_000), Ok((48_000, 1)));
        assert_eq!(rate(Constraint::Exact(44_100), 48_000), refused);
        assert_eq!(rate(Constraint::Ideal(48_000), 16_000), Ok((16_000, 1)));
        assert_eq!(rate(Constraint::Exact(48_000), 16_000), refused);
        assert_eq!(rate(Constraint::Ideal(0), 0), Ok((8_000, 1)));
        let channels = |count, device| {
            let constraints = Constraints { channel_count: Constraint::Ideal(count), ..Constraints::default() };
            let met = constraints.apply(Profile::balanced(), 48_000, device).unwrap();
            (met.channels, met.unmet.len())
        };
        assert_eq!([channels(2, 2), channels(2, 1), channels(9, 8), channels(0, 0)], [(2, 0), (1, 1), (2, 1), (1, 1)]);
        assert_eq!(ConstraintName::AutoGainControl.to_string(), "autoGainControl");
    }
}
