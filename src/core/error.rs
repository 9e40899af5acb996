//! The one error type of the crate.

use std::{fmt, io};

use super::format::{Format, FormatError};

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of the crate, with the numbers that show what is wrong.
///
/// `Copy` and without heap data, so that returning one is realtime safe.
///
/// There are two kinds, told apart by [`is_setup`](Self::is_setup). A *set-up* error comes from settings or wiring: it
/// comes back until they are changed. A *transient* one concerns a single frame, buffer or packet: drop that, and go
/// on.
///
/// ```
/// use voxframe::{Error, Format, Frame, Gain, Processor, Stage};
/// let mut gain = Gain::db(6.0).prepare(Format::mono(48_000)?)?;
/// let mut frame = Frame::new(Format::stereo(48_000)?);
/// match gain.process(&mut frame) {
///     Ok(_) => {}
///     Err(error) if error.is_setup() => eprintln!("this will never work: {error}"),
///     Err(error) => eprintln!("one frame was dropped: {error}"),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// Sample rate, channel count or frame length that no [`Format`] has. Set-up: choose another one; `Capture` and
    /// `Playout` convert from and to what a device has.
    Format(FormatError),
    /// Setting outside its range, or not a number. Returned by `prepare`, by constructors and by
    /// [`Handle::update`](crate::Handle::update), which then change nothing. Set-up: choose a value from `min` to
    /// `max`.
    OutOfRange {
        /// Stage and field.
        setting: &'static str,
        /// The value given.
        value: f32,
        /// The smallest value allowed.
        min: f32,
        /// The largest value allowed.
        max: f32,
    },
    /// Setting that needs a feature this crate was built without. Returned by `prepare` and
    /// [`Handle::update`](crate::Handle::update). Set-up: build with the feature, or leave the setting at its default.
    Unavailable {
        /// Stage, and field where it is about one.
        setting: &'static str,
        /// The feature, as Cargo knows it.
        feature: &'static str,
    },
    /// Change of a setting that the running processor cannot take. Returned by
    /// [`Handle::update`](crate::Handle::update), which then changes nothing. Set-up: prepare a new processor, by
    /// [`Handle::attach_with`](crate::Handle::attach_with) if the handle is to stay; a handle without a processor takes
    /// every valid setting.
    Fixed {
        /// Stage and field.
        setting: &'static str,
    },
    /// Switch of an uplink's profile where there is no uplink. Set-up: build one with that profile.
    NotRunning,
    /// Sample rate at which a stage or a device edge cannot run. Returned by `prepare` and constructors. Set-up: follow
    /// the advice.
    UnsupportedRate {
        /// The stage, or `"device"`.
        stage: &'static str,
        /// The rate it was given, in Hz.
        rate_hz: u32,
        /// What to do about it.
        advice: &'static str,
    },
    /// Name that no [`Profile`](crate::Profile) has. Returned when a profile is parsed. Set-up: use one of the names.
    UnknownProfile {
        /// The names there are.
        names: &'static [&'static str],
    },
    /// Frame of another format than expected. Nothing was processed, and the frame is unchanged. Set-up: prepare the
    /// stage for the format of its frames; all of the same format are refused.
    WrongFormat {
        /// The format prepared for.
        expected: Format,
        /// The format given.
        actual: Format,
    },
    /// Planar buffers for another number of channels than the edge was made for. Nothing was read or written. Set-up:
    /// pass one buffer a channel.
    WrongChannels {
        /// The channels there are.
        expected: usize,
        /// The buffers given.
        actual: usize,
    },
    /// Buffer of the wrong length. Nothing was read or written. Transient: drop the buffer, or call again with one of
    /// the right length.
    WrongLength {
        /// The length needed, in samples.
        expected: usize,
        /// The length given, in samples.
        actual: usize,
    },
    /// Payload longer than any packet here. Nothing was taken in. Transient: drop the payload.
    PacketTooLong {
        /// The bytes given.
        bytes: usize,
        /// The most bytes allowed.
        max: usize,
    },
    /// No room for more. Nothing was taken in. Transient: take something out first, or drop the frame or packet.
    Full,
    /// Refusal by the codec, whose state is unchanged. Transient, but for [`CodecError::InvalidSettings`].
    Codec(CodecError),
    /// Datagram that is no RTP packet of Opus, or a buffer too short to write one. Transient: drop the datagram, or
    /// call again with a longer buffer.
    Rtp(RtpError),
    /// Datagram that is no RTCP packet, or a buffer too short to write one. Transient: drop the datagram, or call again
    /// with a longer buffer.
    Rtcp(RtcpError),
    /// Failure of a library on a frame that it was prepared for: a bug of this crate, worth a report. Transient: drop
    /// the frame.
    Internal {
        /// The stage, or `"device"`.
        stage: &'static str,
    },
}

