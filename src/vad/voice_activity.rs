//! Voice activity stage.

use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::in_range;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::vad::detector::{Detector, SpeechDecision, Thresholds};

/// Range of the time between the onset of speech and its detection, in ms. Three detections in four come within the
/// shorter one, also where noise hides the onset.
const MIN_ONSET_MS: u32 = 200;
const MAX_ONSET_MS: u32 = 500;

/// Longest interruption of an onset, in ms: the closure of a plosive.
const MAX_GAP_MS: u32 = 60;

/// Lead of the onset over the rise of the level, in ms: fricatives and breath are soft.
const LEAD_MS: u32 = 40;

/// Voice activity detection (VAD). The sound passes unchanged.
///
/// Speech begins where the speech probability reaches [`onset_threshold`](Self::onset_threshold) and the level stands
/// out from that of the second before. It ends when the probability has been below
/// [`offset_threshold`](Self::offset_threshold), or the level near the background, for
/// [`hangover_ms`](Self::hangover_ms).
///
/// The speech probability is that of a `Denoise` upstream, which the frame carries, and that of a network of its own
/// (earshot, feature `vad`); where there are both, they must agree, or its own must be sure for 0.6 s while the level
/// stands out: denoising networks take a whisper for noise. A frame without one is given it, for the stages
/// downstream. With neither, the level alone decides: whatever is 11 dB louder than the background is speech, be it a
/// knock or music.
///
/// One network runs a pipeline: an `AutoGain` behind it goes by what this stage found, and the other way round. The
/// [far end](crate::Frame::far_end_speech) is no speech, and digital silence changes nothing.
///
/// Of clean speech 86 to 99 % is found (of the frames no more than 12 dB below the active level, in 15 recordings).
/// Fans, motors, wind, rubbing and taps are not taken for speech, of a busy street 9 % is.
///
/// Latency: none. The detection comes some 100 ms after the first sound: [`VoiceActivityReading::onset_ms`] tells how
/// much to send of what was kept meanwhile.
///
/// ```
/// use voxframe::{Format, Frame, Live, Processor, Stage, VoiceActivity};
/// let (activity, voice) = VoiceActivity::default().live();
/// let mut activity = activity.prepare(Format::mono(16_000)?)?;
/// let mut frame = Frame::new(activity.input_format());
/// activity.process(&mut frame)?;
/// assert!(!voice.reading().speaking);
/// assert_eq!(voice.reading().since_speech_ms, None); // nobody has spoken yet
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct VoiceActivity {
    /// Onset threshold: speech probability at which speech begins, 0 to 1. Default 0.85 (users of RNNoise choose 0.85 to
    /// 0.98).
    pub onset_threshold: f32,
    /// Offset threshold: speech probability down to which speech goes on, 0 to `onset_threshold`. Default 0.60 (Mumble:
    /// 0.80 at an onset of 0.98).
    pub offset_threshold: f32,
    /// Hangover in ms, 0 to 10 000: how long speech lasts beyond its end. Default 200 (ITU-T P.56).
    pub hangover_ms: f32,
}

impl Default for VoiceActivity {
    fn default() -> Self {
        let Thresholds { onset, offset, hangover_ms } = Thresholds::default();
        Self { onset_threshold: onset, offset_threshold: offset, hangover_ms: hangover_ms as f32 }
    }
}

impl VoiceActivity {
    fn thresholds(&self) -> Thresholds {
        Thresholds {
            onset: self.onset_threshold,
            offset: self.offset_threshold,
            hangover_ms: self.hangover_ms.round() as u32,
        }
    }
}

/// Reading of a [`VoiceActivity`]. Counts and times run from the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct VoiceActivityReading {
    /// Voice activity, the hangover included.
    pub speaking: bool,
    /// Speech probability of the last frame, 0 to 1.
    pub probability: f32,
    /// Estimated time from the onset of the current (or last) utterance to the end of the frame it was detected in, in
    /// ms, 200 to 500.
    pub onset_ms: u32,
    /// Number of utterances.
    pub utterances: u64,
    /// Total time with voice activity, in ms.
    pub speech_ms: u64,
    /// Total time without voice activity, in ms.
    pub silence_ms: u64,
    /// Time since speech was heard last, in ms, the hangover not counted as speech; `None` if there was none yet.
    pub since_speech_ms: Option<u64>,
}

impl Stage for VoiceActivity {
    type Processor = VoiceActivityProcessor;

