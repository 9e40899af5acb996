//! libopus through the crate `opus`: all but its neural parts.

use super::super::settings::{Application, Bandwidth, OpusEncode, Signal};
use super::translate;
use crate::core::{Error, Format, Result};

translate! {
    Application to opus::Application {
        Voip => opus::Application::Voip,
        Audio => opus::Application::Audio,
        LowDelay => opus::Application::LowDelay,
    }
    Signal to opus::Signal {
        Auto => opus::Signal::Auto,
        Voice => opus::Signal::Voice,
        Music => opus::Signal::Music,
    }
    Bandwidth to opus::Bandwidth {
        Narrow => opus::Bandwidth::Narrowband,
        Medium => opus::Bandwidth::Mediumband,
        Wide => opus::Bandwidth::Wideband,
        SuperWide => opus::Bandwidth::Superwideband,
        Full => opus::Bandwidth::Fullband,
    }
}

fn channels(format: Format) -> opus::Channels {
    if format.channels() == 1 { opus::Channels::Mono } else { opus::Channels::Stereo }
}

/// Whether the neural parts are there.
pub const NEURAL: bool = false;

/// libopus's encoder.
pub struct Encoder(opus::Encoder);

impl Encoder {
    pub fn new(format: Format, application: Application) -> Result<Self> {
        Ok(Self(opus::Encoder::new(format.sample_rate_hz(), channels(format), application.into())?))
    }

    /// Sets everything but the application. `fixed` holds bandwidth and channels where they are.
    pub fn apply(&mut self, settings: &OpusEncode, fixed: Option<Format>) -> Result<()> {
        let codec = &mut self.0;
        let (variable, constrained) = super::switches(settings.rate_control);
        codec.set_bitrate(opus::Bitrate::Bits(settings.bitrate_bps as i32))?;
        codec.set_vbr(variable)?;
        codec.set_vbr_constraint(constrained)?;
        codec.set_complexity(settings.complexity.into())?;
        codec.set_signal(settings.signal.into())?;
        codec.set_max_bandwidth(settings.max_bandwidth.into())?;
        codec.set_inband_fec(settings.fec)?;
        codec.set_packet_loss_perc(settings.loss_percent.into())?;
        codec.set_dtx(settings.dtx)?;
        codec.set_bandwidth(if fixed.is_some() { settings.max_bandwidth.into() } else { opus::Bandwidth::Auto })?;
        codec.set_force_channels(fixed.map(channels))?;
        Ok(())
    }

    pub fn set_application(&mut self, application: Application) -> Result<()> {
        Ok(self.0.set_application(application.into())?)
    }

    pub fn lookahead(&mut self) -> Result<usize> {
        Ok(self.0.get_lookahead()?.max(0) as usize)
    }

    pub fn encode(&mut self, sound: &[f32], packet: &mut [u8]) -> Result<usize> {
        Ok(self.0.encode_float(sound, packet)?)
    }

    pub fn reset(&mut self) -> Result<()> {
        Ok(self.0.reset_state()?)
    }
}

/// libopus's decoder. What it fills is as long as the sound asked for.
pub struct Decoder(opus::Decoder);

impl Decoder {
    pub fn new(format: Format) -> Result<Self> {
        Ok(Self(opus::Decoder::new(format.sample_rate_hz(), channels(format))?))
    }

    /// There is nothing to set: its only use is for the neural parts.
    pub fn set_complexity(&mut self, _complexity: u8) -> Result<()> {
        Ok(())
    }

    pub fn decode(&mut self, packet: &[u8], sound: &mut [f32]) -> Result<()> {
        self.0.decode_float(packet, sound, false)?;
        Ok(())
    }

    /// The sound before `next`, from the forward error correction in it.
    pub fn rebuild(&mut self, next: &[u8], sound: &mut [f32]) -> Result<()> {
        self.0.decode_float(next, sound, true)?;
        Ok(())
    }

    /// Never called: there is no DRED here.
    pub fn rebuild_from_dred(&mut self, _packet: &[u8], _sound: &mut [f32]) -> Result<()> {
        Err(Error::Unavailable { setting: "DRED", feature: "deep-plc" })
    }

    pub fn conceal(&mut self, sound: &mut [f32]) -> Result<()> {
        self.0.decode_float(&[], sound, false)?;
        Ok(())
    }

    pub fn reset(&mut self) -> Result<()> {
        Ok(self.0.reset_state()?)
    }
}
