//! Ready-made uplinks.

use std::fmt;
use std::str::FromStr;

use crate::control::{Handle, Live};
#[cfg(feature = "opus")]
use crate::core::Chain;
use crate::core::error::PROFILE_NAMES;
use crate::core::{Error, Format, Frame, Pipeline, Processor, Result, Stage};
use crate::opus::{Application, OpusEncode, OpusEncodeProcessor, RateControl};
use crate::stages::auto_gain::AutoGain;
#[cfg(feature = "denoise")]
use crate::stages::denoise::Denoise;
use crate::stages::gain::Gain;
use crate::stages::gate::NoiseGate;
use crate::stages::high_pass::HighPass;
use crate::stages::limiter::Limiter;
use crate::stages::meter::LevelMeter;
#[cfg(feature = "resample")]
use crate::stages::resample::{Quality, Resample};

/// A ready-made uplink: which stages a microphone goes through, and how each is set.
///
/// It is a plain value: take one of the three and change what you like. As a stage it builds a [`Pipeline`] of the
/// stages it names, in the order of its fields; [`uplink`](Self::uplink) puts the encoder behind.
///
/// | | low-latency | balanced | high-quality |
/// | --- | --- | --- | --- |
/// | rate | 16 kHz | 48 kHz | 48 kHz |
/// | noise suppression | off | 18 dB, RNNoise | 60 dB, Hush |
/// | high-pass, 80 Hz | always in | while there is rumble | while there is rumble |
/// | automatic gain | off | to −20 dBov | to −20 dBov |
/// | gate | to −50 dB | to −50 dB | to −15 dB, 10 ms lookahead |
/// | limiter, at −1 dBTP | no lookahead | 1 ms lookahead | 5 ms lookahead |
/// | packet | 10 ms | 20 ms | 20 ms |
/// | Opus | VOIP, 32 kb/s, CVBR, complexity 5 | VOIP, 40 kb/s, VBR, 9 | AUDIO, 64 kb/s (stereo 128), VBR, 10 |
///
/// ```
/// use voxframe::{Format, Frame, Gain, Processor, Profile, Stage};
/// let profile = Profile { gain: Gain::db(6.0), ..Profile::balanced() };
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Profile {
    /// Which of the three it started as.
    pub kind: ProfileKind,
    /// The rate that is encoded, in Hz.
    pub sample_rate_hz: u32,
    /// How the rate is changed, where the microphone has another.
    #[cfg(feature = "resample")]
    pub resample: Quality,
    /// The first stage.
    pub gain: Gain,
    /// Noise suppression, at 48 kHz whatever the rate that is encoded.
    #[cfg(feature = "denoise")]
    pub denoise: Option<Denoise>,
    /// The high-pass, behind the noise suppression, which takes most of the rumble away: so it comes in only where some
    /// is left, and leaves the waveform of most voices alone.
    pub high_pass: Option<HighPass>,
    /// Automatic gain, behind the noise suppression, so that noise is not taken for a voice.
    pub auto_gain: Option<AutoGain>,
    /// The gate, behind the automatic gain: its thresholds then hold for soft and loud talkers alike.
    pub gate: Option<NoiseGate>,
    /// The limiter, behind everything that makes the sound louder.
    pub limiter: Option<Limiter>,
    /// The last stage before the encoder.
    pub meter: LevelMeter,
    /// The encoder.
    #[cfg(feature = "opus")]
    pub opus: OpusEncode,
    /// What the encoder's bit rate becomes for two channels, in bits a second.
    #[cfg(feature = "opus")]
    pub stereo_bitrate_bps: u32,
}

impl Profile {
    /// At most 20 ms from a 48 kHz microphone to a packet: 16 kHz, packets of 10 ms, no noise suppression.
    pub fn low_latency() -> Self {
        Self {
            kind: ProfileKind::LowLatency,
            sample_rate_hz: 16_000,
            #[cfg(feature = "resample")]
            resample: Quality::LowLatency,
            #[cfg(feature = "denoise")]
            denoise: None,
            high_pass: Some(HighPass::default()),
            auto_gain: None,
            limiter: Some(Limiter { lookahead_ms: 0.0, ..Limiter::default() }),
            #[cfg(feature = "opus")]
            opus: OpusEncode { packet_ms: 10.0, complexity: 5, rate_control: RateControl::Cvbr, ..OpusEncode::voip() },
            #[cfg(feature = "opus")]
            stereo_bitrate_bps: 32_000,
            ..Self::balanced()
        }
    }

