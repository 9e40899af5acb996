//! One block of sound.

use super::error::{Error, Result};
use super::format::Format;
use crate::dsp::kernels;

/// 10 or 20 ms of all channels, as `f32` with full scale at ±1.0.
///
/// Samples are planar: all of the left channel, then all of the right. A frame knows where in the stream it belongs
/// ([`position`](Self::position)) and, once a detector has looked at it, how likely it holds speech.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    format: Format,
    position: i64,
    speech_probability: Option<f32>,
    samples: Box<[f32]>,
}

impl Frame {
    /// A silent frame at position 0. Allocates.
    pub fn new(format: Format) -> Self {
        let samples = vec![0.0; format.samples_per_channel() * format.channels()].into_boxed_slice();
        Self { format, position: 0, speech_probability: None, samples }
    }

    /// Sample rate, channels and length.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Where the first sample belongs, in samples per channel of this frame's rate since the first captured sample.
    ///
    /// A stage that delays takes its delay off, so the number names the moment at which the sound in this frame was
    /// captured, however many stages it went through. It is negative while a delay is filling up: what stands before
    /// position 0 was never captured and can be dropped.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Sets the [`position`](Self::position).
    pub fn set_position(&mut self, position: i64) {
        self.position = position;
    }

    /// How likely this frame holds speech, 0 to 1; `None` until a detector has said so.
    pub fn speech_probability(&self) -> Option<f32> {
        self.speech_probability
    }

    /// Sets the [`speech_probability`](Self::speech_probability).
    pub fn set_speech_probability(&mut self, probability: Option<f32>) {
        self.speech_probability = probability;
    }

    /// All samples, one channel after the other.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// All samples, one channel after the other.
    pub fn samples_mut(&mut self) -> &mut [f32] {
        &mut self.samples
    }

    /// The channels in order, a slice each.
    pub fn channels(&self) -> std::slice::ChunksExact<'_, f32> {
        self.samples.chunks_exact(self.format.samples_per_channel())
    }

    /// The channels in order, a slice each.
    pub fn channels_mut(&mut self) -> std::slice::ChunksExactMut<'_, f32> {
        self.samples.chunks_exact_mut(self.format.samples_per_channel())
    }

    /// What every processor does first with a frame it was given: fails if the frame is not of the `expected` format,
    /// and silences what is no sound (NaN, infinities, and magnitudes over 2³², which no integer PCM taken for float
    /// reaches), so that nothing after it has to think of them.
    ///
    /// # Errors
    /// [`Error::WrongFormat`]; the frame is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn check_and_sanitize(&mut self, expected: Format) -> Result<()> {
        self.check_format(expected)?;
        kernels::sanitize(&mut self.samples);
        Ok(())
    }

    /// The first half of [`check_and_sanitize`](Self::check_and_sanitize).
    pub(crate) fn check_format(&self, expected: Format) -> Result<()> {
        if self.format == expected { Ok(()) } else { Err(Error::WrongFormat { expected, actual: self.format }) }
    }

    /// Makes this frame equal to `other`.
    ///
    /// # Errors
    /// [`Error::WrongFormat`]; the frame is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn copy_from(&mut self, other: &Frame) -> Result<()> {
        if self.format != other.format {
            return Err(Error::WrongFormat { expected: self.format, actual: other.format });
        }
        self.samples.copy_from_slice(&other.samples);
        self.position = other.position;
        self.speech_probability = other.speech_probability;
        Ok(())
    }

    /// Fills the frame from interleaved samples.
    ///
    /// # Errors
    /// [`Error::WrongLength`]; the frame is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn copy_from_interleaved(&mut self, interleaved: &[f32]) -> Result<()> {
        self.same_length(interleaved)?;
        let channels = self.format.channels();
        for (index, channel) in self.channels_mut().enumerate() {
            for (sample, group) in channel.iter_mut().zip(interleaved.chunks_exact(channels)) {
                *sample = group[index];
            }
        }
        Ok(())
    }

    /// Writes the samples out interleaved.
    ///
    /// # Errors
    /// [`Error::WrongLength`]; nothing is written.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn copy_to_interleaved(&self, interleaved: &mut [f32]) -> Result<()> {
        self.same_length(interleaved)?;
        let channels = self.format.channels();
        for (index, channel) in self.channels().enumerate() {
            for (sample, group) in channel.iter().zip(interleaved.chunks_exact_mut(channels)) {
                group[index] = *sample;
            }
        }
        Ok(())
    }

    fn same_length(&self, samples: &[f32]) -> Result<()> {
        if samples.len() == self.samples.len() {
            Ok(())
        } else {
            Err(Error::WrongLength { expected: self.samples.len(), actual: samples.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaving_there_and_back() {
        let format = Format::stereo(8_000).unwrap();
        let interleaved: Vec<f32> = (0..160).map(|i| i as f32).collect();
        let mut frame = Frame::new(format);
        frame.copy_from_interleaved(&interleaved).unwrap();
        let left = frame.channels().next().unwrap();
        assert_eq!(&left[..3], &[0.0, 2.0, 4.0]);
        let mut back = vec![0.0; 160];
        frame.copy_to_interleaved(&mut back).unwrap();
        assert_eq!(back, interleaved);
        assert_eq!(frame.copy_from_interleaved(&[0.0; 3]), Err(Error::WrongLength { expected: 160, actual: 3 }));
    }

    #[test]
    fn only_a_frame_of_the_right_format_is_admitted() {
        let format = Format::mono(48_000).unwrap();
        let mut frame = Frame::new(format);
        frame.samples_mut()[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, -1e30, 40_000.0]);
        let other = Format::stereo(48_000).unwrap();
        assert_eq!(frame.check_and_sanitize(other), Err(Error::WrongFormat { expected: other, actual: format }));
        assert!(frame.samples()[0].is_nan());
        frame.check_and_sanitize(format).unwrap();
        assert_eq!(&frame.samples()[..4], &[0.0, 0.0, 0.0, 40_000.0]);
    }
}
