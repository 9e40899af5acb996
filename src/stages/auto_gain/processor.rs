//! Processor of [`AutoGain`].

use super::controller::GainController;
use super::noise::NoiseEstimator;
use super::settings::{AutoGain, AutoGainReading};
use super::speech::SpeechEstimator;
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::curve::LinearCurve;
use crate::dsp::level::{SILENCE_DBFS, db_to_gain};
use crate::dsp::ramp::{GainCurve, Ramp};
use crate::vad::detector::{Detector, SpeechDecision, Thresholds};

/// Ramp time of the bypass, in ms.
const BYPASS_MS: f32 = 50.0;

impl Stage for AutoGain {
    type Processor = AutoGainProcessor;

    fn prepare(self, input: Format) -> Result<AutoGainProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for AutoGain {
    type Reading = AutoGainReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for AutoGain {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<AutoGainProcessor> {
        self.check()?;
        // The talker is the one that was heard so far.
        let known = port.inherited().filter(|reading| reading.speech_dbov > SILENCE_DBFS);
        let (controller, speech) = match known {
            Some(reading) => (GainController::at(reading.gain_db), SpeechEstimator::at(reading.speech_dbov)),
            None => (GainController::default(), SpeechEstimator::new()),
        };
        Ok(AutoGainProcessor {
            format: input,
            port,
            settings: self,
            detector: Detector::new(input)?,
            decision: SpeechDecision::default(),
            speech,
            noise: NoiseEstimator::new(),
            controller,
            gain: db_to_gain(controller.gain_db()),
            wet: Ramp::new(wet(&self), input.samples_in_ms(BYPASS_MS)),
        })
    }
}

/// Share of the gain that is applied.
fn wet(settings: &AutoGain) -> f32 {
    if settings.bypassed { 0.0 } else { 1.0 }
}

/// Processor of [`AutoGain`].
pub struct AutoGainProcessor {
    format: Format,
    port: ControlPort<AutoGain>,
    settings: AutoGain,
    detector: Detector,
    decision: SpeechDecision,
    speech: SpeechEstimator,
    noise: NoiseEstimator,
    controller: GainController,
    /// Gain after the last frame, as a factor.
    gain: f32,
    wet: Ramp,
}

impl AutoGainProcessor {
    fn apply_gain(&mut self, frame: &mut Frame) {
        let length = self.format.samples_per_channel();
        let (before, after) = (self.gain, db_to_gain(self.controller.gain_db()));
        self.gain = after;
        let wet = self.wet.advance(length);
        if matches!(wet, GainCurve::Steady(0.0)) || (before, after) == (1.0, 1.0) {
            return;
        }
        let range = before.min(after)..before.max(after);
        let gains = LinearCurve { start: before, step: (after - before) / length as f32, range };
        for channel in frame.channels_mut() {
            match wet {
                GainCurve::Steady(_) => gains.multiply(channel),
                GainCurve::Moving(wet) => {
                    for (index, sample) in channel.iter_mut().enumerate() {
                        *sample *= 1.0 + (gains.at(index) - 1.0) * wet.at(index);
                    }
                }
            }
        }
    }
}

impl Processor for AutoGainProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.settings = settings;
            self.controller.start_moving();
            self.wet.set(wet(&settings), self.format.samples_in_ms(BYPASS_MS));
        }
        let ms = self.format.frame_ms();
        let analysis = self.detector.analyse(frame);
        let speaking = self.decision.update(&Thresholds::default(), &analysis, ms);
        // Music is no voice, and not the noise between words either.
        let voice = speaking && !analysis.music;
        self.speech.update(frame, &analysis, voice);
        self.noise.update(&analysis, speaking, ms);
        self.controller.step(&self.settings, &self.speech, &self.noise, voice, ms as f32 / 1000.0);
        self.apply_gain(frame);
        self.port.publish(AutoGainReading {
            gain_db: self.controller.gain_db(),
            speech_dbov: self.speech.dbov().unwrap_or(SILENCE_DBFS),
            noise_dbfs: self.noise.dbfs().unwrap_or(SILENCE_DBFS),
            speaking: voice,
        });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.detector.reset();
        self.decision = SpeechDecision::default();
        self.speech = SpeechEstimator::new();
        self.noise = NoiseEstimator::new();
        self.controller = GainController::default();
        self.gain = 1.0;
        self.wet.finish();
        self.port.publish(AutoGainReading::default());
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

impl std::fmt::Debug for AutoGainProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AutoGainProcessor({}, {:.1} dB)", self.format, self.controller.gain_db())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Handle;
    use crate::dsp::kernels;
    use crate::dsp::speech_level::SpeechLevel;
    use crate::testing::fixture;

