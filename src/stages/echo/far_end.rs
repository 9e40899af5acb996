//! Far end: what the loudspeaker plays, on its way to the canceller in another thread.

use std::sync::Arc;

use crate::core::{Format, Frame, Processor, Result};
use crate::dsp::kernels;
use crate::dsp::sample_ring::SampleRing;

/// Sound that is kept for the canceller, in ms: the longest delay, the echo path, and what two threads may be apart.
const KEPT_MS: f32 = 2000.0;

/// Longest pause between two frames that is filled with silence, in ms. After a longer one the far end begins anew.
const MAX_GAP_MS: f32 = 1000.0;

/// Far end for the playout thread, and the reference to it for any number of
/// [`EchoCancel`](crate::EchoCancel)s. Allocates.
///
/// ```
/// use voxframe::echo::{EchoCancel, far_end};
/// use voxframe::{Format, Frame, Processor, Stage};
/// let (mut far_end, reference) = far_end(Format::stereo(48_000)?);
/// let mut echo = EchoCancel::default().with_far_end(&reference).prepare(Format::mono(48_000)?)?;
/// // On the playout thread, with what the loudspeaker is about to play:
/// far_end.push(&Frame::new(far_end.input_format()))?;
/// // On the capture thread:
/// let mut frame = Frame::new(echo.input_format());
/// assert!(echo.process(&mut frame)?.is_some());
/// # Ok::<(), voxframe::Error>(())
/// ```
pub fn far_end(format: Format) -> (FarEnd, EchoReference) {
    let samples = format.samples_in_ms(KEPT_MS);
    let shared = Arc::new(Shared { ring: SampleRing::new(samples), format });
    let far_end =
        FarEnd { shared: Arc::clone(&shared), mono: vec![0.0; format.samples_per_channel()].into(), next: None };
    (far_end, EchoReference { shared })
}

struct Shared {
    /// Mean of all channels.
    ring: SampleRing,
    format: Format,
}

/// Far end: takes what the loudspeaker plays, behind volume and limiter.
///
/// As a processor it passes its frames unchanged, so that it can be the last stage of a downlink. Channels are averaged:
/// what is different in two loudspeakers is not cancelled but suppressed.
///
/// Frames are pushed when they go to the device, each before it is heard; a delay of up to 500 ms until the microphone hears them
/// is found by the canceller. [`Frame::position`] is the play time: a leap forward of up to 1 s is taken for a pause in
/// which nothing was played. While nothing is played, push silence or nothing.
///
/// # Realtime safety
/// Wait-free: no lock, no allocation, no system call, however many cancellers read.
pub struct FarEnd {
    shared: Arc<Shared>,
    mono: Box<[f32]>,
    /// Position of the next frame, if nothing is left out.
    next: Option<i64>,
}

impl FarEnd {
    /// Takes a frame.
    ///
    /// # Errors
    /// [`Error::WrongFormat`](crate::Error::WrongFormat); nothing is taken.
    pub fn push(&mut self, frame: &Frame) -> Result<()> {
        frame.check_format(self.shared.format)?;
        let length = frame.format().samples_per_channel();
        let gap = self.next.map_or(0, |next| frame.position().saturating_sub(next));
        let gap = usize::try_from(gap).unwrap_or(0);
        if (1..=self.shared.format.samples_in_ms(MAX_GAP_MS)).contains(&gap) {
            self.shared.ring.write(std::iter::repeat_n(0.0, gap));
        }
        self.next = Some(frame.position().saturating_add(length as i64));
        let share = 1.0 / frame.format().channels() as f32;
        self.mono.fill(0.0);
        for channel in frame.channels() {
            kernels::mix(&mut self.mono, 1.0, channel, share);
        }
        kernels::sanitize(&mut self.mono);
        self.shared.ring.write(self.mono.iter().copied());
        Ok(())
    }
}

impl Processor for FarEnd {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        self.push(frame)?;
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.next = None;
    }

    fn input_format(&self) -> Format {
        self.shared.format
    }
}

impl std::fmt::Debug for FarEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FarEnd({})", self.shared.format)
    }
}

/// Reference to a [`FarEnd`], for the [`EchoCancel`](crate::EchoCancel)s that are to take its echo out. Clones refer to
/// the same far end; each canceller reads on its own.
#[derive(Clone)]
pub struct EchoReference {
    shared: Arc<Shared>,
}

impl EchoReference {
    /// Format of the far end.
    pub fn format(&self) -> Format {
        self.shared.format
    }

    /// Position after the newest sample, pauses included.
    pub(super) fn position(&self) -> u64 {
        self.shared.ring.position()
    }

    /// Copies samples from a position on; `false` if they are not there.
    pub(super) fn read_at(&self, position: u64, samples: &mut [f32]) -> bool {
        self.shared.ring.read_at(position, samples)
    }
}

impl std::fmt::Debug for EchoReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EchoReference({})", self.shared.format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Error;

    fn frame(format: Format, position: i64, left: f32) -> Frame {
        let mut frame = Frame::new(format);
        frame.set_position(position);
        let length = format.samples_per_channel();
        frame.samples_mut()[..length].fill(left);
        frame
    }

    #[test]
    fn channels_are_averaged_and_pauses_filled() {
        let format = Format::stereo(8_000).unwrap();
        let (mut far_end, reference) = far_end(format);
        let start = reference.position();
        for (position, left) in [(0, 0.5), (80, f32::NAN), (200, 0.25), (1 << 40, 1.0), (-7, 1.0)] {
            far_end.push(&frame(format, position, left)).unwrap();
        }
        assert_eq!(reference.position() - start, 5 * 80 + 40);
        let mut samples = [9.0; 440];
        assert!(reference.read_at(start, &mut samples));
        assert!(samples[..80].iter().all(|&s| s == 0.25) && samples[80..200].iter().all(|&s| s == 0.0));
        assert!(samples[200..280].iter().all(|&s| s == 0.125) && samples[280..].iter().all(|&s| s == 0.5));
        let other = Format::mono(8_000).unwrap();
        let refused = far_end.push(&Frame::new(other));
        assert_eq!(refused, Err(Error::WrongFormat { expected: format, actual: other }));
    }
}
