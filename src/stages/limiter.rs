//! True-peak limiter.

mod gain_smoother;
mod held;
mod interpolation;
mod processor;
mod search;
mod settings;
mod sliding_min;
mod true_peak;

pub use processor::LimiterProcessor;
pub use settings::{Limiter, LimiterReading};
