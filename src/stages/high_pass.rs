//! High-pass.

mod rumble;

use crate::control::{ControlPort, Live};
use crate::core::error::in_range;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::biquad::{Cascade, CascadeParams, CascadeState, SectionParams, process_interpolated};
use crate::dsp::kernels;
use crate::dsp::level::to_dbfs;
use crate::dsp::ramp::{GainCurve, Ramp};
use rumble::Rumble;

/// How long a live change takes. Measured on a 1 kHz sine with hum and an offset, with cutoff, order and bypass changed
/// at random: what appears above 1.5 kHz is 72 dB below the sine at 5 ms, 84 dB at 10 ms, 96 dB at 20 ms.
const RAMP_MS: f32 = 20.0;

/// Takes away what lies below the voice: an offset (DC), rumble, the thump of a hand on the desk, wind.
///
/// The gain is −3.01 dB at `cutoff_hz`, and within 0.1 dB of 1 from 1.875 times that frequency upwards, whatever the
/// order: 150 Hz for the default 80 Hz. Gains in dB and the delay in ms at the default cutoff:
///
/// | order | alignment | 20 Hz | 50 Hz | 60 Hz | 80 Hz | 100 Hz | 150 Hz | 300 Hz | delay at 150, 300 Hz |
/// | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
/// | 2 | Chebyshev, 0.08 dB | −25.2 | −9.4 | −6.6 | −3.01 | −1.27 | −0.08 | +0.07 | 1.0, 0.2 |
/// | 3 | Butterworth | −36.1 | −12.5 | −8.2 | −3.01 | −1.01 | −0.10 | 0.00 | 1.4, 0.3 |
/// | 4 | Butterworth | −48.2 | −16.4 | −10.4 | −3.01 | −0.67 | −0.03 | 0.00 | 1.7, 0.4 |
///
/// (A Butterworth filter of 2nd order would lose 0.34 dB at 150 Hz.) The phase is minimal: an impulse comes out where it
/// went in, and only what lies near the cutoff comes later than the rest, by the delay in the table.
///
/// Latency: none. Channels are filtered alike and apart. Everything can be changed live; a change takes 20 ms, and one
/// that comes meanwhile waits for its end.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct HighPass {
    /// Where the gain is −3.01 dB, in Hz, 20 to 500. Default 80 (just below a deep male voice; WebRTC: 100).
    pub cutoff_hz: f32,
    /// How steep it is: 2, 3 or 4, for 12, 18 or 24 dB an octave. Default 4, the flattest above 150 Hz.
    pub order: u8,
    /// The filter is in only while what lies below half the cutoff is at least this loud, in dB relative to the voice,
    /// −100 (it is always in) to 0. Default −100. It goes out again once there is 6 dB less; what is below −60 dBFS is no
    /// rumble. Both levels are means, over 0.4 s of the rumble and over 3 s of the voice, so it takes a moment. Any filter without delay that takes 80 Hz away turns the phase of the
    /// fundamentals above: nobody hears it, but what compares waveforms does (the SI-SDR of denoised speech falls by
    /// 13 dB, and by 2 dB at a cutoff of 20 Hz). So profiles leave a voice without rumble as it is.
    pub rumble_db: f32,
    /// Whether the sound passes unchanged. Default no.
    pub bypassed: bool,
}

impl HighPass {
    /// The [`rumble_db`](Self::rumble_db) at which it is always in.
    pub const ALWAYS_DB: f32 = -100.0;

    fn always(&self) -> bool {
        self.rumble_db <= Self::ALWAYS_DB
    }

    /// A high-pass of 4th order at `cutoff_hz` Hz.
    pub fn hz(cutoff_hz: f32) -> Self {
        Self { cutoff_hz, ..Self::default() }
    }
}

impl Default for HighPass {
    fn default() -> Self {
        Self { cutoff_hz: 80.0, order: 4, rumble_db: Self::ALWAYS_DB, bypassed: false }
    }
}

/// What a running [`HighPass`] tells of the last frame. The difference of both levels is what rumble there was: next to
/// nothing in clean speech, a lot while something thumps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HighPassReading {
    input: f32,
    output: f32,
}

impl HighPassReading {
    /// RMS of the louder channel before the filter, in dBFS.
    pub fn input_dbfs(&self) -> f32 {
        to_dbfs(self.input.sqrt())
    }

    /// RMS of the louder channel behind the filter, in dBFS.
    pub fn output_dbfs(&self) -> f32 {
        to_dbfs(self.output.sqrt())
    }
}

impl Stage for HighPass {
    type Processor = HighPassProcessor;

