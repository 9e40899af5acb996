//! Opus in RTP packets (RFC 3550, RFC 7587). Needs no codec.

mod error;
mod header;
mod receiver;
mod sender;

pub use header::RtpHeader;
pub use receiver::{RtpReading, RtpReceiver};
pub use sender::RtpSender;
