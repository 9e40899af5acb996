//! The stages: one file each, settings and processor together.

mod auto_gain;
mod gain;
mod gate;
mod meter;
mod voice_activity;

#[cfg(feature = "denoise")]
mod denoise;
#[cfg(feature = "resample")]
mod resample;

#[cfg(feature = "opus")]
mod opus_codec;
#[cfg(feature = "opus")]
mod opus_decode;
#[cfg(feature = "opus")]
mod opus_encode;

pub use auto_gain::{AutoGain, AutoGainProcessor, AutoGainReading};
pub use gain::{Gain, GainProcessor, GainReading};
pub use gate::{GateProcessor, GateReading, NoiseGate};
pub use meter::{LevelMeter, Levels, MeterProcessor};
pub use voice_activity::{Voice, VoiceActivity, VoiceDetector};

#[cfg(feature = "denoise")]
pub use denoise::{Denoise, DenoiseReading, Denoiser};
#[cfg(feature = "resample")]
pub use resample::{Quality, Resample, Resampler};

#[cfg(feature = "opus")]
pub use opus_codec::{Application, Bandwidth, RateControl, Signal};
#[cfg(feature = "opus")]
pub use opus_decode::{OpusDecode, OpusDecoder};
#[cfg(feature = "opus")]
pub use opus_encode::{OpusEncode, OpusEncoder, OpusReading};