    /// The bundled speech (female, clean, 48 kHz), as often as asked for, at an active level.
    fn speech(dbov: f32, times: usize) -> Vec<f32> {
        let gain = db_to_gain(dbov + 23.71);
        fixture("speech_clean").repeat(times).iter().map(|s| s * gain).collect()
    }

    fn active_dbov(samples: &[f32]) -> f32 {
        let mut meter = SpeechLevel::new(48_000);
        meter.push(samples);
        meter.dbov().unwrap()
    }

    /// What comes out, and what is told after each frame; `meanwhile` is called before each frame with its number.
    fn run_with(
        settings: AutoGain,
        format: Format,
        samples: &[f32],
        mut meanwhile: impl FnMut(usize, &Handle<AutoGain>),
    ) -> (Vec<f32>, Vec<AutoGainReading>) {
        let (stage, handle) = settings.live();
        let mut processor = stage.prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let (mut out, mut readings) = (Vec::new(), Vec::new());
        for (index, chunk) in samples.chunks_exact(format.samples_per_channel()).enumerate() {
            meanwhile(index, &handle);
            frame.channels_mut().for_each(|channel| channel.copy_from_slice(chunk));
            let frame = processor.process(&mut frame).unwrap().unwrap();
            out.extend_from_slice(frame.channels().next().unwrap());
            readings.push(handle.reading());
        }
        (out, readings)
    }

    fn run(settings: AutoGain, samples: &[f32]) -> (Vec<f32>, Vec<AutoGainReading>) {
        run_with(settings, Format::mono(48_000).unwrap(), samples, |_, _| {})
    }

    /// The gain of each sample in dB, with the sample's number, where the input is loud enough to tell.
    fn gains_db<'a>(before: &'a [f32], after: &'a [f32]) -> impl Iterator<Item = (usize, f64)> + 'a {
        let pairs = before.iter().zip(after).enumerate();
        pairs
            .filter(|(_, (before, _))| before.abs() > 1e-5)
            .map(|(i, (before, after))| (i, 20.0 * (f64::from(*after) / f64::from(*before)).log10()))
    }

    #[test]
    fn speech_of_any_level_comes_to_the_target_in_3_s() {
        for (target_dbov, levels) in [(-20.0, &[-45.0, -33.0, -20.0, -6.0][..]), (-28.0, &[-45.0, -6.0])] {
            for &dbov in levels {
                let (out, _) = run(AutoGain::to_dbov(target_dbov), &speech(dbov, 2));
                let level = active_dbov(&out[24_000 + 3 * 48_000..]);
                assert!((level - target_dbov).abs() < 2.0, "{dbov} dBov became {level}, not {target_dbov}");
            }
        }
    }

    #[test]
    fn the_gain_moves_no_faster_than_it_may_and_never_steps() {
        // A loud talker, a soft one, and the loud one again.
        let sound = [speech(-8.0, 1), speech(-35.0, 3), speech(-8.0, 1)].concat();
        let (out, readings) = run(AutoGain::default(), &sound);
        let (mut fastest_up, mut fastest_down) = (0.0f64, 0.0f64);
        let mut last: Option<(usize, f64)> = None;
        for (index, gain) in gains_db(&sound, &out) {
            if let Some((before, from)) = last {
                let seconds = (index - before) as f64 / 48_000.0;
                // What rounding of f32 can feign, at most.
                let rate = ((gain - from).abs() - 3e-6).max(0.0) / seconds;
                if gain > from { fastest_up = fastest_up.max(rate) } else { fastest_down = fastest_down.max(rate) }
            }
            last = Some((index, gain));
        }
        // In a frame the gain runs straight, not by dB: 2.5 % faster at one end.
        assert!((5.5..6.2).contains(&fastest_up), "{fastest_up} dB/s");
        assert!((35.0..41.1).contains(&fastest_down), "{fastest_down} dB/s");
        let at = |second: f32| readings[(second * 100.0) as usize].gain_db;
        assert!((at(4.6) + 12.0).abs() < 2.0 && (at(18.5) - 15.0).abs() < 2.0, "{} {}", at(4.6), at(18.5));
        assert!((at(22.0) + 12.0).abs() < 2.0, "{}", at(22.0));
    }

