//! Noise gate.

mod detector;
mod noise;
mod processor;
mod settings;

pub use processor::NoiseGateProcessor;
pub use settings::{NoiseGate, NoiseGateReading};
