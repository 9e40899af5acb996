//! Microphone and loudspeaker, through `cpal`.

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{SampleFormat, SizedSample, Stream, StreamConfig};
use tracing::warn;
use voxframe::call::{Call, CallControls, CallNetwork, Device, Loudspeaker, Microphone};
use voxframe::device::DeviceSample;

use super::JoinError;

/// Streams of the default devices; they run while this is there.
pub struct SoundCard {
    _streams: [Stream; 2],
}

impl SoundCard {
    /// Opens the default devices and the call between them.
    ///
    /// # Errors
    /// [`JoinError::Sound`] where there is no device, or none that can be used.
    pub fn open(call: &Call) -> Result<(CallNetwork, CallControls, Self), JoinError> {
        let host = cpal::default_host();
        let none = |what: &str| JoinError::Sound(what.into(), "there is none".into());
        let input = host.default_input_device().ok_or_else(|| none("microphone"))?;
        let output = host.default_output_device().ok_or_else(|| none("loudspeaker"))?;
        let spoken = input.default_input_config().map_err(failed("microphone"))?;
        let heard = output.default_output_config().map_err(failed("loudspeaker"))?;
        let (spoken_format, heard_format) = (spoken.sample_format(), heard.sample_format());
        let (spoken, heard): (StreamConfig, StreamConfig) = (spoken.into(), heard.into());
        let device = |config: &StreamConfig| Device::new(config.sample_rate, config.channels.into());
        let (microphone, loudspeaker, network, controls) = call.open(device(&spoken), device(&heard))?;
        let microphone = match spoken_format {
            SampleFormat::F32 => capture::<f32>(&input, spoken, microphone),
            SampleFormat::I32 => capture::<i32>(&input, spoken, microphone),
            SampleFormat::I16 => capture::<i16>(&input, spoken, microphone),
            SampleFormat::U16 => capture::<u16>(&input, spoken, microphone),
            other => Err(JoinError::Sound("microphone".into(), format!("samples of {other} are not known"))),
        }?;
        let loudspeaker = match heard_format {
            SampleFormat::F32 => play::<f32>(&output, heard, loudspeaker),
            SampleFormat::I32 => play::<i32>(&output, heard, loudspeaker),
            SampleFormat::I16 => play::<i16>(&output, heard, loudspeaker),
            SampleFormat::U16 => play::<u16>(&output, heard, loudspeaker),
            other => Err(JoinError::Sound("loudspeaker".into(), format!("samples of {other} are not known"))),
        }?;
        microphone.play().map_err(failed("microphone"))?;
        loudspeaker.play().map_err(failed("loudspeaker"))?;
        Ok((network, controls, Self { _streams: [microphone, loudspeaker] }))
    }
}

fn capture<S: SizedSample + DeviceSample>(
    device: &cpal::Device,
    config: StreamConfig,
    mut microphone: Microphone,
) -> Result<Stream, JoinError> {
    device
        .build_input_stream(
            config,
            // A bad buffer is left out; the next one goes on.
            move |samples: &[S], _: &_| {
                let _ = microphone.callback(samples);
            },
            |error| warn!("microphone: {error}"),
            None,
        )
        .map_err(failed("microphone"))
}

fn play<S: SizedSample + DeviceSample>(
    device: &cpal::Device,
    config: StreamConfig,
    mut loudspeaker: Loudspeaker,
) -> Result<Stream, JoinError> {
    device
        .build_output_stream(
            config,
            move |samples: &mut [S], _: &_| {
                let _ = loudspeaker.callback(samples);
            },
            |error| warn!("loudspeaker: {error}"),
            None,
        )
        .map_err(failed("loudspeaker"))
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> JoinError {
    move |error| JoinError::Sound(what.into(), error.to_string())
}
