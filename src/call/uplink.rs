//! Uplinks: the stages of a profile and its encoder, running, with a handle for each.

use super::profile::Profile;
use crate::control::{Handle, LiveStage};
use crate::core::{Chain, Format, Frame, Packet, Pipeline, Processor, Result, Stage};
use crate::device::Capture;
use crate::opus::{OpusEncode, OpusEncodeProcessor};
use crate::stages::auto_gain::AutoGain;
use crate::stages::denoise::Denoise;
use crate::stages::echo::{EchoCancel, EchoReference};
use crate::stages::gain::Gain;
use crate::stages::gate::NoiseGate;
use crate::stages::high_pass::HighPass;
use crate::stages::limiter::Limiter;
use crate::stages::meter::LevelMeter;
use crate::stages::resample::Resample;

/// Rate at which noise is suppressed, in Hz.
const DENOISE_RATE_HZ: u32 = 48_000;

/// Handles to every stage of an uplink. They stay valid whatever is built after one another from them.
///
/// A stage that the profile leaves out has a handle too; what is set there waits until a profile takes the stage in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Controls {
    /// Echo cancellation.
    pub echo_cancel: Handle<EchoCancel>,
    /// Gain and mute.
    pub gain: Handle<Gain>,
    /// Noise suppression; reads the speech probability.
    pub denoise: Handle<Denoise>,
    /// High-pass.
    pub high_pass: Handle<HighPass>,
    /// Automatic gain; reads the levels of speech and noise before it.
    pub auto_gain: Handle<AutoGain>,
    /// Noise gate.
    pub gate: Handle<NoiseGate>,
    /// Limiter.
    pub limiter: Handle<Limiter>,
    /// Level meter of what is encoded.
    pub meter: Handle<LevelMeter>,
    /// Encoder.
    pub opus: Handle<OpusEncode>,
    /// Far end whose echo is cancelled in the uplinks that are built from now on; `None`: none is.
    pub far_end: Option<EchoReference>,
}

impl Controls {
    /// Handles that hold the settings of `profile`, for nothing that runs yet.
    pub fn new(profile: &Profile) -> Self {
        Self {
            echo_cancel: Handle::new(profile.echo_cancel.unwrap_or_default()),
            gain: Handle::new(profile.gain),
            denoise: Handle::new(profile.denoise.unwrap_or_default()),
            high_pass: Handle::new(profile.high_pass.unwrap_or_default()),
            auto_gain: Handle::new(profile.auto_gain.unwrap_or_default()),
            gate: Handle::new(profile.gate.unwrap_or_default()),
            limiter: Handle::new(profile.limiter.unwrap_or_default()),
            meter: Handle::new(profile.meter),
            opus: Handle::new(profile.opus),
            far_end: None,
        }
    }

    /// These handles, with a far end: what the loudspeaker plays, whose echo is then cancelled in every uplink that is
    /// built with them. It adds 10 ms to the latency. While the far end is silent, or heard by no microphone, the sound
    /// passes unchanged.
    ///
    /// ```
    /// # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))] {
    /// use voxframe::call::{Controls, Downlink};
    /// use voxframe::echo::far_end;
    /// use voxframe::{Format, Profile, Source};
    /// let (_network, downlink, _) = Downlink::default().open(Format::mono(48_000)?)?;
    /// let (far_end, reference) = far_end(downlink.output_format());
    /// let mut loudspeaker = downlink.then(far_end)?; // what the playout pulls from
    /// let profile = Profile::balanced();
    /// let controls = Controls::new(&profile).with_far_end(&reference);
    /// let uplink = profile.uplink_with(Format::mono(48_000)?, &controls)?;
    /// assert_eq!(uplink.pipeline().stages().next().unwrap().0, "echo-cancel");
    /// # loudspeaker.pull();
    /// # }
    /// # Ok::<(), voxframe::Error>(())
    /// ```
    pub fn with_far_end(self, reference: &EchoReference) -> Self {
        Self { far_end: Some(reference.clone()), ..self }
    }
}

impl Profile {
    /// Frame stages of this profile, for an encoder of one's own, and handles to them. Without echo cancellation, as there
    /// is no far end.
    ///
    /// # Errors
    /// Those of each stage's [`Stage::prepare`].
    pub fn pipeline(&self, microphone: Format) -> Result<(Pipeline, Controls)> {
        let controls = Controls::new(self);
        Ok((self.build(microphone, &controls)?, controls))
    }

