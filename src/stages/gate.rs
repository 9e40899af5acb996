//! Noise gate.

use crate::control::{ControlPort, Live};
use crate::core::error::{fixed, in_range};
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::delay::Delay;
use crate::dsp::kernels;
use crate::dsp::level::{db_to_gain, to_dbfs};
use crate::dsp::ramp::{GainCurve, Ramp};

/// How long a new floor takes to come into force.
const RAMP_MS: f32 = 5.0;

/// Milliseconds in the longest frame.
const MOST_BLOCKS: usize = 20;

/// Turns the sound down while nobody speaks.
///
/// The level is an RMS over `window_ms`, taken every millisecond, the loudest channel counting for all, so that a
/// stereo image stays where it is. The gate opens when it reaches `open_db`, and closes when it has stayed below
/// `close_db` for `hold_ms`. The gain then travels in a smooth curve: from the floor to 1 in `attack_ms`, back in
/// `release_ms`, never faster, whatever is changed meanwhile.
///
/// Where the frames say how likely they hold speech (behind `Denoise`, say), the gate learns how loud the noise is, and
/// both thresholds move until opening takes a level `above_noise_db` over it: up, so that noise does not open it, or down,
/// so that it does not wait for the loud part of a word where there is nothing to keep out. They move by 20 dB at most
/// either way: a voice that the detector misses is not shut out.
///
/// Of real words with noise 20 dB below them, the first 20 ms lose nothing with 10 ms of lookahead, and without it 0.3 dB
/// on average and 2.7 dB at worst (`cargo test --test gate -- --nocapture`).
///
/// Latency: `lookahead_ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct NoiseGate {
    /// The gate opens at this level, in dBFS (RMS), −120 to 0. Default −40 (between OBS's −26 and a quiet room).
    pub open_db: f32,
    /// The gate closes below this level, in dBFS (RMS), −120 to `open_db`. Default −46 (OBS: 6 dB below opening).
    pub close_db: f32,
    /// How long the gain takes from the floor to 1, in ms, 0.1 to 1000. Default 5 (PipeWire).
    pub attack_ms: f32,
    /// How long it stays open after the level fell, in ms, 0 to 10 000. Default 200 (OBS).
    pub hold_ms: f32,
    /// How long the gain takes from 1 to the floor, in ms, 0.1 to 10 000. Default 150 (OBS).
    pub release_ms: f32,
    /// The gain of the closed gate, in dB, −120 to 0. Default −50.
    pub floor_db: f32,
    /// How long the RMS looks back, in ms, 1 to 100: the time constant of its exponential window. Default 5.
    pub window_ms: f32,
    /// How far above the noise it knows a sound must be to open the gate, in dB, 0 (thresholds stay where they are) to 40.
    /// Default 10 (measured: less lets noise open it, more cuts word ends).
    pub above_noise_db: f32,
    /// By how much the sound is delayed, so that the gate is open when a word begins, in ms, 0 to 100. Default 0.
    /// Fixed once the gate runs.
    pub lookahead_ms: f32,
}

impl Default for NoiseGate {
    fn default() -> Self {
        Self {
            open_db: -40.0,
            close_db: -46.0,
            attack_ms: 5.0,
            hold_ms: 200.0,
            release_ms: 150.0,
            floor_db: -50.0,
            window_ms: 5.0,
            above_noise_db: 10.0,
            lookahead_ms: 0.0,
        }
    }
}

/// Sound less likely to be speech than this is noise to learn from.
const NOISE_PROBABILITY: f32 = 0.5;

/// How many milliseconds of noise the estimate of its power looks back.
const NOISE_MS: u32 = 500;

/// After how many milliseconds of noise its estimate is good enough to go by.
const KNOWN_MS: u32 = 200;

/// How many times the noise it knows a louder one counts for. So the noise is learnt at 9 dB a second, and somebody who
/// breathes in, which no detector takes for speech, does not shut out the word that follows.
const MOST_NOISE: f32 = 2.0;

/// How far the noise moves the thresholds at most, down and up, in dB.
const LEAST_LIFT_DB: f32 = -20.0;
const MOST_LIFT_DB: f32 = 20.0;

/// What a running [`NoiseGate`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NoiseGateReading {
    /// Whether it is open (or opening).
    pub open: bool,
    gain: f32,
    power: f32,
    noise: f32,
}

