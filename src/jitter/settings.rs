//! Settings of a jitter buffer.

use super::reading::JitterBufferReading;
use super::ticks::ticks;
use crate::control::Live;
use crate::core::Result;
use crate::core::error::in_range;
use crate::opus::OpusDecode;

/// Jitter buffer with adaptive delay: plays packets that come late, twice, in the wrong order or not at all as steady
/// speech.
///
/// [`open`](Self::open) gives two ends: the network thread pushes packets into the
/// [`JitterBufferInput`](super::JitterBufferInput) as they come, the playout thread pulls a frame from the
/// [`JitterBufferOutput`](super::JitterBufferOutput), a [`Source`](crate::Source), whenever the sound card wants one.
/// Between them there is no lock.
///
/// ```
/// use voxframe::{Format, Frame, JitterBuffer, OpusEncode, Processor, Source, Stage};
/// # let mut encoder = OpusEncode::voip().prepare(Format::mono(48_000)?)?;
/// let (mut network, mut playout) = JitterBuffer::default().open(Format::mono(48_000)?)?;
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
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// # Control
/// A [`Handle`](crate::Handle) changes the settings and reads the statistics, and outlives the buffer:
///
/// ```
/// use voxframe::{Format, Handle, JitterBuffer, Source};
/// let control = Handle::new(JitterBuffer::default());
/// let (network, mut playout) = control.attach().open(Format::mono(48_000)?)?;
/// control.update(|buffer| buffer.min_delay_ms = 60.0)?;
/// playout.pull();
/// assert_eq!(control.reading().jitter_buffer_target_delay_ms, 60.0);
/// # Ok::<(), voxframe::Error>(())
/// ```
///
/// Every setting is live: none is refused with [`Error::Fixed`](crate::Error::Fixed), and none clicks. The delay moves
/// to a new target by time stretching. [`quantile`](Self::quantile) and [`forget_factor`](Self::forget_factor) count
/// from the next interval of 500 ms on, [`start_delay_ms`](Self::start_delay_ms) until the first one is over.
///
/// # How it works
/// - **Time** is the number of pulled frames; no clock is read. A packet's delay is the pull for which it was there,
///   less its timestamp; its way over the network matters only through that.
/// - **Target delay** follows the jitter, as in NetEQ: of every 500 ms the longest delay, relative to the fastest packet
///   of the last 2.5 s, goes into a histogram that forgets; the target is a quantile of it, and one frame of slack. A
///   delay that stays is a step in latency, not jitter: the fastest packet is then sought anew.
/// - **Time stretching** moves the delay to its target: whole periods of the voice are left out or repeated where they
///   are alike, or any length where there is silence, so the pitch stays. Drifting clocks are followed in this way too:
///   300 ppm are one period in 20 s.
/// - **Underrun**: while nothing is there sound is concealed, and the delay grows by that at once. It shrinks by playing
///   some 15 % faster, as far as packets lie waiting; only when it is too long by more than 500 ms, they are flushed.
/// - **Redundancy**: a packet that is missing while a later one is there is rebuilt from that one's forward error
///   correction or DRED, or else concealed. After 120 ms concealment fades to comfort noise like the background before.
/// - **What cannot be believed** is left out and counted: a timestamp that its sequence number does not support. Another
///   SSRC or numbering is believed at its second packet, once the stream before is quiet for 40 ms (RFC 3550, A.1). An
///   empty payload (padding) is a number without sound.
/// - **DTX**: while the sender is silent (the timestamps leap, the sequence numbers do not) there is comfort noise.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct JitterBuffer {
    /// Minimum target delay in ms, 0 to 1000. Default 0 (NetEQ).
    pub min_delay_ms: f32,
    /// Maximum target delay in ms, [`min_delay_ms`](Self::min_delay_ms) to 2000. Default 500: a conversation does not
    /// bear more (ITU-T G.114 advises against 400 one way).
    pub max_delay_ms: f32,
    /// Target delay before anything is known of the network, in ms, 0 to 1000. Default 40: two packets. (NetEQ: 80.)
    pub start_delay_ms: f32,
    /// Quantile of the delay histogram: share of 500 ms intervals in which all packets shall be in time, 0.1 to 0.999.
    /// It holds for target delays from 120 ms on; where they are shorter, up to 1.75 times as many intervals may have
    /// late packets. Default 0.6: on networks with jitter, spikes and reordering one to three packets in a hundred are
    /// late. With 0.95 it is one in two thousand, for 37 to 57 ms more of delay (`docs/jitter-buffer.md`).
    pub quantile: f32,
    /// Share of the delay histogram that is kept after each 500 ms interval, 0.5 to 0.9999. Default 0.983 (NetEQ): a
    /// memory of 30 s.
    pub forget_factor: f32,
    /// Maximum wait for redundancy beyond what the jitter asks for, in ms, 0 to 500. Default 120. It is waited only
    /// while more than 2 % of the packets are missing and packets carry redundancy: with forward error correction for
    /// a packet's length and 10 ms, with DRED as long as 95 % of the missing packets need to be rebuilt.
    pub max_redundancy_wait_ms: f32,
    /// Decoder settings: gain, and complexity of decoding and concealment.
    pub decoder: OpusDecode,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self {
            min_delay_ms: 0.0,
            max_delay_ms: 500.0,
            start_delay_ms: 40.0,
            quantile: 0.6,
            forget_factor: 0.983,
            max_redundancy_wait_ms: 120.0,
            decoder: OpusDecode::default(),
        }
    }
}

impl Live for JitterBuffer {
    type Reading = JitterBufferReading;

    fn validate(&self) -> Result<()> {
        in_range("JitterBuffer::min_delay_ms", self.min_delay_ms, 0.0, 1000.0)?;
        in_range("JitterBuffer::max_delay_ms", self.max_delay_ms, self.min_delay_ms, 2000.0)?;
        in_range("JitterBuffer::start_delay_ms", self.start_delay_ms, 0.0, 1000.0)?;
        in_range("JitterBuffer::quantile", self.quantile, 0.1, 0.999)?;
        in_range("JitterBuffer::forget_factor", self.forget_factor, 0.5, 0.9999)?;
        in_range("JitterBuffer::max_redundancy_wait_ms", self.max_redundancy_wait_ms, 0.0, 500.0)?;
        self.decoder.validate()
    }
}

impl JitterBuffer {
    /// Range of the target delay, in ticks.
    pub(super) fn delay_range(&self) -> (i64, i64) {
        (ticks(self.min_delay_ms), ticks(self.max_delay_ms))
    }
}
