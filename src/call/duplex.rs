//! A call in both directions: uplink, downlink, echo cancellation between them, monitor and adaptation, wired.

use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::adaptation::{Adaptation, Advice};
use super::connection::{ConnectionMonitor, ConnectionReading, ConnectionReport};
use super::controls::Controls;
use super::downlink::{Downlink, DownlinkControls, DownlinkOutput};
use super::load::{LoadAdvice, LoadMonitor};
use super::profile::{Profile, ProfileKind};
use super::uplink::UplinkProcessor;
use crate::core::{Format, Frame, Packet, Processor, Result, Source, SourceChain};
use crate::device::{Capture, DeviceSample, PacketQueueInput, PacketQueueOutput, Playout, packet_queue};
use crate::jitter::JitterBufferInput;
use crate::stages::echo::{FarEnd, far_end};

/// Packets between microphone and network thread: a second, and more than that.
const QUEUE_PACKETS: usize = 100;

/// Sound device: its rate and number of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Sample rate in Hz.
    pub sample_rate_hz: u32,
    /// Number of channels.
    pub channels: usize,
}

impl Device {
    /// Device of this rate and so many channels.
    pub fn new(sample_rate_hz: u32, channels: usize) -> Self {
        Self { sample_rate_hz, channels }
    }
}

/// Call: an uplink and a downlink, echo cancellation between them, and adaptation to the connection and to the load of the
/// machine.
///
/// A plain value: [`open`](Self::open) builds all of it, an end for each thread.
///
/// ```
/// use std::time::Duration;
/// use voxframe::call::{Call, ConnectionReport, Device};
/// let (mut microphone, mut loudspeaker, mut network, mut controls) =
///     Call::default().open(Device::new(48_000, 1), Device::new(48_000, 2))?;
/// // In the callbacks of the devices:
/// microphone.callback(&[0i16; 960])?;
/// loudspeaker.callback(&mut [0.0f32; 2 * 441])?;
/// // On the network thread, with `RtpSender` and `RtpReceiver`, say:
/// while let Some(packet) = network.outgoing.pop() {
///     network.incoming.push(7, 960, 0x5eed, packet.as_bytes())?;
/// }
/// // Each second, with what getStats, RTCP or a WebRTC stack tells:
/// let report = ConnectionReport { at: Duration::from_secs(1), loss: Some(0.02), ..Default::default() };
/// let advice = controls.report(&report)?;
/// println!("{} b/s; FEC {}", advice.bitrate_bps, advice.fec);
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Call {
    /// Profile to begin with, and the settings of its kind whenever that is taken. Default balanced.
    pub profile: Profile,
    /// Downlink.
    pub downlink: Downlink,
    /// Wishes and limits of the adaptation.
    pub adaptation: Adaptation,
}

/// What [`Call::open`] returns.
pub type OpenCall = (Microphone, Loudspeaker, CallNetwork, CallControls);

impl Call {
    /// All ends of a call between these devices: for the microphone's callback, the loudspeaker's, the network thread and
    /// the control thread. Allocates.
    ///
    /// # Errors
    /// Those of [`Profile::uplink_for`] and [`Downlink::open_for`].
    pub fn open(&self, microphone: Device, loudspeaker: Device) -> Result<OpenCall> {
        let (incoming, downlink, playout, downlink_controls) =
            self.downlink.open_for(loudspeaker.sample_rate_hz, loudspeaker.channels)?;
        let (far_end, reference) = far_end(downlink.output_format());
        let loudspeaker = Loudspeaker { playout, downlink: downlink.then(far_end)? };

        let capture = Capture::for_device(microphone.sample_rate_hz, microphone.channels)?;
        let controls = Controls::new(&self.profile).with_far_end(&reference);
        let uplink = self.profile.uplink_with(capture.output_format(), &controls)?;
        let (packets, outgoing) = packet_queue(QUEUE_PACKETS);
        let load = Arc::new(AtomicI8::new(0));
        let frame = Duration::from_millis(capture.output_format().frame_ms().into());
        let timed = Timed { uplink, monitor: LoadMonitor::new(frame), advice: Arc::clone(&load) };
        let microphone = Microphone { capture, uplink: timed, packets };

        let controls = CallControls {
            uplink: controls,
            downlink: downlink_controls,
            adaptation: self.adaptation,
            profile: self.profile,
            running: self.profile.kind,
            affordable: ProfileKind::HighQuality,
            monitor: ConnectionMonitor::default(),
            advice: None,
            load,
        };
        Ok((microphone, loudspeaker, CallNetwork { outgoing, incoming }, controls))
    }
}

