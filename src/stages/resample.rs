//! Sample rate conversion of frames.

mod settings;

#[cfg(not(feature = "resample"))]
mod no_resampler;
#[cfg(feature = "resample")]
mod processor;

#[cfg(not(feature = "resample"))]
pub use no_resampler::ResampleProcessor;
#[cfg(feature = "resample")]
pub use processor::ResampleProcessor;
pub use settings::{Quality, Resample};
