//! Processor of [`Limiter`].

use super::gain_smoother::GainSmoother;
use super::settings::{Limiter, LimiterReading};
use super::true_peak::{self, TruePeakDetector};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::error::fixed;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::kernels;
use crate::dsp::level::db_to_gain;
use crate::dsp::scratch::Scratch;

/// Rate at which a new ceiling is approached. Measured on a sine of −20 dBFS whose ceiling jumps between −40 and 0:
/// what appears an octave away is 70 dB below it; at 1 dB/ms it is 56 dB, with a ramp of 5 ms 31 dB.
const RAMP_DB_PER_MS: f32 = 0.25;

/// Hold time behind a peak, in ms: a period of the lowest voices, so that the gain does not rise and fall with every
/// one. Measured on a tone 6 dB over: 32 dB of distortion distance at 100 Hz without, over 120 dB with it.
const HOLD_MS: f32 = 10.0;

/// Shortest fall of the gain, in samples: where it falls faster, the waveform between the samples overshoots. (Found by
/// a search for the worst input: 0.13 dB over 8 samples, 0.04 dB over 16.)
const MIN_SMOOTHING: usize = 16;

/// Samples before and after a peak for which the gain is the one the peak needs. (By the same search: 0.14 dB without.)
const MARGIN: usize = 4;

impl Stage for Limiter {
    type Processor = LimiterProcessor;

    fn prepare(self, input: Format) -> Result<LimiterProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for Limiter {
    type Reading = LimiterReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
        fixed("Limiter::lookahead_ms", self.lookahead_ms == prepared.lookahead_ms)
    }
}

impl LiveStage for Limiter {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<LimiterProcessor> {
        self.check()?;
        let hold = input.samples_in_ms(HOLD_MS);
        let (smoothing, margin, latency) = if self.lookahead_ms == 0.0 {
            (0, 0, 0)
        } else {
            let smoothing = input.samples_in_ms(self.lookahead_ms).max(MIN_SMOOTHING);
            (smoothing, MARGIN, smoothing + MARGIN + true_peak::DELAY)
        };
        let detector = (latency > 0).then(|| TruePeakDetector::new(input, latency, hold));
        let mut smoother = GainSmoother::new(smoothing, margin, hold);
        smoother.set_release(release_samples(&self, input));
        Ok(LimiterProcessor {
            format: input,
            port,
            target_db: self.ceiling_db,
            ceiling_db: self.ceiling_db,
            ceiling: ceiling(self.ceiling_db),
            detector,
            smoother,
            gains: Scratch::new(true_peak::peaks(input)),
            latency,
            reading: LimiterReading::default(),
        })
    }
}

/// Ceiling as a magnitude, a little lower than it says, so that no rounding of the products lifts a sample above it.
fn ceiling(db: f32) -> f32 {
    db_to_gain(db) * (1.0 - 4.0 * f32::EPSILON)
}

fn release_samples(settings: &Limiter, format: Format) -> f64 {
    f64::from(settings.release_ms) * f64::from(format.sample_rate_hz()) / 1000.0
}

/// Processor of [`Limiter`].
#[derive(Debug)]
pub struct LimiterProcessor {
    format: Format,
    port: ControlPort<Limiter>,
    /// Ceiling of the settings, and the ceiling in force on its way there.
    target_db: f32,
    ceiling_db: f32,
    ceiling: f32,
    /// With lookahead only.
    detector: Option<TruePeakDetector>,
    smoother: GainSmoother,
    /// Peaks, then the gains they need, then the smoothed gains.
    gains: Scratch,
    latency: usize,
    reading: LimiterReading,
}

