//! Downlinks: jitter buffer, volume, limiter and meter, running, with a handle for each.

use crate::control::Handle;
use crate::core::restamp::Restamp;
use crate::core::{Error, Format, Frame, Result, Source, SourceChain, Stage};
use crate::device::Playout;
use crate::jitter::{JitterBuffer, JitterBufferInput, JitterBufferOutput};
use crate::stages::gain::Gain;
use crate::stages::limiter::Limiter;
use crate::stages::meter::LevelMeter;

/// Rate of the frames where they cannot have the device's, in Hz.
const FALLBACK_RATE_HZ: u32 = 48_000;

/// Downlink: jitter buffer → volume → limiter → meter, from packets to frames for a loudspeaker.
///
/// A plain value, the mirror of a [`Profile`](crate::Profile): [`open`](Self::open) builds it with a handle for each part.
/// The network thread keeps the [`JitterBufferInput`], the playout thread the [`DownlinkOutput`].
///
/// ```
/// # #[cfg(feature = "resample")] {
/// use voxframe::call::Downlink;
/// use voxframe::Source;
/// let (mut network, mut downlink, mut playout, controls) = Downlink::default().open_for(44_100, 2)?;
/// // On the network thread, for each RTP packet:
/// network.push(7, 960, 0x5eed, &[0xf8, 0xff, 0xfe])?;
/// // In the device's callback:
/// let mut buffer = [0i16; 2 * 441];
/// playout.fill(&mut buffer, &mut downlink)?;
/// // Anywhere:
/// controls.volume.update(|volume| volume.gain_db = -6.0)?;
/// println!("{} dBFS, {:?}", controls.meter.reading().rms_dbfs(0), controls.jitter_buffer.reading());
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # Tap
/// What the loudspeaker plays is also the far end of an echo canceller, or a recording. A stage behind the downlink sees
/// every frame, behind volume and limiter, with its play time ([`Frame::position`]); behind a
/// [`Mixer`](super::Mixer) of several downlinks it sees their mix. For an echo canceller that is a
/// [`FarEnd`](crate::echo::FarEnd); a closure ([`process_fn`](crate::pipeline::process_fn())) will do, too.
///
/// ```
/// use voxframe::call::Downlink;
/// use voxframe::echo::far_end;
/// use voxframe::{Format, Source};
/// let (_network, downlink, _controls) = Downlink::default().open(Format::mono(48_000)?)?;
/// let (far_end, reference) = far_end(downlink.output_format()); // for Controls::with_far_end
/// let mut loudspeaker = downlink.then(far_end)?;
/// assert_eq!([0; 3].map(|_| loudspeaker.pull().position()), [0, 480, 960]);
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Downlink {
    /// Jitter buffer with its decoder.
    pub jitter_buffer: JitterBuffer,
    /// Volume: gain and mute. Default 0 dB.
    pub volume: Gain,
    /// Limiter: holds what the volume makes too loud. Default a true peak of −1 dBTP, with a lookahead of 1 ms.
    pub limiter: Limiter,
    /// Level meter of what is played.
    pub meter: LevelMeter,
}

/// Handles to every part of a downlink. They stay valid whatever is opened after one another from them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DownlinkControls {
    /// Jitter buffer; reads its statistics.
    pub jitter_buffer: Handle<JitterBuffer>,
    /// Volume: gain and mute.
    pub volume: Handle<Gain>,
    /// Limiter.
    pub limiter: Handle<Limiter>,
    /// Level meter of what is played.
    pub meter: Handle<LevelMeter>,
}

impl DownlinkControls {
    /// Handles that hold the settings of `downlink`, for nothing that runs yet.
    pub fn new(downlink: &Downlink) -> Self {
        Self {
            jitter_buffer: Handle::new(downlink.jitter_buffer),
            volume: Handle::new(downlink.volume),
            limiter: Handle::new(downlink.limiter),
            meter: Handle::new(downlink.meter),
        }
    }
}

impl Downlink {
    /// Both ends of a downlink with these settings, and handles to all of it. Allocates. Frames are of `output`, at 8, 12,
    /// 16, 24 or 48 kHz.
    ///
    /// # Errors
    /// Those of [`JitterBuffer::open`] and of each stage's [`Stage::prepare`].
    pub fn open(&self, output: Format) -> Result<(JitterBufferInput, DownlinkOutput, DownlinkControls)> {
        let controls = DownlinkControls::new(self);
        let (input, downlink) = self.open_with(output, &controls)?;
        Ok((input, downlink, controls))
    }

