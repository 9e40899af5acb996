//! RTCP for a stream over plain UDP (RFC 3550, section 6): reports, round-trip time, and the sender's clock.
//!
//! Sans-IO: the application moves datagrams and says what time it is. It is no realtime code: writing a report allocates.

mod media_clock;
mod receive_statistics;
mod session;
mod time;

pub use media_clock::MediaClock;
pub use receive_statistics::ReceiveStatistics;
pub use session::{RtcpReading, RtcpSession};
pub use time::NtpTime;
