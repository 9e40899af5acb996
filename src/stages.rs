//! The stages: one file each, settings and processor together.

mod auto_gain;
mod gain;
mod gate;
mod high_pass;
mod limiter;
mod meter;
mod scrub;
mod voice_activity;

#[cfg(feature = "denoise")]
mod denoise;
#[cfg(feature = "loudness")]
mod loudness;
#[cfg(feature = "resample")]
mod resample;
#[cfg(feature = "spectrum")]
mod spectrum;

#[cfg(feature = "opus")]
mod opus_codec;
#[cfg(feature = "opus")]
mod opus_decode;
#[cfg(feature = "opus")]
mod opus_encode;
#[cfg(feature = "opus")]
mod opus_gap;
#[cfg(feature = "opus")]
mod opus_noise;
#[cfg(feature = "opus")]
mod opus_packet;
// libopus by one of two bindings.
#[cfg(feature = "deep-plc")]
mod opus_deep;
#[cfg(all(feature = "opus", not(feature = "deep-plc")))]
mod opus_plain;
#[cfg(feature = "deep-plc")]
use opus_deep as opus_backend;
#[cfg(all(feature = "opus", not(feature = "deep-plc")))]
use opus_plain as opus_backend;

pub use auto_gain::{AutoGain, AutoGainProcessor, AutoGainReading};
pub use gain::{Gain, GainProcessor, GainReading};
pub use gate::{GateProcessor, GateReading, NoiseGate};
pub use high_pass::{HighPass, HighPassProcessor, HighPassReading};
pub use limiter::{Limiter, LimiterProcessor, LimiterReading};
pub use meter::{LevelMeter, Levels, MeterProcessor};
pub use scrub::{Scrub, ScrubReading, Scrubber};
pub use voice_activity::{Voice, VoiceActivity, VoiceDetector};

#[cfg(feature = "denoise")]
pub use denoise::{Denoise, DenoiseReading, Denoiser, Engine};
#[cfg(feature = "loudness")]
pub use loudness::{Loudness, LoudnessMeter, LoudnessProcessor};
#[cfg(feature = "resample")]
pub use resample::{Quality, Resample, Resampler};
#[cfg(feature = "spectrum")]
pub use spectrum::{Analyser, LiveSpectrum, Spectrum, SpectrumProcessor};

#[cfg(feature = "opus")]
pub(crate) use opus_packet::Layout;

#[cfg(feature = "opus")]
pub use opus_codec::{Application, Bandwidth, RateControl, Signal};
#[cfg(feature = "opus")]
pub use opus_decode::{OpusDecode, OpusDecodeReading, OpusDecoder};
#[cfg(feature = "opus")]
pub use opus_encode::{OpusEncode, OpusEncoder, OpusReading};