    /// For calls: 48 kHz, noise suppressed by 18 dB, speech brought to one level, packets of 20 ms.
    pub fn balanced() -> Self {
        Self {
            kind: ProfileKind::Balanced,
            sample_rate_hz: 48_000,
            #[cfg(feature = "resample")]
            resample: Quality::High,
            gain: Gain::default(),
            #[cfg(feature = "denoise")]
            denoise: Some(Denoise::default()),
            high_pass: Some(HighPass { rumble_db: -16.0, ..HighPass::default() }),
            auto_gain: Some(AutoGain { tolerance_db: 6.0, ..AutoGain::default() }),
            gate: Some(NoiseGate::default()),
            limiter: Some(Limiter::default()),
            meter: LevelMeter::default(),
            #[cfg(feature = "opus")]
            opus: OpusEncode { bitrate_bps: 40_000, ..OpusEncode::voip() },
            #[cfg(feature = "opus")]
            stereo_bitrate_bps: 40_000,
        }
    }

    /// For recordings and broadcasts: as balanced, with the better engine for noise suppression (where the feature
    /// `hush` is on), a gate and a limiter that look ahead, and bits to spare.
    pub fn high_quality() -> Self {
        Self {
            kind: ProfileKind::HighQuality,
            #[cfg(feature = "denoise")]
            denoise: Some(Denoise {
                #[cfg(feature = "hush")]
                engine: crate::stages::denoise::Engine::Hush,
                ..Denoise::db(60.0)
            }),
            gate: Some(NoiseGate { lookahead_ms: 10.0, floor_db: -15.0, ..NoiseGate::default() }),
            limiter: Some(Limiter { lookahead_ms: 5.0, ..Limiter::default() }),
            #[cfg(feature = "opus")]
            opus: OpusEncode {
                application: Application::Audio,
                bitrate_bps: 64_000,
                complexity: 10,
                ..OpusEncode::voip()
            },
            #[cfg(feature = "opus")]
            stereo_bitrate_bps: 128_000,
            ..Self::balanced()
        }
    }

    /// The frame stages, and handles to them.
    pub fn live(self) -> (LiveProfile, Controls) {
        let controls = Controls {
            gain: Handle::new(self.gain),
            #[cfg(feature = "denoise")]
            denoise: self.denoise.map(Handle::new),
            high_pass: self.high_pass.map(Handle::new),
            auto_gain: self.auto_gain.map(Handle::new),
            gate: self.gate.map(Handle::new),
            limiter: self.limiter.map(Handle::new),
            meter: Handle::new(self.meter),
            #[cfg(feature = "opus")]
            opus: Handle::new(self.opus),
        };
        (LiveProfile { profile: self, controls: controls.clone() }, controls)
    }

    /// The encoder's settings for frames of 1 or 2 channels.
    #[cfg(feature = "opus")]
    pub fn encoder(&self, channels: usize) -> OpusEncode {
        let bitrate_bps = if channels == 2 { self.stereo_bitrate_bps } else { self.opus.bitrate_bps };
        OpusEncode { bitrate_bps, ..self.opus }
    }

    /// The frame stages and the encoder, from microphone to packets, and handles to them all.
    ///
    /// ```
    /// use voxframe::{Format, Profile, Stage};
    /// let (uplink, controls) = Profile::balanced().uplink();
    /// let mut uplink = uplink.prepare(Format::mono(48_000)?)?;
    /// controls.gain.mute();
    /// controls.opus.update(|opus| opus.bitrate_bps = 24_000)?;
    /// # Ok::<(), voxframe::Error>(())
    /// ```
    #[cfg(feature = "opus")]
    pub fn uplink(self) -> (Uplink, Controls) {
        let (frames, controls) = self.live();
        (Uplink { frames }, controls)
    }
}

/// Handles to the stages of a [`Profile`]; `None` for a stage that is off.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Controls {
    /// Gain and mute.
    pub gain: Handle<Gain>,
    /// Noise suppression, and whether there is speech.
    #[cfg(feature = "denoise")]
    pub denoise: Option<Handle<Denoise>>,
    /// The high-pass.
    pub high_pass: Option<Handle<HighPass>>,
    /// Automatic gain, and how loud speech and noise are before it.
    pub auto_gain: Option<Handle<AutoGain>>,
    /// The gate.
    pub gate: Option<Handle<NoiseGate>>,
    /// The limiter.
    pub limiter: Option<Handle<Limiter>>,
    /// The levels of what is encoded.
    pub meter: Handle<LevelMeter>,
    /// The encoder.
    #[cfg(feature = "opus")]
    pub opus: Handle<OpusEncode>,
}

impl Stage for Profile {
    type Processor = Pipeline;

    fn prepare(self, input: Format) -> Result<Pipeline> {
        self.live().0.prepare(input)
    }
}

