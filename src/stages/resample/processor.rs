//! Processor of [`Resample`]: an FFT resampler (rubato).

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use super::settings::{Quality, Resample};
use crate::core::format::rescale;
use crate::core::{Error, Format, Frame, Processor, Result, Stage};

/// Longest FFT block in ms (the latency is half of it), and window of its filter. A window that rolls off faster makes
/// up for some of what the shorter block loses.
fn block(quality: Quality) -> (f64, WindowFunction) {
    match quality {
        Quality::LowLatency => (5.0, WindowFunction::Blackman),
        Quality::High => (10.0, WindowFunction::BlackmanHarris),
    }
}

impl Stage for Resample {
    type Processor = ResampleProcessor;

    fn prepare(self, input: Format) -> Result<ResampleProcessor> {
        let output = input.with_sample_rate_hz(self.sample_rate_hz)?;
        let engine = (input != output).then(|| engine(input, output, self.quality)).transpose()?;
        // Centre of the filter, a whole number of samples at the input. (rubato's own figure is half the output block,
        // which is up to a sample off where the input block is odd.)
        let centre = engine.as_ref().map_or(0, |engine| engine.fft_size_in() / 2);
        let latency = rescale(centre as i64, input.sample_rate_hz(), output.sample_rate_hz()) as usize;
        Ok(ResampleProcessor { input, engine, out: Frame::new(output), latency })
    }
}

/// FFT resampler whose block divides the frame, so that each frame in is a frame out.
fn engine(input: Format, output: Format, quality: Quality) -> Result<Fft<f32>> {
    let (block_ms, window) = block(quality);
    // All rates are multiples of 100 Hz, so 10 ms hold a whole number of the smallest possible blocks.
    let smallest_blocks = gcd(input.sample_rate_hz(), output.sample_rate_hz()) / 100;
    let per_10_ms = (1..=smallest_blocks)
        .find(|&n| smallest_blocks.is_multiple_of(n) && 10.0 / f64::from(n) <= block_ms)
        .unwrap_or(smallest_blocks);
    let blocks = per_10_ms * input.frame_ms() / 10;
    Fft::new_custom(
        input.sample_rate_hz() as usize,
        output.sample_rate_hz() as usize,
        input.samples_per_channel(),
        blocks as usize,
        input.channels(),
        window,
        FixedSync::Input,
    )
    .map_err(|_| Error::UnsupportedRate {
        stage: "Resample",
        rate_hz: output.sample_rate_hz(),
        advice: "use 8000, 16000 or 48000 Hz",
    })
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Processor of [`Resample`].
pub struct ResampleProcessor {
    input: Format,
    engine: Option<Fft<f32>>,
    out: Frame,
    latency: usize,
}

impl Processor for ResampleProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.input)?;
        let Some(engine) = &mut self.engine else {
            return Ok(Some(frame));
        };
        let output = self.out.format();
        let internal = Error::Internal { stage: "Resample" };
        let from = SequentialSlice::new(frame.samples(), self.input.channels(), self.input.samples_per_channel())
            .map_err(|_| internal)?;
        let mut to = SequentialSlice::new_mut(self.out.samples_mut(), output.channels(), output.samples_per_channel())
            .map_err(|_| internal)?;
        engine.process_into_buffer(&from, &mut to, None).map_err(|_| internal)?;
        let position = rescale(frame.position(), self.input.sample_rate_hz(), output.sample_rate_hz());
        self.out.set_position(position - self.latency as i64);
        self.out.copy_detections(frame);
        Ok(Some(&mut self.out))
    }

    fn reset(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.reset();
        }
    }

    fn input_format(&self) -> Format {
        self.input
    }

    fn output_format(&self) -> Format {
        self.out.format()
    }

    fn latency(&self) -> usize {
        self.latency
    }
}

impl std::fmt::Debug for ResampleProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResampleProcessor({} -> {}, {} samples)", self.input, self.output_format(), self.latency())
    }
}
