//! Handles to an uplink, and the switch of its profile.

use std::sync::{Arc, Mutex, PoisonError};

use super::profile::Profile;
use super::switch::PipelineSwitch;
use crate::control::{Handle, Live};
use crate::core::{Error, Result};
use crate::opus::OpusEncode;
use crate::stages::auto_gain::AutoGain;
use crate::stages::denoise::Denoise;
use crate::stages::echo::{EchoCancel, EchoReference};
use crate::stages::gain::Gain;
use crate::stages::gate::NoiseGate;
use crate::stages::high_pass::HighPass;
use crate::stages::limiter::Limiter;
use crate::stages::meter::LevelMeter;

/// Time in which the noise suppression settles, and the other stages, in ms. Its slowest estimates take seconds.
const DENOISE_WARM_UP_MS: u32 = 2000;
const WARM_UP_MS: u32 = 300;

/// Handles to every stage of an uplink, and its [`switch`](Self::switch) to another profile. They stay valid whatever is
/// built after one another from them.
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
    pub(super) running: Arc<Mutex<Option<Running>>>,
}

/// Where the stages of the running uplink are exchanged.
#[derive(Debug)]
pub(super) struct Running {
    /// Resampler, noise suppression, high-pass and automatic gain: what learns slowly, and can change while it runs.
    pub voice: PipelineSwitch,
    /// Which of them there are.
    pub has: [bool; 3],
    /// Gate, limiter and meter.
    pub dynamics: PipelineSwitch,
}

/// Which of the stages that learn slowly a profile has.
pub(super) fn slow_stages(profile: &Profile) -> [bool; 3] {
    [profile.denoise.is_some(), profile.high_pass.is_some(), profile.auto_gain.is_some()]
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
            running: Arc::default(),
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
    /// assert!(controls.echo_cancel.is_attached());
    /// # loudspeaker.pull();
    /// # }
    /// # Ok::<(), voxframe::Error>(())
    /// ```
    pub fn with_far_end(self, reference: &EchoReference) -> Self {
        Self { far_end: Some(reference.clone()), ..self }
    }

    /// Switches the running uplink to another profile, from any thread, while the call goes on.
    ///
    /// The new stages are built here, and handed over without a lock. They run beside those that are heard until they are
    /// warm: 0.3 s, or 2 s where noise suppression comes in. They are faded in within 40 ms, in a pause, or a second
    /// later where there is none. Where both profiles have the same stages up to the automatic gain, those stay, and change
    /// their settings: engine and depth of the noise suppression, say.
    ///
    /// Nobody hears the switch: sequence, timestamps and positions go on without gap or leap, whatever the two
    /// profiles. A higher latency repeats as much of the pause. A lower one takes effect 5 s after the last switch, in a
    /// pause.
    ///
    /// What stays: the echo canceller with all that it has learnt, where there is one, bypassed where the profile has
    /// none; gain and mute; the level and the gain that the automatic gain has found; the encoder, with
    /// its application, forward error correction, deep redundancy and expected loss. All else is set to the profile's
    /// settings. Of several switches within that time the last one counts.
    ///
    /// ```
    /// # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))] {
    /// use voxframe::{Format, Profile};
    /// let (mut uplink, controls) = Profile::balanced().uplink(Format::mono(48_000)?)?;
    /// std::thread::spawn(move || controls.switch("low-latency".parse()?)).join().unwrap()?;
    /// # }
    /// # Ok::<(), voxframe::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotRunning`] where there is no uplink; those of each stage's [`prepare`](crate::Stage::prepare). Nothing is changed then.
    pub fn switch(&self, profile: Profile) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_mut().filter(|running| running.dynamics.is_running()).ok_or(Error::NotRunning)?;
        let (input, between) = (running.voice.input_format(), running.dynamics.input_format());
        // What cannot be built must not take a handle from what runs.
        profile.build_voice(input, None)?;
        profile.build_dynamics(between, None)?;
        let echo_cancel = self.echo_cancel.settings();
        let bypassed = EchoCancel { bypassed: true, ..echo_cancel };
        self.echo_cancel.update(|settings| *settings = profile.echo_cancel.unwrap_or(bypassed))?;
        let changed = self.opus.update(|opus| {
            *opus = OpusEncode { application: opus.application, ..profile.encoder_after(opus, input.channels()) };
        });
        if changed.is_err() {
            self.echo_cancel.update(|settings| *settings = echo_cancel)?;
            return changed;
        }

        let has = slow_stages(&profile);
        if has == running.has {
            change(&self.denoise, profile.denoise)?;
            change(&self.high_pass, profile.high_pass)?;
            change(&self.auto_gain, profile.auto_gain)?;
        } else {
            let warm_up_ms = if profile.denoise.is_some() { DENOISE_WARM_UP_MS } else { WARM_UP_MS };
            running.voice.to(profile.build_voice(input, Some(self))?, warm_up_ms)?;
            running.has = has;
        }
        running.dynamics.to(profile.build_dynamics(between, Some(self))?, WARM_UP_MS)
    }
}

fn change<S: Live>(handle: &Handle<S>, settings: Option<S>) -> Result<()> {
    settings.map_or(Ok(()), |new| handle.update(|settings| *settings = new))
}
