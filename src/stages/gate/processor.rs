//! Processor of [`NoiseGate`].

use super::detector::{GateCoefficients, GateDetector};
use super::noise::Lesson;
use super::settings::{NoiseGate, NoiseGateReading};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::fixed;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::curve::SmoothstepCurve;
use crate::dsp::delay::Delay;
use crate::dsp::level::db_to_gain;
use crate::dsp::ramp::{GainCurve, Ramp};

/// Ramp time of a new floor, in ms.
const RAMP_MS: f32 = 5.0;

/// Speech probability below which a frame is noise to learn from.
const NOISE_PROBABILITY: f32 = 0.5;

impl Stage for NoiseGate {
    type Processor = NoiseGateProcessor;

    fn prepare(self, input: Format) -> Result<NoiseGateProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for NoiseGate {
    type Reading = NoiseGateReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
        fixed("NoiseGate::lookahead_ms", self.lookahead_ms == prepared.lookahead_ms)
    }
}

impl LiveStage for NoiseGate {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<NoiseGateProcessor> {
        self.check()?;
        let lookahead = input.samples_in_ms(self.lookahead_ms);
        // The noise is most likely the one that was heard so far.
        let known = port.inherited().filter(|reading| reading.noise > 0.0);
        Ok(NoiseGateProcessor {
            format: input,
            port,
            lookahead,
            delay: Delay::new(input, lookahead),
            floor: Ramp::new(db_to_gain(self.floor_db), input.samples_in_ms(RAMP_MS)),
            coefficients: GateCoefficients::new(&self, input),
            detector: known.map_or_else(GateDetector::default, |reading| GateDetector::with_noise(reading.noise)),
        })
    }
}

/// Processor of [`NoiseGate`].
#[derive(Debug)]
pub struct NoiseGateProcessor {
    format: Format,
    port: ControlPort<NoiseGate>,
    lookahead: usize,
    delay: Delay,
    floor: Ramp,
    coefficients: GateCoefficients,
    detector: GateDetector,
}

impl NoiseGateProcessor {
    /// Multiplies every channel by the gains of a frame, for each millisecond of which the gate is `open` or not, `open_ms` in
    /// all; returns the last gain.
    fn apply(&mut self, frame: &mut Frame, open: &[bool], open_ms: usize, floor: GainCurve) -> f32 {
        let length = self.format.samples_per_channel();
        if self.detector.is_steady(open_ms, open.len()) {
            return match floor {
                _ if self.detector.envelope() == 1.0 => 1.0,
                GainCurve::Steady(floor) => {
                    frame.scale(floor);
                    floor
                }
                GainCurve::Moving(floor) => {
                    frame.channels_mut().for_each(|channel| floor.multiply(channel));
                    floor.at(length - 1)
                }
            };
        }
        let floor = match floor {
            GainCurve::Steady(floor) => SmoothstepCurve::constant(floor),
            GainCurve::Moving(floor) => floor,
        };
        let mut gain = 1.0;
        for (range, envelope) in self.detector.advance_envelope(&self.coefficients, open, length) {
            let floor = floor.after(range.start);
            gain = envelope.gain_above(&floor, range.len() - 1);
            frame.channels_mut().for_each(|channel| envelope.multiply_above(&floor, &mut channel[range.clone()]));
        }
        gain
    }
}