    fn prepare(self, input: Format) -> Result<HighPassProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for HighPass {
    type Reading = HighPassReading;

    fn validate(&self) -> Result<()> {
        in_range("HighPass::cutoff_hz", self.cutoff_hz, 20.0, 500.0)?;
        in_range("HighPass::order", f32::from(self.order), 2.0, 4.0)?;
        in_range("HighPass::rumble_db", self.rumble_db, Self::ALWAYS_DB, 0.0)
    }

    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<HighPassProcessor> {
        self.validate()?;
        let is_in = self.always();
        let design = design(&self, is_in, input);
        Ok(HighPassProcessor {
            format: input,
            port,
            settings: self,
            rumble: Rumble::default(),
            is_in,
            from: design,
            to: design,
            progress: Ramp::new(1.0, input.samples_in_ms(RAMP_MS), input.samples_per_channel()),
            filter: Cascade::new(&design),
            states: Default::default(),
        })
    }
}

/// A running [`HighPass`].
#[derive(Debug)]
pub struct HighPassProcessor {
    format: Format,
    port: ControlPort<HighPass>,
    settings: HighPass,
    rumble: Rumble,
    /// Whether `to` is in.
    is_in: bool,
    from: CascadeParams,
    to: CascadeParams,
    /// How far the design has moved from `from` to `to`.
    progress: Ramp,
    /// `to`.
    filter: Cascade,
    states: [CascadeState; Format::MAX_CHANNELS],
}

/// The filter these settings ask for. All orders and bypass have the same structure: two sections.
fn design(settings: &HighPass, is_in: bool, format: Format) -> CascadeParams {
    let cutoff = f64::from(settings.cutoff_hz) / f64::from(format.sample_rate_hz());
    let g = (std::f64::consts::PI * cutoff).tan();
    // Subtracting the band-pass (times 1/Q) and the low-pass output from the input leaves the high-pass output.
    let high = |g: f64, q: f64| SectionParams { g, k: 1.0 / q, band: -1.0 / q, low: -1.0 };
    let mut design = match settings.order {
        // With this Q the gain peaks at +0.08 dB; the factor then puts −3.01 dB at the cutoff.
        2 => [high(1.069_267_740_6 * g, 0.76), SectionParams { g, k: 1.0, band: 0.0, low: 0.0 }],
        // s / (s + 1) = s (s + 1) / (s + 1)²: first order from a section of second.
        3 => [high(g, 1.0), SectionParams { g, k: 2.0, band: -1.0, low: -1.0 }],
        // Q = 1 / (2 cos(π/8)) and 1 / (2 cos(3π/8)).
        _ => [high(g, 0.541_196_100_146_197), high(g, 1.306_562_964_876_376_4)],
    };
    if settings.bypassed || !is_in {
        design.iter_mut().for_each(|shape| (shape.band, shape.low) = (0.0, 0.0));
    }
    design
}

impl Processor for HighPassProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        // A change that comes in the middle of another waits for its end, lest the walk have a corner.
        let arrived = self.progress.value() == 1.0;
        let changed = arrived.then(|| self.port.changed()).flatten();
        self.settings = changed.unwrap_or(self.settings);
        let wanted = self.settings.always() || self.rumble.listen(&self.settings, frame);
        if arrived && (changed.is_some() || wanted != self.is_in) {
            self.is_in = wanted;
            self.from = self.to;
            self.to = design(&self.settings, self.is_in, self.format);
            self.filter = Cascade::new(&self.to);
            self.progress.jump_to(0.0);
            self.progress.set(1.0, self.format.samples_in_ms(RAMP_MS));
        }
        let input = loudest(frame);
        let course = self.progress.advance(self.format.samples_per_channel());
        for (channel, states) in frame.channels_mut().zip(&mut self.states) {
            match &course {
                GainCurve::Steady(_) => self.filter.process(states, channel),
                GainCurve::Moving(ways) => process_interpolated([&self.from, &self.to], ways, states, channel),
            }
        }
        self.port.publish(HighPassReading { input, output: loudest(frame) });
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.states = Default::default();
        self.rumble = Rumble::default();
        if self.is_in != self.settings.always() {
            self.is_in = self.settings.always();
            self.to = design(&self.settings, self.is_in, self.format);
            self.filter = Cascade::new(&self.to);
        }
        self.progress.finish();
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

/// The mean square of the loudest channel.
fn loudest(frame: &Frame) -> f32 {
    frame.channels().map(|channel| kernels::energy(channel) / channel.len() as f32).fold(0.0, f32::max)
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
