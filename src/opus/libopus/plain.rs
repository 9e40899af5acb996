//! Binding of libopus without its neural parts: the crate `opus`.

pub use opus::{Application, Bandwidth, Channels, Decoder, Encoder, Signal};

use crate::core::{Error, Result};
use crate::opus::settings::{self, OpusEncode};

pub fn bandwidth(bandwidth: settings::Bandwidth) -> Bandwidth {
    match bandwidth {
        settings::Bandwidth::Narrow => Bandwidth::Narrowband,
        settings::Bandwidth::Medium => Bandwidth::Mediumband,
        settings::Bandwidth::Wide => Bandwidth::Wideband,
        settings::Bandwidth::SuperWide => Bandwidth::Superwideband,
        settings::Bandwidth::Full => Bandwidth::Fullband,
    }
}

pub fn new_encoder(channels: Channels, rate_hz: u32, application: Application) -> Result<Encoder> {
    Ok(Encoder::new(rate_hz, channels, application)?)
}

/// Applies the settings whose names or types differ between the bindings.
pub fn apply(codec: &mut Encoder, settings: &OpusEncode) -> Result<()> {
    codec.set_bitrate(opus::Bitrate::Bits(settings.bitrate_bps as i32))?;
    codec.set_complexity(settings.complexity.into())?;
    codec.set_inband_fec(settings.fec)?;
    codec.set_packet_loss_perc(settings.loss_percent.into())?;
    Ok(())
}

pub fn lookahead(codec: &mut Encoder) -> Result<usize> {
    Ok(codec.get_lookahead()?.max(0) as usize)
}

pub fn encode(codec: &mut Encoder, sound: &[f32], packet: &mut [u8]) -> Result<usize> {
    Ok(codec.encode_float(sound, packet)?)
}

pub fn reset_encoder(codec: &mut Encoder) -> Result<()> {
    Ok(codec.reset_state()?)
}

pub fn new_decoder(channels: Channels, rate_hz: u32) -> Result<Decoder> {
    Ok(Decoder::new(rate_hz, channels)?)
}

pub fn set_decoder_complexity(_: &mut Decoder, _: u8) -> Result<()> {
    Ok(())
}

pub fn decode(codec: &mut Decoder, packet: &[u8], sound: &mut [f32], fec: bool) -> Result<()> {
    codec.decode_float(packet, sound, fec)?;
    Ok(())
}

pub fn decode_dred(_: &mut Decoder, _: &[u8], _: &mut [f32]) -> Result<()> {
    Err(Error::Unavailable { setting: "DRED", feature: "deep-plc" })
}

pub fn reset_decoder(codec: &mut Decoder) -> Result<()> {
    Ok(codec.reset_state()?)
}