impl Processor for NoiseGateProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_format(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.coefficients = GateCoefficients::new(&settings, self.format);
            self.floor.set(db_to_gain(settings.floor_db), self.format.samples_in_ms(RAMP_MS));
        }
        let ms = self.format.frame_ms() as usize;
        let (powers, open) = (&mut [0.0; Format::MAX_FRAME_MS][..ms], &mut [false; Format::MAX_FRAME_MS][..ms]);
        frame.find_powers_by_ms(powers);
        let (lesson, far_end) = (lesson(frame), frame.far_end_speech());
        let mut open_ms = 0;
        for (powers, open) in powers.as_chunks().0.iter().zip(open.as_chunks_mut().0) {
            open_ms += self.detector.update(&self.coefficients, powers, lesson, far_end, open);
        }
        self.delay.process(frame);
        let floor = self.floor.advance(self.format.samples_per_channel());
        let gain = self.apply(frame, open, open_ms, floor);
        frame.set_position(frame.position() - self.lookahead as i64);
        self.port.publish(NoiseGateReading {
            open: self.detector.is_open(),
            gain,
            power: self.detector.power(),
            noise: self.detector.noise(),
        });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.delay.reset();
        self.floor.finish();
        self.detector = GateDetector::default();
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        self.lookahead
    }
}

