//! Voice activity detector: used by [`VoiceActivity`](crate::VoiceActivity) and [`AutoGain`](crate::AutoGain).
//!
//! Speech needs two things: a speech probability from a neural network, and a level that stands out from the background.
//!
//! The probability is that of a `Denoise` upstream, which the frame carries, and with the feature `vad` that of a second
//! network; then both must agree, unless the second is sure for long. Either can be wrong for seconds on end: RNNoise's
//! takes a steady fan for speech, and a whisper for noise. So the level is asked as well (minimum statistics). Speech is
//! louder than what was heard shortly before; a steady noise, however loud, is not.
//!
//! One detector runs a pipeline: the frame carries its probability to the stages behind.

#[cfg(feature = "vad")]
use super::network::{Conviction, SpeechNetwork};
use crate::core::{Format, Frame, Result};
use crate::dsp::kernels;
use crate::dsp::level::SILENCE_POWER;

/// Rise of the level over its minimum of the last [`ONSET_STEPS`] at which speech may begin, in dB. Fans and motors stay
/// below 6, and mostly below 9 where noise suppression makes them flutter.
const ONSET_RISE_DB: f32 = 9.0;

/// Rise of the level over its minimum of the last [`OFFSET_STEPS`] down to which speech goes on, in dB.
const OFFSET_RISE_DB: f32 = 5.0;

/// Rise over the minimum of the last [`ONSET_STEPS`] below which a sound is too steady for speech, in dB.
const STEADY_RISE_DB: f32 = 3.0;

/// Window of the minimum for the beginning of speech, in steps of 10 ms. A noise that sets in is no longer new by the
/// time a network takes it for speech.
const ONSET_STEPS: usize = 60;

/// Window of the minimum for the end of speech, in steps of 10 ms: no word lasts longer without a dip.
const OFFSET_STEPS: usize = 150;

/// Window of a level, in steps of 10 ms: longer than a period of mains hum or of a low voice.
const LEVEL_STEPS: usize = 4;

/// Steps before digital silence that count for no background: sound that was fading out.
const FADE_STEPS: usize = 10;

/// Probability from which the detector's own network is sure.
#[cfg(feature = "vad")]
const SURE: f32 = 0.85;

const STEP_MS: usize = 10;

/// Thresholds of the speech probability, and the hangover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    /// Probability at which speech begins.
    pub onset: f32,
    /// Probability down to which speech goes on.
    pub offset: f32,
    /// Hangover in ms: how long speech lasts beyond the last frame that it goes on in.
    pub hangover_ms: u32,
}

impl Default for Thresholds {
    /// Thresholds that fit both networks: RNNoise's, and earshot's at the level and with the offset it is given here.
    fn default() -> Self {
        Self { onset: 0.85, offset: 0.60, hangover_ms: 200 }
    }
}

/// Analysis of one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VadFrame {
    /// Speech probability, 0 to 1.
    pub probability: f32,
    /// Mean power of the last 40 ms, in the louder channel.
    pub power: f32,
    /// `power` relative to its minimum over the last [`ONSET_STEPS`].
    onset_rise: f32,
    /// `power` relative to its minimum over the last [`OFFSET_STEPS`].
    offset_rise: f32,
    /// Whether what is heard is the far end: no speech, and no noise either.
    pub far_end: bool,
    /// Whether what is heard is music, which the probability takes for speech.
    pub music: bool,
}

impl VadFrame {
    /// Whether the frame is digital silence.
    pub fn is_silent(&self) -> bool {
        self.power <= SILENCE_POWER
    }

    /// Softest power over 40 ms of the last [`ONSET_STEPS`], where there was no silence: the noise is no louder.
    pub fn floor(&self) -> Option<f32> {
        Some(self.power / self.onset_rise).filter(|&floor| floor > 2.0 * SILENCE_POWER)
    }

    /// Whether the level is above the background.
    pub fn stands_out(&self) -> bool {
        self.offset_rise >= ratio(OFFSET_RISE_DB)
    }

    /// Whether the frame may be a soft part of speech.
    pub fn may_be_speech(&self) -> bool {
        self.stands_out() && self.onset_rise >= ratio(STEADY_RISE_DB) && self.probability >= 0.5
    }
}

/// Voice activity detector for the frames of one stream.
pub(crate) struct Detector {
    /// Powers of the last steps, the newest last.
    recent: [f32; LEVEL_STEPS],
    /// Number of them that are known.
    known: usize,
    /// Powers of the last [`OFFSET_STEPS`], each over [`LEVEL_STEPS`], the newest last.
    past: [f32; OFFSET_STEPS],
    /// Position of the last frame: one that was not moved on still carries its last detection.
    position: Option<i64>,
    #[cfg(feature = "vad")]
    network: SpeechNetwork,
    #[cfg(feature = "vad")]
    conviction: Conviction,
}

