//! Voice activity.

use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::in_range;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::vad::detector::{Detector, Thresholds, Turn};

/// The shortest and the longest time before the decision that speech is said to have begun, in ms. Three decisions in
/// four come within the shorter one, also where noise hides the beginning.
const LEAST_ONSET_MS: u32 = 200;
const MOST_ONSET_MS: u32 = 500;

/// How long the beginning of speech may be interrupted, in ms: the closure of a plosive.
const GAP_MS: u32 = 60;

/// How much earlier than the level shows it speech is said to have begun, in ms: fricatives and breath are soft.
const LEAD_MS: u32 = 40;

/// Tells whether somebody speaks, and lets another thread know.
///
/// The sound passes unchanged. How likely a frame holds speech is taken from the frame, where a `Denoise` upstream has
/// said so, and from a network of its own (earshot, feature `vad`); where there are both, they must agree. Besides, the
/// sound must stand out from what was heard in the second before: fans and motors, which RNNoise takes for speech, do
/// not. Where the frame carries no probability yet, it is written into it for the stages downstream.
///
/// Of clean speech it finds 86 to 99 % (of the frames no more than 12 dB below the active level, in 15 recordings); of
/// fans, motors, wind, rubbing and taps it takes nothing for speech, of a busy street 9 %.
///
/// Without the feature `vad` and without a `Denoise` the level alone decides: whatever is 11 dB louder than the
/// background is speech then, be it a knock or music.
///
/// Latency: none. The decision comes some 100 ms after the first sound: [`VoiceActivityReading::onset_ms`] tells how much to send of
/// what was kept meanwhile.
///
/// ```
/// use voxframe::{Format, Frame, Live, Processor, Stage, VoiceActivity};
/// let (activity, voice) = VoiceActivity::default().live();
/// let mut activity = activity.prepare(Format::mono(16_000)?)?;
/// let mut frame = Frame::new(activity.input_format());
/// activity.process(&mut frame)?;
/// assert!(!voice.reading().speaking);
/// assert_eq!(voice.reading().since_speech_ms(), None); // nobody has spoken yet
/// # Ok::<(), voxframe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct VoiceActivity {
    /// Speech begins at this probability, 0 to 1. Default 0.85 (users of RNNoise choose 0.85 to 0.98).
    pub enter: f32,
    /// Speech goes on at this probability, 0 to `enter`. Default 0.60 (Mumble: 0.80 at an `enter` of 0.98).
    pub stay: f32,
    /// How long it still counts as speech afterwards, in ms, 0 to 10 000. Default 200 (as long as in ITU-T P.56).
    pub hangover_ms: f32,
}

impl Default for VoiceActivity {
    fn default() -> Self {
        let Thresholds { enter, stay, hangover_ms } = Thresholds::default();
        Self { enter, stay, hangover_ms: hangover_ms as f32 }
    }
}

impl VoiceActivity {
    fn thresholds(&self) -> Thresholds {
        // Set from two threads at once, the thresholds may cross for a frame.
        Thresholds { enter: self.enter, stay: self.stay.min(self.enter), hangover_ms: self.hangover_ms.round() as u32 }
    }
}

/// What a running [`VoiceActivity`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoiceActivityReading {
    /// Whether somebody speaks.
    pub speaking: bool,
    /// How likely the last frame holds speech, 0 to 1, by what the networks hear.
    pub probability: f32,
    /// How long before the end of the frame that decided it the current (or last) utterance probably began, in ms,
    /// 200 to 500.
    pub onset_ms: u32,
    /// How many utterances have begun.
    pub utterances: u64,
    /// How long somebody spoke, all in all, in ms.
    pub speech_ms: u64,
    /// How long nobody spoke, all in all, in ms.
    pub silence_ms: u64,
    quiet_ms: u64,
}

impl VoiceActivityReading {
    /// How long ago speech was heard last, in ms, the hangover not counted as speech; `None` if never.
    pub fn since_speech_ms(&self) -> Option<u64> {
        (self.utterances > 0).then_some(self.quiet_ms)
    }
}

