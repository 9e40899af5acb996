//! Speech probability by the network of the crate earshot.

use super::tones::MusicDetector;
use crate::core::{Format, Frame};
use crate::dsp::fft_resampler::{FftResampler, FilterDesign};
use crate::dsp::kernels;
use crate::dsp::level::db_to_gain;

/// Sample rate of earshot.
const RATE_HZ: u32 = 16_000;

/// Samples of 10 ms at that rate.
const LONGEST: usize = 160;

/// Level that the loudest recent sound is brought to, in dBFS (RMS over 40 ms): earshot judges by level, and takes quiet
/// speech for none and loud wind for speech. −20 finds 2 % more of the speech, and takes three times as much noise for it.
const LOUDEST_DB: f32 = -26.0;

/// Maximum gain up or down for that, in dB.
const MAX_GAIN_DB: f32 = 40.0;

/// Decay of the loudest level, in dB/s. A slower one takes less noise for speech, but hears a soft talker who follows a
/// loud one seconds late.
const DECAY_DB_PER_S: f32 = 9.0;

/// Offset added to earshot's score, so that the thresholds made for RNNoise fit: where RNNoise says 0.60, earshot's own
/// documentation recommends 0.5.
const OFFSET: f32 = 0.1;

/// Time for which the network must be sure, and the level stand out as at an onset, until it is believed alone, in ms.
/// Half as much time without undoes it; a whole second is remembered.
const CONVICTION_MS: f32 = 600.0;
const MAX_CONVICTION_MS: f32 = 1000.0;

/// earshot for frames of any format and level.
pub(super) struct SpeechNetwork {
    detector: Box<earshot::Detector>,
    music: MusicDetector,
    /// Sound that is resampled at a time, of all channels.
    mono: Box<[f32]>,
    /// `None` at the rate of earshot.
    resampler: Option<FftResampler>,
    /// Power of the loudest recent sound, and its decay from frame to frame.
    loudest: f32,
    decay: f32,
    probability: f32,
}

impl SpeechNetwork {
    /// Network for frames of this format. Allocates.
    pub fn new(format: Format) -> Self {
        let from_hz = format.sample_rate_hz();
        let resampler =
            (from_hz != RATE_HZ).then(|| FftResampler::new(FilterDesign::LOW_LATENCY, [from_hz, RATE_HZ], 1));
        let block = resampler.as_ref().map_or(LONGEST, FftResampler::block);
        Self {
            detector: earshot::Detector::default_boxed(),
            music: MusicDetector::new(),
            mono: vec![0.0; block].into_boxed_slice(),
            resampler,
            loudest: db_to_gain(LOUDEST_DB).powi(2),
            decay: 10f32.powf(-DECAY_DB_PER_S * format.frame_ms() as f32 / 10_000.0),
            probability: 0.0,
        }
    }

    /// Speech probability of a frame, 0 to 1; `power` is that of the last 40 ms.
    pub fn analyse(&mut self, frame: &Frame, power: f32) -> f32 {
        self.loudest = power.max(self.loudest * self.decay);
        let max = db_to_gain(MAX_GAIN_DB);
        let gain = (db_to_gain(LOUDEST_DB) / self.loudest.sqrt()).clamp(1.0 / max, max);
        let share = gain / frame.format().channels() as f32;
        let length = self.mono.len();
        let resampled_length = length * RATE_HZ as usize / frame.format().sample_rate_hz() as usize;
        let mut highest = None;
        for start in (0..frame.format().samples_per_channel()).step_by(length) {
            self.mono.fill(0.0);
            for channel in frame.channels() {
                kernels::mix(&mut self.mono, 1.0, &channel[start..start + length], share);
            }
            kernels::sanitize(&mut self.mono);
            let resampled = &mut [0.0; LONGEST][..resampled_length];
            match &mut self.resampler {
                Some(resampler) => resampler.process(0, &self.mono, resampled),
                None => resampled.copy_from_slice(&self.mono),
            }
            // earshot takes samples within full scale.
            kernels::limit(resampled, 1.0);
            let mut rest = &*resampled;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(self.music.room()));
                rest = later;
                if let Some(block) = self.music.push(now) {
                    let score = self.detector.predict_f32(block);
                    highest = Some((score + OFFSET).min(1.0).max(highest.unwrap_or(0.0)));
                }
            }
        }
        self.probability = highest.unwrap_or(self.probability);
        self.probability
    }

    /// Whether what was heard last is music.
    pub fn is_music(&self) -> bool {
        self.music.is_music()
    }

    /// Forgets all past sound. Realtime safe.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.music.reset();
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
        self.loudest = db_to_gain(LOUDEST_DB).powi(2);
        self.probability = 0.0;
    }
}

