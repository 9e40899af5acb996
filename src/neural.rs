//! Neural networks: layers, their quantised weights, and a folder for each network with its data and licence.
//!
//! All of them work on spectra of 20 ms, every 10 ms. Weights are shared by all streams. What is
//! remembered of a stream is a value of its own, and is reset in place.

#[cfg(feature = "denoise")]
pub mod analyser;
#[cfg(feature = "denoise")]
pub mod bands;
pub mod echo;
#[cfg(feature = "hush")]
pub mod hush;
#[cfg(feature = "denoise")]
pub mod int4;
mod kernels;
mod layers;
pub mod lockstep;
mod matrix;
#[cfg(feature = "denoise")]
mod pitch;
mod products;
#[cfg(feature = "denoise")]
pub mod rnnoise;
#[cfg(feature = "denoise")]
pub mod rnnoise2;
#[cfg(feature = "denoise")]
pub mod stft;
mod weights;