/// What a frame teaches about the noise. A network alone takes a whisper for noise, so all that are known must agree.
fn lesson(frame: &Frame) -> Lesson {
    let known = [frame.speech_probability(), frame.detected_speech()];
    match known {
        _ if frame.far_end_speech() => Lesson::None,
        [None, None] => Lesson::Unknown,
        _ if known.iter().all(|known| known.is_none_or(|probability| probability < NOISE_PROBABILITY)) => Lesson::Noise,
        _ => Lesson::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gain the gate gives to each sample of a 1 kHz tone whose level in dBFS (RMS) is given by the millisecond.
    fn gains(gate: &mut NoiseGateProcessor, ms: usize, level_dbfs: impl Fn(usize) -> f32) -> Vec<f32> {
        let format = gate.input_format();
        let per_ms = format.sample_rate_hz() as usize / 1000;
        let mut gains = Vec::new();
        for start in (0..ms).step_by(10) {
            let mut frame = Frame::new(format);
            for channel in frame.channels_mut() {
                for (i, s) in channel.iter_mut().enumerate() {
                    let phase = (i as f32 + 0.5) / per_ms as f32 * std::f32::consts::TAU;
                    *s = phase.sin() * std::f32::consts::SQRT_2 * db_to_gain(level_dbfs(start + i / per_ms));
                }
            }
            let before = frame.clone();
            let after = gate.process(&mut frame).unwrap().unwrap();
            gains.extend(after.samples().iter().zip(before.samples()).map(|(a, b)| a / b));
        }
        gains
    }

    fn gate(settings: NoiseGate) -> NoiseGateProcessor {
        settings.prepare(Format::mono(48_000).unwrap()).unwrap()
    }

    #[test]
    fn it_opens_holds_and_releases_by_its_times() {
        let mut gate = gate(NoiseGate { above_noise_db: 0.0, ..NoiseGate::default() });
        let gains = gains(&mut gate, 1000, |ms| if (100..300).contains(&ms) { -20.0 } else { -70.0 });
        let at = |ms: usize| gains[ms * 48];
        let floor = db_to_gain(-50.0);
        assert!((at(99) - floor).abs() < 1e-4);
        assert!((at(108) - 1.0).abs() < 1e-4, "5 ms after the first loud millisecond");
        assert!((at(515) - 1.0).abs() < 1e-4, "held 200 ms after the level fell");
        assert!(at(560) < 0.95, "then released");
        assert!((at(700) - floor).abs() < 1e-4);
        let steepest = gains.windows(2).map(|w| w[1] - w[0]).fold(0.0, f32::max);
        let fastest_fall = gains.windows(2).map(|w| w[0] - w[1]).fold(0.0, f32::max);
        // The curve is one and a half times as steep in the middle as a straight line.
        assert!(steepest < 1.501 / 240.0, "{steepest}");
        assert!(fastest_fall < 1.501 / 7200.0, "{fastest_fall}");
    }

    /// What is left of 1 s of noise at `noise_dbfs`, and then of 100 ms of speech at `speech_dbfs`, in dB.
    fn left(settings: NoiseGate, noise_dbfs: f32, speech_dbfs: f32) -> (f32, f32) {
        let (settings, control) = settings.live();
        let mut gate = settings.prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut last = [0.0; 2];
        for index in 0..110 {
            let speech = index >= 100;
            let mut frame = Frame::new(gate.input_format());
            let level = if speech { speech_dbfs } else { noise_dbfs };
            for (i, s) in frame.samples_mut().iter_mut().enumerate() {
                *s = db_to_gain(level) * if i / 24 % 2 == 0 { 1.0 } else { -1.0 };
            }
            frame.set_speech_probability(Some(if speech { 0.9 } else { 0.1 }));
            gate.process(&mut frame).unwrap();
            last[usize::from(speech)] = control.reading().gain_db();
        }
        assert!((control.reading().noise_dbfs() - noise_dbfs).abs() < 0.1);
        (last[0], last[1])
    }

    #[test]
    fn noise_above_the_threshold_does_not_open_it_but_speech_above_the_noise_does() {
        let (noise, speech) = left(NoiseGate::default(), -38.0, -27.0);
        assert!(noise < -49.0 && speech > -0.1, "{noise} {speech}");
        let (_, speech) = left(NoiseGate::default(), -38.0, -31.0);
        assert!(speech < -49.0, "7 dB above the noise: {speech}");
        let (noise, _) = left(NoiseGate { above_noise_db: 0.0, ..NoiseGate::default() }, -38.0, -27.0);
        assert!(noise > -0.1, "it does not learn: {noise}");
        let (_, speech) = left(NoiseGate::default(), -26.0, -19.5);
        assert!(speech > -0.1, "20 dB above open_db everything is let through: {speech}");
    }

    #[test]
    fn where_the_noise_is_soft_soft_speech_opens_it() {
        let (noise, speech) = left(NoiseGate::default(), -65.0, -54.0);
        assert!(noise < -49.0 && speech > -0.1, "{noise} {speech}");
        let (_, speech) = left(NoiseGate::default(), -65.0, -58.0);
        assert!(speech < -49.0, "7 dB above the noise: {speech}");
        let (_, speech) = left(NoiseGate { above_noise_db: 0.0, ..NoiseGate::default() }, -65.0, -45.0);
        assert!(speech < -49.0, "it does not learn: {speech}");
        let (_, speech) = left(NoiseGate::default(), -90.0, -62.0);
        assert!(speech < -49.0, "more than 20 dB below open_db: {speech}");
    }

    #[test]
    fn noise_is_learnt_from_silence_upwards_and_a_breath_is_no_noise() {
        let (stage, control) = NoiseGate::default().live();
        let mut gate = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut noise = |dbfs: f32, ms: usize| {
            for _ in 0..ms / 10 {
                let mut frame = Frame::new(gate.input_format());
                frame.samples_mut().fill(if dbfs > -120.0 { db_to_gain(dbfs) } else { 0.0 });
                frame.set_speech_probability(Some(0.0));
                gate.process(&mut frame).unwrap();
            }
            control.reading()
        };
        noise(-120.0, 1000);
        // 22 dB at 9 dB a second, and what it takes to settle.
        assert!((noise(-50.0, 4000).noise_dbfs() + 50.0).abs() < 1.0);
        let breath = noise(-30.0, 200).noise_dbfs();
        assert!((-49.0..-47.5).contains(&breath), "{breath}");
        assert!(!noise(-38.0, 3000).open, "a louder fan");
    }

    #[test]
    fn a_level_between_the_thresholds_neither_opens_nor_closes() {
        let mut gate = gate(NoiseGate { hold_ms: 0.0, ..NoiseGate::default() });
        assert!(gains(&mut gate, 500, |_| -43.0).iter().all(|&g| g < 0.004));
        gains(&mut gate, 100, |_| -39.0);
        assert!(gains(&mut gate, 500, |_| -43.0).iter().all(|&g| g == 1.0));
        assert!(*gains(&mut gate, 500, |_| -47.0).last().unwrap() < 0.004);
    }

    #[test]
    fn a_live_change_keeps_the_state_and_the_slopes() {
        let (settings, control) = NoiseGate { hold_ms: 0.0, ..NoiseGate::default() }.live();
        let mut gate = settings.prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut all = gains(&mut gate, 100, |_| -30.0);
        for (open_db, floor_db) in [(-20.0, -10.0), (-40.0, -10.0), (-10.0, 0.0), (-10.0, -60.0), (-35.0, -60.0)] {
            control.update(|gate| (gate.open_db, gate.close_db, gate.floor_db) = (open_db, open_db, floor_db)).unwrap();
            all.extend(gains(&mut gate, 50, |_| -30.0));
        }
        let steepest = all.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 1.51 / 240.0, "{steepest}");
        assert!(control.reading().open);
    }

    #[test]
    fn with_lookahead_the_gate_is_open_before_the_word() {
        let format = Format::mono(48_000).unwrap();
        let mut gate = NoiseGate { lookahead_ms: 10.0, ..NoiseGate::default() }.prepare(format).unwrap();
        assert_eq!(gate.latency(), 480);
        let mut out = Vec::new();
        for index in 0..20 {
            let mut frame = Frame::new(format);
            frame.set_position(480 * index);
            frame.samples_mut().fill(if index >= 10 { 0.1 } else { 0.0 });
            let frame = gate.process(&mut frame).unwrap().unwrap();
            assert_eq!(frame.position(), 480 * (index - 1));
            out.extend_from_slice(frame.samples());
        }
        assert!(out[..480 * 11].iter().all(|&s| s == 0.0));
        assert!(out[480 * 11..].iter().all(|&s| (s - 0.1).abs() < 1e-6));
    }

    #[test]
    fn a_frame_of_20_ms_is_two_of_10_ms() {
        let run = |frame_ms: u32| {
            let format = Format::mono(48_000).unwrap().with_frame_ms(frame_ms).unwrap();
            let mut gate =
                NoiseGate { hold_ms: 30.0, release_ms: 25.0, ..NoiseGate::default() }.prepare(format).unwrap();
            let mut random = fastrand::Rng::with_seed(1);
            let mut out = Vec::new();
            for _ in 0..2000 / frame_ms {
                let mut frame = Frame::new(format);
                for block in frame.samples_mut().chunks_exact_mut(480) {
                    // Every 10 ms something between −70 and −30 dBFS.
                    let level = db_to_gain(-70.0 + 40.0 * random.f32());
                    block.iter_mut().enumerate().for_each(|(i, s)| *s = level * if i % 8 < 4 { 1.0 } else { -1.0 });
                }
                out.extend_from_slice(gate.process(&mut frame).unwrap().unwrap().samples());
            }
            out
        };
        let (short, long) = (run(10), run(20));
        assert!(short.iter().zip(&long).all(|(a, b)| (a - b).abs() < 1e-6));
        let floor = db_to_gain(-50.0);
        assert!(short.iter().any(|s| s.abs() > 0.02) && short.iter().any(|s| s.abs() < 1.1 * floor * 0.03));
    }

    #[test]
    fn a_loud_channel_opens_both() {
        let mut gate = NoiseGate::default().prepare(Format::stereo(48_000).unwrap()).unwrap();
        for _ in 0..3 {
            let mut frame = Frame::new(gate.input_format());
            let mut channels = frame.channels_mut();
            channels.next().unwrap().fill(0.1);
            channels.next().unwrap().fill(0.001);
            let out = gate.process(&mut frame).unwrap().unwrap();
            let ratios: Vec<f32> = out.samples()[..480].iter().zip(&out.samples()[480..]).map(|(l, r)| l / r).collect();
            assert!(ratios.iter().all(|r| (r - 100.0).abs() < 0.01));
        }
    }

    #[test]
    fn crossed_thresholds_are_refused() {
        let crossed = NoiseGate { close_db: -30.0, ..NoiseGate::default() };
        assert!(crossed.prepare(Format::mono(48_000).unwrap()).is_err());
    }
}
