//! Neural networks: layers, their quantised weights, and a folder for each network with its data and licence.
//!
//! All of them work on spectra of the same windows, 20 ms every 10 ms. Weights are shared by all streams. What is
//! remembered of a stream is a value of its own, and is reset in place.

pub mod analyser;
pub mod bands;
#[cfg(feature = "hush")]
pub mod hush;
mod kernels;
#[cfg(feature = "hush")]
mod layers;
mod matrix;
mod pitch;
mod products;
pub mod rnnoise;
pub mod rnnoise2;
pub mod stft;
#[cfg(feature = "hush")]
mod weights;
