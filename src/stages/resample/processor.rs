//! Processor of [`Resample`].

use super::settings::{Quality, Resample};
use crate::core::format::rescale;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::fft_resampler::{FftResampler, FilterDesign};

impl Stage for Resample {
    type Processor = ResampleProcessor;

    fn prepare(self, input: Format) -> Result<ResampleProcessor> {
        let output = input.with_sample_rate_hz(self.sample_rate_hz)?;
        let design = match self.quality {
            Quality::LowLatency => FilterDesign::LOW_LATENCY,
            Quality::High => FilterDesign::HIGH,
        };
        let rates = [input, output].map(|format| format.sample_rate_hz());
        let engine = (input != output).then(|| FftResampler::new(design, rates, input.channels()));
        // Centre of the filter, a whole number of samples at the input. (Half the output block is up to a sample off where the
        // input block is odd.)
        let centre = engine.as_ref().map_or(0, |engine| engine.block() / 2);
        let latency = rescale(centre as i64, input.sample_rate_hz(), output.sample_rate_hz()) as usize;
        Ok(ResampleProcessor { input, engine, out: Frame::new(output), latency })
    }
}

/// Processor of [`Resample`].
pub struct ResampleProcessor {
    input: Format,
    engine: Option<FftResampler>,
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
        for (index, (from, to)) in frame.channels().zip(self.out.channels_mut()).enumerate() {
            engine.process(index, from, to);
        }
        let position = rescale(frame.position(), self.input.sample_rate_hz(), self.out.format().sample_rate_hz());
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
