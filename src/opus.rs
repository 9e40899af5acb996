//! Opus (RFC 6716): encoder, decoder, and what the bytes of a packet tell without either.

mod fmtp;
pub(crate) mod packet;
mod settings;

#[cfg(feature = "opus")]
mod comfort_noise;
#[cfg(feature = "opus")]
mod decoder;
#[cfg(feature = "opus")]
mod encoder;
#[cfg(feature = "opus")]
mod libopus;
#[cfg(not(feature = "opus"))]
mod no_codec;
#[cfg(feature = "opus")]
mod recovery;

#[cfg(feature = "opus")]
pub use decoder::{OpusDecode, OpusDecodeProcessor, OpusDecodeReading};
#[cfg(feature = "opus")]
pub use encoder::OpusEncodeProcessor;
pub use fmtp::Fmtp;
#[cfg(not(feature = "opus"))]
pub use no_codec::OpusEncodeProcessor;
pub use settings::{Application, Bandwidth, OpusEncode, OpusEncodeReading, RateControl, Signal};