impl Detector {
    /// Detector for frames of this format. Allocates.
    #[cfg_attr(not(feature = "vad"), allow(unused_variables, clippy::unnecessary_wraps))]
    pub fn new(format: Format) -> Result<Self> {
        Ok(Self {
            recent: [0.0; LEVEL_STEPS],
            known: 0,
            past: [f32::INFINITY; OFFSET_STEPS],
            position: None,
            #[cfg(feature = "vad")]
            network: SpeechNetwork::new(format)?,
            #[cfg(feature = "vad")]
            conviction: Conviction::default(),
        })
    }

    /// Analyses the next frame, and leaves the speech probability on it for the detectors behind.
    pub fn analyse(&mut self, frame: &mut Frame) -> VadFrame {
        let step = frame.format().samples_per_channel() * STEP_MS / frame.format().frame_ms() as usize;
        let far_end = frame.far_end_speech();
        let mut analysis =
            VadFrame { probability: 0.0, power: 0.0, onset_rise: 0.0, offset_rise: 0.0, far_end, music: false };
        for start in (0..frame.format().samples_per_channel()).step_by(step) {
            let power = frame
                .channels()
                .map(|channel| kernels::energy(&channel[start..start + step]) / step as f32)
                .fold(0.0, f32::max);
            let (power, onset_rise, offset_rise) = if far_end { (power, 1.0, 1.0) } else { self.update_levels(power) };
            analysis.power = power;
            analysis.onset_rise = analysis.onset_rise.max(onset_rise);
            analysis.offset_rise = analysis.offset_rise.max(offset_rise);
        }
        let is_new = self.position.replace(frame.position()) != Some(frame.position());
        let detected = frame.detected_speech().filter(|_| is_new);
        analysis.probability = detected.unwrap_or_else(|| self.probability(frame, &analysis));
        frame.set_detected_speech(analysis.probability);
        analysis.music = self.music(frame, detected.is_some());
        frame.set_detected_music(analysis.music);
        if far_end {
            analysis.probability = 0.0;
        }
        analysis
    }

    /// Takes in the power of the next step; returns the smoothed power, and its rises for onset and offset.
    fn update_levels(&mut self, power: f32) -> (f32, f32, f32) {
        if power <= SILENCE_POWER {
            self.pause();
            return (SILENCE_POWER, 1.0, 1.0);
        }
        self.known = (self.known + 1).min(LEVEL_STEPS);
        push(&mut self.recent, power);
        let recent = &self.recent[LEVEL_STEPS - self.known..];
        let power = recent.iter().sum::<f32>() / self.known as f32;
        push(&mut self.past, power);
        let min = |past: &[f32]| past.iter().copied().fold(power, f32::min);
        (power, power / min(&self.past[OFFSET_STEPS - ONSET_STEPS..]), power / min(&self.past))
    }

    /// Digital silence: time stands still.
    fn pause(&mut self) {
        if self.known > 0 {
            self.past[OFFSET_STEPS - FADE_STEPS..].fill(f32::INFINITY);
            self.known = 0;
        }
        // While nothing else is known, what follows is compared with silence.
        if self.past.iter().all(|power| power.is_infinite()) {
            self.past.fill(SILENCE_POWER);
        }
    }

    #[cfg(feature = "vad")]
    fn probability(&mut self, frame: &Frame, analysis: &VadFrame) -> f32 {
        if analysis.power <= SILENCE_POWER {
            return 0.0;
        }
        let own = self.network.analyse(frame, analysis.power);
        let sure = own >= SURE && analysis.offset_rise >= ratio(ONSET_RISE_DB);
        let believed = self.conviction.update(sure, frame.format().frame_ms());
        match frame.speech_probability() {
            Some(given) if !believed => given.min(own),
            _ => own,
        }
    }

    /// Whether there is music: by the detector whose probability is taken over, or by this one.
    #[cfg(feature = "vad")]
    fn music(&self, frame: &Frame, taken_over: bool) -> bool {
        if taken_over { frame.detected_music() } else { self.network.is_music() }
    }

    #[cfg(not(feature = "vad"))]
    fn music(&self, frame: &Frame, _: bool) -> bool {
        frame.detected_music()
    }

    /// Without a network only the level is left: a knock or music is speech to it.
    #[cfg(not(feature = "vad"))]
    fn probability(&mut self, frame: &Frame, analysis: &VadFrame) -> f32 {
        let rise_db = 10.0 * analysis.offset_rise.log10();
        frame.speech_probability().unwrap_or(((rise_db - 3.0) / 9.0).clamp(0.0, 1.0))
    }

