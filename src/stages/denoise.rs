//! Noise suppression by recurrent neural networks.

mod settings;

#[cfg(feature = "denoise")]
mod arbiter;
#[cfg(feature = "denoise")]
mod batch;
#[cfg(all(test, feature = "hush"))]
mod calibration;
#[cfg(feature = "hush")]
mod full_band;
#[cfg(feature = "denoise")]
mod lockstep;
#[cfg(not(feature = "denoise"))]
mod no_network;
#[cfg(feature = "denoise")]
mod processor;
#[cfg(feature = "denoise")]
mod stereo_link;
#[cfg(feature = "denoise")]
mod suppressor;

#[cfg(feature = "denoise")]
pub use batch::DenoiseBatch;
#[cfg(not(feature = "denoise"))]
pub use no_network::DenoiseProcessor;
#[cfg(feature = "denoise")]
pub use processor::DenoiseProcessor;
pub use settings::{Denoise, DenoiseReading, Engine};
