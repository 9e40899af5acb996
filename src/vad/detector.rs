//! Whether somebody speaks: the detector that [`VoiceActivity`](crate::VoiceActivity) and
//! [`AutoGain`](crate::AutoGain) have in common.
//!
//! A neural network says how likely there is speech: the one of a `Denoise` upstream through the frame, and with the
//! feature `vad` a second one, so that both must agree. Either can be wrong for seconds on end: RNNoise's takes a
//! steady fan for speech. So the level is asked as well: speech stands out from what was heard shortly before, and a
//! steady noise, however loud, does not.

use crate::core::{Format, Frame, Result};
use crate::dsp::kernels;

/// How far speech must rise above the least level of the last [`ENTER_STEPS`] to begin, in dB. Fans and motors stay
/// below 6, and mostly below 9 where noise suppression makes them flutter.
const ENTER_RISE_DB: f32 = 9.0;

/// How far it must stay above the least level of the last [`STAY_STEPS`] to go on, in dB.
const STAY_RISE_DB: f32 = 5.0;

/// How far back the level is compared for speech to begin, in steps of 10 ms: so short that a noise that sets in is no
/// longer new by the time a network takes it for speech.
const ENTER_STEPS: usize = 60;

/// How far back the level is compared for speech to go on, in steps of 10 ms: no word lasts longer without a dip.
const STAY_STEPS: usize = 150;

/// How much sound one level is taken over, in steps of 10 ms: longer than a period of mains hum or of a low voice.
const SMOOTH_STEPS: usize = 4;

/// The least power a level can have, −100 dBFS: digital silence says nothing about the noise that follows.
const LEAST_POWER: f32 = 1e-10;

const STEP_MS: usize = 10;

/// How a noticeable rise in level and the networks' probabilities become speech or no speech.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    /// Speech begins at this probability.
    pub enter: f32,
    /// Speech goes on at this probability.
    pub stay: f32,
    /// Speech ends when it has not gone on for this long, in ms.
    pub hangover_ms: u32,
}

impl Default for Thresholds {
    /// The values this project's profiles specify. They fit both networks: RNNoise's, and earshot's at the level it is
    /// given here.
    fn default() -> Self {
        Self { enter: 0.85, stay: 0.60, hangover_ms: 200 }
    }
}

/// What there is to say about one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VadFrame {
    /// How likely it holds speech, 0 to 1, as far as sound alone tells.
    pub probability: f32,
    /// The power of its last 40 ms, in the louder channel.
    pub power: f32,
    /// `power` relative to its minimum over the last [`ENTER_STEPS`].
    rise: f32,
    /// `power` relative to its minimum over the last [`STAY_STEPS`].
    long_rise: f32,
}

impl VadFrame {
    /// Whether it is louder than the background.
    pub fn stands_out(&self) -> bool {
        self.long_rise >= ratio(STAY_RISE_DB)
    }

    /// Whether it may be a soft part of speech.
    pub fn is_doubtful(&self) -> bool {
        self.stands_out() && self.probability >= 0.5
    }
}

/// Listens to frames.
pub(crate) struct Detector {
    /// The last powers of 10 ms, the newest last.
    recent: [f32; SMOOTH_STEPS],
    held: usize,
    /// The powers of the last [`STAY_STEPS`], each over [`SMOOTH_STEPS`], the newest last.
    past: [f32; STAY_STEPS],
    #[cfg(feature = "vad")]
    network: super::network::Network,
}

impl Detector {
    #[cfg_attr(not(feature = "vad"), allow(unused_variables, clippy::unnecessary_wraps))]
    pub fn new(format: Format) -> Result<Self> {
        Ok(Self {
            recent: [0.0; SMOOTH_STEPS],
            held: 0,
            past: [f32::INFINITY; STAY_STEPS],
            #[cfg(feature = "vad")]
            network: super::network::Network::new(format)?,
        })
    }

    /// Listens to the next frame.
    pub fn listen(&mut self, frame: &Frame) -> VadFrame {
        let step = frame.format().samples_per_channel() * STEP_MS / frame.format().frame_ms() as usize;
        let mut heard = VadFrame { probability: 0.0, power: 0.0, rise: 0.0, long_rise: 0.0 };
        for start in (0..frame.format().samples_per_channel()).step_by(step) {
            let power = frame
                .channels()
                .map(|channel| kernels::energy(&channel[start..start + step]) / step as f32)
                .fold(0.0, f32::max);
            let (power, rise, long_rise) = self.follow(power);
            heard.power = power;
            heard.rise = heard.rise.max(rise);
            heard.long_rise = heard.long_rise.max(long_rise);
        }
        heard.probability = self.probability(frame, &heard);
        heard
    }

    /// Takes in the power of the next 10 ms; the smoothed power, and how far it is above its past, near and far.
    fn follow(&mut self, power: f32) -> (f32, f32, f32) {
        self.held = (self.held + 1).min(SMOOTH_STEPS);
        push(&mut self.recent, power);
        let recent = &self.recent[SMOOTH_STEPS - self.held..];
        let power = (recent.iter().sum::<f32>() / self.held as f32).max(LEAST_POWER);
        push(&mut self.past, power);
        let least = |past: &[f32]| past.iter().copied().fold(power, f32::min);
        (power, power / least(&self.past[STAY_STEPS - ENTER_STEPS..]), power / least(&self.past))
    }