    /// Forgets all past sound. Realtime safe.
    pub fn reset(&mut self) {
        self.known = 0;
        self.past.fill(f32::INFINITY);
        self.position = None;
        #[cfg(feature = "vad")]
        {
            self.network.reset();
            self.conviction = Conviction::default();
        }
    }
}

/// Decision between speech and no speech, with hysteresis and hangover.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpeechDecision {
    speaking: bool,
    /// Time since the last frame that speech went on in, in ms.
    hangover_ms: u32,
}

impl SpeechDecision {
    /// Takes in a frame of `ms` milliseconds; returns whether there is speech.
    pub fn update(&mut self, thresholds: &Thresholds, frame: &VadFrame, ms: u32) -> bool {
        if frame.far_end {
            *self = Self::default();
            return false;
        }
        let goes_on = if self.speaking {
            frame.probability >= thresholds.offset && frame.stands_out()
        } else {
            frame.probability >= thresholds.onset && frame.onset_rise >= ratio(ONSET_RISE_DB)
        };
        if goes_on {
            (self.speaking, self.hangover_ms) = (true, 0);
        } else if self.speaking {
            self.hangover_ms += ms;
            self.speaking = self.hangover_ms <= thresholds.hangover_ms;
        }
        self.speaking
    }

    /// Length of the current hangover so far, in ms.
    pub fn hangover_ms(&self) -> u32 {
        self.hangover_ms
    }
}

/// Drops the oldest value and appends the newest.
fn push<const N: usize>(values: &mut [f32; N], newest: f32) {
    values.copy_within(1.., 0);
    values[N - 1] = newest;
}

