//! libopus, by one of two bindings with the same methods: the crate `opus`, or, for its neural parts, `opusic-c`.

#[cfg(feature = "deep-plc")]
mod neural;
#[cfg(not(feature = "deep-plc"))]
mod plain;

#[cfg(feature = "deep-plc")]
pub use neural::{Decoder, Encoder, NEURAL};
#[cfg(not(feature = "deep-plc"))]
pub use plain::{Decoder, Encoder, NEURAL};
