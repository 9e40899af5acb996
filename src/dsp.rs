//! Signal processing shared by the stages: kernels, ramps, delay lines, filters, levels.

pub mod biquad;
pub mod curve;
pub mod delay;
pub mod dispatch;
pub mod kernels;
pub mod level;
pub mod ramp;
pub mod sample_ring;
pub mod scratch;
pub mod speech_level;
pub mod weighted_power;
pub mod window;

pub(crate) use dispatch::kernels;
