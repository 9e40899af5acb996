//! Noise gate.

use crate::delay::Delay;
use crate::error::in_range;
use crate::level::{db_to_gain, to_dbfs};
use crate::live::{Tap, record};
use crate::{Format, Frame, Handle, Live, Processor, Result, Stage, kernels};

/// Turns the sound down while nobody speaks.
///
/// The level is an RMS over `window_ms`, taken every millisecond, the loudest channel counting for all, so that a
/// stereo image stays where it is. The gate opens when it reaches `open_db`, and closes when it has stayed below
/// `close_db` for `hold_ms`. The gain then travels in a straight line: from the floor to 1 in `attack_ms`, back in
/// `release_ms`, never faster, whatever is changed meanwhile.
///
/// Where the frames say how likely they hold speech (behind `Denoise`, say), the gate learns how loud the noise is, and
/// both thresholds move up until opening takes a level `above_noise_db` over it. They move by 20 dB at most: a voice
/// that the detector misses is not shut out.
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
    /// How far above the noise a sound must be to open the gate, in dB, 0 (thresholds stay where they are) to 40.
    /// Default 9 (measured: less lets noise open it, more cuts word ends).
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
            above_noise_db: 9.0,
            lookahead_ms: 0.0,
        }
    }
}

record!(NoiseGate {
    open_db,
    close_db,
    attack_ms,
    hold_ms,
    release_ms,
    floor_db,
    window_ms,
    above_noise_db,
    lookahead_ms,
});

/// Sound less likely to be speech than this is noise to learn from.
const NOISE_PROBABILITY: f32 = 0.5;

/// How many milliseconds of noise the estimate of its power looks back.
const NOISE_MS: u32 = 500;

/// How far the noise moves the thresholds at most, in dB.
const NOISE_LIFT_DB: f32 = 20.0;

/// What a running [`NoiseGate`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GateReading {
    /// Whether it is open (or opening).
    pub open: bool,
    gain: f32,
    power: f32,
    noise: f32,
}

record!(GateReading { open, gain, power, noise });

impl GateReading {
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
    type Processor = GateProcessor;