    #[test]
    fn a_cold_start_may_rise_faster_and_no_more_than_24_db_a_second() {
        let (_, readings) = run(AutoGain::default(), &speech(-45.0, 2));
        let fastest = readings.windows(2).map(|w| (w[1].gain_db - w[0].gain_db) * 100.0).fold(0.0, f32::max);
        assert!((23.0..24.1).contains(&fastest), "{fastest} dB/s");
    }

    #[test]
    fn the_gain_is_frozen_while_nobody_speaks() {
        let sound = [speech(-35.0, 2), vec![0.0; 96_000], fixture("noise_fan").iter().map(|s| s * 0.001).collect()];
        let (_, readings) = run(AutoGain::default(), &sound.concat());
        let pauses = readings.windows(2).filter(|w| !w[1].speaking);
        assert!(pauses.clone().count() > 350);
        assert!(pauses.clone().all(|w| w[1].gain_db == w[0].gain_db));
        assert!((readings.last().unwrap().gain_db - 15.0).abs() < 2.0);
    }

    #[test]
    fn steady_speech_is_not_pumped() {
        for dbov in [-40.0, -26.0, -12.0] {
            let (_, readings) = run(AutoGain::default(), &speech(dbov, 4));
            for second in readings[350..].windows(101) {
                let moved = (second[100].gain_db - second[0].gain_db).abs();
                assert!(moved < 0.81, "{dbov}: {moved} dB in a second");
            }
        }
    }

    // By level alone a fan is speech for as long as it is new.
    #[cfg(feature = "vad")]
    #[test]
    fn noise_is_not_taken_for_speech_nor_lifted() {
        let fan = fixture("noise_fan");
        // At first it is alone; then somebody speaks, so softly that it takes 20 dB; then it is there again.
        let sound = [fan.repeat(3), speech(-40.0, 4), fan.repeat(4)].concat();
        let (out, readings) = run(AutoGain::default(), &sound);
        assert!(readings[..450].iter().all(|reading| reading.gain_db == 0.0));
        let again = 450 + 4 * 468;
        assert!((readings[again].gain_db - 20.0).abs() < 2.0, "{:?}", readings[again]);
        // It takes a second to be sure of the noise, and half of one to go back.
        assert!(readings[again + 170..].iter().all(|reading| reading.gain_db < 0.1));
        let end = crate::level::rms_dbfs(&out[(again + 170) * 480..]);
        assert!((end + 33.8).abs() < 0.3, "{end}");
    }

    #[test]
    fn the_noise_between_words_stays_below_its_limit() {
        // 30 dB below the speech, so that with 25 dB it would be at −50.
        let fan: Vec<f32> = fixture("noise_fan").iter().map(|s| s * db_to_gain(-65.0 + 33.77)).collect();
        let mut sound = speech(-40.0, 5);
        sound.iter_mut().zip(fan.iter().cycle()).for_each(|(speech, noise)| *speech += noise);
        for (noise_dbfs, wanted_db) in [(-50.0, 15.0), (-57.0, 8.0), (-30.0, 20.0)] {
            let (out, readings) = run(AutoGain { max_noise_dbfs: noise_dbfs, ..AutoGain::default() }, &sound);
            let last = readings.last().unwrap();
            assert!((last.noise_dbfs + 65.0).abs() < 1.0, "{last:?}");
            assert!((last.gain_db - wanted_db).abs() < 1.0, "{last:?}, not {wanted_db}");
            // The last 0.3 s of the recording and the first 0.5 s are silent: only noise is in them.
            let pause = out.len() - 5 * 2880..out.len();
            assert!(crate::level::rms_dbfs(&out[pause]) < noise_dbfs + 1.0);
        }
    }