    /// Uplink of this profile, from microphone frames to packets, and handles to all of it. For echo cancellation see
    /// [`Controls::with_far_end`].
    ///
    /// ```
    /// # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))] {
    /// use voxframe::{Format, Frame, Processor, Profile};
    /// let (mut uplink, controls) = Profile::balanced().uplink(Format::mono(48_000)?)?;
    /// controls.gain.mute();
    /// controls.opus.update(|opus| opus.bitrate_bps = 24_000)?;
    /// let mut frame = Frame::new(uplink.input_format());
    /// assert!(uplink.process(&mut frame)?.is_none(), "two frames make a packet of 20 ms");
    /// assert!(uplink.process(&mut frame)?.is_some());
    /// # }
    /// # Ok::<(), voxframe::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of each stage's [`Stage::prepare`]; [`Error::Unavailable`](crate::Error::Unavailable) for a stage whose feature is off.
    pub fn uplink(&self, microphone: Format) -> Result<(UplinkProcessor, Controls)> {
        let controls = Controls::new(self);
        Ok((self.uplink_with(microphone, &controls)?, controls))
    }

    /// Uplink of this profile that obeys `controls` from now on instead of what obeyed them before: for another device
    /// or another profile in the middle of a call.
    ///
    /// Gain, mute, forward error correction, deep redundancy and the expected loss stay as the handles have them; all
    /// else is set to this profile's settings. If this fails, nothing changes for what runs, apart from stages that were
    /// built before the one that failed.
    ///
    /// # Errors
    /// As [`uplink`](Self::uplink).
    pub fn uplink_with(&self, microphone: Format, controls: &Controls) -> Result<UplinkProcessor> {
        let OpusEncode { fec, dred_ms, loss_percent, .. } = controls.opus.settings();
        let opus = OpusEncode { fec, dred_ms, loss_percent, ..self.encoder(microphone.channels()) };
        let frames = self.build(microphone, controls)?;
        let encoder = controls.opus.attach_with(opus).prepare(frames.output_format())?;
        Ok(UplinkProcessor { chain: Chain::new(frames, encoder) })
    }

    /// Capture and uplink of a device, made together: [`Capture::for_device`], and the [`uplink`](Self::uplink) for its
    /// frames.
    ///
    /// ```
    /// # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))] {
    /// use voxframe::Profile;
    /// let (mut capture, mut uplink, controls) = Profile::balanced().uplink_for(44_100, 2)?;
    /// capture.run(&[0i16; 2 * 1024], &mut uplink, |packet| println!("{} bytes", packet.as_bytes().len()))?;
    /// # }
    /// # Ok::<(), voxframe::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Capture::new`] and [`uplink`](Self::uplink).
    pub fn uplink_for(&self, sample_rate_hz: u32, channels: usize) -> Result<(Capture, UplinkProcessor, Controls)> {
        let capture = Capture::for_device(sample_rate_hz, channels)?;
        let (uplink, controls) = self.uplink(capture.output_format())?;
        Ok((capture, uplink, controls))
    }

    fn build(&self, microphone: Format, controls: &Controls) -> Result<Pipeline> {
        let mut pipeline = Pipeline::new(microphone);
        if let (Some(settings), Some(reference)) = (self.echo_cancel, &controls.far_end) {
            pipeline.push("echo-cancel", controls.echo_cancel.attach_with(settings).with_far_end(reference))?;
        }
        pipeline.push("gain", controls.gain.attach())?;
        if self.denoise.is_some() {
            self.change_rate(&mut pipeline, DENOISE_RATE_HZ)?;
            push(&mut pipeline, "denoise", &controls.denoise, self.denoise)?;
        }
        self.change_rate(&mut pipeline, self.sample_rate_hz)?;
        push(&mut pipeline, "high-pass", &controls.high_pass, self.high_pass)?;
        push(&mut pipeline, "auto-gain", &controls.auto_gain, self.auto_gain)?;
        push(&mut pipeline, "gate", &controls.gate, self.gate)?;
        push(&mut pipeline, "limiter", &controls.limiter, self.limiter)?;
        pipeline.push("meter", controls.meter.attach_with(self.meter))?;
        Ok(pipeline)
    }

    fn change_rate(&self, pipeline: &mut Pipeline, rate_hz: u32) -> Result<()> {
        if pipeline.output_format().sample_rate_hz() == rate_hz {
            return Ok(());
        }
        pipeline.push("resample", Resample { sample_rate_hz: rate_hz, quality: self.resample })
    }
}

