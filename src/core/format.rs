//! Formats: what two stages that are put together agree on.

use std::fmt;

/// Format of a stream of [`Frame`](crate::Frame)s: sample rate, channels and frame length.
///
/// Every value of this type is valid. The rate is a multiple of 100 Hz from 8 to 192 kHz, so that 10 ms is a whole
/// number of samples. There are 1 or 2 channels, and a frame lasts 10 or 20 ms.
///
/// ```
/// use voxframe::Format;
/// let format = Format::stereo(44_100)?.with_frame_ms(20)?;
/// assert_eq!(format.samples_per_channel(), 882);
/// assert!(Format::mono(22_050).is_err());
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    sample_rate_hz: u32,
    channels: u16,
    frame_ms: u16,
}

impl Format {
    /// Maximum number of channels.
    pub const MAX_CHANNELS: usize = 2;

    /// Milliseconds in the longest frame.
    pub(crate) const MAX_FRAME_MS: usize = 20;

    /// Mono, in frames of 10 ms.
    ///
    /// # Errors
    /// [`FormatError::SampleRate`].
    pub fn mono(sample_rate_hz: u32) -> Result<Self, FormatError> {
        Self::new(sample_rate_hz, 1)
    }

    /// Stereo, left then right, in frames of 10 ms.
    ///
    /// # Errors
    /// [`FormatError::SampleRate`].
    pub fn stereo(sample_rate_hz: u32) -> Result<Self, FormatError> {
        Self::new(sample_rate_hz, 2)
    }

    /// Mono or stereo by the number of channels, in frames of 10 ms.
    ///
    /// # Errors
    /// [`FormatError::SampleRate`], [`FormatError::Channels`].
    pub fn new(sample_rate_hz: u32, channels: usize) -> Result<Self, FormatError> {
        let format = Self { sample_rate_hz: 48_000, channels: 1, frame_ms: 10 };
        format.with_sample_rate_hz(sample_rate_hz)?.with_channels(channels)
    }

    /// The same format with another sample rate.
    ///
    /// # Errors
    /// [`FormatError::SampleRate`].
    pub fn with_sample_rate_hz(self, sample_rate_hz: u32) -> Result<Self, FormatError> {
        if (8_000..=192_000).contains(&sample_rate_hz) && sample_rate_hz.is_multiple_of(100) {
            Ok(Self { sample_rate_hz, ..self })
        } else {
            Err(FormatError::SampleRate { rate_hz: sample_rate_hz })
        }
    }

    /// The same format with another number of channels.
    ///
    /// # Errors
    /// [`FormatError::Channels`].
    pub fn with_channels(self, channels: usize) -> Result<Self, FormatError> {
        match channels {
            1 | 2 => Ok(Self { channels: channels as u16, ..self }),
            _ => Err(FormatError::Channels { channels }),
        }
    }

    /// The same format with frames of 10 or 20 ms.
    ///
    /// # Errors
    /// [`FormatError::FrameLength`].
    pub fn with_frame_ms(self, frame_ms: u32) -> Result<Self, FormatError> {
        match frame_ms {
            10 | 20 => Ok(Self { frame_ms: frame_ms as u16, ..self }),
            _ => Err(FormatError::FrameLength { frame_ms }),
        }
    }

    /// Sample rate in Hz.
    pub const fn sample_rate_hz(self) -> u32 {
        self.sample_rate_hz
    }

    /// Number of channels, 1 or 2.
    pub const fn channels(self) -> usize {
        self.channels as usize
    }

    /// Frame length in ms, 10 or 20.
    pub const fn frame_ms(self) -> u32 {
        self.frame_ms as u32
    }

    /// Frame length in samples per channel.
    pub const fn samples_per_channel(self) -> usize {
        (self.sample_rate_hz / 100 * self.frame_ms as u32 / 10) as usize
    }

    /// Time in ms as samples per channel, rounded to the nearest.
    pub fn samples_in_ms(self, ms: f32) -> usize {
        (f64::from(ms) * f64::from(self.sample_rate_hz) / 1000.0).round() as usize
    }

    /// Samples per channel as a time in ms.
    pub fn ms(self, samples: usize) -> f64 {
        samples as f64 * 1000.0 / f64::from(self.sample_rate_hz)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = if self.channels == 1 { "mono" } else { "stereo" };
        write!(f, "{} Hz {channels}, {} ms frames", self.sample_rate_hz, self.frame_ms)
    }
}

/// Sample rate, channel count or frame length that no [`Format`] has. A set-up error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FormatError {
    /// Sample rate that is not a multiple of 100 Hz from 8 to 192 kHz. For devices at 11 025 or 22 050 Hz, let
    /// `Capture` or `Playout` resample.
    SampleRate {
        /// The rate asked for, in Hz.
        rate_hz: u32,
    },
    /// Channel count other than 1 or 2.
    Channels {
        /// The count asked for.
        channels: usize,
    },
    /// Frame length other than 10 or 20 ms.
    FrameLength {
        /// The length asked for, in ms.
        frame_ms: u32,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FormatError::SampleRate { rate_hz } => write!(
                f,
                "a format cannot have {rate_hz} Hz: rates are multiples of 100 Hz from 8000 to 192000 \
                 (for 11025 or 22050 Hz let Capture or Playout resample)"
            ),
            FormatError::Channels { channels } => write!(f, "a format has 1 or 2 channels, not {channels}"),
            FormatError::FrameLength { frame_ms } => write!(f, "frames are 10 or 20 ms long, not {frame_ms} ms"),
        }
    }
}

impl std::error::Error for FormatError {}

/// Position or length at one sample rate, as the nearest one at another.
pub(crate) fn rescale(samples: i64, from_hz: u32, to_hz: u32) -> i64 {
    let scaled = 2 * i128::from(samples) * i128::from(to_hz) + i128::from(from_hz);
    scaled.div_euclid(2 * i128::from(from_hz)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_frames_are_formats() {
        for rate in [8_000, 11_000, 16_000, 44_100, 48_000, 192_000] {
            let format = Format::mono(rate).unwrap();
            assert_eq!(format.samples_per_channel() * 100, rate as usize);
            assert_eq!(format.with_frame_ms(20).unwrap().samples_per_channel() * 50, rate as usize);
        }
        for rate in [0, 7_900, 11_025, 22_050, 44_099, 192_100, u32::MAX] {
            assert_eq!(Format::mono(rate), Err(FormatError::SampleRate { rate_hz: rate }));
        }
        assert!(Format::new(48_000, 0).is_err());
        assert!(Format::new(48_000, 3).is_err());
        assert!(Format::mono(48_000).unwrap().with_frame_ms(15).is_err());
    }

    #[test]
    fn rescaling_rounds_to_nearest_on_both_sides_of_zero() {
        assert_eq!(rescale(441, 44_100, 48_000), 480);
        assert_eq!(rescale(-480, 48_000, 16_000), -160);
        assert_eq!(rescale(-1, 48_000, 16_000), 0);
        assert_eq!(rescale(-2, 48_000, 16_000), -1);
        assert_eq!(rescale(1, 16_000, 48_000), 3);
    }

    #[test]
    fn times_are_samples_per_channel() {
        let format = Format::mono(44_100).unwrap();
        assert_eq!([0.0, 1.0, 1.2, 20.0].map(|ms| format.samples_in_ms(ms)), [0, 44, 53, 882]);
        assert_eq!(format.ms(441), 10.0);
    }
}
