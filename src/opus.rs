//! Opus: encoder, decoder, and what the bytes of a packet tell without either.

pub(crate) mod packet;

#[cfg(feature = "opus")]
mod comfort_noise;
#[cfg(feature = "opus")]
mod decoder;
#[cfg(feature = "opus")]
mod encoder;
#[cfg(feature = "opus")]
mod libopus;
#[cfg(feature = "opus")]
mod recovery;
#[cfg(feature = "opus")]
mod settings;

#[cfg(feature = "opus")]
pub use decoder::{OpusDecode, OpusDecodeProcessor, OpusDecodeReading};
#[cfg(feature = "opus")]
pub use encoder::{OpusEncode, OpusEncodeProcessor, OpusEncodeReading};
#[cfg(feature = "opus")]
pub use settings::{Application, Bandwidth, RateControl, Signal};