/// Adds a stage that may be left out.
fn push<S>(pipeline: &mut Pipeline, name: &'static str, handle: &Handle<S>, settings: Option<S>) -> Result<()>
where
    S: LiveStage<Processor: Processor<Input = Frame, Output = Frame> + Send + 'static>,
{
    settings.map_or(Ok(()), |settings| pipeline.push(name, handle.attach_with(settings)))
}

impl Stage for Profile {
    type Processor = Pipeline;

    fn prepare(self, input: Format) -> Result<Pipeline> {
        self.build(input, &Controls::new(&self))
    }
}

/// Running uplink: microphone frames in, packets out.
///
/// [`latency_ms`](Processor::latency_ms) is the delay from microphone to packet, packet length and codec lookahead
/// included.
///
/// ```
/// use voxframe::{Capture, call::{Controls, UplinkProcessor}};
/// struct Microphone {
///     capture: Capture,
///     uplink: UplinkProcessor,
///     controls: Controls,
/// }
/// ```
#[derive(Debug)]
pub struct UplinkProcessor {
    chain: Chain<Pipeline, OpusEncodeProcessor>,
}

impl UplinkProcessor {
    /// The frame stages before the encoder.
    pub fn pipeline(&self) -> &Pipeline {
        self.chain.first()
    }
}

impl Processor for UplinkProcessor {
    type Input = Frame;
    type Output = Packet;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Packet>> {
        self.chain.process(frame)
    }

    fn reset(&mut self) {
        self.chain.reset();
    }

    fn input_format(&self) -> Format {
        self.chain.input_format()
    }

    fn output_format(&self) -> Format {
        self.chain.output_format()
    }

    fn latency(&self) -> usize {
        self.chain.latency()
    }

    fn latency_ms(&self) -> f64 {
        self.chain.latency_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Error;

    /// A profile that every build of the crate can run.
    fn plain() -> Profile {
        let low_latency = Profile::low_latency();
        Profile { sample_rate_hz: 48_000, high_pass: None, gate: None, limiter: None, ..low_latency }
    }

    fn run(pipeline: &mut Pipeline, frames: usize) {
        let mut frame = Frame::new(pipeline.input_format());
        for _ in 0..frames {
            frame.samples_mut().fill(0.1);
            pipeline.process(&mut frame).unwrap();
        }
    }

    #[test]
    fn a_handle_reaches_its_stage() {
        let mut profile = plain();
        profile.gain.gain_db = -6.0;
        let (mut pipeline, controls) = profile.pipeline(Format::mono(48_000).unwrap()).unwrap();
        assert_eq!(pipeline.stages().map(|(name, _)| name).collect::<Vec<_>>(), ["gain", "meter"]);
        run(&mut pipeline, 10);
        assert!((controls.meter.reading().rms_dbfs(0) + 26.0).abs() < 1e-3);
        controls.gain.mute();
        run(&mut pipeline, 20);
        assert_eq!(controls.meter.reading().rms_dbfs(0), crate::dsp::level::SILENCE_DBFS);
    }

    #[test]
    fn what_was_not_built_is_refused_by_name() {
        let microphone = Format::mono(44_100).unwrap();
        let unavailable = |setting, feature| Some(Error::Unavailable { setting, feature });
        let refused = Profile::high_quality().uplink(microphone).err();
        if !cfg!(feature = "resample") {
            assert_eq!(refused, unavailable("Resample", "resample"));
        } else if !cfg!(feature = "denoise") {
            assert_eq!(refused, unavailable("Denoise", "denoise"));
        } else if !cfg!(feature = "hush") {
            assert_eq!(refused, unavailable("Denoise::engine", "hush"));
        } else if !cfg!(feature = "opus") {
            assert_eq!(refused, unavailable("OpusEncode", "opus"));
        } else {
            assert_eq!(refused, None);
        }
    }

    #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))]
    #[test]
    fn handles_go_on_with_another_device_and_another_profile() {
        let mut frame = Frame::new(Format::mono(48_000).unwrap());
        let (mut first, controls) = Profile::balanced().uplink(frame.format()).unwrap();
        controls.gain.mute();
        controls.opus.update(|opus| (opus.fec, opus.loss_percent) = (true, 7)).unwrap();
        first.process(&mut frame).unwrap();

        let second = Profile::low_latency().uplink_with(Format::stereo(16_000).unwrap(), &controls).unwrap();
        assert!(controls.gain.settings().muted, "mute stays");
        let opus = controls.opus.settings();
        assert_eq!((opus.fec, opus.loss_percent, opus.packet_ms, opus.bitrate_bps), (true, 7, 10.0, 32_000));
        drop(first);
        assert!(!controls.denoise.is_attached() && controls.gate.is_attached());
        controls.denoise.update(|denoise| denoise.suppression_db = 6.0).unwrap();
        assert!((second.latency_ms() - 16.5).abs() < 3.0, "{}", second.latency_ms());
    }

    #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))]
    #[test]
    fn stereo_has_its_own_bit_rate_and_nothing_overwrites_it() {
        let profile = Profile::balanced();
        let stereo = Format::stereo(48_000).unwrap();
        let (_uplink, controls) = Profile { stereo_bitrate_bps: 96_000, ..profile }.uplink(stereo).unwrap();
        assert_eq!(controls.opus.settings().bitrate_bps, 96_000);
    }
}