impl Error {
    /// Whether the error comes from settings or wiring, and so comes back until they are changed. The others concern
    /// one frame, buffer or packet: drop it and go on.
    pub fn is_setup(&self) -> bool {
        match self {
            Error::Format(_)
            | Error::OutOfRange { .. }
            | Error::Unavailable { .. }
            | Error::Fixed { .. }
            | Error::NotRunning
            | Error::UnsupportedRate { .. }
            | Error::UnknownProfile { .. }
            | Error::WrongFormat { .. }
            | Error::WrongChannels { .. }
            | Error::Codec(CodecError::InvalidSettings) => true,
            Error::WrongLength { .. }
            | Error::PacketTooLong { .. }
            | Error::Full
            | Error::Codec(CodecError::InvalidPacket | CodecError::Internal(_))
            | Error::Rtp(_)
            | Error::Rtcp(_)
            | Error::Internal { .. } => false,
        }
    }
}

/// Reason for a refusal by the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodecError {
    /// Bytes that are not an Opus packet. Transient: drop the packet.
    InvalidPacket,
    /// Settings that libopus refuses in this combination. Set-up: choose others.
    InvalidSettings,
    /// Any other failure inside libopus, with its error code (`OPUS_*` in `opus_defines.h`). Transient: drop the
    /// packet.
    Internal(i32),
}

/// Reason why a datagram was refused, or could not be written. All are transient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RtpError {
    /// RTP version other than 2: most likely no RTP at all.
    Version(u8),
    /// Datagram that ends before what its header announces.
    Truncated {
        /// The bytes announced, at least.
        expected: usize,
        /// The bytes there are.
        actual: usize,
    },
    /// Padding without a valid length.
    Padding,
    /// Payload type other than the one agreed upon, which may be another stream's.
    PayloadType(u8),
    /// Payload that is not an Opus packet.
    NotOpus,
    /// Buffer too short for the packet to be written: call again with a longer one.
    NoRoom {
        /// The bytes needed.
        bytes: usize,
    },
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Error::Format(error)
    }
}

/// Cause of a refused RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RtcpError {
    /// The datagram is not a compound packet of RFC 3550, or broken.
    Malformed,
    /// The buffer is too small for the packet.
    NoRoom {
        /// The bytes needed.
        bytes: usize,
    },
}

impl From<RtcpError> for Error {
    fn from(error: RtcpError) -> Self {
        Error::Rtcp(error)
    }
}

impl From<Error> for io::Error {
    /// For functions and closures that return `io::Result`: `InvalidInput` for a [set-up](Error::is_setup) error, else
    /// `InvalidData`, with the error inside. Allocates.
    fn from(error: Error) -> Self {
        let kind = if error.is_setup() { io::ErrorKind::InvalidInput } else { io::ErrorKind::InvalidData };
        Self::new(kind, error)
    }
}

impl From<FormatError> for io::Error {
    fn from(error: FormatError) -> Self {
        Error::from(error).into()
    }
}

