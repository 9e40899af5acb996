//! Profiles read back with serde: a missing key means the default of the profile's kind.

use serde::{Deserialize, Deserializer};

use super::profile::{Profile, ProfileKind};
use crate::opus::OpusEncode;
use crate::stages::auto_gain::AutoGain;
use crate::stages::denoise::Denoise;
use crate::stages::echo::EchoCancel;
use crate::stages::gain::Gain;
use crate::stages::gate::NoiseGate;
use crate::stages::high_pass::HighPass;
use crate::stages::limiter::Limiter;
use crate::stages::meter::LevelMeter;
use crate::stages::resample::Quality;

/// A profile with every key optional. Of a stage that can be off the outer `None` is a missing key, the inner one is
/// "off".
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Saved {
    kind: ProfileKind,
    sample_rate_hz: Option<u32>,
    resample: Option<Quality>,
    #[serde(deserialize_with = "present")]
    echo_cancel: Option<Option<EchoCancel>>,
    gain: Option<Gain>,
    #[serde(deserialize_with = "present")]
    denoise: Option<Option<Denoise>>,
    #[serde(deserialize_with = "present")]
    high_pass: Option<Option<HighPass>>,
    #[serde(deserialize_with = "present")]
    auto_gain: Option<Option<AutoGain>>,
    #[serde(deserialize_with = "present")]
    gate: Option<Option<NoiseGate>>,
    #[serde(deserialize_with = "present")]
    limiter: Option<Option<Limiter>>,
    meter: Option<LevelMeter>,
    opus: Option<OpusEncode>,
    stereo_bitrate_bps: Option<u32>,
}

/// A key that is there, `null` or not.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let saved = Saved::deserialize(value)?;
        let default = Profile::from(saved.kind);
        Ok(Self {
            kind: saved.kind,
            sample_rate_hz: saved.sample_rate_hz.unwrap_or(default.sample_rate_hz),
            resample: saved.resample.unwrap_or(default.resample),
            echo_cancel: saved.echo_cancel.unwrap_or(default.echo_cancel),
            gain: saved.gain.unwrap_or(default.gain),
            denoise: saved.denoise.unwrap_or(default.denoise),
            high_pass: saved.high_pass.unwrap_or(default.high_pass),
            auto_gain: saved.auto_gain.unwrap_or(default.auto_gain),
            gate: saved.gate.unwrap_or(default.gate),
            limiter: saved.limiter.unwrap_or(default.limiter),
            meter: saved.meter.unwrap_or(default.meter),
            opus: saved.opus.unwrap_or(default.opus),
            stereo_bitrate_bps: saved.stereo_bitrate_bps.unwrap_or(default.stereo_bitrate_bps),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_the_default_and_null_is_off() {
        let read = |text: &str| serde_json::from_str::<Profile>(text).unwrap();
        assert_eq!(read("{}"), Profile::balanced());
        assert_eq!(read(r#"{"kind": "high-quality"}"#), Profile::high_quality());
        let changed = read(r#"{"kind": "low-latency", "gate": null, "echo_cancel": null, "gain": {"gain_db": 3.0}}"#);
        assert_eq!(changed, Profile { gate: None, echo_cancel: None, gain: Gain::db(3.0), ..Profile::low_latency() });
    }

    #[test]
    fn what_is_saved_is_read_back() {
        for kind in ProfileKind::ALL {
            let profile = Profile { auto_gain: None, ..kind.into() };
            let text = serde_json::to_string(&profile).unwrap();
            assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
        }
    }
}
