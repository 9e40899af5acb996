//! What a call needs beyond one frame.

#[cfg(feature = "rtp")]
mod rtp;

#[cfg(feature = "rtp")]
pub use rtp::{RtpHeader, RtpReading, RtpReceiver, RtpSender};
