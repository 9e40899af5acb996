//! The one error type.

use std::fmt;

use super::format::Format;

/// The names of the profiles, as they are printed and parsed.
pub(crate) const PROFILE_NAMES: [&str; 3] = ["low-latency", "balanced", "high-quality"];

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with the numbers that show it.
///
/// `Copy` and without heap data, so that returning one is realtime safe.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A sample rate that no [`Format`] has.
    SampleRate {
        /// The rate asked for, in Hz.
        rate_hz: u32,
    },
    /// A channel count that is not available here.
    Channels {
        /// The count asked for.
        channels: usize,
        /// The largest count available.
        max: usize,
    },
    /// A frame length other than 10 or 20 ms.
    FrameLength {
        /// The length asked for, in ms.
        frame_ms: u32,
    },
    /// A frame of another format than the processor was prepared for. Nothing was processed.
    WrongFormat {
        /// The format prepared for.
        expected: Format,
        /// The format of the frame.
        actual: Format,
    },
    /// A buffer of the wrong length. Nothing was processed.
    WrongLength {
        /// The length needed, in samples.
        expected: usize,
        /// The length given, in samples.
        actual: usize,
    },
    /// A setting outside its range, or not a number.
    OutOfRange {
        /// Stage and field.
        setting: &'static str,
        /// The value given.
        value: f32,
        /// The least value allowed.
        min: f32,
        /// The greatest value allowed.
        max: f32,
    },
    /// A setting that needs a feature this crate was built without.
    Unavailable {
        /// Stage and field.
        setting: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// A change that a running processor cannot take. Nothing was changed. Build a new processor: settings of a handle
    /// without one can all be changed.
    Fixed {
        /// Stage and field.
        setting: &'static str,
    },
    /// A setting that can have no effect beside the others.
    NoEffect {
        /// Stage and field.
        setting: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// A stage was put at a sample rate it cannot run at.
    UnsupportedRate {
        /// The stage.
        stage: &'static str,
        /// The rate it was given, in Hz.
        rate_hz: u32,
        /// What to do about it.
        advice: &'static str,
    },
    /// More bytes than a packet can hold.
    PacketTooLong {
        /// The number of bytes given.
        bytes: usize,
        /// The most a packet can hold.
        max: usize,
    },
    /// There is no room for more; take something out first. Nothing was taken in.
    Full,
    /// The codec refused its input. Its state is unchanged.
    Codec(CodecError),
    /// A datagram that is no RTP packet of Opus, or no room for one.
    Rtp(RtpError),
    /// The name of no [`Profile`](crate::Profile).
    UnknownProfile,
}

/// Why the codec refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes are not an Opus packet.
    InvalidPacket,
    /// The settings contradict each other.
    InvalidSettings,
    /// Any other failure inside the codec, with its own error code.
    Internal(i32),
}

/// What is wrong with an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RtpError {
    /// Another version than 2.
    Version(u8),
    /// It ends before what its header announces.
    Truncated {
        /// The bytes announced, at least.
        expected: usize,
        /// The bytes there are.
        actual: usize,
    },
    /// Its padding has no length.
    Padding,
    /// Another payload type than the one agreed upon.
    PayloadType(u8),
    /// The payload is not an Opus packet.
    NotOpus,
    /// The buffer is too small for the packet.
    NoRoom {
        /// The bytes needed.
        bytes: usize,
    },
}

impl From<Error> for std::io::Error {
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput), for closures and functions that return `io::Result`. Allocates.
    fn from(error: Error) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}

impl From<RtpError> for Error {
    fn from(error: RtpError) -> Self {
        Error::Rtp(error)
    }
}

impl fmt::Display for RtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RtpError::Version(version) => write!(f, "RTP version {version} instead of 2"),
            RtpError::Truncated { expected, actual } => {
                write!(f, "an RTP packet of at least {expected} bytes by its header has only {actual}")
            }
            RtpError::Padding => f.write_str("the padding of the RTP packet is invalid"),
            RtpError::PayloadType(number) => write!(f, "an RTP packet of another payload type, {number}"),
            RtpError::NotOpus => f.write_str("the payload of the RTP packet is not an Opus packet"),
            RtpError::NoRoom { bytes } => write!(f, "the RTP packet needs a buffer of {bytes} bytes"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::SampleRate { rate_hz } => write!(
                f,
                "a format cannot have {rate_hz} Hz: rates are multiples of 100 Hz from 8000 to 192000 \
                 (for 11025 or 22050 Hz let Capture or Playout resample)"
            ),
            Error::Channels { channels, max } => {
                write!(f, "{channels} channels are not supported: use 1 to {max}")
            }
            Error::FrameLength { frame_ms } => {
                write!(f, "frames are 10 or 20 ms long, not {frame_ms} ms")
            }
            Error::WrongFormat { expected, actual } => {
                write!(f, "prepared for {expected}, got a frame of {actual}")
            }
            Error::WrongLength { expected, actual } => {
                write!(f, "a buffer of {expected} samples is needed, got {actual}")
            }
            Error::OutOfRange { setting, value, min, max } => {
                write!(f, "{setting} must be from {min} to {max}, not {value}")
            }
            Error::Unavailable { setting, feature } => {
                write!(f, "{setting} needs the feature `{feature}` of voxframe")
            }
            Error::Fixed { setting } => {
                write!(f, "{setting} is fixed while the stage runs: build a new processor to change it")
            }
            Error::NoEffect { setting, advice } => write!(f, "{setting} can have no effect: {advice}"),
            Error::UnsupportedRate { stage, rate_hz, advice } => {
                write!(f, "{stage} does not run at {rate_hz} Hz: {advice}")
            }
            Error::PacketTooLong { bytes, max } => {
                write!(f, "a packet holds at most {max} bytes, not {bytes}")
            }
            Error::Full => f.write_str("the buffer is full: take something out first"),
            Error::Codec(CodecError::InvalidPacket) => f.write_str("not a valid Opus packet"),
            Error::Codec(CodecError::InvalidSettings) => {
                f.write_str("the Opus encoder refused this combination of settings")
            }
            Error::Codec(CodecError::Internal(code)) => write!(f, "libopus failed with code {code}"),
            Error::Rtp(error) => error.fmt(f),
            Error::UnknownProfile => {
                write!(f, "unknown profile: the profiles are {}", PROFILE_NAMES.join(", "))
            }
        }
    }
}

impl std::error::Error for Error {}

/// Fails unless `value` is a number from `min` to `max`.
pub(crate) fn in_range(setting: &'static str, value: f32, min: f32, max: f32) -> Result<()> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::OutOfRange { setting, value, min, max }) }
}

/// Fails if a setting that is fixed while a stage runs is not the `same` as before.
pub(crate) fn fixed(setting: &'static str, same: bool) -> Result<()> {
    if same { Ok(()) } else { Err(Error::Fixed { setting }) }
}
