//! Acoustic echo cancellation.

mod bands;
mod canceller;
mod clock_drift;
mod comfort_noise;
mod delay_search;
mod distortion;
mod echo_path;
mod far_end;
mod far_history;
mod kalman;
mod kernels;
mod lag_trial;
mod near_end;
mod noise_floor;
mod powers;
mod processor;
mod residual_echo;
mod settings;
mod spectrum;
mod statistics;
mod suppressor;
#[cfg(test)]
mod training;
mod transform;
mod weighted_overlap_add;

pub use far_end::{EchoReference, FarEnd, far_end};
pub use processor::{EchoCancelProcessor, EchoCancelStage};
pub use settings::{EchoCancel, EchoCancelReading, Suppression};