impl From<RtpError> for Error {
    fn from(error: RtpError) -> Self {
        Error::Rtp(error)
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            CodecError::InvalidPacket => f.write_str("not a valid Opus packet"),
            CodecError::InvalidSettings => f.write_str("libopus refuses this combination of settings"),
            CodecError::Internal(code) => write!(f, "libopus failed with code {code}"),
        }
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
            Error::Format(error) => error.fmt(f),
            Error::OutOfRange { setting, value, min, max } => {
                write!(f, "{setting} must be from {min} to {max}, not {value}")
            }
            Error::Unavailable { setting, feature } => {
                write!(f, "{setting} needs the feature `{feature}` of voxframe")
            }
            Error::NotRunning => f.write_str("there is no uplink whose profile could be switched: build one"),
            Error::Fixed { setting } => {
                write!(f, "{setting} is fixed while the stage runs: prepare a new processor to change it")
            }
            Error::UnsupportedRate { stage, rate_hz, advice } => {
                write!(f, "{stage} does not run at {rate_hz} Hz: {advice}")
            }
            Error::UnknownProfile { names } => write!(f, "unknown profile: the profiles are {}", names.join(", ")),
            Error::WrongFormat { expected, actual } => write!(f, "prepared for {expected}, given {actual}"),
            Error::WrongChannels { expected, actual } => {
                write!(f, "{expected} buffers are needed, one a channel, not {actual}")
            }
            Error::WrongLength { expected, actual } => {
                write!(f, "a buffer of {expected} samples is needed, not {actual}")
            }
            Error::PacketTooLong { bytes, max } => write!(f, "a packet holds at most {max} bytes, not {bytes}"),
            Error::Full => f.write_str("the buffer is full: take something out first"),
            Error::Codec(error) => error.fmt(f),
            Error::Rtp(error) => error.fmt(f),
            Error::Rtcp(RtcpError::Malformed) => f.write_str("not an RTCP packet"),
            Error::Rtcp(RtcpError::NoRoom { bytes }) => write!(f, "the RTCP packet needs a buffer of {bytes} bytes"),
            Error::Internal { stage } => {
                write!(f, "{stage} failed on a valid frame: please report this bug of voxframe")
            }
        }
    }
}

impl std::error::Error for Error {}
impl std::error::Error for CodecError {}
impl std::error::Error for RtpError {}

/// Check that `value` is a number from `min` to `max`, for [`Live::validate`](crate::Live::validate).
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn in_range(setting: &'static str, value: f32, min: f32, max: f32) -> Result<()> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::OutOfRange { setting, value, min, max }) }
}

/// Check that a setting is the `same` as when the processor was prepared, for
/// [`Live::validate_change`](crate::Live::validate_change).
///
/// # Errors
/// [`Error::Fixed`].
pub fn fixed(setting: &'static str, same: bool) -> Result<()> {
    if same { Ok(()) } else { Err(Error::Fixed { setting }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_up_is_told_from_transient_and_each_says_in_one_line_what_is_wrong() {
        let format = Format::mono(48_000).unwrap();
        let setting = "Stage::field";
        let cases = [
            (Format::mono(11_025).unwrap_err().into(), true, "11025"),
            (in_range(setting, f32::NAN, 1.5, 2.5).unwrap_err(), true, "Stage::field must be from 1.5 to 2.5, not NaN"),
            (Error::Unavailable { setting, feature: "vad" }, true, "`vad`"),
            (fixed(setting, false).unwrap_err(), true, "Stage::field is fixed"),
            (Error::UnsupportedRate { stage: "Stage", rate_hz: 700, advice: "advice" }, true, "700 Hz: advice"),
            (Error::UnknownProfile { names: &["one", "two"] }, true, "one, two"),
            (Error::WrongFormat { expected: format, actual: format }, true, "48000 Hz mono, 10 ms frames"),
            (Error::WrongChannels { expected: 2, actual: 3 }, true, "2 buffers are needed, one a channel, not 3"),
            (Error::WrongLength { expected: 480, actual: 481 }, false, "480 samples is needed, not 481"),
            (Error::PacketTooLong { bytes: 3, max: 2 }, false, "at most 2 bytes, not 3"),
            (Error::Full, false, "full"),
            (Error::Codec(CodecError::InvalidPacket), false, "not a valid Opus packet"),
            (Error::Codec(CodecError::InvalidSettings), true, "settings"),
            (Error::Codec(CodecError::Internal(-3)), false, "-3"),
            (RtpError::Version(1).into(), false, "version 1"),
            (Error::Internal { stage: "Stage" }, false, "Stage failed"),
        ];
        for (error, is_setup, part) in cases {
            let line = error.to_string();
            assert_eq!(error.is_setup(), is_setup, "{error:?}");
            assert!(line.contains(part) && !line.contains('\n') && !line.contains("  "), "{line}");
        }
    }
}
