//! Edges between audio devices and frames, and the queue from an audio callback to the network.
//!
//! [`Capture`] makes frames of a device's buffers, [`Playout`] buffers of frames, whatever their length, layout, sample
//! type and rate. A [`packet_queue`] takes packets to the thread that sends them. All that an audio callback needs is a
//! value that it can own:
//!
//! ```
//! # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))] {
//! use voxframe::call::{Controls, Downlink, DownlinkControls, DownlinkOutput, UplinkProcessor};
//! use voxframe::device::{DeviceSample, PacketQueueInput, PacketQueueOutput, packet_queue};
//! use voxframe::jitter::JitterBufferInput;
//! use voxframe::{Capture, Playout, Profile, Result};
//!
//! struct Microphone {
//!     capture: Capture,
//!     uplink: UplinkProcessor,
//!     queue: PacketQueueInput,
//! }
//!
//! impl Microphone {
//!     fn new(rate_hz: u32, channels: usize) -> Result<(Self, PacketQueueOutput, Controls)> {
//!         let (capture, uplink, controls) = Profile::balanced().uplink_for(rate_hz, channels)?;
//!         let (queue, packets) = packet_queue(50);
//!         Ok((Self { capture, uplink, queue }, packets, controls))
//!     }
//!
//!     fn callback<S: DeviceSample>(&mut self, data: &[S]) -> Result<()> {
//!         self.capture.run(data, &mut self.uplink, |packet| self.queue.push(packet))
//!     }
//! }
//!
//! struct Loudspeaker {
//!     downlink: DownlinkOutput,
//!     playout: Playout,
//! }
//!
//! impl Loudspeaker {
//!     fn new(rate_hz: u32, channels: usize) -> Result<(Self, JitterBufferInput, DownlinkControls)> {
//!         let (network, downlink, playout, controls) = Downlink::default().open_for(rate_hz, channels)?;
//!         Ok((Self { downlink, playout }, network, controls))
//!     }
//!
//!     fn callback<S: DeviceSample>(&mut self, data: &mut [S]) -> Result<()> {
//!         self.playout.fill(data, &mut self.downlink)
//!     }
//! }
//!
//! let (mut microphone, mut packets, controls) = Microphone::new(44_100, 2)?;
//! microphone.callback(&[0i16; 2 * 1024])?;
//! let (mut loudspeaker, mut network, controls) = Loudspeaker::new(48_000, 2)?;
//! loudspeaker.callback(&mut [0f32; 2 * 441])?;
//! # }
//! # Ok::<(), voxframe::Error>(())
//! ```
//!
//! # Delay
//! From mouth to ear, in ms:
//!
//! | | |
//! | --- | --- |
//! | the microphone's buffer | from the device: its length, at least |
//! | [`Capture::latency_ms`] | the resampler |
//! | [`Processor::latency_ms`](crate::Processor::latency_ms) of the uplink | stages, packet length, codec |
//! | the [`packet_queue`] | half the wait of the network thread |
//! | the network | half the round trip |
//! | [`Source::latency_ms`](crate::Source::latency_ms) of the downlink | jitter buffer and stages, now |
//! | [`Playout::latency_ms`] | the resampler, and the rest of the last frame, now |
//! | the loudspeaker's buffer | from the device: its length, at least |

mod capture;
mod clock;
mod input_meter;
mod input_mixer;
mod input_reading;
mod input_selection;
mod limits;
mod packet_queue;
mod playout;
mod samples;
mod sink_result;

pub use capture::Capture;
pub use input_reading::InputReading;
pub use input_selection::{InputGains, InputSelection};
pub use limits::MAX_DEVICE_CHANNELS;
pub use packet_queue::{PacketQueueInput, PacketQueueOutput, packet_queue};
pub use playout::Playout;
pub use samples::{DeviceSample, I24, U24};
pub use sink_result::SinkResult;

#[cfg(feature = "resample")]
mod resampler;
#[cfg(not(feature = "resample"))]
#[path = "device/no_resampler.rs"]
mod resampler;
