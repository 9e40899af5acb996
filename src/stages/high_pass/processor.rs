//! Processor of [`HighPass`].

use super::design::design;
use super::rumble::RumbleDetector;
use super::settings::{HighPass, HighPassReading};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::biquad::{Cascade, CascadeParams, CascadeState, process_interpolated};
use crate::dsp::ramp::{GainCurve, Ramp};

/// Ramp time of a live change, in ms. Measured on a 1 kHz sine with hum and an offset, with cutoff, order and bypass
/// changed at random: what appears above 1.5 kHz is 72 dB below the sine at 5 ms, 84 dB at 10 ms, 96 dB at 20 ms.
const RAMP_MS: f32 = 20.0;

impl Stage for HighPass {
    type Processor = HighPassProcessor;

    fn prepare(self, input: Format) -> Result<HighPassProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for HighPass {
    type Reading = HighPassReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for HighPass {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<HighPassProcessor> {
        self.check()?;
        let is_in = self.is_always_in();
        let params = design(&self, self.bypassed || !is_in, input);
        Ok(HighPassProcessor {
            format: input,
            port,
            settings: self,
            rumble: RumbleDetector::default(),
            is_in,
            from: params,
            to: params,
            progress: Ramp::new(1.0, input.samples_in_ms(RAMP_MS)),
            filter: Cascade::new(&params),
            states: Default::default(),
        })
    }
}

/// Processor of [`HighPass`].
#[derive(Debug)]
pub struct HighPassProcessor {
    format: Format,
    port: ControlPort<HighPass>,
    settings: HighPass,
    rumble: RumbleDetector,
    /// Whether the filter is in, or coming in, bypass aside.
    is_in: bool,
    from: CascadeParams,
    to: CascadeParams,
    /// Interpolation from `from` (0) to `to` (1).
    progress: Ramp,
    /// Filter with the parameters `to`.
    filter: Cascade,
    states: [CascadeState; Format::MAX_CHANNELS],
}

impl HighPassProcessor {
    fn set_target(&mut self, is_in: bool) {
        self.is_in = is_in;
        self.to = design(&self.settings, self.settings.bypassed || !is_in, self.format);
        self.filter = Cascade::new(&self.to);
    }
}

impl Processor for HighPassProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        let input = loudest_power(frame);
        // A change that comes in the middle of another waits for its end, lest the interpolation have a corner.
        let arrived = self.progress.value() == 1.0;
        let changed = arrived.then(|| self.port.changed()).flatten();
        self.settings = changed.unwrap_or(self.settings);
        let wanted = self.settings.is_always_in() || self.rumble.update(&self.settings, frame, input);
        if arrived && (changed.is_some() || wanted != self.is_in) {
            self.from = self.to;
            self.set_target(wanted);
            self.progress.jump_to(0.0);
            self.progress.set(1.0, self.format.samples_in_ms(RAMP_MS));
        }
        let progress = self.progress.advance(self.format.samples_per_channel());
        for (channel, state) in frame.channels_mut().zip(&mut self.states) {
            match &progress {
                GainCurve::Steady(_) => self.filter.process(state, channel),
                GainCurve::Moving(positions) => {
                    process_interpolated([&self.from, &self.to], positions, state, channel);
                }
            }
        }
        self.port.publish(HighPassReading { input, output: loudest_power(frame) });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.states = Default::default();
        self.rumble = RumbleDetector::default();
        if self.is_in != self.settings.is_always_in() {
            self.set_target(self.settings.is_always_in());
        }
        self.progress.finish();
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

/// Mean square of the loudest channel.
fn loudest_power(frame: &mut Frame) -> f32 {
    frame.energies().into_iter().fold(0.0, f32::max) / frame.format().samples_per_channel() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::{PI, TAU};

    const RATES: [u32; 5] = [8_000, 16_000, 44_100, 48_000, 192_000];

    fn run(filter: &mut HighPassProcessor, input: impl Iterator<Item = f32>) -> Vec<f32> {
        let mut frame = Frame::new(filter.input_format());
        let input: Vec<f32> = input.collect();
        let mut output = Vec::new();
        for block in input.chunks_exact(frame.format().samples_per_channel()) {
            frame.channels_mut().for_each(|channel| channel.copy_from_slice(block));
            output.extend_from_slice(filter.process(&mut frame).unwrap().unwrap().channels().next().unwrap());
        }
        output
    }

    fn impulse_response(filter: &mut HighPassProcessor, ms: f32) -> Vec<f32> {
        let length = filter.input_format().samples_in_ms(ms);
        run(filter, (0..length).map(|i| if i == 0 { 1.0 } else { 0.0 }))
    }

    /// The gain at a frequency, in dB, by the definition of the Fourier transform.
    fn gain_db(response: &[f32], rate_hz: u32, hz: f64) -> f64 {
        let (sin, cos) = (TAU * hz / f64::from(rate_hz)).sin_cos();
        let (mut re, mut im, mut turn) = (0.0, 0.0, (1.0, 0.0));
        for &h in response {
            re += f64::from(h) * turn.0;
            im += f64::from(h) * turn.1;
            turn = (turn.0 * cos - turn.1 * sin, turn.0 * sin + turn.1 * cos);
        }
        10.0 * (re * re + im * im).log10()
    }

    /// The gain of the textbook's filter, whose frequency axis the bilinear transform bends.
    fn textbook_db(order: u8, rate_hz: u32, cutoff_hz: f64, hz: f64) -> f64 {
        let bent = |f: f64| (PI * f / f64::from(rate_hz)).tan();
        let u = (bent(cutoff_hz) / bent(hz)).powi(2);
        let power = match order {
            2 => {
                let (u, q) = (u * 1.069_267_740_6f64.powi(2), 0.76f64);
                (1.0 - u).powi(2) + u / (q * q)
            }
            n => 1.0 + u.powi(i32::from(n)),
        };
        -10.0 * power.log10()
    }

    #[test]
    fn the_gain_is_the_textbooks_at_every_rate() {
        for rate_hz in RATES {
            for (order, cutoff_hz) in [(2, 20.0), (3, 20.0), (4, 20.0), (2, 80.0), (3, 80.0), (4, 80.0), (4, 500.0)] {
                let settings = HighPass { order, ..HighPass::hz(cutoff_hz) };
                let response = impulse_response(&mut settings.prepare(Format::mono(rate_hz).unwrap()).unwrap(), 500.0);
                for hz in [10.0, 20.0, 50.0, 80.0, 150.0, 500.0, 3000.0] {
                    let found = gain_db(&response, rate_hz, hz);
                    let wanted = textbook_db(order, rate_hz, f64::from(cutoff_hz), hz);
                    let close = (found - wanted).abs() < 0.005 || found.max(wanted) < -80.0;
                    assert!(close, "{rate_hz} Hz, order {order} at {cutoff_hz}: {found} dB at {hz}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn every_order_is_flat_above_150_hz_and_takes_the_rumble_away() {
        for rate_hz in RATES {
            for (order, at_20_hz) in [(2, -25.0), (3, -36.0), (4, -48.0)] {
                let settings = HighPass { order, ..HighPass::default() };
                let response = impulse_response(&mut settings.prepare(Format::mono(rate_hz).unwrap()).unwrap(), 200.0);
                let cutoff = gain_db(&response, rate_hz, 80.0);
                assert!((cutoff + 3.0103).abs() < 0.005, "{cutoff} dB at the cutoff");
                assert!(gain_db(&response, rate_hz, 20.0) < at_20_hz);
                for hz in (150..300).step_by(10).chain((300..rate_hz as usize / 2).step_by(3700)) {
                    let gain = gain_db(&response, rate_hz, hz as f64);
                    assert!(gain.abs() < 0.1, "order {order} at {rate_hz} Hz: {gain} dB at {hz} Hz");
                }
            }
        }
    }

    #[test]
    fn an_offset_goes_and_silence_becomes_digital() {
        for order in 2..=4 {
            let settings = HighPass { order, ..HighPass::hz(20.0) };
            let mut filter = settings.prepare(Format::stereo(192_000).unwrap()).unwrap();
            let output = run(&mut filter, std::iter::repeat_n(0.5, 96_000));
            assert!(output[76_800..].iter().all(|s| s.abs() < 1e-6));
            let output = run(&mut filter, std::iter::repeat_n(0.0, 192_000));
            assert!(output.iter().all(|s| *s == 0.0 || s.is_normal()));
            assert!(output[153_600..].iter().all(|&s| s == 0.0));
        }
    }

    #[test]
    fn a_live_change_arrives_in_time_and_bypass_is_exact() {
        let format = Format::mono(48_000).unwrap();
        let (stage, control) = HighPass::default().live();
        let mut filter = stage.prepare(format).unwrap();
        let noise = || (0..9600u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.3);
        run(&mut filter, noise());
        control.update(|filter| filter.bypassed = true).unwrap();
        let passed = run(&mut filter, noise());
        assert!(passed.iter().zip(noise()).take(960).any(|(a, b)| *a != b));
        assert!(passed.iter().zip(noise()).skip(960).all(|(a, b)| *a == b));

        // A new cutoff, order and all, caught in the middle of another change.
        control.update(|filter| filter.bypassed = false).unwrap();
        run(&mut filter, noise().take(480));
        control.update(|filter| (filter.cutoff_hz, filter.order) = (200.0, 2)).unwrap();
        run(&mut filter, std::iter::repeat_n(0.0, 48_000));
        let mut fresh = HighPass { order: 2, ..HighPass::hz(200.0) }.prepare(format).unwrap();
        assert_eq!(impulse_response(&mut filter, 100.0), impulse_response(&mut fresh, 100.0));
    }

    #[test]
    fn after_a_reset_it_is_as_new() {
        let format = Format::mono(16_000).unwrap();
        let (stage, control) = HighPass::default().live();
        let mut filter = stage.prepare(format).unwrap();
        run(&mut filter, std::iter::repeat_n(0.7, 1600));
        control.update(|filter| filter.order = 3).unwrap();
        run(&mut filter, std::iter::repeat_n(0.7, 160));
        filter.reset();
        let mut fresh = HighPass { order: 3, ..HighPass::default() }.prepare(format).unwrap();
        assert_eq!(impulse_response(&mut filter, 100.0), impulse_response(&mut fresh, 100.0));
    }

    #[test]
    fn the_reading_shows_the_rumble() {
        let (stage, reading) = HighPass::default().live();
        let mut filter = stage.prepare(Format::stereo(48_000).unwrap()).unwrap();
        run(&mut filter, (0..48_000).map(|i| (TAU * 20.0 / 48_000.0 * i as f64).sin() as f32));
        let reading = reading.reading();
        assert!(reading.input_dbfs() - reading.output_dbfs() > 40.0, "{reading:?}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for bad in [HighPass::hz(19.0), HighPass::hz(f32::NAN), HighPass { order: 5, ..HighPass::default() }] {
            assert!(bad.prepare(Format::mono(48_000).unwrap()).is_err());
        }
    }
}

#[cfg(test)]
mod rumble_tests {
    use super::*;
    use crate::testing::fixture;

    const AGAINST: HighPass = HighPass { cutoff_hz: 80.0, order: 4, rumble_db: -10.0, bypassed: false };

    fn filter(settings: HighPass) -> HighPassProcessor {
        settings.prepare(Format::mono(48_000).unwrap()).unwrap()
    }

    fn run(filter: &mut HighPassProcessor, input: &[f32]) -> Vec<f32> {
        let mut frame = Frame::new(filter.input_format());
        let blocks = input.chunks_exact(480);
        let output = blocks.flat_map(|block| {
            frame.samples_mut().copy_from_slice(block);
            filter.process(&mut frame).unwrap().unwrap().samples().to_vec()
        });
        output.collect()
    }

    /// Two seconds of a 1 kHz tone of −20 dBFS, a stand-in for the voice, and of 20 Hz so many dB softer.
    fn tone_and_rumble(rumble_db: f32) -> Vec<f32> {
        let sine = |hz: f32, i: usize| {
            std::f32::consts::SQRT_2 * (std::f32::consts::TAU * (hz * i as f32 / 48_000.0).fract()).sin()
        };
        let rumble = 0.1 * 10f32.powf(rumble_db / 20.0);
        (0..96_000).map(|i| 0.1 * sine(1000.0, i) + rumble * sine(20.0, i)).collect()
    }

    #[test]
    fn a_voice_without_rumble_passes_bit_for_bit() {
        for rumble_db in [-16.0, -10.0] {
            let voice = fixture("speech_clean");
            let output = run(&mut filter(HighPass { rumble_db, ..AGAINST }), &voice);
            assert!(output == voice[..output.len()], "{rumble_db}");
            assert!(run(&mut filter(HighPass::default()), &voice) != output, "always in, it changes the voice");
        }
    }

    #[test]
    fn an_offset_brings_it_in_and_its_end_out_again() {
        let mut filter = filter(AGAINST);
        let voice = &fixture("speech_clean")[..220_800];
        let offset: Vec<f32> = voice.iter().map(|s| s + 0.1).collect();
        let mean = |samples: &[f32]| samples.iter().sum::<f32>() / samples.len() as f32;
        let output = run(&mut filter, &offset);
        assert!(filter.is_in);
        // The offset is gone; it would be 0.1.
        assert!(mean(&output[48_000..]).abs() < 1e-3, "{}", mean(&output[48_000..]));
        let output = run(&mut filter, voice);
        assert!(!filter.is_in);
        assert!(output[..9600] != voice[..9600], "it stays while it may still be rumbling");
        assert!(output[144_000..] == voice[144_000..], "out again, it changes nothing");
    }

    #[test]
    fn it_stays_in_until_there_is_6_db_less() {
        let mut filter = filter(AGAINST);
        // What tells rumble takes 1.9 dB off 20 Hz itself.
        for (rumble_db, is_in) in [(-12.0, false), (-4.0, true), (-12.0, true), (-22.0, false), (-12.0, false)] {
            run(&mut filter, &tone_and_rumble(rumble_db));
            run(&mut filter, &tone_and_rumble(rumble_db));
            assert_eq!(filter.is_in, is_in, "{rumble_db} dB");
        }
    }

    #[test]
    fn what_is_too_soft_to_hear_is_no_rumble() {
        for (offset, is_in) in [(0.000_7, false), (0.002, true)] {
            let mut filter = filter(AGAINST);
            run(&mut filter, &vec![offset; 144_000]);
            assert_eq!(filter.is_in, is_in, "{offset}");
        }
    }

    #[test]
    fn after_a_reset_it_is_out_and_as_new() {
        let mut filter = filter(AGAINST);
        run(&mut filter, &tone_and_rumble(0.0));
        assert!(filter.is_in);
        filter.reset();
        assert!(!filter.is_in);
        let rumble = tone_and_rumble(0.0);
        assert!(run(&mut filter, &rumble) == run(&mut self::filter(AGAINST), &rumble));
    }

    #[test]
    fn told_to_be_always_in_it_is_whatever_there_is() {
        let mut filter = filter(HighPass::default());
        assert!(filter.is_in);
        run(&mut filter, &vec![0.0; 144_000]);
        assert!(filter.is_in);

        let (stage, control) = HighPass::default().live();
        let mut filter = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
        let tone = tone_and_rumble(-60.0);
        run(&mut filter, &tone);
        control.update(|filter| filter.rumble_db = -20.0).unwrap();
        let output = run(&mut filter, &tone);
        assert!(!filter.is_in && output[1920..] == tone[1920..]);
        control.update(|filter| filter.rumble_db = HighPass::ALWAYS_DB).unwrap();
        run(&mut filter, &tone);
        assert!(filter.is_in);
    }
}