    fn prepare(self, input: Format) -> Result<VoiceActivityProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for VoiceActivity {
    type Reading = VoiceActivityReading;

    fn validate(&self) -> Result<()> {
        in_range("VoiceActivity::onset_threshold", self.onset_threshold, 0.0, 1.0)?;
        in_range("VoiceActivity::offset_threshold", self.offset_threshold, 0.0, self.onset_threshold)?;
        in_range("VoiceActivity::hangover_ms", self.hangover_ms, 0.0, 10_000.0)
    }
}

impl LiveStage for VoiceActivity {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<VoiceActivityProcessor> {
        self.validate()?;
        Ok(VoiceActivityProcessor {
            format: input,
            port,
            thresholds: self.thresholds(),
            detector: Detector::new(input)?,
            decision: SpeechDecision::default(),
            onset: OnsetTracker::default(),
            reading: VoiceActivityReading::default(),
        })
    }
}

/// Processor of [`VoiceActivity`].
pub struct VoiceActivityProcessor {
    format: Format,
    port: ControlPort<VoiceActivity>,
    thresholds: Thresholds,
    detector: Detector,
    decision: SpeechDecision,
    onset: OnsetTracker,
    reading: VoiceActivityReading,
}

/// Tracker of how long the level has stood out.
#[derive(Clone, Copy, Debug, Default)]
struct OnsetTracker {
    lasted_ms: u32,
    gap_ms: u32,
}

impl OnsetTracker {
    fn update(&mut self, stands_out: bool, ms: u32) {
        self.gap_ms = if stands_out { 0 } else { self.gap_ms + ms };
        if self.gap_ms > MAX_GAP_MS {
            *self = Self::default();
        } else if stands_out || self.lasted_ms > 0 {
            self.lasted_ms = (self.lasted_ms + ms).min(MAX_ONSET_MS);
        }
    }
}

impl Processor for VoiceActivityProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.thresholds = settings.thresholds();
        }
        let ms = self.format.frame_ms();
        let analysis = self.detector.analyse(frame);
        if frame.speech_probability().is_none() {
            frame.set_speech_probability(Some(analysis.probability));
            frame.set_detected_speech(analysis.probability);
        }
        self.onset.update(analysis.stands_out(), ms);

        let reading = &mut self.reading;
        let was_speaking = reading.speaking;
        reading.speaking = self.decision.update(&self.thresholds, &analysis, ms);
        reading.probability = analysis.probability;
        if reading.speaking && !was_speaking {
            reading.utterances += 1;
            reading.onset_ms = (self.onset.lasted_ms + LEAD_MS).clamp(MIN_ONSET_MS, MAX_ONSET_MS);
        }
        if reading.speaking {
            reading.speech_ms += u64::from(ms);
            reading.since_speech_ms = Some(u64::from(self.decision.hangover_ms()));
        } else {
            reading.silence_ms += u64::from(ms);
            reading.since_speech_ms = reading.since_speech_ms.map(|past| past + u64::from(ms));
        }
        self.port.publish(self.reading);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.detector.reset();
        self.decision = SpeechDecision::default();
        self.onset = OnsetTracker::default();
        self.reading = VoiceActivityReading::default();
        self.port.publish(self.reading);
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

