//! Noise gate.

mod detector;
mod processor;
mod settings;

pub use processor::NoiseGateProcessor;
pub use settings::{NoiseGate, NoiseGateReading};
