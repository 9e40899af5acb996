//! What encoder and decoder share: the words of Opus, and its errors.

use opus::ErrorCode;

use crate::control::Word;
use crate::core::{CodecError, Error, Format, Result};

/// What an encoder is tuned for. Default [`Voip`](Self::Voip).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Application {
    /// Speech, made intelligible before faithful; forward error correction. Lookahead 6.5 ms.
    #[default]
    Voip,
    /// Anything, as faithful as can be; forward error correction. Lookahead 6.5 ms.
    Audio,
    /// Anything, at a lookahead of 2.5 ms; no forward error correction, no narrow bands at low rates.
    LowDelay,
}

/// How the bit rate is kept. Default [`Vbr`](Self::Vbr).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RateControl {
    /// Variable: what each packet needs; the rate is an average.
    #[default]
    Vbr,
    /// Constrained variable: no more than one packet of buffering above the rate.
    Cvbr,
    /// Constant: every packet the same length.
    Cbr,
}

/// A hint at what will be encoded. Default [`Auto`](Self::Auto).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Signal {
    /// The encoder finds out.
    #[default]
    Auto,
    /// Speech.
    Voice,
    /// Music.
    Music,
}

/// An audio bandwidth. Default [`Full`](Self::Full).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Bandwidth {
    /// 4 kHz.
    Narrow,
    /// 6 kHz.
    Medium,
    /// 8 kHz.
    Wide,
    /// 12 kHz.
    SuperWide,
    /// 20 kHz.
    #[default]
    Full,
}

macro_rules! words {
    ($($ty:ident { $($variant:ident),* $(,)? })*) => {$(
        impl Word for $ty {
            fn to_word(self) -> u64 {
                self as u64
            }

            fn from_word(word: u64) -> Self {
                [$($ty::$variant),*].into_iter().find(|v| *v as u64 == word).unwrap_or_default()
            }
        }
    )*};
}

words! {
    Application { Voip, Audio, LowDelay }
    Signal { Auto, Voice, Music }
    Bandwidth { Narrow, Medium, Wide, SuperWide, Full }
    RateControl { Vbr, Cvbr, Cbr }
}

impl RateControl {
    /// libopus's two switches: variable, constrained.
    pub(in crate::opus) fn switches(self) -> (bool, bool) {
        match self {
            Self::Vbr => (true, false),
            Self::Cvbr => (true, true),
            Self::Cbr => (false, false),
        }
    }
}

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

/// Fails unless Opus runs at the rate of `format`.
pub(in crate::opus) fn check_rate(stage: &'static str, format: Format) -> Result<()> {
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
