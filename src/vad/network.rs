//! Speech probability by the network of the crate earshot.

use super::decimator::{CHUNK, Decimator, MAX_FACTOR};
use super::tones::MusicDetector;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::kernels;
use crate::dsp::level::db_to_gain;
use crate::stages::resample::{Quality, Resample, ResampleProcessor};

/// Sample rate of earshot.
const RATE_HZ: u32 = 16_000;

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
    converter: RateConverter,
    /// Power of the loudest recent sound, and its decay from frame to frame.
    loudest: f32,
    decay: f32,
    probability: f32,
}

impl SpeechNetwork {
    /// Network for frames of this format. Allocates.
    pub fn new(format: Format) -> Result<Self> {
        Ok(Self {
            detector: earshot::Detector::default_boxed(),
            music: MusicDetector::new(),
            converter: RateConverter::new(format)?,
            loudest: db_to_gain(LOUDEST_DB).powi(2),
            decay: 10f32.powf(-DECAY_DB_PER_S * format.frame_ms() as f32 / 10_000.0),
            probability: 0.0,
        })
    }

    /// Speech probability of a frame, 0 to 1; `power` is that of the last 40 ms.
    pub fn analyse(&mut self, frame: &Frame, power: f32) -> f32 {
        self.loudest = power.max(self.loudest * self.decay);
        let max = db_to_gain(MAX_GAIN_DB);
        let gain = (db_to_gain(LOUDEST_DB) / self.loudest.sqrt()).clamp(1.0 / max, max);
        let share = gain / frame.format().channels() as f32;
        let Self { detector, music, converter, .. } = self;
        let mut highest: Option<f32> = None;
        converter.convert(frame, share, |samples| {
            // earshot takes samples within full scale.
            kernels::limit(samples, 1.0);
            let mut rest = &*samples;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(music.missing()));
                rest = later;
                if let Some(block) = music.push(now) {
                    let score = detector.predict_f32(block);
                    highest = Some((score + OFFSET).min(1.0).max(highest.unwrap_or(0.0)));
                }
            }
        });
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
        self.converter.reset();
        self.loudest = db_to_gain(LOUDEST_DB).powi(2);
        self.probability = 0.0;
    }
}

/// Conversion to the one channel and the rate of the network.
enum RateConverter {
    /// From a multiple of the rate.
    Decimator(Decimator),
    /// From any other, by way of one channel.
    Resampler { mono: Frame, resampler: Box<ResampleProcessor> },
}

impl RateConverter {
    /// Converter for frames of this format. Allocates.
    fn new(format: Format) -> Result<Self> {
        let factor = (format.sample_rate_hz() / RATE_HZ) as usize;
        if factor > 1 && format.sample_rate_hz().is_multiple_of(RATE_HZ) {
            return Ok(Self::Decimator(Decimator::new(factor)));
        }
        let mono = format.with_channels(1)?;
        let resampler = Resample { sample_rate_hz: RATE_HZ, quality: Quality::LowLatency }.prepare(mono)?;
        Ok(Self::Resampler { mono: Frame::new(mono), resampler: Box::new(resampler) })
    }

    /// Converts the sum of the channels times `gain`, and hands over what comes out, in one piece or several. What is as soft as
    /// denormal numbers does not come here.
    fn convert(&mut self, frame: &Frame, gain: f32, mut take: impl FnMut(&mut [f32])) {
        match self {
            Self::Decimator(decimator) => {
                let mut mono = [0.0; CHUNK * MAX_FACTOR];
                let mono = &mut mono[..decimator.input_len()];
                for start in (0..frame.format().samples_per_channel()).step_by(mono.len()) {
                    mono.fill(0.0);
                    for channel in frame.channels() {
                        kernels::mix(mono, 1.0, &channel[start..], gain);
                    }
                    let mut chunk = [0.0; CHUNK];
                    decimator.process(mono, &mut chunk);
                    take(&mut chunk);
                }
            }
            Self::Resampler { mono, resampler } => {
                mono.samples_mut().fill(0.0);
                for channel in frame.channels() {
                    kernels::mix(mono.samples_mut(), 1.0, channel, gain);
                }
                if let Ok(Some(resampled)) = resampler.process(mono) {
                    take(resampled.samples_mut());
                }
            }
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Decimator(decimator) => decimator.reset(),
            Self::Resampler { resampler, .. } => resampler.reset(),
        }
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
    use crate::stages::resample::Resample;
    use crate::testing::fixture;

    /// Share of the frames of a fixture, at another level and in another format, that hold speech.
    fn share(name: &str, gain_db: f32, format: Format) -> f32 {
        let samples = fixture(name);
        let from = format.with_sample_rate_hz(48_000).unwrap();
        let mut resampler = Resample::to(format.sample_rate_hz()).prepare(from).unwrap();
        let mut network = SpeechNetwork::new(format).unwrap();
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
        for (rate, channels, frame_ms) in
            [(8_000, 1, 10), (44_100, 2, 20), (11_100, 2, 10), (32_000, 2, 20), (96_000, 1, 20), (192_000, 1, 10)]
        {
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
        for rate_hz in [44_100, 48_000] {
            let format = Format::mono(rate_hz).unwrap();
            let sound = |index: u32| {
                let mut frame = Frame::new(format);
                for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
                    *sample = (i as f32 * 0.02 * (1.0 + (index % 7) as f32)).sin() * 0.1;
                }
                frame
            };
            let mut network = SpeechNetwork::new(format).unwrap();
            let mut run = || (0..40).map(|i| network.analyse(&sound(i), 0.005)).collect::<Vec<f32>>();
            let fresh = run();
            let unlike = run();
            network.reset();
            let mut run = || (0..40).map(|i| network.analyse(&sound(i), 0.005)).collect::<Vec<f32>>();
            assert!(run() == fresh, "{rate_hz}");
            assert!(unlike != fresh, "{rate_hz}");
        }
    }
}
