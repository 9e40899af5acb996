//! Voice activity detection.

#[cfg(feature = "vad")]
mod decimator;
pub mod detector;
#[cfg(feature = "vad")]
mod network;
#[cfg(feature = "vad")]
mod tones;
mod voice_activity;

pub use voice_activity::{VoiceActivity, VoiceActivityProcessor, VoiceActivityReading};
