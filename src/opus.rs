//! Opus (RFC 6716): settings, encoder, decoder, and what the bytes of a packet tell without a codec.

mod fmtp;
pub(crate) mod packet;
mod settings;

#[cfg(feature = "opus")]
mod comfort_noise;
#[cfg(feature = "opus")]
mod concealment;
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
pub use decoder::OpusDecodeProcessor;
#[cfg(feature = "opus")]
pub use encoder::OpusEncodeProcessor;
pub use fmtp::Fmtp;
#[cfg(not(feature = "opus"))]
pub use no_codec::{OpusDecodeProcessor, OpusEncodeProcessor};
pub use settings::{
    Application, Bandwidth, OpusDecode, OpusDecodeReading, OpusEncode, OpusEncodeReading, RateControl, Signal,
};
