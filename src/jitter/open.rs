//! Opening of a jitter buffer: both ends from the settings.

use super::input::{JitterBufferInput, packet_queue};
use super::output::JitterBufferOutput;
use super::settings::JitterBuffer;
use crate::control::{ControlPort, Live, WithHandle};
use crate::core::{Format, Result};

impl JitterBuffer {
    /// Both ends of a jitter buffer with these settings: the network thread's and the playout thread's. Checks the
    /// settings and allocates everything. Frames are of `output`, at 8, 12, 16, 24 or 48 kHz.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange), and those of [`OpusDecode`](crate::OpusDecode).
    pub fn open(self, output: Format) -> Result<(JitterBufferInput, JitterBufferOutput)> {
        self.open_with(output, ControlPort::unconnected())
    }

    fn open_with(self, output: Format, port: ControlPort<Self>) -> Result<(JitterBufferInput, JitterBufferOutput)> {
        self.validate()?;
        let (input, arrivals) = packet_queue();
        Ok((input, JitterBufferOutput::new(self, output, arrivals, port)?))
    }
}

impl WithHandle<JitterBuffer> {
    /// Both ends of a jitter buffer that obeys the handle, as [`JitterBuffer::open`]. The handle goes over to it; if
    /// this fails, nothing changes.
    ///
    /// # Errors
    /// Those of [`JitterBuffer::open`].
    pub fn open(self, output: Format) -> Result<(JitterBufferInput, JitterBufferOutput)> {
        self.take_over(output, |settings, port| settings.open_with(output, port))
    }
}