    fn prepare(self, input: Format) -> Result<GateProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for NoiseGate {
    type Reading = GateReading;

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

    fn prepare_with(self, input: Format, handle: Handle<Self>) -> Result<GateProcessor> {
        self.validate()?;
        let lookahead = input.samples_in_ms(self.lookahead_ms);
        let law = Law::new(&self, input);
        Ok(GateProcessor {
            format: input,
            tap: Tap::new(handle),
            lookahead,
            delay: Delay::new(input, lookahead),
            gains: vec![0.0; input.samples_per_channel()].into_boxed_slice(),
            state: State::closed(&law),
            law,
        })
    }
}

/// A running [`NoiseGate`].
#[derive(Debug)]
pub struct GateProcessor {
    format: Format,
    tap: Tap<NoiseGate>,
    lookahead: usize,
    delay: Delay,
    gains: Box<[f32]>,
    law: Law,
    state: State,
}

/// The settings as the inner loop wants them.
#[derive(Clone, Copy, Debug)]
struct Law {
    open_power: f32,
    close_power: f32,
    /// The power at which noise alone would open the gate, over that of the noise; 0 if it learns no noise.
    above_noise: f32,
    most_lift: f32,
    /// How much of the old power is left after a block of 1 ms.
    memory: f32,
    hold_blocks: u32,
    floor: f32,
    rise: f32,
    fall: f32,
}

impl Law {
    fn new(gate: &NoiseGate, format: Format) -> Self {
        let floor = db_to_gain(gate.floor_db);
        let step = |ms: f32| (1.0 - floor) * 1000.0 / (ms * format.sample_rate_hz() as f32);
        Self {
            open_power: db_to_gain(gate.open_db).powi(2),
            // Set from two threads at once, the thresholds may cross for a frame.
            close_power: db_to_gain(gate.close_db.min(gate.open_db)).powi(2),
            above_noise: if gate.above_noise_db > 0.0 { db_to_gain(gate.above_noise_db).powi(2) } else { 0.0 },
            most_lift: db_to_gain(NOISE_LIFT_DB).powi(2),
            memory: (-1.0 / gate.window_ms).exp(),
            hold_blocks: gate.hold_ms.round() as u32,
            floor,
            rise: step(gate.attack_ms),
            fall: -step(gate.release_ms),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    power: f32,
    open: bool,
    held_blocks: u32,
    gain: f32,
    noise: f32,
    noise_blocks: u32,
}

impl State {
    fn closed(law: &Law) -> Self {
        Self { power: 0.0, open: false, held_blocks: 0, gain: law.floor, noise: 0.0, noise_blocks: 0 }
    }

    /// Takes in the power of the next millisecond.
    fn listen(&mut self, law: &Law, power: f32, is_noise: bool) {
        self.power = power + (self.power - power) * law.memory;
        if is_noise {
            self.noise_blocks = (self.noise_blocks + 1).min(NOISE_MS);
            self.noise += (power - self.noise) / self.noise_blocks as f32;
        }
        let lift = (law.above_noise * self.noise / law.open_power).clamp(1.0, law.most_lift);
        if self.power >= law.open_power * lift {
            self.open = true;
        }
        if self.power >= law.close_power * lift {
            self.held_blocks = 0;
        } else if self.open {
            self.held_blocks += 1;
            self.open = self.held_blocks <= law.hold_blocks;
        }
    }

    /// Writes the gain for the next millisecond.
    fn travel(&mut self, law: &Law, gains: &mut [f32]) {
        let (step, target) = if self.open { (law.rise, 1.0) } else { (law.fall, law.floor) };
        // A floor that was just raised is approached from below.
        let step = if step < 0.0 && self.gain < target { law.rise } else { step };
        let (least, most) = if step > 0.0 { (0.0, target) } else { (target, 1.0) };
        kernels::slope(gains, self.gain, step, least, most);
        self.gain = gains.last().copied().unwrap_or(self.gain);
    }
}

impl Processor for GateProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.admit(self.format)?;
        if let Some(settings) = self.tap.changed() {
            self.law = Law::new(&settings, self.format);
        }
        let length = self.format.samples_per_channel();
        let blocks = self.format.frame_ms() as usize;
        let is_noise = frame.speech_probability().is_some_and(|probability| probability < NOISE_PROBABILITY);
        let (mut least, mut most) = (self.state.gain, self.state.gain);
        for block in 0..blocks {
            // At 44.1 kHz a millisecond is 44 or 45 samples.
            let range = block * length / blocks..(block + 1) * length / blocks;
            let power = frame
                .channels()
                .map(|channel| kernels::energy(&channel[range.clone()]) / range.len() as f32)
                .fold(0.0, f32::max);
            self.state.listen(&self.law, power, is_noise);
            self.state.travel(&self.law, &mut self.gains[range]);
            least = least.min(self.state.gain);
            most = most.max(self.state.gain);
        }
        self.delay.process(frame);
        if (least, most) != (1.0, 1.0) {
            frame.channels_mut().for_each(|channel| kernels::multiply(channel, &self.gains));
        }
        frame.set_position(frame.position() - self.lookahead as i64);
        let State { open, gain, power, noise, .. } = self.state;
        self.tap.publish(GateReading { open, gain, power, noise });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.delay.reset();
        self.state = State::closed(&self.law);
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        self.lookahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gain the gate gives to each sample of a 1 kHz tone whose level in dBFS (RMS) is given by the millisecond.
    fn gains(gate: &mut GateProcessor, ms: usize, level_dbfs: impl Fn(usize) -> f32) -> Vec<f32> {
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

    fn gate(settings: NoiseGate) -> GateProcessor {
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
        assert!(steepest < 1.001 / 240.0, "{steepest}");
        assert!(fastest_fall < 1.001 / 7200.0, "{fastest_fall}");
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
        assert!(steepest < 1.01 / 240.0, "{steepest}");
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
