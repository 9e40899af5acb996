//! Error codes of libopus (`opus_defines.h`).

use crate::core::Error;
use crate::core::error::CodecError;

/// Error for a code of libopus.
pub fn error(code: i32) -> Error {
    const BAD_ARG: i32 = -1;
    const INVALID_PACKET: i32 = -4;
    Error::Codec(match code {
        INVALID_PACKET => CodecError::InvalidPacket,
        BAD_ARG => CodecError::InvalidSettings,
        code => CodecError::Internal(code),
    })
}

/// Of the crate `opus`, whose repacketizer is used with either binding.
impl From<opus::Error> for Error {
    fn from(failure: opus::Error) -> Self {
        error(failure.code() as i32)
    }
}
