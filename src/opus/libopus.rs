//! libopus, by one of two bindings with the same methods: the crate `opus`, or, for its neural parts, `opusic-c`.

#[cfg(feature = "deep-plc")]
mod neural;
#[cfg(not(feature = "deep-plc"))]
mod plain;

use opus::ErrorCode;

use super::settings::RateControl;
use crate::core::error::CodecError;
use crate::core::{Error, Format, Result};
#[cfg(feature = "deep-plc")]
pub use neural::{Decoder, Encoder, NEURAL};
#[cfg(not(feature = "deep-plc"))]
pub use plain::{Decoder, Encoder, NEURAL};

/// The words of a binding of libopus for ours.
macro_rules! translate {
    ($($ty:ident to $theirs:ty { $($variant:ident => $their:expr),* $(,)? })*) => {$(
        impl From<$ty> for $theirs {
            fn from(ours: $ty) -> Self {
                match ours {
                    $($ty::$variant => $their,)*
                }
            }
        }
    )*};
}

pub(in crate::opus) use translate;

/// libopus's two switches: variable, constrained.
fn switches(rate_control: RateControl) -> (bool, bool) {
    match rate_control {
        RateControl::Vbr => (true, false),
        RateControl::Cvbr => (true, true),
        RateControl::Cbr => (false, false),
    }
}

/// Fails unless Opus runs at the rate of `format`.
pub fn check_rate(stage: &'static str, format: Format) -> Result<()> {
    match format.sample_rate_hz() {
        8_000 | 12_000 | 16_000 | 24_000 | 48_000 => Ok(()),
        rate_hz => Err(Error::UnsupportedRate {
            stage,
            rate_hz,
            advice: "Opus takes 8, 12, 16, 24 or 48 kHz: resample to one of them",
        }),
    }
}

impl From<opus::Error> for Error {
    fn from(error: opus::Error) -> Self {
        Error::Codec(match error.code() {
            ErrorCode::InvalidPacket => CodecError::InvalidPacket,
            ErrorCode::BadArg => CodecError::InvalidSettings,
            code => CodecError::Internal(code as i32),
        })
    }
}