    #[cfg(feature = "vad")]
    fn probability(&mut self, frame: &Frame, heard: &VadFrame) -> f32 {
        let own = self.network.listen(frame, heard.power);
        frame.speech_probability().map_or(own, |given| given.min(own))
    }

    /// Without a network only the level is left: a knock or music is speech to it.
    #[cfg(not(feature = "vad"))]
    fn probability(&mut self, frame: &Frame, heard: &VadFrame) -> f32 {
        let rise_db = 10.0 * heard.long_rise.log10();
        frame.speech_probability().unwrap_or(((rise_db - 3.0) / 9.0).clamp(0.0, 1.0))
    }

    /// Forgets all past sound.
    pub fn reset(&mut self) {
        self.held = 0;
        self.past.fill(f32::INFINITY);
        #[cfg(feature = "vad")]
        self.network.reset();
    }
}

/// Speech or no speech, with hysteresis and hangover.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    speaking: bool,
    quiet_ms: u32,
}

impl Turn {
    /// Whether there is speech, after a frame of `ms` milliseconds.
    pub fn follow(&mut self, thresholds: &Thresholds, heard: &VadFrame, ms: u32) -> bool {
        let goes_on = if self.speaking {
            heard.probability >= thresholds.stay && heard.stands_out()
        } else {
            heard.probability >= thresholds.enter && heard.rise >= ratio(ENTER_RISE_DB)
        };
        if goes_on {
            (self.speaking, self.quiet_ms) = (true, 0);
        } else if self.speaking {
            self.quiet_ms += ms;
            self.speaking = self.quiet_ms <= thresholds.hangover_ms;
        }
        self.speaking
    }

    /// For how long there has been only hangover, in ms.
    pub fn quiet_ms(&self) -> u32 {
        self.quiet_ms
    }
}

fn push<const N: usize>(past: &mut [f32; N], newest: f32) {
    past.copy_within(1.., 0);
    past[N - 1] = newest;
}

fn ratio(db: f32) -> f32 {
    10f32.powf(db / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level::db_to_gain;
    use crate::testing::fixture;

    /// Frames of these samples, in both channels where there are two, with this probability.
    fn frames(format: Format, samples: &[f32], probability: Option<f32>) -> impl Iterator<Item = Frame> {
        samples.chunks_exact(format.samples_per_channel()).map(move |chunk| {
            let mut frame = Frame::new(format);
            frame.channels_mut().for_each(|channel| channel.copy_from_slice(chunk));
            frame.set_speech_probability(probability);
            frame
        })
    }

    /// Whether there is speech after each frame, for a network that always says so.
    fn credulous(format: Format, samples: &[f32]) -> Vec<bool> {
        let (mut detector, mut turn) = (Detector::new(format).unwrap(), Turn::default());
        frames(format, samples, Some(1.0))
            .map(|frame| {
                let heard = VadFrame { probability: 1.0, ..detector.listen(&frame) };
                turn.follow(&Thresholds::default(), &heard, format.frame_ms())
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
    fn rises_are_those_over_the_least_of_their_time() {
        let mut detector = Detector::new(Format::mono(8_000).unwrap()).unwrap();
        let powers: Vec<f32> =
            (0..400u32).map(|i| 1e-6 + (i.wrapping_mul(2_654_435_761) >> 16) as f32 * 1e-6).collect();
        let smooth = |i: usize| {
            let recent = &powers[(i + 1).saturating_sub(SMOOTH_STEPS)..=i];
            recent.iter().sum::<f32>() / recent.len() as f32
        };
        for (i, &power) in powers.iter().enumerate() {
            let found = detector.follow(power);
            let rise = |steps: usize| {
                let least = ((i + 1).saturating_sub(steps)..=i).map(smooth).fold(f32::INFINITY, f32::min);
                smooth(i) / least
            };
            for (found, wanted) in [(found.0, smooth(i)), (found.1, rise(60)), (found.2, rise(150))] {
                assert!((found / wanted - 1.0).abs() < 1e-4, "{i}: {found} is not {wanted}");
            }
        }
    }

    #[test]
    fn speech_begins_goes_on_and_ends_at_its_thresholds() {
        let thresholds = Thresholds { enter: 0.8, stay: 0.5, hangover_ms: 100 };
        for ms in [10, 20] {
            let mut turn = Turn::default();
            let mut speaks = |probability, rise_db: f32, frames: u32| {
                let rise = ratio(rise_db);
                let heard = VadFrame { probability, power: 1.0, rise, long_rise: rise };
                (0..frames).map(|_| turn.follow(&thresholds, &heard, ms)).filter(|&speaking| speaking).count() as u32
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
    fn two_frames_of_10_ms_say_what_one_of_20_ms_says() {
        let short = Format::stereo(16_000).unwrap();
        let long = short.with_frame_ms(20).unwrap();
        let samples: Vec<f32> = fixture("speech_room").iter().step_by(3).copied().collect();
        let (mut a, mut b) = (Detector::new(short).unwrap(), Detector::new(long).unwrap());
        let listened: Vec<VadFrame> = frames(short, &samples, None).map(|frame| a.listen(&frame)).collect();
        for (pair, frame) in listened.chunks_exact(2).zip(frames(long, &samples, None)) {
            let heard = b.listen(&frame);
            assert!((heard.power / pair[1].power - 1.0).abs() < 1e-4);
            assert!((heard.rise / pair[0].rise.max(pair[1].rise) - 1.0).abs() < 1e-3);
        }
    }
}
