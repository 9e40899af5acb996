//! Processor of [`EchoCancel`].

use super::canceller::Canceller;
use super::far_end::EchoReference;
use super::settings::{EchoCancel, EchoCancelReading, Suppression};
use crate::control::{ControlPort, Live, LiveStage, WithHandle};
use crate::core::error::fixed;
use crate::core::{Format, Frame, Processor, Result, Stage};
use crate::dsp::delay::Delay;

/// [`EchoCancel`] with the far end whose echo it takes out.
#[derive(Debug)]
pub struct EchoCancelStage {
    settings: WithHandle<EchoCancel>,
    reference: EchoReference,
}

impl EchoCancel {
    /// This stage, for the echo of a far end.
    pub fn with_far_end(self, reference: &EchoReference) -> EchoCancelStage {
        self.live().0.with_far_end(reference)
    }
}

impl WithHandle<EchoCancel> {
    /// This stage, for the echo of a far end.
    pub fn with_far_end(self, reference: &EchoReference) -> EchoCancelStage {
        EchoCancelStage { settings: self, reference: reference.clone() }
    }
}

impl Stage for EchoCancelStage {
    type Processor = EchoCancelProcessor;

    fn prepare(self, input: Format) -> Result<EchoCancelProcessor> {
        self.settings
            .take_over(input, |settings, port| EchoCancelProcessor::new(settings, input, port, Some(&self.reference)))
    }
}

impl Stage for EchoCancel {
    type Processor = EchoCancelProcessor;

    fn prepare(self, input: Format) -> Result<EchoCancelProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for EchoCancel {
    type Reading = EchoCancelReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
        let is_off = |settings: &Self| settings.suppression == Suppression::Off;
        fixed("EchoCancel::suppression", is_off(self) == is_off(prepared))
    }
}

impl LiveStage for EchoCancel {
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<EchoCancelProcessor> {
        EchoCancelProcessor::new(self, input, port, None)
    }
}

/// Processor of [`EchoCancel`].
pub struct EchoCancelProcessor {
    format: Format,
    port: ControlPort<EchoCancel>,
    settings: EchoCancel,
    latency: usize,
    /// Canceller, where there is a far end.
    canceller: Option<Canceller>,
    /// Delay line, where there is none.
    delay: Delay,
    /// Position of the next frame, if nothing is left out.
    next: Option<i64>,
}

impl EchoCancelProcessor {
    fn new(
        settings: EchoCancel,
        format: Format,
        port: ControlPort<EchoCancel>,
        reference: Option<&EchoReference>,
    ) -> Result<Self> {
        settings.check()?;
        let block = format.sample_rate_hz() as usize / 100;
        let latency = if settings.suppression == Suppression::Off { 0 } else { block };
        Ok(Self {
            format,
            port,
            settings,
            latency,
            canceller: reference.map(|reference| Canceller::new(format, reference)),
            delay: Delay::new(format, latency),
            next: None,
        })
    }
}

impl Processor for EchoCancelProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        if let Some(settings) = self.port.changed() {
            self.settings = settings;
        }
        match &mut self.canceller {
            None => self.delay.process(frame),
            Some(canceller) => {
                let length = self.format.samples_per_channel();
                let gap = self.next.map_or(0, |next| frame.position().saturating_sub(next));
                self.next = Some(frame.position().saturating_add(length as i64));
                let second = i64::from(self.format.sample_rate_hz());
                if (1..=second).contains(&gap) {
                    canceller.skip(gap as f64 * 100.0 / second as f64);
                }
                let block = self.format.sample_rate_hz() as usize / 100;
                let (left, right) = frame.samples_mut().split_at_mut(length);
                let mut right = right.chunks_exact_mut(block);
                let mut far_end_alone = true;
                for left in left.chunks_exact_mut(block) {
                    match right.next() {
                        None => canceller.process(&self.settings, &mut [left]),
                        Some(right) => canceller.process(&self.settings, &mut [left, right]),
                    }
                    far_end_alone &= canceller.is_far_end_alone();
                }
                frame.set_far_end_speech(far_end_alone);
                self.port.publish(canceller.reading());
            }
        }
        frame.set_position(frame.position() - self.latency as i64);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.delay.reset();
        self.next = None;
        if let Some(canceller) = &mut self.canceller {
            canceller.reset();
        }
        self.port.publish(EchoCancelReading::default());
    }

    fn input_format(&self) -> Format {
        self.format
    }

    fn latency(&self) -> usize {
        self.latency
    }
}

impl std::fmt::Debug for EchoCancelProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EchoCancelProcessor({})", self.format)
    }
}
