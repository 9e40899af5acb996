//! Uplinks: the stages of a profile and its encoder, running, with a handle for each.

use std::sync::PoisonError;

use super::controls::{Controls, Running, slow_stages};
use super::profile::Profile;
use super::switch::{SwitchProcessor, switch};
use crate::control::{Handle, LiveStage};
use crate::core::{Chain, Format, Frame, Packet, Pipeline, Processor, Result, Stage};
use crate::device::Capture;
use crate::opus::{Bandwidth, OpusEncode, OpusEncodeProcessor};
use crate::stages::resample::Resample;

/// Rate at which noise is suppressed, in Hz.
const DENOISE_RATE_HZ: u32 = 48_000;

/// Rate of the encoder of an uplink, in Hz: the one that suits all profiles.
const ENCODER_RATE_HZ: u32 = 48_000;

impl Profile {
    /// Frame stages of this profile, for an encoder of one's own, and handles to them. Without echo cancellation, as there
    /// is no far end.
    ///
    /// # Errors
    /// Those of each stage's [`Stage::prepare`].
    pub fn pipeline(&self, microphone: Format) -> Result<(Pipeline, Controls)> {
        let controls = Controls::new(self);
        Ok((self.build(microphone, Some(&controls))?, controls))
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
        let mut front = Pipeline::new(microphone);
        if let (Some(settings), Some(reference)) = (self.echo_cancel, &controls.far_end) {
            front.push("echo-cancel", controls.echo_cancel.attach_with(settings).with_far_end(reference))?;
        }
        front.push("gain", controls.gain.attach())?;
        let (voice, voice_switch) = switch(self.build_voice(microphone, Some(controls))?);
        let (dynamics, dynamics_switch) = switch(self.build_dynamics(voice.output_format(), Some(controls))?);
        let opus = self.encoder_after(&controls.opus.settings(), microphone.channels());
        let encoder = controls.opus.attach_with(opus).prepare(dynamics.output_format())?;
        *controls.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Running { voice: voice_switch, has: slow_stages(self), dynamics: dynamics_switch });
        Ok(UplinkProcessor { chain: Chain::new(front, Chain::new(voice, Chain::new(dynamics, encoder))) })
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

    /// All frame stages, controlled or not.
    fn build(&self, microphone: Format, controls: Option<&Controls>) -> Result<Pipeline> {
        let mut pipeline = Pipeline::new(microphone);
        push(&mut pipeline, "gain", controls.map(|controls| &controls.gain), Some(self.gain))?;
        self.append_voice(&mut pipeline, controls, self.sample_rate_hz)?;
        self.append_dynamics(&mut pipeline, controls)?;
        Ok(pipeline)
    }

    /// First part of the stages between gain and encoder.
    pub(super) fn build_voice(&self, input: Format, controls: Option<&Controls>) -> Result<Pipeline> {
        let mut pipeline = Pipeline::new(input);
        self.append_voice(&mut pipeline, controls, ENCODER_RATE_HZ)?;
        Ok(pipeline)
    }

    /// Second part of them.
    pub(super) fn build_dynamics(&self, input: Format, controls: Option<&Controls>) -> Result<Pipeline> {
        let mut pipeline = Pipeline::new(input);
        self.append_dynamics(&mut pipeline, controls)?;
        Ok(pipeline)
    }

    fn append_voice(&self, pipeline: &mut Pipeline, controls: Option<&Controls>, rate_hz: u32) -> Result<()> {
        if self.denoise.is_some() {
            self.change_rate(pipeline, DENOISE_RATE_HZ)?;
            push(pipeline, "denoise", controls.map(|controls| &controls.denoise), self.denoise)?;
        }
        self.change_rate(pipeline, rate_hz)?;
        push(pipeline, "high-pass", controls.map(|controls| &controls.high_pass), self.high_pass)?;
        push(pipeline, "auto-gain", controls.map(|controls| &controls.auto_gain), self.auto_gain)
    }

    fn append_dynamics(&self, pipeline: &mut Pipeline, controls: Option<&Controls>) -> Result<()> {
        push(pipeline, "gate", controls.map(|controls| &controls.gate), self.gate)?;
        push(pipeline, "limiter", controls.map(|controls| &controls.limiter), self.limiter)?;
        push(pipeline, "meter", controls.map(|controls| &controls.meter), Some(self.meter))
    }

    /// Encoder for an uplink whose encoder had the settings `before`.
    pub(super) fn encoder_after(&self, before: &OpusEncode, channels: usize) -> OpusEncode {
        let opus = self.encoder(channels);
        let max_bandwidth = match self.sample_rate_hz {
            0..=8_000 => Bandwidth::Narrow,
            8_001..=12_000 => Bandwidth::Medium,
            12_001..=16_000 => Bandwidth::Wide,
            16_001..=24_000 => Bandwidth::SuperWide,
            _ => Bandwidth::Full,
        };
        let OpusEncode { fec, dred_ms, loss_percent, .. } = *before;
        OpusEncode { max_bandwidth: opus.max_bandwidth.min(max_bandwidth), fec, dred_ms, loss_percent, ..opus }
    }

    fn change_rate(&self, pipeline: &mut Pipeline, rate_hz: u32) -> Result<()> {
        if pipeline.output_format().sample_rate_hz() == rate_hz {
            return Ok(());
        }
        pipeline.push("resample", Resample { sample_rate_hz: rate_hz, quality: self.resample })
    }
}

/// Adds a stage that may be left out, and may have no handle.
fn push<S>(pipeline: &mut Pipeline, name: &'static str, handle: Option<&Handle<S>>, settings: Option<S>) -> Result<()>
where
    S: LiveStage<Processor: Processor<Input = Frame, Output = Frame> + Send + 'static>,
{
    match (settings, handle) {
        (None, _) => Ok(()),
        (Some(settings), None) => pipeline.push(name, settings),
        (Some(settings), Some(handle)) => pipeline.push(name, handle.attach_with(settings)),
    }
}

impl Stage for Profile {
    type Processor = Pipeline;

    fn prepare(self, input: Format) -> Result<Pipeline> {
        self.build(input, None)
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
    /// What stays over a switch, what is exchanged, and the encoder, which stays again.
    chain: Chain<Pipeline, Chain<SwitchProcessor, Chain<SwitchProcessor, OpusEncodeProcessor>>>,
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
