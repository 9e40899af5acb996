//! Profiles: ready-made settings of an uplink.

use std::fmt;
use std::str::FromStr;

use crate::core::{Error, Result};
use crate::opus::{Application, OpusEncode, RateControl};
use crate::stages::auto_gain::AutoGain;
use crate::stages::denoise::{Denoise, Engine};
use crate::stages::echo::{EchoCancel, Suppression};
use crate::stages::gain::Gain;
use crate::stages::gate::NoiseGate;
use crate::stages::high_pass::HighPass;
use crate::stages::limiter::Limiter;
use crate::stages::meter::LevelMeter;
use crate::stages::resample::Quality;

/// Profile of an uplink: the stages between microphone and encoder, and the settings of each.
///
/// A plain value: take one of the three and change fields. The stages run in the order of the fields. As a
/// [`Stage`](crate::Stage) a profile becomes a [`Pipeline`](crate::Pipeline) of frame stages; [`uplink`](Self::uplink)
/// builds that and the encoder, with a handle for each.
///
/// Saved with serde, a missing key has the value of the profile's `kind` (`balanced` where `kind` is missing, too), and
/// `null` turns a stage off.
///
/// | | low-latency | balanced | high-quality |
/// | --- | --- | --- | --- |
/// | rate | 16 kHz | 48 kHz | 48 kHz |
/// | echo cancellation, with a far end | full | light | light |
/// | noise suppression | off | 40 dB, `Standard` | 60 dB, `Best` |
/// | high-pass, 80 Hz | always in | while there is rumble | while there is rumble |
/// | automatic gain | off | to −20 dBov | to −20 dBov |
/// | gate | to −10 dB | to −15 dB | to −15 dB, 10 ms lookahead |
/// | limiter, at −1 dBTP | no lookahead | 1 ms lookahead | 5 ms lookahead |
/// | packet | 10 ms | 20 ms | 20 ms |
/// | Opus | VOIP, 32 kb/s, CVBR, complexity 5 | VOIP, 40 kb/s, VBR, 9 | AUDIO, 64 kb/s (stereo 128), VBR, 10 |
///
/// ```
/// use voxframe::{Format, Frame, Gain, Processor, Profile, Stage};
/// let mut profile = Profile::balanced();
/// profile.gain = Gain::db(6.0);
/// assert_eq!(profile.to_string(), "balanced");
/// assert_eq!("low-latency".parse(), Ok(Profile::low_latency()));
/// # #[cfg(all(feature = "resample", feature = "denoise"))] {
/// let mut pipeline = profile.prepare(Format::mono(44_100)?)?;
/// let mut frame = Frame::new(pipeline.input_format());
/// assert!(pipeline.process(&mut frame)?.is_some());
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Profile {
    /// Kind of profile: which of the three it started as.
    pub kind: ProfileKind,
    /// Sample rate in Hz, and so the audio bandwidth. An uplink narrows the band of its encoder to it. The encoder itself
    /// runs at 48 kHz, so that it stays when the profile is [switched](super::Controls::switch).
    pub sample_rate_hz: u32,
    /// Resampling quality, where the microphone has another rate.
    pub resample: Quality,
    /// Echo cancellation, the first stage, where the sound is still as linear as the microphone gave it; `None` is off.
    /// In the uplink only where it is given a far end
    /// ([`Controls::with_far_end`](super::Controls::with_far_end)): without one there is no such stage, and its 10 ms are
    /// saved.
    pub echo_cancel: Option<EchoCancel>,
    /// Gain and mute.
    pub gain: Gain,
    /// Noise suppression; `None` is off. Runs at 48 kHz whatever the rate that is encoded.
    pub denoise: Option<Denoise>,
    /// High-pass; `None` is off. Stands behind the noise suppression, which takes most of the rumble away: so it comes in
    /// only where some is left, and leaves the waveform of most voices alone.
    pub high_pass: Option<HighPass>,
    /// Automatic gain; `None` is off. Stands behind the noise suppression, so that noise is not taken for a voice.
    pub auto_gain: Option<AutoGain>,
    /// Noise gate; `None` is off. Stands behind the automatic gain: its thresholds then hold for soft and loud talkers
    /// alike.
    pub gate: Option<NoiseGate>,
    /// Limiter; `None` is off. Stands behind everything that makes the sound louder.
    pub limiter: Option<Limiter>,
    /// Level meter, the last stage before the encoder.
    pub meter: LevelMeter,
    /// Encoder.
    pub opus: OpusEncode,
    /// Bit rate for two channels, in bits/s; [`OpusEncode::bitrate_bps`] is that for one.
    pub stereo_bitrate_bps: u32,
}