impl NoiseGateReading {
    /// The gain at the end of the last frame, in dB.
    pub fn gain_db(&self) -> f32 {
        to_dbfs(self.gain)
    }

    /// The RMS level its decision rests on, in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        to_dbfs(self.power.sqrt())
    }

    /// The RMS level of the noise it has learnt, in dBFS.
    pub fn noise_dbfs(&self) -> f32 {
        to_dbfs(self.noise.sqrt())
    }
}

impl Stage for NoiseGate {
    type Processor = NoiseGateProcessor;

    fn prepare(self, input: Format) -> Result<NoiseGateProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for NoiseGate {
    type Reading = NoiseGateReading;

    fn validate(&self) -> Result<()> {
        in_range("NoiseGate::open_db", self.open_db, -120.0, 0.0)?;
        in_range("NoiseGate::close_db", self.close_db, -120.0, self.open_db)?;
        in_range("NoiseGate::attack_ms", self.attack_ms, 0.1, 1000.0)?;
        in_range("NoiseGate::hold_ms", self.hold_ms, 0.0, 10_000.0)?;
        in_range("NoiseGate::release_ms", self.release_ms, 0.1, 10_000.0)?;
        in_range("NoiseGate::floor_db", self.floor_db, -120.0, 0.0)?;
        in_range("NoiseGate::window_ms", self.window_ms, 1.0, 100.0)?;
        in_range("NoiseGate::above_noise_db", self.above_noise_db, 0.0, 40.0)?;
        in_range("NoiseGate::lookahead_ms", self.lookahead_ms, 0.0, 100.0)
    }

    fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
        fixed("NoiseGate::lookahead_ms", self.lookahead_ms == prepared.lookahead_ms)
    }

    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<NoiseGateProcessor> {
        self.validate()?;
        let lookahead = input.samples_in_ms(self.lookahead_ms);
        Ok(NoiseGateProcessor {
            format: input,
            port,
            lookahead,
            delay: Delay::new(input, lookahead),
            floor: Ramp::new(db_to_gain(self.floor_db), input.samples_in_ms(RAMP_MS), input.samples_per_channel()),
            gains: vec![0.0; input.samples_per_channel()].into_boxed_slice(),
            state: State::default(),
            law: GateCoefficients::new(&self, input),
        })
    }
}

/// A running [`NoiseGate`].
#[derive(Debug)]
pub struct NoiseGateProcessor {
    format: Format,
    port: ControlPort<NoiseGate>,
    lookahead: usize,
    delay: Delay,
    floor: Ramp,
    gains: Box<[f32]>,
    law: GateCoefficients,
    state: State,
}

/// The settings as the inner loop wants them.
#[derive(Clone, Copy, Debug)]
struct GateCoefficients {
    open_power: f32,
    close_power: f32,
    /// The power at which noise alone would open the gate, over that of the noise; 0 if it learns no noise.
    above_noise: f32,
    least_lift: f32,
    most_lift: f32,
    /// The power of the noise at which the thresholds are at their lowest.
    least_noise: f32,
    /// How much of the old power is left after a block of 1 ms.
    memory: f32,
    hold_blocks: u32,
    /// How far it opens, and closes, with each sample.
    rise: f32,
    fall: f32,
}