impl Processor for LimiterProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        let peak = frame.peaks().into_iter().fold(0.0, f32::max);
        if let Some(settings) = self.port.changed() {
            self.target_db = settings.ceiling_db;
            self.smoother.set_release(release_samples(&settings, self.format));
        }
        let length = self.format.samples_per_channel();
        let before = self.ceiling;
        if self.ceiling_db != self.target_db {
            let max_step = RAMP_DB_PER_MS * self.format.frame_ms() as f32;
            self.ceiling_db += (self.target_db - self.ceiling_db).clamp(-max_step, max_step);
            self.ceiling = ceiling(self.ceiling_db);
        }
        let after = self.ceiling;
        let lower = before.min(after);
        let may_be_over = match &mut self.detector {
            Some(detector) => {
                let may_be_over = detector.hear(frame, peak, lower);
                detector.delay(frame);
                may_be_over
            }
            // Nothing is delayed, and the peaks are those of the frame.
            None => peak > lower,
        };

        self.reading.gain = 1.0;
        if may_be_over || !self.smoother.is_idle() {
            let Self { detector, smoother, gains, reading, .. } = self;
            gains.with(|gains| {
                let over = may_be_over
                    && match detector {
                        // Which peaks others leave out is only known while the ceiling stays.
                        Some(detector) if before == after => detector.find_gains(after, smoother.decay(), gains),
                        Some(detector) => detector.find_peaks(lower, gains),
                        None => {
                            frame.channels().for_each(|channel| kernels::accumulate_peaks(gains, channel));
                            true
                        }
                    };
                if !over && smoother.is_idle() {
                    return;
                }
                let gains = &mut gains[..length];
                if !over {
                    gains.fill(1.0);
                } else if before == after {
                    if detector.is_none() {
                        kernels::gains_for_peaks(gains, after);
                    }
                } else {
                    let (mut ceiling, step) = (before, (after / before).powf(1.0 / length as f32));
                    for gain in gains.iter_mut() {
                        ceiling *= step;
                        *gain = ceiling / gain.max(ceiling);
                    }
                }
                reading.gain = smoother.process(gains);
                frame.channels_mut().for_each(|channel| kernels::multiply(channel, gains));
            });
        }
        self.reading.lowest_gain = self.reading.lowest_gain.min(self.reading.gain);
        frame.set_position(frame.position() - self.latency as i64);
        self.port.publish(self.reading);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.ceiling_db = self.target_db;
        self.ceiling = ceiling(self.ceiling_db);
        if let Some(detector) = &mut self.detector {
            detector.reset();
        }
        self.smoother.reset();
        self.reading = LimiterReading::default();
        self.port.publish(self.reading);
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Error;
    use crate::dsp::level::to_dbfs;
    use proptest::prelude::*;

    fn limiter(settings: Limiter, rate_hz: u32) -> LimiterProcessor {
        settings.prepare(Format::mono(rate_hz).unwrap()).unwrap()
    }

    /// What comes out of the first channel; all channels get the same.
    fn run(limiter: &mut LimiterProcessor, input: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let mut frame = Frame::new(limiter.input_format());
        let mut input: Vec<f32> = input.into_iter().collect();
        let length = frame.format().samples_per_channel();
        input.resize(input.len().next_multiple_of(length), 0.0);
        let mut output = Vec::new();
        for block in input.chunks_exact(length) {
            frame.channels_mut().for_each(|channel| channel.copy_from_slice(block));
            output.extend_from_slice(limiter.process(&mut frame).unwrap().unwrap().channels().next().unwrap());
        }
        output
    }

    fn noise(i: u32) -> f32 {
        (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0
    }

    #[test]
    fn below_the_ceiling_and_after_the_release_not_a_bit_is_changed() {
        for rate_hz in [8_000, 44_100, 48_000, 192_000] {
            for lookahead_ms in [0.0, 1.0, 5.0] {
                let mut limiter = limiter(Limiter { lookahead_ms, ..Limiter::default() }, rate_hz);
                // White noise may rise between the samples to what its magnitudes sum up to.
                let quiet: Vec<f32> = (0..rate_hz / 10).map(|i| 0.35 * noise(i)).collect();
                let delay = vec![0.0; limiter.latency()];
                let delayed = |input: &[f32]| [&delay[..], input].concat();
                let wanted = delayed(&quiet);
                let out = run(&mut limiter, quiet.iter().copied());
                assert_eq!(out, wanted[..out.len()], "{rate_hz} Hz, {lookahead_ms} ms");

                let input = (0..rate_hz).map(|i| if i < rate_hz / 10 { 5.0 * noise(i) } else { 0.35 * noise(i) });
                let input: Vec<f32> = input.collect();
                let wanted = delayed(&input);
                let out = run(&mut limiter, input.iter().copied());
                assert!(out[..rate_hz as usize / 10].iter().all(|s| s.abs() < 0.9));
                // 60 ms are long past: 13 times over.
                let late = out.len() - rate_hz as usize / 10;
                assert_eq!(out[late..], wanted[late..out.len()], "{rate_hz} Hz, {lookahead_ms} ms");
            }
        }
    }

    #[test]
    fn the_latency_is_that_of_an_impulse() {
        for (rate_hz, lookahead_ms, latency) in
            [(48_000, 1.0, 68), (48_000, 5.0, 260), (8_000, 1.0, 36), (8_000, 0.0, 0)]
        {
            for level in [0.1, 4.0] {
                let mut limiter = limiter(Limiter { lookahead_ms, ..Limiter::default() }, rate_hz);
                let mut frame = Frame::new(limiter.input_format());
                frame.set_position(480);
                limiter.process(&mut frame).unwrap();
                assert_eq!(frame.position(), 480 - latency as i64);
                let out = run(&mut limiter, (0..1000).map(|i| if i == 33 { level } else { 0.0 }));
                assert_eq!(limiter.latency(), latency);
                let peak = db_to_gain(-1.0).min(level);
                assert!((out[33 + latency] - peak).abs() < 1e-4);
                assert!(out.iter().enumerate().all(|(i, s)| i == 33 + latency || *s == 0.0));
            }
        }
    }

    #[test]
    fn the_gain_falls_smoothly_in_time_and_comes_back_in_60_ms() {
        // On a sound too quiet to matter, 12 dB too loud for a millisecond.
        let input: Vec<f32> = (0..48_000).map(|i| if (9_600..9_648).contains(&i) { 3.55 } else { 0.01 }).collect();
        let mut limiter = limiter(Limiter { lookahead_ms: 5.0, ..Limiter::default() }, 48_000);
        let latency = limiter.latency();
        let out = run(&mut limiter, input.iter().copied());
        let gains: Vec<f32> = input.iter().zip(&out[latency..]).map(|(i, o)| o / i).collect();
        assert!(gains[..9_600 - 260].iter().all(|&gain| gain == 1.0));
        assert!(gains[9_600] < 0.2512);
        // A square has peaks beyond its samples: the lowest gain is a little less than −13 + 1 dB.
        let lowest = gains.iter().fold(1.0f32, |a, b| a.min(*b));
        assert!((0.2..0.2512).contains(&lowest), "{lowest}");
        let steepest = gains.windows(2).map(|w| (w[0] - w[1]).abs()).fold(0.0, f32::max);
        assert!(steepest < 2.1 * 0.8 / 240.0, "{steepest}");
        // Once the smoothing is over it is an exponential; its time is that of a fall to 1/e.
        let missing = |ms: usize| 1.0 - gains[9_600 + 48 * ms];
        for ms in [20, 50, 100] {
            let left = missing(ms + 60) / missing(ms);
            assert!((left - 1.0 / std::f32::consts::E).abs() < 0.002, "{left} left after 60 ms");
        }
        assert!((missing(5) - (1.0 - lowest)).abs() < 0.01, "held for 10 ms");
        assert!((missing(20) - (1.0 - lowest) * (-9.0f32 / 60.0).exp()).abs() < 0.05);
    }

    #[test]
    fn a_steady_tone_is_only_scaled() {
        for lookahead_ms in [0.0, 1.0] {
            let mut limiter = limiter(Limiter { lookahead_ms, ..Limiter::default() }, 48_000);
            let tone: Vec<f32> = (0..48_000).map(|i| 2.0 * (i as f32 * std::f32::consts::TAU / 480.0).sin()).collect();
            let out = run(&mut limiter, tone.iter().copied());
            let (tone, out) = (&tone[24_000..], &out[24_000 + limiter.latency()..]);
            let gain = out[120] / tone[120];
            assert!((to_dbfs(2.0 * gain) + 1.0).abs() < 0.02, "{gain}");
            assert!(tone.iter().zip(out).all(|(input, output)| (output - input * gain).abs() < 1e-5));
        }
    }

    #[test]
    fn channels_share_one_gain() {
        let format = Format::stereo(48_000).unwrap();
        for lookahead_ms in [0.0, 1.0] {
            let mut limiter = Limiter { lookahead_ms, ..Limiter::default() }.prepare(format).unwrap();
            let mut frame = Frame::new(format);
            for index in 0..10 {
                for (c, channel) in frame.channels_mut().enumerate() {
                    let level = if c == 0 { 4.0 } else { -0.5 };
                    channel.iter_mut().enumerate().for_each(|(i, s)| *s = level * noise(index * 480 + i as u32));
                }
                limiter.process(&mut frame).unwrap();
                let (left, right) = frame.samples().split_at(480);
                assert!(left.iter().zip(right).all(|(l, r)| (l + 8.0 * r).abs() < 1e-5));
                assert!(left.iter().all(|l| l.abs() < 0.8913));
            }
            assert!(limiter.reading.gain_db() < -6.0);
        }
    }

    #[test]
    fn without_lookahead_no_sample_is_above_the_ceiling_and_nothing_jumps() {
        let ceiling = db_to_gain(-1.0);
        let mut limiter = limiter(Limiter { lookahead_ms: 0.0, ..Limiter::default() }, 48_000);
        let tone: Vec<f32> = (0..9600).map(|i| (i as f32 * 0.05).sin() * (i as f32 / 600.0).min(4.0)).collect();
        let out = run(&mut limiter, tone.iter().copied());
        assert!(out.iter().all(|s| s.abs() <= ceiling));
        // Where the input goes up, the output stays or goes up by less: the steps are never larger than its own.
        for (input, output) in tone.windows(2).zip(out.windows(2)) {
            let (step, given) = ((input[1] - input[0]).abs(), (output[1] - output[0]).abs());
            assert!(given <= step + 0.002, "a step of {given} where the input makes one of {step}");
        }
        let out = run(&mut limiter, (0..4800).map(|i| 16.0 * noise(i)));
        assert!(out.iter().all(|s| s.abs() <= ceiling) && out.iter().any(|s| s.abs() > 0.999 * ceiling));
    }

    #[test]
    fn live_changes_come_into_force() {
        for lookahead_ms in [0.0, 1.0] {
            let (stage, control) = Limiter { lookahead_ms, ..Limiter::default() }.live();
            let mut limiter = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
            let tone = || (0..9600).map(|i| (i as f32 * 0.05).sin());
            let highest = |samples: &[f32]| to_dbfs(samples.iter().fold(0.0, |a, b| a.max(b.abs())));
            run(&mut limiter, tone());
            control.update(|limiter| limiter.ceiling_db = -20.0).unwrap();
            let out = run(&mut limiter, tone());
            let fastest = out[480..].windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(fastest < 0.06, "a step of {fastest}");
            assert!((highest(&out[4320..]) + 20.0).abs() < 0.1);
            assert!((control.reading().gain_db() + 20.0).abs() < 0.1);
            control.update(|limiter| (limiter.ceiling_db, limiter.release_ms) = (-3.0, 1.0)).unwrap();
            let out = run(&mut limiter, tone());
            assert!((highest(&out[4320..]) + 3.0).abs() < 0.1);
            assert!((control.reading().lowest_gain_db() + 20.0).abs() < 0.1);
            let refused = control.update(|limiter| limiter.lookahead_ms = 5.0);
            assert_eq!(refused, Err(Error::Fixed { setting: "Limiter::lookahead_ms" }));
        }
    }

    #[test]
    fn after_a_reset_it_is_as_new() {
        for lookahead_ms in [0.0, 1.0, 5.0] {
            let settings = Limiter { lookahead_ms, ..Limiter::default() };
            let mut used = limiter(settings, 44_100);
            run(&mut used, (0..44_100).map(|i| 3.0 * noise(i)));
            used.reset();
            assert_eq!(used.reading, LimiterReading::default());
            let input = |i| if i % 3000 < 500 { 2.0 * noise(i) } else { 0.2 * noise(i) };
            assert_eq!(
                run(&mut used, (0..20_000).map(input)),
                run(&mut limiter(settings, 44_100), (0..20_000).map(input))
            );
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let bad = |lookahead_ms| Limiter { lookahead_ms, ..Limiter::default() };
        for bad in [bad(0.5), bad(-1.0), bad(f32::NAN), bad(20.1), Limiter::db(0.1), Limiter::db(-61.0)] {
            assert!(bad.prepare(Format::mono(48_000).unwrap()).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_input_gives_finite_samples_below_the_ceiling(
            bits in prop::collection::vec(any::<u32>(), 480 * 3), lookahead_ms in prop::sample::select(vec![0.0f32, 1.0]),
        ) {
            let mut limiter = limiter(Limiter { lookahead_ms, ..Limiter::default() }, 48_000);
            for sample in run(&mut limiter, bits.iter().map(|&bits| f32::from_bits(bits))) {
                prop_assert!(sample.abs() <= db_to_gain(-1.0), "{sample}");
            }
        }
    }
}
