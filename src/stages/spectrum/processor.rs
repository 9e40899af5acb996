//! Processor of [`Spectrum`]: stores the newest samples.

use std::sync::Arc;

use super::settings::{MAX_FFT_SIZE, Spectrum};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::sample_ring::SampleRing;

/// Newest samples of one processor, down-mixed to mono.
#[derive(Debug)]
pub(super) struct SampleStore {
    /// Twice the longest FFT: a reader has as long to copy the samples as it took to record them.
    pub ring: SampleRing,
    pub sample_rate_hz: u32,
}

impl Stage for Spectrum {
    type Processor = SpectrumProcessor;

    fn prepare(self, input: Format) -> Result<SpectrumProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for Spectrum {
    type Reading = ();

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for Spectrum {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<SpectrumProcessor> {
        self.check()?;
        let store =
            Arc::new(SampleStore { ring: SampleRing::new(2 * MAX_FFT_SIZE), sample_rate_hz: input.sample_rate_hz() });
        port.share(Arc::clone(&store) as _);
        Ok(SpectrumProcessor { format: input, _port: port, store })
    }
}

/// Processor of [`Spectrum`].
#[derive(Debug)]
pub struct SpectrumProcessor {
    format: Format,
    /// Lets the analyser know that the processor exists. The settings are the analyser's.
    _port: ControlPort<Spectrum>,
    store: Arc<SampleStore>,
}

impl Processor for SpectrumProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        let (first, second) = frame.samples().split_at(self.format.samples_per_channel());
        if self.format.channels() == 1 {
            self.store.ring.write(first.iter().copied());
        } else {
            // Down-mixed as Web Audio does for loudspeakers.
            self.store.ring.write(first.iter().zip(second).map(|(left, right)| 0.5 * (left + right)));
        }
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.store.ring.write(std::iter::repeat_n(0.0, MAX_FFT_SIZE));
    }

    fn input_format(&self) -> Format {
        self.format
    }
}