impl Stage for VoiceActivity {
    type Processor = VoiceActivityProcessor;

    fn prepare(self, input: Format) -> Result<VoiceActivityProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for VoiceActivity {
    type Reading = VoiceActivityReading;

    fn validate(&self) -> Result<()> {
        in_range("VoiceActivity::enter", self.enter, 0.0, 1.0)?;
        in_range("VoiceActivity::stay", self.stay, 0.0, self.enter)?;
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
            turn: Turn::default(),
            onset: Onset::default(),
            voice: VoiceActivityReading::default(),
        })
    }
}

/// A running [`VoiceActivity`].
pub struct VoiceActivityProcessor {
    format: Format,
    port: ControlPort<VoiceActivity>,
    thresholds: Thresholds,
    detector: Detector,
    turn: Turn,
    onset: Onset,
    voice: VoiceActivityReading,
}

/// For how long there may have been speech already.
#[derive(Clone, Copy, Debug, Default)]
struct Onset {
    lasted_ms: u32,
    gap_ms: u32,
}

impl Onset {
    fn follow(&mut self, may_be_speech: bool, ms: u32) {
        self.gap_ms = if may_be_speech { 0 } else { self.gap_ms + ms };
        if self.gap_ms > GAP_MS {
            *self = Self::default();
        } else if may_be_speech || self.lasted_ms > 0 {
            self.lasted_ms = (self.lasted_ms + ms).min(MOST_ONSET_MS);
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
        let heard = self.detector.listen(frame);
        if frame.speech_probability().is_none() {
            frame.set_speech_probability(Some(heard.probability));
        }
        self.onset.follow(heard.stands_out(), ms);

        let voice = &mut self.voice;
        let was_speaking = voice.speaking;
        voice.speaking = self.turn.follow(&self.thresholds, &heard, ms);
        voice.probability = heard.probability;
        if voice.speaking && !was_speaking {
            voice.utterances += 1;
            voice.onset_ms = (self.onset.lasted_ms + LEAD_MS).clamp(LEAST_ONSET_MS, MOST_ONSET_MS);
        }
        if voice.speaking {
            voice.speech_ms += u64::from(ms);
            voice.quiet_ms = u64::from(self.turn.quiet_ms());
        } else {
            voice.silence_ms += u64::from(ms);
            voice.quiet_ms += u64::from(ms);
        }
        self.port.publish(self.voice);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.detector.reset();
        self.turn = Turn::default();
        self.onset = Onset::default();
        self.voice = VoiceActivityReading::default();
        self.port.publish(self.voice);
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

impl std::fmt::Debug for VoiceActivityProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VoiceActivityProcessor({}, {:?})", self.format, self.voice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stage that goes by the level alone, whatever the networks say.
    fn by_level(hangover_ms: f32) -> VoiceActivity {
        VoiceActivity { enter: 0.0, stay: 0.0, hangover_ms }
    }

    /// What is told after each frame of a sound.
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

    /// A tone of 500 ms after a second of near-silence, and more near-silence.
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
                assert_eq!(last.since_speech_ms(), none.last().unwrap().since_speech_ms());
                let ends = 1000 + heard_ms;
                assert_eq!(last.since_speech_ms(), Some(3000 - ends));
                assert_eq!(all[(1000 / frame_ms - 1) as usize].since_speech_ms(), None);
                assert!(all.iter().filter(|voice| voice.speaking && voice.since_speech_ms() == Some(0)).count() > 20);
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
        let (stage, handle) = VoiceActivity { enter: 1.0, stay: 1.0, hangover_ms: 0.0 }.live();
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
        assert!(handle.update(|settings| settings.stay = 0.9).is_err(), "above enter");
        assert!(VoiceActivity { hangover_ms: -1.0, ..VoiceActivity::default() }.prepare(format).is_err());
    }
}
