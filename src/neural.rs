//! Neural networks: layers, their quantised weights, and a folder for each network with its data and licence.
//!
//! Weights are shared by all streams. What is remembered of a stream is a value of its own, and is reset in place.

#[cfg(feature = "hush")]
pub mod hush;
mod kernels;
#[cfg(feature = "hush")]
mod layers;
pub mod rnnoise;
#[cfg(feature = "hush")]
mod weights;
