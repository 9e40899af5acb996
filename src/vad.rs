//! Voice activity detection.

pub mod detector;
#[cfg(feature = "vad")]
mod network;
mod voice_activity;

pub use voice_activity::{VoiceActivity, VoiceActivityProcessor, VoiceActivityReading};
