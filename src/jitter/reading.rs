//! Statistics of a jitter buffer.

/// Statistics of a [`JitterBuffer`](crate::JitterBuffer), named as in W3C `getStats` where that has them, with the unit
/// in the name.
///
/// Counters run from the opening or the last reset; a rate over any time is the difference of two readings. Rates are
/// those of the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct JitterBufferReading {
    /// Whether a stream plays; otherwise there is comfort noise until the next one has buffered.
    pub playing: bool,
    /// Time since the last packet of any kind came, in ms; before the first, since the opening.
    pub since_last_packet_ms: f64,
    /// Delay of the fastest packets in the buffer now, in ms: from the pull for which they were there to the one that
    /// plays them. 0 while nothing plays.
    pub jitter_buffer_delay_ms: f32,
    /// Target of that delay, in ms.
    pub jitter_buffer_target_delay_ms: f32,
    /// Share of packets that were not there in time, lost or late, 0 to 1; exponential mean with a time constant of 100
    /// packets.
    pub packet_loss_rate: f32,
    /// Share of sound that was concealed or filled with comfort noise, 0 to 1; exponential mean with a time constant of
    /// 2 s.
    pub concealment_rate: f32,
    /// RTP timestamp of the sound that follows the frame pulled last; `None` while nothing plays.
    /// `RtcpSession::capture_time` tells when it was captured, for lip sync.
    pub playout_timestamp: Option<u32>,
    /// Packets that arrived, duplicates included.
    pub packets_received: u64,
    /// Of those received, packets that had arrived before.
    pub packets_duplicated: u64,
    /// Of those received, packets that arrived after a later one, and in time.
    pub packets_reordered: u64,
    /// Of those received, packets that were not played: late ones and flushed ones.
    pub packets_discarded: u64,
    /// Of those discarded, packets that arrived when their time was over.
    pub packets_late: u64,
    /// Of those discarded, packets left out because more than 500 ms too much had piled up.
    pub packets_flushed: u64,
    /// Of those received, packets that are not Opus or do not belong to the stream.
    pub packets_invalid: u64,
    /// Packets refused by [`JitterBufferInput::push`](super::JitterBufferInput::push), not counted as received: too
    /// long, or nobody pulled.
    pub packets_refused: u64,
    /// Packets that were not there in time, lost or late.
    pub packets_missing: u64,
    /// Of those missing, packets that never arrived, or have not yet.
    pub packets_lost: u64,
    /// Of those missing, packets rebuilt from forward error correction or deep redundancy.
    pub packets_repaired: u64,
    /// Times another stream began: another SSRC, or another numbering.
    pub stream_restarts: u64,
    /// Sound concealed by the decoder, in ms.
    pub concealed_ms: f64,
    /// Sound rebuilt from forward error correction, in ms.
    pub fec_ms: f64,
    /// Sound rebuilt from deep redundancy (DRED), in ms.
    pub dred_ms: f64,
    /// Comfort noise, in ms: in pauses of the sender (DTX), after 120 ms of concealment, and before the first packet.
    pub comfort_noise_ms: f64,
    /// Sound left out by playing faster, in ms.
    pub removed_for_acceleration_ms: f64,
    /// Sound added by playing slower, in ms.
    pub inserted_for_deceleration_ms: f64,
}
