//! What a call needs beyond one frame.

mod jitter_buffer;
mod line;
mod losses;
mod order;
mod pace;
mod queue;
mod receiver;
#[cfg(feature = "rtp")]
mod rtp;
mod statistics;
mod stretch;
mod target;
mod timeline;

pub use jitter_buffer::JitterBuffer;
pub use queue::PacketSender;
pub use receiver::FrameReceiver;
#[cfg(feature = "rtp")]
pub use rtp::{RtpHeader, RtpReading, RtpReceiver, RtpSender};
pub use statistics::{LinkReading, LinkStatistics};

/// Ticks in a millisecond: positions and delays are counted in ticks of 48 kHz here, whatever the rate of the sound.
const TICKS_PER_MS: i64 = crate::Packet::CLOCK_HZ as i64 / 1000;

/// Sound is decoded in chunks of 10 ms: the least length of a frame.
const CHUNK_TICKS: i64 = 10 * TICKS_PER_MS;

/// A time in ms as ticks.
fn ticks(ms: f32) -> i64 {
    (f64::from(ms) * TICKS_PER_MS as f64).round() as i64
}