/// Power ratio of a level difference in dB.
fn ratio(db: f32) -> f32 {
    10f32.powf(db / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level::db_to_gain;
    use crate::testing::fixture;

    /// Frames of `samples` in every channel, with this speech probability.
    fn frames(format: Format, samples: &[f32], probability: Option<f32>) -> impl Iterator<Item = Frame> {
        samples.chunks_exact(format.samples_per_channel()).map(move |chunk| {
            let mut frame = Frame::new(format);
            frame.channels_mut().for_each(|channel| channel.copy_from_slice(chunk));
            frame.set_speech_probability(probability);
            frame
        })
    }

    /// Decision after each frame, where the network always hears speech.
    fn credulous(format: Format, samples: &[f32]) -> Vec<bool> {
        let (mut detector, mut decision) = (Detector::new(format).unwrap(), SpeechDecision::default());
        frames(format, samples, Some(1.0))
            .map(|mut frame| {
                let frame = VadFrame { probability: 1.0, ..detector.analyse(&mut frame) };
                decision.update(&Thresholds::default(), &frame, format.frame_ms())
            })
            .collect()
    }

    #[test]
    fn no_probability_makes_speech_of_a_fan() {
        let format = Format::mono(48_000).unwrap();
        let fan = fixture("noise_fan").repeat(4);
        for gain_db in [-30.0, 0.0, 24.0] {
            let fan: Vec<f32> = fan.iter().map(|s| s * db_to_gain(gain_db)).collect();
            assert!(!credulous(format, &fan).contains(&true), "{gain_db}");
            // Switched on in silence it is new, but not for longer than RNNoise takes to be wrong.
            let switched_on = credulous(format, &[vec![0.0; 96_000], fan].concat());
            let last = switched_on.iter().rposition(|&speaking| speaking).unwrap_or(0);
            assert!(last < 200 + 185, "{gain_db}: {} ms", (last as i32 - 200) * 10);
        }
    }

    #[test]
    fn speech_stands_out() {
        let format = Format::mono(48_000).unwrap();
        for name in ["speech_clean", "speech_room"] {
            let samples = fixture(name);
            let speaking = credulous(format, &samples);
            let loud: Vec<bool> = samples.chunks_exact(480).map(|c| crate::level::rms_dbfs(c) > -35.0).collect();
            let missed = loud.iter().zip(&speaking).filter(|(loud, speaking)| **loud && !**speaking).count();
            assert!(missed * 50 < loud.len(), "{name}: {missed} of {}", loud.len());
        }
    }

    #[test]
    fn rises_are_relative_to_the_minimum_of_their_window() {
        let mut detector = Detector::new(Format::mono(8_000).unwrap()).unwrap();
        let powers: Vec<f32> =
            (0..400u32).map(|i| 1e-6 + (i.wrapping_mul(2_654_435_761) >> 16) as f32 * 1e-6).collect();
        let smooth = |i: usize| {
            let recent = &powers[(i + 1).saturating_sub(LEVEL_STEPS)..=i];
            recent.iter().sum::<f32>() / recent.len() as f32
        };
        for (i, &power) in powers.iter().enumerate() {
            let found = detector.update_levels(power);
            let rise = |steps: usize| {
                let min = ((i + 1).saturating_sub(steps)..=i).map(smooth).fold(f32::INFINITY, f32::min);
                smooth(i) / min
            };
            for (found, wanted) in [(found.0, smooth(i)), (found.1, rise(60)), (found.2, rise(150))] {
                assert!((found / wanted - 1.0).abs() < 1e-4, "{i}: {found} is not {wanted}");
            }
        }
    }

    #[test]
    fn speech_begins_goes_on_and_ends_at_its_thresholds() {
        let thresholds = Thresholds { onset: 0.8, offset: 0.5, hangover_ms: 100 };
        for ms in [10, 20] {
            let mut decision = SpeechDecision::default();
            let mut speaks = |probability, rise_db: f32, frames: u32| {
                let rise = ratio(rise_db);
                let frame = VadFrame {
                    probability,
                    power: 1.0,
                    onset_rise: rise,
                    offset_rise: rise,
                    far_end: false,
                    music: false,
                };
                (0..frames).map(|_| decision.update(&thresholds, &frame, ms)).filter(|&speaking| speaking).count()
                    as u32
            };
            assert_eq!(speaks(0.79, 20.0, 5), 0, "not likely enough");
            assert_eq!(speaks(1.0, 8.9, 5), 0, "not loud enough");
            assert_eq!(speaks(0.8, 9.1, 5), 5);
            assert_eq!(speaks(0.51, 5.1, 50), 50);
            assert_eq!(speaks(0.49, 20.0, 50), 100 / ms, "hangover");
            assert_eq!(speaks(0.8, 9.1, 1), 1);
            assert_eq!(speaks(1.0, 4.9, 50), 100 / ms, "hangover");
        }
    }

    #[test]
    fn two_frames_of_10_ms_are_as_one_of_20_ms() {
        let short = Format::stereo(16_000).unwrap();
        let long = short.with_frame_ms(20).unwrap();
        let samples: Vec<f32> = fixture("speech_room").iter().step_by(3).copied().collect();
        let (mut a, mut b) = (Detector::new(short).unwrap(), Detector::new(long).unwrap());
        let analysed: Vec<VadFrame> = frames(short, &samples, None).map(|mut frame| a.analyse(&mut frame)).collect();
        for (pair, mut frame) in analysed.chunks_exact(2).zip(frames(long, &samples, None)) {
            let frame = b.analyse(&mut frame);
            assert!((frame.power / pair[1].power - 1.0).abs() < 1e-4);
            assert!((frame.onset_rise / pair[0].onset_rise.max(pair[1].onset_rise) - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn silence_is_no_background() {
        let mut detector = Detector::new(Format::mono(48_000).unwrap()).unwrap();
        for _ in 0..200 {
            detector.update_levels(1e-6);
        }
        // The sound fades out, and is muted for longer than any window.
        for power in [1e-7, 1e-8].into_iter().chain([0.0; 400]) {
            detector.update_levels(power);
        }
        for _ in 0..200 {
            let (_, onset_rise, offset_rise) = detector.update_levels(1e-6);
            assert!(onset_rise < 1.01 && offset_rise < 1.01, "{onset_rise} {offset_rise}: the noise is not new");
        }
        // Of a stream that begins with silence nothing else is known: what follows stands out.
        detector.reset();
        detector.update_levels(0.0);
        assert!(detector.update_levels(1e-6).1 > ratio(ONSET_RISE_DB));
    }

    #[test]
    fn one_detector_serves_a_pipeline_and_the_far_end_is_no_speech() {
        let format = Format::mono(48_000).unwrap();
        let (mut first, mut second) = (Detector::new(format).unwrap(), Detector::new(format).unwrap());
        let (mut heard, mut far_end) = (0.0f32, 0.0f32);
        for (index, mut frame) in frames(format, &fixture("speech_clean"), None).enumerate() {
            frame.set_position(480 * index as i64);
            let found = first.analyse(&mut frame).probability;
            // Had the second one run its own network on this, it would find nothing.
            frame.samples_mut().fill(0.001);
            assert_eq!(second.analyse(&mut frame).probability, found, "{index}");
            heard = heard.max(found);
            frame.set_far_end_speech(true);
            far_end = far_end.max(second.analyse(&mut frame).probability);
        }
        assert!(heard > 0.9 && far_end == 0.0, "{heard} {far_end}");
    }

    #[cfg(feature = "vad")]
    #[test]
    fn a_network_that_is_sure_for_long_is_believed_alone() {
        let mut conviction = Conviction::default();
        let mut run = |sure: bool, frames: usize| (0..frames).map(|_| conviction.update(sure, 10)).last().unwrap();
        assert!(!run(true, 59), "a knock is no speech");
        assert!(run(true, 1));
        assert!(run(false, 119) && !run(false, 1), "between words it is, and then no longer");
        run(true, 1000);
        assert!(run(false, 199) && !run(false, 1));
    }
}
