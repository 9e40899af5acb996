//! Stages: one file or folder each.

pub mod auto_gain;
pub mod denoise;
pub mod echo;
pub mod gain;
pub mod gate;
pub mod high_pass;
pub mod input_check;
pub mod limiter;
#[cfg(feature = "loudness")]
pub mod loudness;
pub mod meter;
pub mod resample;
#[cfg(feature = "spectrum")]
pub mod spectrum;
