//! Frames: one block of sound.

use super::error::{Error, Result};
use super::format::Format;
use super::measurements::{Measurements, OfChannels};
use crate::dsp::kernels;

/// Frame: 10 or 20 ms of all channels, as `f32` with full scale at ±1.0.
///
/// Samples are planar: all of the left channel, then all of the right. A frame carries its
/// [`position`](Self::position) in the stream and detections: behind a detector its
/// [`speech_probability`](Self::speech_probability), behind an echo canceller whether the
/// [far end speaks](Self::far_end_speech).
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    format: Format,
    position: i64,
    detections: Detections,
    /// Forgotten by whatever lends the samples to be changed.
    measurements: Measurements,
    samples: Box<[f32]>,
}

/// Detections that travel with a frame, to the stages behind the detector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Detections {
    speech_probability: Option<f32>,
    /// Probability of the voice activity detector, which has heard the level too: so one detector serves a pipeline.
    detected_speech: Option<f32>,
    /// Music, by the same detector.
    detected_music: bool,
    far_end_speech: bool,
}

impl Frame {
    /// Silent frame at position 0. Allocates.
    pub fn new(format: Format) -> Self {
        let samples = vec![0.0; format.samples_per_channel() * format.channels()].into_boxed_slice();
        Self { format, position: 0, detections: Detections::default(), measurements: Measurements::default(), samples }
    }

    /// Format: sample rate, channels and length.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Position: capture time of the first sample, in samples per channel at this frame's rate since the first captured
    /// sample.
    ///
    /// A stage that delays takes its delay off, so the position stays the capture time, however many stages the sound
    /// went through. It is negative while a delay fills up: sound before position 0 was never captured and can be
    /// dropped.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Sets the [`position`](Self::position).
    pub fn set_position(&mut self, position: i64) {
        self.position = position;
    }

    /// Speech probability, 0 to 1; `None` until a detector has set it.
    pub fn speech_probability(&self) -> Option<f32> {
        self.detections.speech_probability
    }

    /// Sets the [`speech_probability`](Self::speech_probability).
    pub fn set_speech_probability(&mut self, probability: Option<f32>) {
        self.detections.speech_probability = probability;
        self.detections.detected_speech = None;
    }

    /// Speech probability by the voice activity detector, once one has heard this frame.
    pub(crate) fn detected_speech(&self) -> Option<f32> {
        self.detections.detected_speech
    }

    /// Sets the [`detected_speech`](Self::detected_speech).
    pub(crate) fn set_detected_speech(&mut self, probability: f32) {
        self.detections.detected_speech = Some(probability);
    }

    /// Music: whether the voice activity detector has heard steady tones, which networks take for a voice.
    pub(crate) fn detected_music(&self) -> bool {
        self.detections.detected_music
    }

    /// Sets [`detected_music`](Self::detected_music).
    pub(crate) fn set_detected_music(&mut self, music: bool) {
        self.detections.detected_music = music;
    }

    /// Probability of speech at the near end: the best one known, or 0 while only the far end speaks.
    #[cfg(feature = "opus")]
    pub(crate) fn near_end_speech(&self) -> Option<f32> {
        let Detections { speech_probability, detected_speech, far_end_speech, .. } = self.detections;
        if far_end_speech { Some(0.0) } else { detected_speech.or(speech_probability) }
    }

    /// Far-end speech: whether what sounds like speech in this frame is the loudspeaker's. Default false.
    ///
    /// An echo canceller sets it while the far end speaks and the near end does not. For `AutoGain`, `NoiseGate`,
    /// `VoiceActivity` and the voice activity of a packet the frame then holds no speech, and no noise to learn from.
    pub fn far_end_speech(&self) -> bool {
        self.detections.far_end_speech
    }

    /// Sets [`far_end_speech`](Self::far_end_speech).
    pub fn set_far_end_speech(&mut self, far_end_speech: bool) {
        self.detections.far_end_speech = far_end_speech;
    }

    /// Forgets all detections, for new sound in this frame.
    pub fn clear_detections(&mut self) {
        self.detections = Detections::default();
    }

    /// Copies all detections of `other`, for what a stage makes of its sound in a frame of its own.
    pub fn copy_detections(&mut self, other: &Frame) {
        self.detections = other.detections;
    }

    /// All samples, planar: one channel after the other.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// All samples, planar: one channel after the other. To look at them take [`samples`](Self::samples): here the frame
    /// forgets what earlier stages measured, and the next one measures again.
    pub fn samples_mut(&mut self) -> &mut [f32] {
        self.measurements = Measurements::default();
        &mut self.samples
    }