/// Microphone's end of a [`Call`], for its callback.
#[derive(Debug)]
pub struct Microphone {
    capture: Capture,
    uplink: Timed,
    packets: PacketQueueInput,
}

impl Microphone {
    /// Takes interleaved samples of the device; packets go to [`CallNetwork::outgoing`].
    ///
    /// # Errors
    /// Those of [`Capture::run`].
    ///
    /// # Realtime safety
    /// Safe, but that a clock is read before and after each frame.
    pub fn callback<S: DeviceSample>(&mut self, samples: &[S]) -> Result<()> {
        let Self { capture, uplink, packets } = self;
        capture.run(samples, uplink, |packet| packets.push(packet))
    }

    /// Delay from the microphone to a packet, in ms.
    pub fn latency_ms(&self) -> f64 {
        self.capture.latency_ms() + self.uplink.latency_ms()
    }
}

/// Uplink whose load is watched.
#[derive(Debug)]
struct Timed {
    uplink: UplinkProcessor,
    monitor: LoadMonitor,
    /// Steps to costlier profiles (or, below 0, to cheaper ones) that nobody has made yet.
    advice: Arc<AtomicI8>,
}

impl Processor for Timed {
    type Input = Frame;
    type Output = Packet;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Packet>> {
        let start = Instant::now();
        let packet = self.uplink.process(frame);
        if let Some(advice) = self.monitor.record(start.elapsed()) {
            self.advice.store(if advice == LoadAdvice::Cheaper { -1 } else { 1 }, Relaxed);
        }
        packet
    }

    fn reset(&mut self) {
        self.uplink.reset();
    }

    fn input_format(&self) -> Format {
        self.uplink.input_format()
    }

    fn output_format(&self) -> Format {
        self.uplink.output_format()
    }

    fn latency(&self) -> usize {
        self.uplink.latency()
    }

    fn latency_ms(&self) -> f64 {
        self.uplink.latency_ms()
    }
}

/// Loudspeaker's end of a [`Call`], for its callback.
#[derive(Debug)]
pub struct Loudspeaker {
    playout: Playout,
    downlink: SourceChain<DownlinkOutput, FarEnd>,
}

impl Loudspeaker {
    /// Fills the device's buffer with interleaved samples.
    ///
    /// # Errors
    /// Those of [`Playout::fill`].
    ///
    /// # Realtime safety
    /// Safe.
    pub fn callback<S: DeviceSample>(&mut self, samples: &mut [S]) -> Result<()> {
        self.playout.fill(samples, &mut self.downlink)
    }

    /// Delay from a packet to the loudspeaker at this moment, in ms.
    pub fn latency_ms(&self) -> f64 {
        self.downlink.latency_ms() + self.playout.latency_ms()
    }
}

/// Network's end of a [`Call`].
#[derive(Debug)]
pub struct CallNetwork {
    /// Packets to be sent.
    pub outgoing: PacketQueueOutput,
    /// Where packets go that were received.
    pub incoming: JitterBufferInput,
}

/// Controls of a [`Call`]: the handles of both directions, and the adaptation.
#[derive(Debug)]
pub struct CallControls {
    /// Handles to the uplink. A mute is `uplink.gain.mute()`.
    pub uplink: Controls,
    /// Handles to the downlink.
    pub downlink: DownlinkControls,
    /// Wishes and limits of the adaptation; they hold from the next report on.
    pub adaptation: Adaptation,
    profile: Profile,
    running: ProfileKind,
    /// Costliest profile for which the machine is fast enough, as far as is known.
    affordable: ProfileKind,
    monitor: ConnectionMonitor,
    advice: Option<Advice>,
    load: Arc<AtomicI8>,
}