    /// Downlink that obeys `controls` from now on instead of what obeyed them before: for another call, or for frames of
    /// another format. Another device needs no more than another [`Playout`].
    ///
    /// The volume stays as its handle has it; all else is set to these settings. If this fails, nothing changes for what
    /// runs, apart from parts that were built before the one that failed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        &self,
        output: Format,
        controls: &DownlinkControls,
    ) -> Result<(JitterBufferInput, DownlinkOutput)> {
        let (input, source) = controls.jitter_buffer.attach_with(self.jitter_buffer).open(output)?;
        let chain = source
            .then(controls.volume.attach())?
            .then(controls.limiter.attach_with(self.limiter))?
            .then(controls.meter.attach_with(self.meter))?
            .then(Restamp)?;
        Ok((input, DownlinkOutput { chain }))
    }

    /// Downlink and playout of a device, made together: frames at the device's rate where a decoder has it, else at
    /// 48 kHz; mono for a device with one channel, else stereo. Allocates.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and [`Playout::new`].
    pub fn open_for(
        &self,
        sample_rate_hz: u32,
        channels: usize,
    ) -> Result<(JitterBufferInput, DownlinkOutput, Playout, DownlinkControls)> {
        let rate_hz =
            if matches!(sample_rate_hz, 8_000 | 12_000 | 16_000 | 24_000) { sample_rate_hz } else { FALLBACK_RATE_HZ };
        let frames = Format::new(rate_hz, channels.clamp(1, Format::MAX_CHANNELS))?;
        let playout = Playout::new(frames, sample_rate_hz, channels)?;
        let (input, output, controls) = self.open(frames)?;
        Ok((input, output, playout, controls))
    }
}

/// Stages of a downlink behind its jitter buffer.
type Chain = Behind<Behind<Behind<Behind<JitterBufferOutput, Gain>, Limiter>, LevelMeter>, Restamp>;
type Behind<S, T> = SourceChain<S, <T as Stage>::Processor>;

/// Output of a [`Downlink`], for the playout thread: a [`Source`] of one frame whenever one is wanted.
///
/// A frame is always there, as from a [`JitterBufferOutput`], and never exceeds the limiter's ceiling. Its
/// [`position`](Frame::position) is its play time, in samples since the first frame: it grows by one frame length with each
/// frame, so that frames can be sent on under RTP timestamps made of it. The timestamp of the sound in them is
/// [`JitterBufferReading::playout_timestamp`](crate::jitter::JitterBufferReading::playout_timestamp).
///
/// # Latency
/// That of the jitter buffer at this moment, and the limiter's.
#[derive(Debug)]
pub struct DownlinkOutput {
    chain: Chain,
}

impl Source for DownlinkOutput {
    fn pull(&mut self) -> &mut Frame {
        self.chain.pull()
    }

    fn output_format(&self) -> Format {
        self.chain.output_format()
    }

    /// As if just opened: packets that wait are dropped, and statistics and positions begin at 0.
    fn reset(&mut self) {
        self.chain.reset();
    }

    fn latency(&self) -> usize {
        self.chain.latency()
    }

    fn latency_ms(&self) -> f64 {
        self.chain.latency_ms()
    }

    fn take_error(&mut self) -> Option<Error> {
        self.chain.take_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format() -> Format {
        Format::mono(48_000).unwrap()
    }

    #[test]
    fn a_handle_reaches_its_part() {
        let settings = Downlink { volume: Gain::db(-6.0), ..Downlink::default() };
        let (mut network, mut downlink, controls) = settings.open(format()).unwrap();
        assert_eq!(controls.volume.settings().gain_db, -6.0);
        network.push(1, 0, 7, &[0xf8, 0xff, 0xfe]).unwrap();
        for frame in 0..10 {
            assert_eq!(downlink.pull().position(), frame * 480);
        }
        assert_eq!(controls.jitter_buffer.reading().packets_received, 1);
        assert!((controls.volume.reading().gain_db + 6.0).abs() < 1e-3);
        controls.jitter_buffer.update(|buffer| buffer.min_delay_ms = 50.0).unwrap();
        downlink.pull();
        assert_eq!(controls.jitter_buffer.reading().jitter_buffer_target_delay_ms, 50.0);
        downlink.reset();
        assert_eq!((downlink.pull().position(), controls.jitter_buffer.reading().packets_received), (0, 0));
    }

    #[test]
    fn handles_go_on_with_another_format() {
        let settings = Downlink::default();
        let (_, first, controls) = settings.open(format()).unwrap();
        controls.volume.mute();
        controls.limiter.update(|limiter| limiter.ceiling_db = -10.0).unwrap();
        let (_network, mut second) = settings.open_with(Format::stereo(16_000).unwrap(), &controls).unwrap();
        drop(first);
        second.pull();
        assert!(controls.volume.settings().muted && controls.volume.is_attached());
        assert_eq!(controls.limiter.settings(), Limiter::default());
    }

    #[test]
    fn frames_suit_the_device() {
        let open = |rate_hz, channels| {
            let (_, output, playout, _) = Downlink::default().open_for(rate_hz, channels)?;
            assert_eq!(output.output_format(), playout.input_format());
            Ok(output.output_format())
        };
        assert_eq!(open(48_000, 6), Format::stereo(48_000).map_err(Error::from));
        assert_eq!(open(16_000, 1), Format::mono(16_000).map_err(Error::from));
        if cfg!(feature = "resample") {
            assert_eq!(open(44_100, 2), Format::stereo(48_000).map_err(Error::from));
        }
        assert!(open(48_000, 0).is_err() && open(1000, 1).is_err());
    }
}