    /// Channels in order, a slice each.
    pub fn channels(&self) -> std::slice::ChunksExact<'_, f32> {
        self.samples.chunks_exact(self.format.samples_per_channel())
    }

    /// Channels in order, a slice each. To look at them take [`channels`](Self::channels), as with
    /// [`samples_mut`](Self::samples_mut).
    pub fn channels_mut(&mut self) -> std::slice::ChunksExactMut<'_, f32> {
        let length = self.format.samples_per_channel();
        self.samples_mut().chunks_exact_mut(length)
    }

    /// Input check of every processor: fails if the frame is not of the `expected` format, and silences invalid
    /// samples, so that no filter behind it is poisoned. Invalid are NaN, infinities, and magnitudes over 2³², which no
    /// integer PCM taken for float reaches. A channel whose peak is below 10⁻¹⁹ (−380 dBFS) becomes silence: denormal numbers
    /// would take a hundred times as long.
    ///
    /// # Errors
    /// [`Error::WrongFormat`]; the frame is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn check_and_sanitize(&mut self, expected: Format) -> Result<()> {
        self.check_format(expected)?;
        self.peaks();
        Ok(())
    }

    /// Peak of each channel, sanitized unless it is so already.
    pub(crate) fn peaks(&mut self) -> OfChannels {
        self.measurements.peaks.unwrap_or_else(|| self.sanitize())
    }

    fn sanitize(&mut self) -> OfChannels {
        let peaks = self.of_channels(kernels::sanitize);
        // What was measured before may have been of other samples.
        self.measurements = Measurements { peaks: Some(peaks), energies: None };
        peaks
    }

    /// Multiplies all samples by one finite gain, sanitized first unless they are so already.
    #[inline(always)]
    pub(crate) fn scale(&mut self, gain: f32) {
        let peaks = match self.measurements.peaks {
            Some(peaks) => {
                kernels::scale(&mut self.samples, gain);
                peaks
            }
            None => self.of_channels(|channel| kernels::sanitize_and_scale(channel, gain)),
        };
        // Rounding keeps the order, so the peak is still that of the same sample.
        let peaks = peaks.map(|peak| peak * gain.abs());
        self.measurements =
            Measurements { peaks: peaks.into_iter().all(kernels::is_sane).then_some(peaks), energies: None };
    }

    /// Energy of each channel: the sum of the squares.
    pub(crate) fn energies(&mut self) -> OfChannels {
        self.measurements.energies.unwrap_or_else(|| {
            let energies = self.of_channels(|channel| kernels::energy(channel));
            *self.measurements.energies.insert(energies)
        })
    }

    /// Writes the mean square of each millisecond, of the channel that is louder there. Sanitizes the frame unless it is so already,
    /// and finds peaks and energies in the same pass.
    pub(crate) fn find_powers_by_ms(&mut self, powers: &mut [f32]) {
        debug_assert_eq!(powers.len(), self.format.frame_ms() as usize);
        loop {
            powers.fill(0.0);
            let found = self.of_channels(|channel| kernels::accumulate_block_powers(channel, powers));
            let peaks = found.map(|(peak, _)| peak);
            if peaks.into_iter().all(kernels::is_sane) {
                self.measurements =
                    Measurements { peaks: Some(peaks), energies: Some(found.map(|(_, energy)| energy)) };
                return;
            }
            self.sanitize();
        }
    }

    fn of_channels<T: Default>(&mut self, mut find: impl FnMut(&mut [f32]) -> T) -> [T; Format::MAX_CHANNELS] {
        // Most frames have one channel, and to divide them takes longer than to look at them.
        if self.format.channels() == 1 {
            return [find(&mut self.samples), T::default()];
        }
        let (left, right) = self.samples.split_at_mut(self.samples.len() / 2);
        [find(left), find(right)]
    }

    /// First half of [`check_and_sanitize`](Self::check_and_sanitize).
    pub(crate) fn check_format(&self, expected: Format) -> Result<()> {
        if self.format == expected { Ok(()) } else { Err(Error::WrongFormat { expected, actual: self.format }) }
    }

    /// Copies samples, position and detections of `other`.
    ///
    /// # Errors
    /// [`Error::WrongFormat`]; the frame is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn copy_from(&mut self, other: &Frame) -> Result<()> {
        other.check_format(self.format)?;
        self.samples.copy_from_slice(&other.samples);
        self.position = other.position;
        self.detections = other.detections;
        self.measurements = other.measurements;
        Ok(())
    }

    /// Copies interleaved samples in.
    ///
    /// # Errors
    /// [`Error::WrongLength`]; the frame is unchanged.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn copy_from_interleaved(&mut self, interleaved: &[f32]) -> Result<()> {
        self.check_length(interleaved)?;
        let channels = self.format.channels();
        for (index, channel) in self.channels_mut().enumerate() {
            for (sample, group) in channel.iter_mut().zip(interleaved.chunks_exact(channels)) {
                *sample = group[index];
            }
        }
        Ok(())
    }

    /// Copies the samples out, interleaved.
    ///
    /// # Errors
    /// [`Error::WrongLength`]; nothing is written.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn copy_to_interleaved(&self, interleaved: &mut [f32]) -> Result<()> {
        self.check_length(interleaved)?;
        let channels = self.format.channels();
        for (index, channel) in self.channels().enumerate() {
            for (sample, group) in channel.iter().zip(interleaved.chunks_exact_mut(channels)) {
                group[index] = *sample;
            }
        }
        Ok(())
    }

    fn check_length(&self, samples: &[f32]) -> Result<()> {
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
    use proptest::prelude::*;

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
    fn only_a_frame_of_the_right_format_is_accepted() {
        let format = Format::mono(48_000).unwrap();
        let mut frame = Frame::new(format);
        frame.samples_mut()[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, -1e30, 40_000.0]);
        let other = Format::stereo(48_000).unwrap();
        assert_eq!(frame.check_and_sanitize(other), Err(Error::WrongFormat { expected: other, actual: format }));
        assert!(frame.samples()[0].is_nan());
        frame.check_and_sanitize(format).unwrap();
        assert_eq!(&frame.samples()[..4], &[0.0, 0.0, 0.0, 40_000.0]);
    }

    #[test]
    fn a_channel_too_faint_for_arithmetic_is_silence() {
        let format = Format::stereo(8_000).unwrap();
        let mut frame = Frame::new(format);
        for (channel, value) in frame.channels_mut().zip([1e-40, 1e-18]) {
            channel.fill(value);
        }
        frame.check_and_sanitize(format).unwrap();
        assert_eq!((frame.samples()[0], frame.samples()[80]), (0.0, 1e-18));
    }

    #[test]
    fn detections_are_set_copied_and_forgotten_together() {
        let format = Format::mono(48_000).unwrap();
        let known = |frame: &Frame| {
            (frame.speech_probability(), frame.detected_speech(), frame.detected_music(), frame.far_end_speech())
        };
        let nothing = (None, None, false, false);
        let mut frame = Frame::new(format);
        assert_eq!(known(&frame), nothing);
        frame.set_speech_probability(Some(0.25));
        frame.set_detected_speech(0.75);
        frame.set_detected_music(true);
        frame.set_far_end_speech(true);
        let everything = (Some(0.25), Some(0.75), true, true);
        assert_eq!(known(&frame), everything);

        let mut other = Frame::new(format);
        other.copy_detections(&frame);
        assert_eq!(known(&other), everything);
        other.clear_detections();
        assert_eq!(known(&other), nothing);
        frame.set_position(-480);
        other.copy_from(&frame).unwrap();
        assert_eq!((known(&other), other.position()), (everything, -480));

        // What a network says anew is not yet heard by the detector.
        frame.set_speech_probability(None);
        assert_eq!(known(&frame), (None, None, true, true));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_known_of_the_samples_is_true_whatever_came_before(
            channels in 1usize..3, steps in prop::collection::vec((0usize..10, 0usize..160, any::<u32>()), 1..40),
        ) {
            let format = Format::new(8_000, channels).unwrap();
            let [mut frame, mut other] = [Frame::new(format), Frame::new(format)];
            for (step, index, bits) in steps {
                let (index, value) = (index % frame.samples().len(), f32::from_bits(bits));
                match step {
                    0 => frame.samples_mut()[index] = value,
                    1 => frame.samples_mut().fill(1e-20),
                    2 => frame.channels_mut().for_each(|channel| channel[index % 80] = value),
                    3 => frame.copy_from_interleaved(&vec![value; other.samples().len()]).unwrap(),
                    4 => frame.copy_from(&other).unwrap(),
                    5 => frame.check_and_sanitize(format).unwrap(),
                    6 => _ = frame.energies(),
                    7 => frame.find_powers_by_ms(&mut [0.0; 10]),
                    8 if value.is_finite() => {
                        let mut scaled = frame.clone();
                        scaled.check_and_sanitize(format).unwrap();
                        scaled.samples_mut().iter_mut().for_each(|sample| *sample *= value);
                        frame.scale(value);
                        for (found, wanted) in frame.samples().iter().zip(scaled.samples()) {
                            prop_assert!(found == wanted || (found.is_nan() && wanted.is_nan()), "{found} {wanted}");
                        }
                    }
                    _ => std::mem::swap(&mut frame, &mut other),
                }
                let mut fresh = frame.clone();
                fresh.samples_mut();
                if let Some(peaks) = frame.measurements.peaks {
                    prop_assert_eq!(peaks, fresh.peaks());
                    prop_assert_eq!(&fresh, &frame, "sanitized, it is what it was");
                }
                if let Some(energies) = frame.measurements.energies {
                    for (known, true_energy) in energies.into_iter().zip(fresh.energies()) {
                        let same = known == true_energy || (known.is_nan() && true_energy.is_nan());
                        prop_assert!(same || (known - true_energy).abs() <= 1e-5 * true_energy, "{known} {true_energy}");
                    }
                }
            }
        }
    }

    #[cfg(feature = "opus")]
    #[test]
    fn speech_of_the_near_end_is_what_the_best_detector_says_unless_it_is_the_far_ends() {
        let mut frame = Frame::new(Format::mono(48_000).unwrap());
        assert_eq!(frame.near_end_speech(), None);
        frame.set_speech_probability(Some(0.25));
        assert_eq!(frame.near_end_speech(), Some(0.25));
        frame.set_detected_speech(0.75);
        assert_eq!(frame.near_end_speech(), Some(0.75));
        frame.set_far_end_speech(true);
        assert_eq!(frame.near_end_speech(), Some(0.0));
    }
}
