//! Errors of the crate `rtp-types` as those of this one.

use rtp_types::{RtpParseError, RtpWriteError};

use crate::core::Error;
use crate::core::error::RtpError;

impl From<RtpParseError> for Error {
    fn from(error: RtpParseError) -> Self {
        match error {
            RtpParseError::UnsupportedVersion(version) => RtpError::Version(version),
            RtpParseError::Truncated { expected, actual } => RtpError::Truncated { expected, actual },
            RtpParseError::PaddingInvalid(_) => RtpError::Padding,
        }
        .into()
    }
}

impl From<RtpWriteError> for Error {
    fn from(error: RtpWriteError) -> Self {
        match error {
            RtpWriteError::OutputTooSmall(bytes) => RtpError::NoRoom { bytes }.into(),
            // Of the rest, none can come of a checked payload type and an Opus packet alone.
            _ => RtpError::Padding.into(),
        }
    }
}
