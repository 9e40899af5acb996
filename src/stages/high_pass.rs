//! High-pass filter.

mod design;
mod processor;
mod rumble;
mod settings;

pub use processor::HighPassProcessor;
pub use settings::{HighPass, HighPassReading};
