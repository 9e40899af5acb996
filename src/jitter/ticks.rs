//! Unit of time in the jitter buffer: ticks of 48 kHz, as in RTP (RFC 7587, section 4.1), whatever the rate of the sound.

use crate::core::Packet;
use crate::opus::packet::MAX_TICKS;

/// Ticks in 1 ms.
pub(super) const TICKS_PER_MS: i64 = Packet::CLOCK_HZ as i64 / 1000;

/// Length of the chunks in which sound is decoded and filled in: 10 ms, the shortest frame.
pub(super) const CHUNK_TICKS: i64 = 10 * TICKS_PER_MS;

/// Longest packet. Between two packets in sequence passes no more time, but in pauses.
pub(super) const MAX_PACKET_TICKS: i64 = MAX_TICKS as i64;

/// Time in ms as the nearest number of ticks.
pub(super) fn ticks(ms: f32) -> i64 {
    (f64::from(ms) * TICKS_PER_MS as f64).round() as i64
}

/// Ticks as a time in ms.
pub(super) fn ms(ticks: i64) -> f32 {
    ticks as f32 / TICKS_PER_MS as f32
}