impl Profile {
    /// Low-latency profile: wideband, packets of 10 ms, no noise suppression; at most 20 ms from a 48 kHz microphone to a
    /// packet, 30 with echo cancellation. Without a suppressor nothing tells soft speech from noise for sure, so the gate
    /// lowers pauses by 10 dB and mutes nobody.
    pub fn low_latency() -> Self {
        Self {
            kind: ProfileKind::LowLatency,
            sample_rate_hz: 16_000,
            resample: Quality::LowLatency,
            echo_cancel: Some(EchoCancel::default()),
            denoise: None,
            high_pass: Some(HighPass::default()),
            auto_gain: None,
            gate: Some(NoiseGate { floor_db: -10.0, ..NoiseGate::default() }),
            limiter: Some(Limiter { lookahead_ms: 0.0, ..Limiter::default() }),
            opus: OpusEncode { packet_ms: 10.0, complexity: 5, rate_control: RateControl::Cvbr, ..OpusEncode::voip() },
            stereo_bitrate_bps: 32_000,
            ..Self::balanced()
        }
    }

    /// Balanced profile, for calls: 48 kHz, noise suppressed by 40 dB, automatic gain, packets of 20 ms.
    ///
    /// The echo is suppressed lightly, because the noise suppression takes the rest; behind full suppression it takes the
    /// near end with it. The noise by 40 dB, because a trace of it only 18 dB down is heard under the voice: PESQ-WB 1.52
    /// instead of 1.63. The gate takes no more than 15 dB, so that it does not take the voice with what is left of the noise.
    pub fn balanced() -> Self {
        Self {
            kind: ProfileKind::Balanced,
            sample_rate_hz: 48_000,
            resample: Quality::High,
            echo_cancel: Some(EchoCancel { suppression: Suppression::Light, ..EchoCancel::default() }),
            gain: Gain::default(),
            denoise: Some(Denoise::db(40.0)),
            high_pass: Some(HighPass { rumble_db: -16.0, ..HighPass::default() }),
            auto_gain: Some(AutoGain { tolerance_db: 6.0, ..AutoGain::default() }),
            gate: Some(NoiseGate { floor_db: -15.0, ..NoiseGate::default() }),
            limiter: Some(Limiter::default()),
            meter: LevelMeter::default(),
            opus: OpusEncode { bitrate_bps: 40_000, ..OpusEncode::voip() },
            stereo_bitrate_bps: 40_000,
        }
    }

    /// High-quality profile, for recordings and broadcasts: as balanced, with [`Engine::Best`] (feature `hush`), lookahead in
    /// gate and limiter, and a bit rate that leaves room for music.
    pub fn high_quality() -> Self {
        Self {
            kind: ProfileKind::HighQuality,
            denoise: Some(Denoise { engine: Engine::Best, ..Denoise::db(60.0) }),
            gate: Some(NoiseGate { lookahead_ms: 10.0, floor_db: -15.0, ..NoiseGate::default() }),
            limiter: Some(Limiter { lookahead_ms: 5.0, ..Limiter::default() }),
            opus: OpusEncode {
                application: Application::Audio,
                bitrate_bps: 64_000,
                complexity: 10,
                ..OpusEncode::voip()
            },
            stereo_bitrate_bps: 128_000,
            ..Self::balanced()
        }
    }

    /// Settings of the encoder for frames of 1 or 2 channels.
    pub fn encoder(&self, channels: usize) -> OpusEncode {
        let bitrate_bps = if channels == 2 { self.stereo_bitrate_bps } else { self.opus.bitrate_bps };
        OpusEncode { bitrate_bps, ..self.opus }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::balanced()
    }
}

/// Names of the profiles, as they are printed and parsed.
const PROFILE_NAMES: [&str; 3] = ["low-latency", "balanced", "high-quality"];

/// Kind of [`Profile`]. Ordered by cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ProfileKind {
    /// For remote control, push-to-talk and games: wide band (16 kHz), at most 20 ms from microphone to packet, 30 with
    /// echo cancellation.
    LowLatency,
    /// For calls: at most 50 ms, 60 with echo cancellation.
    #[default]
    Balanced,
    /// For recordings and broadcasts: at most 65 ms, 75 with echo cancellation.
    HighQuality,
}

impl ProfileKind {
    /// All kinds, the cheapest first.
    pub const ALL: [Self; 3] = [Self::LowLatency, Self::Balanced, Self::HighQuality];
}

impl fmt::Display for ProfileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(PROFILE_NAMES[*self as usize])
    }
}

impl FromStr for ProfileKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| PROFILE_NAMES[*kind as usize] == name)
            .ok_or(Error::UnknownProfile { names: &PROFILE_NAMES })
    }
}

impl From<ProfileKind> for Profile {
    fn from(kind: ProfileKind) -> Self {
        match kind {
            ProfileKind::LowLatency => Self::low_latency(),
            ProfileKind::Balanced => Self::balanced(),
            ProfileKind::HighQuality => Self::high_quality(),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        name.parse::<ProfileKind>().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_and_parsed() {
        for kind in ProfileKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.to_string().parse::<Profile>().map(|profile| profile.kind), Ok(kind));
        }
        let unknown = "studio".parse::<Profile>().unwrap_err().to_string();
        assert!(PROFILE_NAMES.iter().all(|name| unknown.contains(name)), "{unknown}");
    }
}
