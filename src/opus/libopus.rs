//! libopus behind one interface.
//!
//! The binding is the crate `opus`. It reaches neither DRED nor the complexity of the decoder, so with the feature
//! `deep-plc` it is `opusic-c` instead, to the same libopus. (`opusic-c` alone would not do: its repacketizer wants
//! `unsafe`.) A binding's file holds only what differs.

mod codes;
#[cfg(feature = "deep-plc")]
mod neural;
#[cfg(not(feature = "deep-plc"))]
mod plain;

#[cfg(feature = "deep-plc")]
use neural as binding;
#[cfg(not(feature = "deep-plc"))]
use plain as binding;

use super::settings::{Application, OpusEncode, RateControl, Signal};
use crate::core::{Error, Format, Result};

/// Encoder of libopus.
pub struct Encoder(binding::Encoder);

impl Encoder {
    /// Encoder for a format that [`check_rate`] accepts. Allocates.
    pub fn new(format: Format, application: Application) -> Result<Self> {
        Ok(Self(binding::new_encoder(channels(format), format.sample_rate_hz(), binding_application(application))?))
    }

    /// Applies everything but the application. `fixed` pins bandwidth and channels to those of a format.
    pub fn apply(&mut self, settings: &OpusEncode, fixed: Option<Format>) -> Result<()> {
        let codec = &mut self.0;
        let (variable, constrained) = match settings.rate_control {
            RateControl::Vbr => (true, false),
            RateControl::Cvbr => (true, true),
            RateControl::Cbr => (false, false),
        };
        let max_bandwidth = binding::bandwidth(settings.max_bandwidth);
        binding::apply(codec, settings)?;
        codec.set_vbr(variable)?;
        codec.set_vbr_constraint(constrained)?;
        codec.set_signal(match settings.signal {
            Signal::Auto => binding::Signal::Auto,
            Signal::Voice => binding::Signal::Voice,
            Signal::Music => binding::Signal::Music,
        })?;
        codec.set_max_bandwidth(max_bandwidth)?;
        codec.set_dtx(settings.dtx)?;
        codec.set_bandwidth(if fixed.is_some() { max_bandwidth } else { binding::Bandwidth::Auto })?;
        codec.set_force_channels(fixed.map(channels))?;
        Ok(())
    }

    /// Sets the application; libopus accepts it right after a reset only.
    pub fn set_application(&mut self, application: Application) -> Result<()> {
        Ok(self.0.set_application(binding_application(application))?)
    }

    /// Lookahead in samples per channel.
    pub fn lookahead(&mut self) -> Result<usize> {
        binding::lookahead(&mut self.0)
    }

    /// Encodes interleaved sound; returns the number of bytes.
    pub fn encode(&mut self, sound: &[f32], packet: &mut [u8]) -> Result<usize> {
        binding::encode(&mut self.0, sound, packet)
    }

    /// Returns to the start of a stream.
    pub fn reset(&mut self) -> Result<()> {
        binding::reset_encoder(&mut self.0)
    }
}

fn binding_application(application: Application) -> binding::Application {
    match application {
        Application::Voip => binding::Application::Voip,
        Application::Audio => binding::Application::Audio,
        Application::LowDelay => binding::Application::LowDelay,
    }
}

fn channels(format: Format) -> binding::Channels {
    if format.channels() == 1 { binding::Channels::Mono } else { binding::Channels::Stereo }
}

/// Decoder of libopus. It fills the whole of the interleaved `sound` it is given.
pub struct Decoder(binding::Decoder);

impl Decoder {
    /// Decoder for a format that [`check_rate`] accepts. Allocates.
    pub fn new(format: Format) -> Result<Self> {
        Ok(Self(binding::new_decoder(channels(format), format.sample_rate_hz())?))
    }

    /// Sets the complexity; without the neural parts it has no effect.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<()> {
        binding::set_decoder_complexity(&mut self.0, complexity)
    }

    /// Sound of a packet.
    pub fn decode(&mut self, packet: &[u8], sound: &mut [f32]) -> Result<()> {
        binding::decode(&mut self.0, packet, sound, false)
    }

    /// Sound right before `packet`, from the in-band FEC in it.
    pub fn decode_fec(&mut self, packet: &[u8], sound: &mut [f32]) -> Result<()> {
        binding::decode(&mut self.0, packet, sound, true)
    }

    /// Sound right before `packet`, from the DRED in it; concealed where that does not reach back so far. Fails without
    /// the neural parts.
    pub fn decode_dred(&mut self, packet: &[u8], sound: &mut [f32]) -> Result<()> {
        binding::decode_dred(&mut self.0, packet, sound)
    }

    /// Sound in place of a lost packet.
    pub fn conceal(&mut self, sound: &mut [f32]) -> Result<()> {
        binding::decode(&mut self.0, &[], sound, false)
    }

    /// Returns to the start of a stream.
    pub fn reset(&mut self) -> Result<()> {
        binding::reset_decoder(&mut self.0)
    }
}

/// Checks that Opus runs at the rate of `format`.
pub fn check_rate(stage: &'static str, format: Format) -> Result<()> {
    match format.sample_rate_hz() {
        8_000 | 12_000 | 16_000 | 24_000 | 48_000 => Ok(()),
        rate_hz => Err(Error::UnsupportedRate {
            stage,
            rate_hz,
            advice: "Opus takes 8, 12, 16, 24 or 48 kHz: resample to one of them",
        }),
    }
}
