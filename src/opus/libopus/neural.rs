//! libopus through the crate `opusic-c`: with its neural parts.

use opusic_c::dred::Dred;
use opusic_c::{Bitrate, Channels, ErrorCode, InbandFec, SampleRate};

use super::super::settings::{Application, Bandwidth, OpusEncode, Signal};
use super::translate;
use crate::core::error::CodecError;
use crate::core::{Error, Format, Result};

translate! {
    Application to opusic_c::Application {
        Voip => opusic_c::Application::Voip,
        Audio => opusic_c::Application::Audio,
        LowDelay => opusic_c::Application::LowDelay,
    }
    Signal to opusic_c::Signal {
        Auto => opusic_c::Signal::Auto,
        Voice => opusic_c::Signal::Voice,
        Music => opusic_c::Signal::Music,
    }
    Bandwidth to opusic_c::Bandwidth {
        Narrow => opusic_c::Bandwidth::Narrow,
        Medium => opusic_c::Bandwidth::Medium,
        Wide => opusic_c::Bandwidth::Wide,
        SuperWide => opusic_c::Bandwidth::Superwide,
        Full => opusic_c::Bandwidth::Full,
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Error::Codec(match code {
            ErrorCode::InvalidPacket => CodecError::InvalidPacket,
            ErrorCode::BadArg => CodecError::InvalidSettings,
            code => CodecError::Internal(code as i32),
        })
    }
}

fn channels(format: Format) -> Channels {
    if format.channels() == 1 { Channels::Mono } else { Channels::Stereo }
}

/// The rate of a format that has been checked.
fn rate(format: Format) -> SampleRate {
    match format.sample_rate_hz() {
        8_000 => SampleRate::Hz8000,
        12_000 => SampleRate::Hz12000,
        16_000 => SampleRate::Hz16000,
        24_000 => SampleRate::Hz24000,
        _ => SampleRate::Hz48000,
    }
}

/// Whether the neural parts are there.
pub const NEURAL: bool = true;

/// libopus's encoder.
pub struct Encoder(opusic_c::Encoder);

impl Encoder {
    pub fn new(format: Format, application: Application) -> Result<Self> {
        Ok(Self(opusic_c::Encoder::new(channels(format), rate(format), application.into())?))
    }

    /// Sets everything but the application. `fixed` holds bandwidth and channels where they are.
    pub fn apply(&mut self, settings: &OpusEncode, fixed: Option<Format>) -> Result<()> {
        let codec = &mut self.0;
        let (variable, constrained) = super::switches(settings.rate_control);
        codec.set_bitrate(Bitrate::Value(settings.bitrate_bps))?;
        codec.set_vbr(variable)?;
        codec.set_vbr_constraint(constrained)?;
        codec.set_complexity(settings.complexity)?;
        codec.set_signal(settings.signal.into())?;
        codec.set_max_bandwidth(settings.max_bandwidth.into())?;
        codec.set_inband_fec(if settings.fec { InbandFec::Mode1 } else { InbandFec::Off })?;
        codec.set_packet_loss(settings.loss_percent)?;
        codec.set_dtx(settings.dtx)?;
        // In steps of 10 ms.
        codec.set_dred_duration((settings.dred_ms / 10) as u8)?;
        codec.set_bandwidth(if fixed.is_some() { settings.max_bandwidth.into() } else { opusic_c::Bandwidth::Auto })?;
        codec.set_force_channels(fixed.map(channels))?;
        Ok(())
    }

    pub fn set_application(&mut self, application: Application) -> Result<()> {
        Ok(self.0.set_application(application.into())?)
    }

    pub fn lookahead(&mut self) -> Result<usize> {
        Ok(self.0.get_look_ahead()? as usize)
    }

    pub fn encode(&mut self, sound: &[f32], packet: &mut [u8]) -> Result<usize> {
        Ok(self.0.encode_float_to_slice(sound, packet)?)
    }

    pub fn reset(&mut self) -> Result<()> {
        Ok(self.0.reset()?)
    }
}

/// libopus's decoder. What it fills is as long as the sound asked for.
pub struct Decoder(Dred);

impl Decoder {
    pub fn new(format: Format) -> Result<Self> {
        Ok(Self(Dred::new(opusic_c::Decoder::new(channels(format), rate(format))?)?))
    }

    pub fn set_complexity(&mut self, complexity: u8) -> Result<()> {
        Ok(self.0.decoder_mut().set_complexity(complexity)?)
    }

    pub fn decode(&mut self, packet: &[u8], sound: &mut [f32]) -> Result<()> {
        self.0.decoder_mut().decode_float_to_slice(packet, sound, false)?;
        Ok(())
    }

    /// The sound before `next`, from the forward error correction in it.
    pub fn rebuild(&mut self, next: &[u8], sound: &mut [f32]) -> Result<()> {
        self.0.decoder_mut().decode_float_to_slice(next, sound, true)?;
        Ok(())
    }

    /// The sound right before `packet`, from the DRED in it. Where that does not reach back so far, it is concealed.
    pub fn rebuild_from_dred(&mut self, packet: &[u8], sound: &mut [f32]) -> Result<()> {
        self.0.decode_float_to_slice(packet, sound)?;
        Ok(())
    }

    pub fn conceal(&mut self, sound: &mut [f32]) -> Result<()> {
        self.0.decoder_mut().decode_float_to_slice(&[], sound, false)?;
        Ok(())
    }

    pub fn reset(&mut self) -> Result<()> {
        // The DRED decoder itself keeps nothing between packets, and libopus knows no reset of it.
        Ok(self.0.decoder_mut().reset()?)
    }
}