impl CallControls {
    /// Takes a report on the connection, and follows the advice that comes from it: encoder settings at once, the profile
    /// by [`Controls::switch`], no costlier one than the machine is fast enough for. Call it each second or so.
    ///
    /// To be advised only, use [`ConnectionMonitor`] and [`Adaptation`].
    ///
    /// # Errors
    /// Those of [`Controls::switch`] and [`Handle::update`](crate::Handle::update); a switch that failed is tried again with
    /// the next report.
    pub fn report(&mut self, report: &ConnectionReport) -> Result<&Advice> {
        self.monitor.report(report);
        let advice = self.adaptation.advise(&self.monitor.reading(), self.advice.as_ref());
        self.affordable = self.affordable_profile();
        let kind = advice.profile.value.min(self.affordable);
        let advice = self.advice.insert(advice);
        if kind != self.running {
            let own = self.profile.kind == kind;
            self.uplink.switch(if own { self.profile } else { kind.into() })?;
            self.running = kind;
        }
        self.uplink.opus.update(|opus| advice.apply(opus))?;
        Ok(advice)
    }

    fn affordable_profile(&self) -> ProfileKind {
        let kinds = ProfileKind::ALL;
        match self.load.swap(0, Relaxed) {
            0 => self.affordable,
            1.. => kinds[(self.affordable as usize + 1).min(kinds.len() - 1)],
            _ => kinds[(self.running.min(self.affordable) as usize).saturating_sub(1)],
        }
    }

    /// Profile that runs, or is about to.
    pub fn profile(&self) -> ProfileKind {
        self.running
    }

    /// State of the connection.
    pub fn connection(&self) -> ConnectionReading {
        self.monitor.reading()
    }

    /// Advice that is followed; `None` before the first report.
    pub fn advice(&self) -> Option<&Advice> {
        self.advice.as_ref()
    }
}

#[cfg(all(test, feature = "resample", feature = "denoise", feature = "hush"))]
mod tests {
    use super::super::adaptation::DeviceCapability;
    use super::*;

    #[test]
    fn too_slow_a_machine_takes_a_cheaper_profile_until_it_is_safe_to_go_back() {
        let adaptation = Adaptation { capability: DeviceCapability::High, ..Adaptation::default() };
        let device = Device::new(48_000, 1);
        let (_microphone, _loudspeaker, _network, mut controls) =
            Call { adaptation, ..Call::default() }.open(device, device).unwrap();
        let mut second = 0;
        let mut after = |load| {
            second += 1;
            controls.load.store(load, Relaxed);
            let at = Duration::from_secs(second);
            controls.report(&ConnectionReport { at, loss: Some(0.0), ..ConnectionReport::default() }).unwrap();
            controls.profile().to_string()
        };
        let found = [0, -1, 0, -1, -1, 1, 0, 1, 1].map(&mut after);
        let (low, mid, high) = ("low-latency", "balanced", "high-quality");
        assert_eq!(found, [high, mid, mid, low, low, mid, mid, high, high]);
    }

    #[test]
    fn ends_tell_their_latency_and_controls_what_they_follow() {
        let device = Device::new(48_000, 1);
        let (mut microphone, mut loudspeaker, mut network, mut controls) =
            Call::default().open(device, device).unwrap();
        assert!(controls.advice().is_none() && controls.connection().loss.is_none());
        let (mut packets, mut sound) = (0u16, [0.0f32; 480]);
        for _ in 0..50 {
            microphone.callback(&sound).unwrap();
            while let Some(packet) = network.outgoing.pop() {
                network.incoming.push(packets, packet.position() as u32, 1, packet.as_bytes()).unwrap();
                packets += 1;
            }
            loudspeaker.callback(&mut sound).unwrap();
        }
        let before = microphone.latency_ms();
        assert!((1.0..60.0).contains(&before), "{before}");
        let heard = controls.downlink.jitter_buffer.reading().jitter_buffer_delay_ms;
        assert!(heard > 0.0 && loudspeaker.latency_ms() > f64::from(heard), "{}", loudspeaker.latency_ms());

        let report = ConnectionReport { at: Duration::from_secs(1), loss: Some(0.1), ..ConnectionReport::default() };
        let advice = *controls.report(&report).unwrap();
        assert_eq!(controls.advice(), Some(&advice));
        assert_eq!(controls.connection().loss, Some(0.1));
        let uplink = &mut microphone.uplink;
        assert_eq!((uplink.latency(), uplink.input_format()), (uplink.uplink.latency(), uplink.uplink.input_format()));
        uplink.reset();
        microphone.callback(&[0.1f32; 960]).unwrap();
        assert!(network.outgoing.pop().is_some_and(|packet| packet.duration() > 0));
    }
}
