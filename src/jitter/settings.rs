//! The settings of a jitter buffer.

use super::input::queue;
use super::output::JitterBufferOutput;
use super::stats::JitterBufferStatistics;
use super::{JitterBufferInput, ticks};
use crate::core::error::in_range;
use crate::core::{Format, Result};
use crate::opus::OpusDecode;

/// Plays packets that come late, twice, in the wrong order or not at all as steady speech.
///
/// [`open`](Self::open) gives two ends: the network thread pushes packets as they come, the playout thread pulls a
/// frame whenever the sound card wants one. Between them there is no lock.
///
/// ```
/// use voxframe::{Format, Frame, JitterBuffer, OpusEncode, Processor, Source, Stage};
/// # let mut encoder = OpusEncode::voip().prepare(Format::mono(48_000)?)?;
/// let (mut network, mut playout) = JitterBuffer::default().open(Format::mono(48_000)?)?;
/// let statistics = playout.statistics();
/// # let mut sequence = 65_535u16;
/// # let mut timestamp = u32::MAX - 960;
/// for _ in 0..100 {
/// #   let mut frame = Frame::new(encoder.input_format());
/// #   if let Some(packet) = encoder.process(&mut frame)? {
/// #       let payload = packet.as_bytes();
/// #       let ssrc = 0x1234_5678;
///     // On the network thread, for each RTP packet:
///     network.push(sequence, timestamp, ssrc, payload)?;
/// #       sequence = sequence.wrapping_add(1);
/// #       timestamp = timestamp.wrapping_add(960);
/// #   }
///     // On the playout thread, every 10 ms:
///     let frame = playout.pull();
///     assert_eq!(frame.samples().len(), 480);
/// }
/// assert_eq!(statistics.reading().missing, 0);
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # How it works
/// - **Time** is the number of pulled frames, and nothing else: no clock is read. A packet's delay is the pull for which
///   it was there, less its timestamp; how fast it came over the network matters only through that.
/// - **How long sound waits** follows the jitter, as in NetEQ: of every 500 ms the worst delay, beyond that of the
///   fastest packet of the last 2 s, goes into a histogram that forgets; the target is a quantile of it, and one
///   frame of slack.
/// - **To get there** it plays faster or slower by leaving out or repeating whole periods of the voice, where they are
///   alike, or any length where there is silence: the pitch stays. Clocks that drift apart are followed in this way
///   too: 300 ppm are one period in 20 s.
/// - **When nothing is there** sound is concealed, and the delay grows by that at once. It shrinks by playing faster,
///   some 15 %; only when it is too long by more than 500 ms, packets are left out.
/// - **When a packet is missing and a later one is there** it is rebuilt from that one's redundancy, forward error
///   correction or DRED, or else concealed. After 120 ms concealment fades to comfort noise like the background before.
/// - **When the sender is silent** (DTX: the timestamps leap, the sequence numbers do not) there is comfort noise.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct JitterBuffer {
    /// The least target delay in ms, 0 to 1000. Default 0 (NetEQ).
    pub min_delay_ms: f32,
    /// The greatest target delay in ms, [`min_delay_ms`](Self::min_delay_ms) to 2000. Default 500: a conversation does
    /// not bear more (ITU-T G.114 advises against 400 one way).
    pub max_delay_ms: f32,
    /// The target delay before anything is known about the network, in ms, 0 to 1000. Default 40: two packets. (NetEQ:
    /// 80.)
    pub start_delay_ms: f32,
    /// The share of 500 ms intervals in which all packets shall be in time, 0.1 to 0.999. Default 0.6: on networks with
    /// jitter, spikes and reordering one packet in a hundred is late. With 0.95 it is one in a thousand, for 20 to 45 ms
    /// more of delay (`docs/jitter-buffer.md`).
    pub quantile: f32,
    /// How much of the histogram is kept after an interval, 0.5 to 0.9999. Default 0.983 (NetEQ): a memory of 30 s.
    pub forgetting: f32,
    /// How much longer to wait than the jitter asks for, at most, so that a later packet can rebuild what is missing, in
    /// ms, 0 to 500. Default 120. Only while more than 2 % are missing and packets carry redundancy: with forward error
    /// correction a packet's length and 10 ms, with deep redundancy as long as nine tenths of what is missing need.
    pub wait_for_redundancy_ms: f32,
    /// The decoder: its gain, and how much CPU it may spend, on concealment too.
    pub decoder: OpusDecode,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self {
            min_delay_ms: 0.0,
            max_delay_ms: 500.0,
            start_delay_ms: 40.0,
            quantile: 0.6,
            forgetting: 0.983,
            wait_for_redundancy_ms: 120.0,
            decoder: OpusDecode::default(),
        }
    }
}

impl JitterBuffer {
    /// Checks the settings, allocates everything, and gives the network thread's end and the playout thread's. Frames
    /// are of `output`, at 8, 12, 16, 24 or 48 kHz.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange), and those of [`OpusDecode`].
    pub fn open(self, output: Format) -> Result<(JitterBufferInput, JitterBufferOutput)> {
        in_range("JitterBuffer::min_delay_ms", self.min_delay_ms, 0.0, 1000.0)?;
        in_range("JitterBuffer::max_delay_ms", self.max_delay_ms, self.min_delay_ms, 2000.0)?;
        in_range("JitterBuffer::start_delay_ms", self.start_delay_ms, 0.0, 1000.0)?;
        in_range("JitterBuffer::quantile", self.quantile, 0.1, 0.999)?;
        in_range("JitterBuffer::forgetting", self.forgetting, 0.5, 0.9999)?;
        in_range("JitterBuffer::wait_for_redundancy_ms", self.wait_for_redundancy_ms, 0.0, 500.0)?;
        let statistics = JitterBufferStatistics::default();
        let (sender, arrivals) = queue(statistics.clone());
        let receiver = JitterBufferOutput::new(self, output, arrivals, statistics)?;
        Ok((sender, receiver))
    }

    /// The range of the target delay, in ticks.
    pub(super) fn delays(&self) -> (i64, i64) {
        (ticks(self.min_delay_ms), ticks(self.max_delay_ms))
    }
}
