//! Binding of libopus with its neural parts: the crate `opusic-c`.

pub use opusic_c::dred::Dred as Decoder;
pub use opusic_c::{Application, Bandwidth, Channels, Encoder, Signal};
use opusic_c::{Bitrate, ErrorCode, InbandFec, SampleRate};

use super::codes;
use crate::core::{Error, Result};
use crate::opus::settings::{self, OpusEncode};

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        codes::error(code as i32)
    }
}

/// Sample rate, one of those that Opus has.
fn rate(rate_hz: u32) -> SampleRate {
    match rate_hz {
        8_000 => SampleRate::Hz8000,
        12_000 => SampleRate::Hz12000,
        16_000 => SampleRate::Hz16000,
        24_000 => SampleRate::Hz24000,
        _ => SampleRate::Hz48000,
    }
}

pub fn bandwidth(bandwidth: settings::Bandwidth) -> Bandwidth {
    match bandwidth {
        settings::Bandwidth::Narrow => Bandwidth::Narrow,
        settings::Bandwidth::Medium => Bandwidth::Medium,
        settings::Bandwidth::Wide => Bandwidth::Wide,
        settings::Bandwidth::SuperWide => Bandwidth::Superwide,
        settings::Bandwidth::Full => Bandwidth::Full,
    }
}

pub fn new_encoder(channels: Channels, rate_hz: u32, application: Application) -> Result<Encoder> {
    Ok(Encoder::new(channels, rate(rate_hz), application)?)
}

/// Applies the settings whose names or types differ between the bindings.
pub fn apply(codec: &mut Encoder, settings: &OpusEncode) -> Result<()> {
    codec.set_bitrate(Bitrate::Value(settings.bitrate_bps))?;
    codec.set_complexity(settings.complexity)?;
    codec.set_inband_fec(if settings.fec { InbandFec::Mode1 } else { InbandFec::Off })?;
    codec.set_packet_loss(settings.loss_percent)?;
    // In steps of 10 ms.
    codec.set_dred_duration((settings.dred_ms / 10) as u8)?;
    Ok(())
}

pub fn lookahead(codec: &mut Encoder) -> Result<usize> {
    Ok(codec.get_look_ahead()? as usize)
}

pub fn encode(codec: &mut Encoder, sound: &[f32], packet: &mut [u8]) -> Result<usize> {
    Ok(codec.encode_float_to_slice(sound, packet)?)
}

pub fn reset_encoder(codec: &mut Encoder) -> Result<()> {
    Ok(codec.reset()?)
}

pub fn new_decoder(channels: Channels, rate_hz: u32) -> Result<Decoder> {
    Ok(Decoder::new(opusic_c::Decoder::new(channels, rate(rate_hz))?)?)
}

pub fn set_decoder_complexity(codec: &mut Decoder, complexity: u8) -> Result<()> {
    Ok(codec.decoder_mut().set_complexity(complexity)?)
}

pub fn decode(codec: &mut Decoder, packet: &[u8], sound: &mut [f32], fec: bool) -> Result<()> {
    codec.decoder_mut().decode_float_to_slice(packet, sound, fec)?;
    Ok(())
}

pub fn decode_dred(codec: &mut Decoder, packet: &[u8], sound: &mut [f32]) -> Result<()> {
    codec.decode_float_to_slice(packet, sound)?;
    Ok(())
}

pub fn reset_decoder(codec: &mut Decoder) -> Result<()> {
    // The DRED decoder itself keeps nothing between packets, and libopus knows no reset of it.
    Ok(codec.decoder_mut().reset()?)
}