    #[test]
    fn switching_and_changing_do_not_click() {
        let sound = speech(-35.0, 3);
        let format = Format::mono(48_000).unwrap();
        let (out, readings) = run_with(AutoGain::default(), format, &sound, |frame, handle| match frame {
            600 | 820 => handle.update(|agc| agc.bypassed = true).unwrap(),
            700 | 823 => handle.update(|agc| agc.bypassed = false).unwrap(),
            900 => handle.update(|agc| agc.target_dbov = -26.0).unwrap(),
            1200 => handle.update(|agc| agc.max_gain_db = 5.0).unwrap(),
            _ => {}
        });
        // 15 dB in 50 ms along a smoothstep: no more than 1.5 times the mean slope, of a factor of 5.6.
        let factors: Vec<(usize, f32)> = gains_db(&sound, &out).map(|(i, db)| (i, db_to_gain(db as f32))).collect();
        for pair in factors.windows(2) {
            let slope = (pair[1].1 - pair[0].1).abs() / (pair[1].0 - pair[0].0) as f32;
            assert!(slope < 1.6 * 5.0 / 2400.0, "{slope} at {}", pair[1].0);
        }
        let at = |frame: usize| factors[factors.partition_point(|&(i, _)| i < frame * 480)].1;
        assert!((at(610) - 1.0).abs() < 1e-4 && (at(699) - 1.0).abs() < 1e-4);
        assert!((at(706) - db_to_gain(readings[705].gain_db)).abs() < 0.01, "as if it had never been off");
        assert!((readings[1100].gain_db - 9.0).abs() < 1.5, "{:?}", readings[1100]);
        assert!((readings[1400].gain_db - 5.0).abs() < 0.1, "{:?}", readings[1400]);
    }

    #[test]
    fn both_channels_get_the_gain_of_the_louder_one() {
        let format = Format::stereo(48_000).unwrap();
        let mut processor = AutoGain::default().prepare(format).unwrap();
        let mut last = Frame::new(format);
        for chunk in speech(-40.0, 1).chunks_exact(480) {
            let mut frame = Frame::new(format);
            let (left, right) = frame.samples_mut().split_at_mut(480);
            left.copy_from_slice(chunk);
            kernels::copy_scaled(right, chunk, -0.125);
            let out = processor.process(&mut frame).unwrap().unwrap();
            let (left, right) = out.samples().split_at(480);
            assert!(left.iter().zip(right).all(|(left, right)| (left * -0.125 - right).abs() <= 1e-6 * left.abs()));
            if left.iter().any(|s| s.abs() > 0.1) {
                last.copy_from(out).unwrap();
            }
        }
        assert!((processor.controller.gain_db() - 20.0).abs() < 2.0, "{processor:?}");
        assert!(last.samples()[..480].iter().any(|s| s.abs() > 0.1));
    }

    #[test]
    fn every_format_is_treated_alike() {
        let sound = speech(-38.0, 1);
        let wanted = run(AutoGain::default(), &sound).1.last().unwrap().gain_db;
        for (every, frame_ms, channels) in [(3, 10, 1), (3, 20, 2), (1, 20, 1)] {
            let format = Format::new(48_000 / every as u32, channels).unwrap().with_frame_ms(frame_ms).unwrap();
            let samples: Vec<f32> = sound.iter().step_by(every).copied().collect();
            let gain = run_with(AutoGain::default(), format, &samples, |_, _| {}).1.last().unwrap().gain_db;
            assert!((gain - wanted).abs() < 1.0, "{format}: {gain} dB, not {wanted}");
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let format = Format::mono(48_000).unwrap();
        for bad in [
            AutoGain::to_dbov(f32::NAN),
            AutoGain::to_dbov(-9.0),
            AutoGain { max_gain_db: 61.0, ..AutoGain::default() },
            AutoGain { up_db_per_s: 0.0, ..AutoGain::default() },
            AutoGain { down_db_per_s: 101.0, ..AutoGain::default() },
            AutoGain { max_noise_dbfs: 1.0, ..AutoGain::default() },
        ] {
            assert!(bad.prepare(format).is_err(), "{bad:?}");
        }
    }
}