/// Conviction of the network, in ms for which it has been sure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conviction {
    ms: f32,
    believed: bool,
}

impl Conviction {
    /// Takes in a frame of `ms` milliseconds; returns whether the network is believed alone.
    pub fn update(&mut self, sure: bool, ms: u32) -> bool {
        let step = if sure { ms as f32 } else { -0.5 * ms as f32 };
        self.ms = (self.ms + step).clamp(0.0, MAX_CONVICTION_MS);
        self.believed = self.ms >= CONVICTION_MS || (self.believed && self.ms > 0.0);
        self.believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Processor, Stage};
    use crate::stages::resample::Resample;
    use crate::testing::fixture;

    /// Share of the frames of a fixture, at another level and in another format, that hold speech.
    fn share(name: &str, gain_db: f32, format: Format) -> f32 {
        let samples = fixture(name);
        let from = format.with_sample_rate_hz(48_000).unwrap();
        let mut resampler = Resample::to(format.sample_rate_hz()).prepare(from).unwrap();
        let mut network = SpeechNetwork::new(format);
        let (mut power, mut found) = ([0.0f32; 4], Vec::new());
        for chunk in samples.chunks_exact(from.samples_per_channel()) {
            let mut frame = Frame::new(from);
            for channel in frame.channels_mut() {
                channel.copy_from_slice(chunk);
                kernels::scale(channel, db_to_gain(gain_db));
            }
            let frame = resampler.process(&mut frame).unwrap().unwrap();
            let channel = frame.channels().next().unwrap();
            power.rotate_left(1);
            power[3] = kernels::energy(channel) / channel.len() as f32;
            found.push(network.analyse(frame, power.iter().sum::<f32>() / 4.0) > 0.8);
        }
        found.iter().filter(|&&speech| speech).count() as f32 / found.len() as f32
    }

    #[test]
    fn it_hears_speech_at_every_level_and_in_every_format() {
        let usual = share("speech_clean", 0.0, Format::mono(48_000).unwrap());
        assert!((0.55..0.9).contains(&usual), "{usual}");
        for gain_db in [-30.0, 60.0] {
            let found = share("speech_clean", gain_db, Format::mono(48_000).unwrap());
            assert!((found - usual).abs() < 0.12, "{gain_db} dB: {found}, not {usual}");
        }
        for (rate, channels, frame_ms) in [(8_000, 1, 10), (44_100, 2, 20), (11_100, 2, 10), (192_000, 1, 10)] {
            let format = Format::new(rate, channels).unwrap().with_frame_ms(frame_ms).unwrap();
            let found = share("speech_clean", 0.0, format);
            assert!((found - usual).abs() < 0.15, "{format}: {found}, not {usual}");
        }
    }

    #[test]
    fn it_hears_none_in_a_fan() {
        for gain_db in [-30.0, 0.0, 24.0] {
            assert_eq!(share("noise_fan", gain_db, Format::mono(48_000).unwrap()), 0.0, "{gain_db} dB");
        }
    }

    #[test]
    fn reset_it_is_a_new_one() {
        let format = Format::mono(44_100).unwrap();
        let sound = |index: u32| {
            let mut frame = Frame::new(format);
            for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
                *sample = (i as f32 * 0.02 * (1.0 + (index % 7) as f32)).sin() * 0.1;
            }
            frame
        };
        let mut network = SpeechNetwork::new(format);
        let mut run = || (0..40).map(|i| network.analyse(&sound(i), 0.005)).collect::<Vec<f32>>();
        let fresh = run();
        let unlike = run();
        network.reset();
        let mut run = || (0..40).map(|i| network.analyse(&sound(i), 0.005)).collect::<Vec<f32>>();
        assert!(run() == fresh);
        assert!(unlike != fresh);
    }
}
