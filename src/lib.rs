//! Real-time voice processing: composable stages that turn a raw microphone into clean, level, packetised speech, and
//! packets back into sound, in frames of 10 or 20 ms.
//!
//! # The model
//! - A [`Stage`] is settings: a plain value. [`Stage::prepare`] checks them, allocates every buffer, and returns a
//!   [`Processor`].
//! - A processor takes one [`Frame`] (or [`Packet`]) and lends at most one. It never allocates, locks or blocks.
//! - Stages are composed with [`Stage::then`] at compile time, or in a [`Pipeline`] at run time. A [`Profile`] is the
//!   ready-made uplink.
//! - A [`Source`] is pulled, one frame whenever one is wanted: the output of a [`JitterBuffer`], and stages behind it.
//! - Inside, there is one block size: the frame. Device buffers of any length, layout, type and rate exist at the edges
//!   only: [`Capture`] in front, [`Playout`] behind.
//! - A [`Handle`] changes the settings of a running stage and reads its state, from any thread, without a click. It
//!   belongs to the application and outlives the processors it controls.
//! - Frames and packets carry the position of their sound ([`Frame::position`], [`Packet::position`]). Every delay is
//!   accounted for to the sample.
//!
//! # Where things are
//! The root has what nearly every user needs. The rest is in a module by subject: stages in [`gain`], [`gate`],
//! [`high_pass`], [`denoise`], [`echo`], [`auto_gain`], [`limiter`], [`meter`], [`resample`], [`input_check`], `loudness`,
//! `spectrum` and [`vad`]; [`device`] (edges, packet queue), [`opus`], `jitter`, `rtp`, `ogg`, [`call`] (profiles
//! and their switch, uplink, downlink, both as one, mixing, quality of the connection and adaptation), [`control`] (handles, stages of one's own), [`pipeline`] (composition), [`level`] (decibels) and [`error`].
//!
//! # Example
//! From a microphone buffer to packets:
//!
//! ```
//! # #[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))] {
//! use voxframe::{Capture, Denoise, Format, Gain, NoiseGate, OpusEncode, Resample, Stage};
//!
//! let microphone = Format::mono(44_100)?;
//! let mut capture = Capture::new(44_100, 2, microphone)?;
//! let mut uplink = Gain::db(3.0)
//!     .then(Resample::to(48_000))
//!     .then(Denoise::default())
//!     .then(NoiseGate { open_db: -45.0, close_db: -50.0, ..NoiseGate::default() })
//!     .then(OpusEncode::voip()) // two 10 ms frames make one 20 ms packet
//!     .prepare(microphone)?;
//!
//! let mut sent = 0;
//! let device_buffer = [0i16; 2 * 4096]; // whatever the sound card delivers
//! capture.run(&device_buffer, &mut uplink, |packet| {
//!     sent += packet.as_bytes().len(); // or push it to the network thread: device::packet_queue
//! })?;
//! assert!(sent > 0);
//! # }
//! # Ok::<(), voxframe::Error>(())
//! ```
//!
//! # Words
//! | word | meaning |
//! | --- | --- |
//! | frame | one 10 or 20 ms block of all channels; never "one sample of each channel" |
//! | format | sample rate, channels, frame length |
//! | stage, processor | settings, and what runs |
//! | uplink, downlink | microphone → packets, packets → loudspeaker |
//! | near end, far end | what the microphone hears, what the loudspeaker plays |
//! | packet | one Opus packet |
//! | position | when sound was captured, in samples since the first; delays are taken off |
//! | latency | by how much later sound comes out than it went in |
//! | dBFS | `20·log10(value / 1.0)`: see [`level`] |
//!
//! # Realtime safety
//! `process` and `reset` never allocate, lock, make a system call or loop without a bound, on whatever thread; nor do the
//! edges, nor the processor's end of a handle. Errors carry no heap data. A test with a counting allocator holds every
//! stage to it.
//!
//! # Features
//! On by default: `resample`, `denoise`, `hush`, `vad`, `opus`, `ogg`, `loudness`, `spectrum`. Off: `rtp`, `deep-plc`
//! (neural concealment, LACE, NoLACE and DRED of libopus), `serde`. Settings have the same fields in every build; what
//! was not built is refused by `prepare` with [`Error::Unavailable`].

#![deny(missing_docs, unsafe_code)]

mod core;
mod dsp;
mod neural;
mod stages;
#[cfg(test)]
mod testing;

pub mod call;
pub mod control;
pub mod device;
#[cfg(feature = "opus")]
pub mod jitter;
#[cfg(feature = "ogg")]
pub mod ogg;
pub mod opus;
#[cfg(feature = "rtp")]
pub mod rtcp;
#[cfg(feature = "rtp")]
pub mod rtp;
pub mod vad;

/// Composition of stages, at compile time and at run time; closures as stages, and positions counted anew.
pub mod pipeline {
    pub use crate::core::restamp::{Restamp, RestampProcessor};
    pub use crate::core::{
        Chain, FrameProcessor, Optional, Pipeline, ProcessFn, ProcessFnProcessor, SourceChain, Then, process_fn,
    };
}

/// The error type, and checks of settings for stages of one's own.
pub mod error {
    pub use crate::core::FormatError;
    pub use crate::core::error::*;
}

/// Levels in decibels.
pub mod level {
    pub use crate::dsp::level::*;
    pub use crate::dsp::speech_level::SpeechLevel;
}

#[cfg(feature = "loudness")]
pub use stages::loudness;
#[cfg(feature = "spectrum")]
pub use stages::spectrum;
pub use stages::{auto_gain, denoise, echo, gain, gate, high_pass, input_check, limiter, meter, resample};

pub use call::Profile;
pub use control::{Handle, Live};
pub use core::{Error, Format, Frame, Packet, Pipeline, Processor, Result, Source, Stage};
pub use device::{Capture, Playout};
#[cfg(feature = "opus")]
pub use jitter::JitterBuffer;
pub use opus::{OpusDecode, OpusEncode};
pub use stages::auto_gain::AutoGain;
pub use stages::denoise::Denoise;
pub use stages::echo::EchoCancel;
pub use stages::gain::Gain;
pub use stages::gate::NoiseGate;
pub use stages::high_pass::HighPass;
pub use stages::limiter::Limiter;
pub use stages::meter::LevelMeter;
pub use stages::resample::Resample;
pub use vad::VoiceActivity;

/// The code in the README, compiled.
#[cfg(all(doctest, feature = "resample", feature = "denoise", feature = "opus"))]
#[doc = include_str!("../README.md")]
struct Readme;
