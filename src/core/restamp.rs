//! Stage that counts positions anew.

use super::error::Result;
use super::format::Format;
use super::frame::Frame;
use super::processor::Processor;
use super::stage::Stage;

/// Steady positions: 0, and then one frame length more with each frame, whatever [`Frame::position`] was before.
///
/// The position of what a [`JitterBuffer`](crate::JitterBuffer) plays is that of the sound in it: it stands still while
/// sound is filled in, and leaps behind a loss. What is played and sent on at the same time (a relay, a gateway, a bot, a
/// recorder) needs the play time instead, or its RTP timestamps stand still and leap, too.
///
/// ```
/// # #[cfg(feature = "opus")] {
/// use voxframe::pipeline::Restamp;
/// use voxframe::{Format, JitterBuffer, OpusEncode, Processor, Source, Stage};
/// let (_network, output) = JitterBuffer::default().open(Format::mono(48_000)?)?;
/// let mut relay = output.then(Restamp)?;
/// let mut encoder = OpusEncode::voip().prepare(relay.output_format())?;
/// for frame in 0..100 {
///     if let Some(packet) = encoder.process(relay.pull())? {
///         assert_eq!(packet.position(), 480 * (frame - 1) - 312); // 312: the codec's lookahead
///     }
/// }
/// # }
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// Latency: none. Any format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restamp;

impl Stage for Restamp {
    type Processor = RestampProcessor;

    fn prepare(self, input: Format) -> Result<RestampProcessor> {
        Ok(RestampProcessor { format: input, next: 0 })
    }
}

/// Processor of [`Restamp`]. A reset begins at 0 again.
#[derive(Clone, Copy, Debug)]
pub struct RestampProcessor {
    format: Format,
    /// Position of the next frame.
    next: i64,
}

impl Processor for RestampProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?;
        frame.set_position(self.next);
        self.next += self.format.samples_per_channel() as i64;
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.next = 0;
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_on_whatever_they_were() {
        let mut restamp = Restamp.prepare(Format::stereo(16_000).unwrap()).unwrap();
        let mut frame = Frame::new(restamp.input_format());
        frame.samples_mut()[7] = 0.5;
        let mut stamped = |position| {
            frame.set_position(position);
            let out = restamp.process(&mut frame).unwrap().unwrap();
            assert_eq!(out.samples()[7], 0.5);
            out.position()
        };
        assert_eq!([-5, 155, 155, i64::MAX, 0].map(&mut stamped), [0, 160, 320, 480, 640]);
        restamp.reset();
        assert_eq!(restamp.process(&mut frame).unwrap().unwrap().position(), 0);
    }
}