impl std::fmt::Debug for VoiceActivityProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VoiceActivityProcessor({}, {:?})", self.format, self.reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stage that goes by the level alone, whatever the networks say.
    fn by_level(hangover_ms: f32) -> VoiceActivity {
        VoiceActivity { onset_threshold: 0.0, offset_threshold: 0.0, hangover_ms }
    }

    /// Readings after each frame of a sound.
    fn readings(settings: VoiceActivity, format: Format, samples: &[f32]) -> Vec<VoiceActivityReading> {
        let (stage, handle) = settings.live();
        let mut processor = stage.prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let chunks = samples.chunks_exact(format.samples_per_channel());
        chunks
            .map(|chunk| {
                frame.channels_mut().for_each(|channel| channel.copy_from_slice(chunk));
                processor.process(&mut frame).unwrap();
                handle.reading()
            })
            .collect()
    }

    /// Tone of 500 ms after a second of near-silence, and more near-silence.
    fn beep(format: Format) -> Vec<f32> {
        let per_ms = format.sample_rate_hz() as usize / 1000;
        (0..3000 * per_ms)
            .map(|i| {
                let tone = (i as f32 * 0.1).sin();
                if (1000..1500).contains(&(i / per_ms)) { tone * 0.1 } else { tone * 0.0001 }
            })
            .collect()
    }

    #[test]
    fn speech_ends_to_the_millisecond_after_the_hangover() {
        for frame_ms in [10u32, 20] {
            let format = Format::mono(16_000).unwrap().with_frame_ms(frame_ms).unwrap();
            let sound = beep(format);
            let none = readings(by_level(0.0), format, &sound);
            let frames = none.iter().filter(|voice| voice.speaking).count() as u64;
            let heard_ms = frames * u64::from(frame_ms);
            assert!((500..=560).contains(&heard_ms), "{heard_ms}");
            for hangover_ms in [20, 200, 740] {
                let all = readings(by_level(hangover_ms as f32), format, &sound);
                let last = all.last().unwrap();
                assert_eq!(last.speech_ms, heard_ms + hangover_ms);
                assert_eq!(last.speech_ms + last.silence_ms, 3000);
                assert_eq!(last.utterances, 1);
                // The hangover is no speech: this does not depend on it.
                assert_eq!(last.since_speech_ms, none.last().unwrap().since_speech_ms);
                let ends = 1000 + heard_ms;
                assert_eq!(last.since_speech_ms, Some(3000 - ends));
                assert_eq!(all[(1000 / frame_ms - 1) as usize].since_speech_ms, None);
                assert!(all.iter().filter(|voice| voice.speaking && voice.since_speech_ms == Some(0)).count() > 20);
            }
        }
    }

    #[test]
    fn the_onset_reaches_back_to_where_the_level_rose() {
        // The level rises slowly, 30 dB in 300 ms, so that the decision comes late.
        let format = Format::mono(48_000).unwrap();
        let sound: Vec<f32> = (0..96_000)
            .map(|i| {
                let rise_db = ((i as f32 / 48.0 - 1000.0) * 0.1).clamp(0.0, 30.0);
                0.003 * crate::level::db_to_gain(rise_db) * (i as f32 * 0.1).sin()
            })
            .collect();
        let all = readings(by_level(200.0), format, &sound);
        let decided = all.iter().position(|voice| voice.speaking).unwrap() as u32 * 10 + 10;
        assert!((1080..1200).contains(&decided), "{decided}");
        let began = decided - all.last().unwrap().onset_ms;
        assert!((850..=1000).contains(&began), "{began}");
    }

    #[test]
    fn frames_pass_unchanged_but_for_the_probability() {
        let format = Format::stereo(44_100).unwrap();
        let mut processor = VoiceActivity::default().prepare(format).unwrap();
        for given in [None, Some(0.3)] {
            let mut frame = Frame::new(format);
            frame.set_position(-77);
            frame.set_speech_probability(given);
            frame.samples_mut().iter_mut().enumerate().for_each(|(i, s)| *s = (i as f32 * 0.37).sin());
            let before = frame.clone();
            let after = processor.process(&mut frame).unwrap().unwrap();
            assert_eq!(after.samples(), before.samples());
            assert_eq!(after.position(), -77);
            assert!(after.speech_probability().is_some_and(|p| (0.0..=1.0).contains(&p)));
            assert!(given.is_none() || after.speech_probability() == given);
        }
        assert_eq!(processor.latency(), 0);
    }

    #[test]
    fn thresholds_change_while_it_runs_and_a_reset_forgets() {
        let format = Format::mono(16_000).unwrap();
        let (stage, handle) = VoiceActivity { onset_threshold: 1.0, offset_threshold: 1.0, hangover_ms: 0.0 }.live();
        let mut processor = stage.prepare(format).unwrap();
        let run = |processor: &mut VoiceActivityProcessor| {
            let mut speaking = 0;
            for chunk in beep(format).chunks_exact(160) {
                let mut frame = Frame::new(format);
                frame.samples_mut().copy_from_slice(chunk);
                frame.set_speech_probability(Some(0.0));
                processor.process(&mut frame).unwrap();
                speaking += u32::from(handle.reading().speaking);
            }
            speaking
        };
        assert_eq!(run(&mut processor), 0);
        handle.update(|settings| *settings = by_level(0.0)).unwrap();
        assert!(run(&mut processor) >= 50);
        processor.reset();
        assert_eq!(handle.reading(), VoiceActivityReading::default());
        assert!(handle.update(|settings| settings.offset_threshold = 0.9).is_err(), "above the onset");
        assert!(VoiceActivity { hangover_ms: -1.0, ..VoiceActivity::default() }.prepare(format).is_err());
    }
}
