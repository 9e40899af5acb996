//! Automatic gain control.

mod controller;
mod noise;
mod processor;
mod settings;
mod speech;

pub use processor::AutoGainProcessor;
pub use settings::{AutoGain, AutoGainReading};
