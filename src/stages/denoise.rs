//! Noise suppression by recurrent neural networks.

mod settings;

#[cfg(feature = "hush")]
mod arbiter;
#[cfg(feature = "denoise")]
mod engine;
#[cfg(feature = "hush")]
mod hush;
#[cfg(not(feature = "denoise"))]
mod no_network;
#[cfg(feature = "denoise")]
mod processor;
#[cfg(feature = "denoise")]
mod rnnoise;
#[cfg(feature = "denoise")]
mod stereo_link;

#[cfg(not(feature = "denoise"))]
pub use no_network::DenoiseProcessor;
#[cfg(feature = "denoise")]
pub use processor::DenoiseProcessor;
pub use settings::{Denoise, DenoiseReading, Engine};