/// The frame stages of a [`Profile`] with handles: what [`Profile::live`] returns.
#[derive(Debug)]
pub struct LiveProfile {
    profile: Profile,
    controls: Controls,
}

impl Stage for LiveProfile {
    type Processor = Pipeline;

    fn prepare(self, input: Format) -> Result<Pipeline> {
        let Self { profile, controls } = self;
        let mut pipeline = Pipeline::new(input);
        pipeline.push("gain", controls.gain.stage())?;
        #[cfg(feature = "denoise")]
        if controls.denoise.is_some() {
            profile.change_rate(&mut pipeline, 48_000)?;
            push(&mut pipeline, "denoise", &controls.denoise)?;
        }
        profile.change_rate(&mut pipeline, profile.sample_rate_hz)?;
        push(&mut pipeline, "high-pass", &controls.high_pass)?;
        push(&mut pipeline, "auto-gain", &controls.auto_gain)?;
        push(&mut pipeline, "gate", &controls.gate)?;
        push(&mut pipeline, "limiter", &controls.limiter)?;
        pipeline.push("meter", controls.meter.stage())?;
        Ok(pipeline)
    }
}

/// A stage that may be absent, with its handle.
fn push<S>(pipeline: &mut Pipeline, name: &'static str, handle: &Option<Handle<S>>) -> Result<()>
where
    S: Live<Processor: Processor<Input = Frame, Output = Frame> + Send + 'static>,
{
    handle.as_ref().map_or(Ok(()), |handle| pipeline.push(name, handle.stage()))
}

impl Profile {
    #[cfg(feature = "resample")]
    fn change_rate(&self, pipeline: &mut Pipeline, rate_hz: u32) -> Result<()> {
        if pipeline.output_format().sample_rate_hz() == rate_hz {
            return Ok(());
        }
        pipeline.push("resample", Resample { sample_rate_hz: rate_hz, quality: self.resample })
    }

    #[cfg(not(feature = "resample"))]
    fn change_rate(&self, pipeline: &mut Pipeline, wanted_hz: u32) -> Result<()> {
        let rate_hz = pipeline.output_format().sample_rate_hz();
        if rate_hz == wanted_hz {
            return Ok(());
        }
        let advice = "build with the feature `resample`, or set Profile::sample_rate_hz to the microphone's rate";
        Err(Error::UnsupportedRate { stage: "Profile", rate_hz, advice })
    }
}

/// All of a [`Profile`], from microphone to packets: what [`Profile::uplink`] returns.
#[cfg(feature = "opus")]
#[derive(Debug)]
pub struct Uplink {
    frames: LiveProfile,
}

#[cfg(feature = "opus")]
impl Stage for Uplink {
    type Processor = Chain<Pipeline, OpusEncodeProcessor>;

    fn prepare(self, input: Format) -> Result<Self::Processor> {
        let Self { frames } = self;
        let opus = frames.controls.opus.clone();
        if input.channels() == 2 {
            opus.update(|opus| opus.bitrate_bps = frames.profile.encoder(2).bitrate_bps)?;
        }
        frames.then(opus.stage()).prepare(input)
    }
}

/// The three profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum ProfileKind {
    /// For playing music together, remote control, push-to-talk: at most 20 ms from microphone to packet.
    LowLatency,
    /// For calls: at most 45 ms.
    Balanced,
    /// For recordings and broadcasts: at most 80 ms.
    HighQuality,
}

impl ProfileKind {
    /// All three.
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
        Self::ALL.into_iter().find(|kind| PROFILE_NAMES[*kind as usize] == name).ok_or(Error::UnknownProfile)
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

    #[test]
    fn a_handle_reaches_its_stage() {
        let mut profile =
            Profile { sample_rate_hz: 48_000, high_pass: None, gate: None, limiter: None, ..Profile::low_latency() };
        profile.gain.gain_db = -6.0;
        let (stage, controls) = profile.live();
        let mut pipeline = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
        assert_eq!(pipeline.stages().map(|(name, _)| name).collect::<Vec<_>>(), ["gain", "meter"]);
        let mut frame = crate::Frame::new(pipeline.input_format());
        for _ in 0..10 {
            frame.samples_mut().fill(0.1);
            pipeline.process(&mut frame).unwrap();
        }
        assert!((controls.meter.reading().rms_dbfs(0) + 26.0).abs() < 1e-3);
        controls.gain.mute();
        for _ in 0..20 {
            frame.samples_mut().fill(0.1);
            pipeline.process(&mut frame).unwrap();
        }
        assert_eq!(controls.meter.reading().rms_dbfs(0), crate::level::SILENCE_DBFS);
    }
}
