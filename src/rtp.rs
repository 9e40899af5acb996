//! Opus in RTP packets (RFC 3550, RFC 7587). Needs no codec.

mod capture_time;
mod error;
mod header;
mod receiver;
mod sender;

pub use capture_time::AbsCaptureTime;
pub use header::RtpHeader;
pub use receiver::{RtpReading, RtpReceiver};
pub use sender::RtpSender;
