//! Processors.

use super::error::Result;
use super::format::Format;

/// Processor: a running step of a voice pipeline, which owns every buffer it will ever need.
///
/// It is made by [`Stage::prepare`](crate::Stage::prepare), which checks every setting and allocates every buffer: a
/// processor that is not prepared cannot exist.
pub trait Processor {
    /// Input: [`Frame`](crate::Frame), or [`Packet`](crate::Packet) for decoders.
    type Input: ?Sized;
    /// Output: [`Frame`](crate::Frame), or [`Packet`](crate::Packet) for encoders.
    type Output: ?Sized;

    /// Takes one input and lends at most one output; `None` means "not yet".
    ///
    /// The input is scratch afterwards: a stage that works in place lends the very same frame. Only a decoder, given a
    /// packet longer than a frame, has more to hand out: it is called with that packet again until
    /// [`Packet::is_empty`](crate::Packet::is_empty).
    ///
    /// # Errors
    /// [`Error::WrongFormat`](crate::Error::WrongFormat) if the frame is not of the input format, and what the stage
    /// documents. The processor goes on with the next input as if this one had not been.
    ///
    /// # Realtime safety
    /// Never allocates, locks, blocks or makes a system call.
    fn process<'a>(&'a mut self, input: &'a mut Self::Input) -> Result<Option<&'a mut Self::Output>>;

    /// Forgets all past sound; keeps settings and buffers.
    ///
    /// # Realtime safety
    /// Safe.
    fn reset(&mut self);

    /// Format that the processor was prepared for.
    fn input_format(&self) -> Format;

    /// Format of the output. For an encoder: what its decoder gives back.
    fn output_format(&self) -> Format {
        self.input_format()
    }

    /// Latency: delay from input to output, in samples per channel at the output rate. Exact to a sample; where the
    /// delay is no whole number, the nearest one.
    ///
    /// The time to fill a packet is not in it: from microphone to packet it is the packet's length plus this.
    fn latency(&self) -> usize {
        0
    }

    /// Delay from a sound's capture to its output, in ms: the [`latency`](Self::latency), and for an encoder the length
    /// of the packet it has to fill.
    fn latency_ms(&self) -> f64 {
        self.output_format().ms(self.latency())
    }
}

impl<P: Processor + ?Sized> Processor for Box<P> {
    type Input = P::Input;
    type Output = P::Output;

    fn process<'a>(&'a mut self, input: &'a mut Self::Input) -> Result<Option<&'a mut Self::Output>> {
        (**self).process(input)
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn input_format(&self) -> Format {
        (**self).input_format()
    }

    fn output_format(&self) -> Format {
        (**self).output_format()
    }

    fn latency(&self) -> usize {
        (**self).latency()
    }

    fn latency_ms(&self) -> f64 {
        (**self).latency_ms()
    }
}