impl GateCoefficients {
    fn new(gate: &NoiseGate, format: Format) -> Self {
        let step = |ms: f32| 1000.0 / (ms * format.sample_rate_hz() as f32);
        let power = |db: f32| db_to_gain(db).powi(2);
        let learns = gate.above_noise_db > 0.0;
        Self {
            open_power: power(gate.open_db),
            // Set from two threads at once, the thresholds may cross for a frame.
            close_power: power(gate.close_db.min(gate.open_db)),
            above_noise: if learns { power(gate.above_noise_db) } else { 0.0 },
            least_lift: if learns { power(LEAST_LIFT_DB) } else { 1.0 },
            most_lift: power(MOST_LIFT_DB),
            least_noise: power(gate.open_db + LEAST_LIFT_DB - gate.above_noise_db),
            memory: (-1.0 / gate.window_ms).exp(),
            hold_blocks: gate.hold_ms.round() as u32,
            rise: step(gate.attack_ms),
            fall: -step(gate.release_ms),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    power: f32,
    open: bool,
    held_blocks: u32,
    /// How far it is open, 0 to 1.
    opening: f32,
    noise: f32,
    noise_blocks: u32,
}

impl State {
    /// Takes in the power of the next millisecond; whether the gate is open.
    fn listen(&mut self, law: &GateCoefficients, power: f32, is_noise: bool) -> bool {
        self.power = self.power * law.memory + power * (1.0 - law.memory);
        if is_noise {
            self.noise_blocks = (self.noise_blocks + 1).min(NOISE_MS);
            let most = if self.noise_blocks > KNOWN_MS { law.least_noise.max(MOST_NOISE * self.noise) } else { power };
            self.noise += (power.min(most) - self.noise) / self.noise_blocks as f32;
        }
        let least_lift = if self.noise_blocks < KNOWN_MS { 1.0 } else { law.least_lift };
        let lift = (law.above_noise * self.noise / law.open_power).clamp(least_lift, law.most_lift);
        if self.power >= law.open_power * lift {
            self.open = true;
        }
        if self.power >= law.close_power * lift {
            self.held_blocks = 0;
        } else if self.open {
            self.held_blocks += 1;
            self.open = self.held_blocks <= law.hold_blocks;
        }
        self.open
    }

    /// How far it is open over a frame whose milliseconds are `open` or not.
    fn travel<'a>(&mut self, law: &GateCoefficients, open: &[bool], openings: &'a mut [f32]) -> GainCurve<'a> {
        if open.iter().all(|&open| self.opening == f32::from(open)) {
            return GainCurve::Steady(self.opening);
        }
        let (length, mut done) = (openings.len(), 0);
        for alike in open.chunk_by(|a, b| a == b) {
            // At 44.1 kHz a millisecond is 44 or 45 samples.
            let range = done * length / open.len()..(done + alike.len()) * length / open.len();
            let openings = &mut openings[range];
            kernels::linear_ramp(openings, self.opening, if alike[0] { law.rise } else { law.fall }, 0.0, 1.0);
            self.opening = openings.last().copied().unwrap_or(self.opening);
            done += alike.len();
        }
        GainCurve::Moving(openings)
    }
}

impl Processor for NoiseGateProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.law = GateCoefficients::new(&settings, self.format);
            self.floor.set(db_to_gain(settings.floor_db), self.format.samples_in_ms(RAMP_MS));
        }
        let blocks = self.format.frame_ms() as usize;
        let (mut powers, mut open) = ([0.0; MOST_BLOCKS], [false; MOST_BLOCKS]);
        frame.channels().for_each(|channel| kernels::accumulate_block_powers(channel, &mut powers[..blocks]));
        let is_noise = frame.speech_probability().is_some_and(|probability| probability < NOISE_PROBABILITY);
        for (open, &power) in open.iter_mut().zip(&powers[..blocks]) {
            *open = self.state.listen(&self.law, power, is_noise);
        }
        self.delay.process(frame);
        let floor = self.floor.advance(self.format.samples_per_channel());
        let gain = match (self.state.travel(&self.law, &open[..blocks], &mut self.gains), floor) {
            (GainCurve::Steady(1.0), _) => 1.0,
            (GainCurve::Steady(_), GainCurve::Steady(floor)) => {
                kernels::scale(frame.samples_mut(), floor);
                floor
            }
            (GainCurve::Steady(_), GainCurve::Moving(floors)) => give(frame, floors),
            (GainCurve::Moving(_), GainCurve::Steady(floor)) => {
                kernels::map_smoothstep(&mut self.gains, floor);
                give(frame, &self.gains)
            }
            (GainCurve::Moving(_), GainCurve::Moving(floors)) => {
                kernels::map_smoothstep(&mut self.gains, 0.0);
                self.gains.iter_mut().zip(floors).for_each(|(gain, floor)| *gain = floor + (1.0 - *floor) * *gain);
                give(frame, &self.gains)
            }
        };
        frame.set_position(frame.position() - self.lookahead as i64);
        let State { open, power, noise, .. } = self.state;
        self.port.publish(NoiseGateReading { open, gain, power, noise });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.delay.reset();
        self.floor.finish();
        self.state = State::default();
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        self.lookahead
    }
}

/// Gives each sample of every channel its gain; the last of them.
fn give(frame: &mut Frame, gains: &[f32]) -> f32 {
    frame.channels_mut().for_each(|channel| kernels::multiply(channel, gains));
    gains.last().copied().unwrap_or(1.0)
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
        let mut gate = gate(NoiseGate::default());
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
