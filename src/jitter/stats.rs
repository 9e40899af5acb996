//! What a jitter buffer tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// What a jitter buffer has done so far, and how it stands.
///
/// Counters count from the start; a rate over any time is the difference of two readings. Shares are of the last
/// seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JitterBufferReading {
    /// How long the fastest packets wait now, in ms, from the pull for which they were there to the one that plays them.
    pub delay_ms: f32,
    /// How long they should, in ms.
    pub target_ms: f32,
    /// The share of packets that were not there in time, 0 to 1, forgotten with a time constant of 100 packets.
    pub missing_share: f32,
    /// The share of sound that was concealed or filled with comfort noise, 0 to 1, forgotten within 2 s.
    pub concealed_share: f32,
    /// Packets that arrived.
    pub received: u64,
    /// Of those, packets that came again.
    pub duplicates: u64,
    /// Of those, packets that came after a later one.
    pub reordered: u64,
    /// Of those, packets that came when their time was over.
    pub late: u64,
    /// Of those, packets left out because too much had piled up.
    pub skipped: u64,
    /// Of those, packets that are no Opus or do not belong to the stream.
    pub invalid: u64,
    /// Packets that did not get as far as the buffer: too long, or nobody pulled.
    pub refused: u64,
    /// Packets that were not there in time, the late ones included.
    pub missing: u64,
    /// Of those, packets rebuilt from forward error correction or deep redundancy.
    pub rebuilt: u64,
    /// Times the stream began anew: another SSRC, or another numbering.
    pub restarts: u64,
    /// Sound that the decoder concealed, in ms.
    pub concealed_ms: f64,
    /// Sound rebuilt from forward error correction, in ms.
    pub fec_ms: f64,
    /// Sound rebuilt from deep redundancy, in ms.
    pub dred_ms: f64,
    /// Comfort noise, in ms: while the sender is silent, after 120 ms of concealment, and before the first packet.
    pub comfort_ms: f64,
    /// Sound left out by playing faster, in ms.
    pub accelerated_ms: f64,
    /// Sound added by playing slower, in ms.
    pub expanded_ms: f64,
}

impl JitterBufferReading {
    /// Packets that never arrived, or have not yet, though their time is over.
    pub fn lost(&self) -> u64 {
        self.missing.saturating_sub(self.late)
    }
}

macro_rules! shared {
    (floats: $($float:ident),*; counters: $($counter:ident),*; times: $($time:ident),*;) => {
        #[derive(Debug, Default)]
        struct Shared {
            refused: AtomicU64,
            $($float: AtomicU32,)*
            $($counter: AtomicU64,)*
            $($time: AtomicU64,)*
        }

        impl Shared {
            fn store(&self, reading: &JitterBufferReading) {
                $(self.$float.store(reading.$float.to_bits(), Relaxed);)*
                $(self.$counter.store(reading.$counter, Relaxed);)*
                $(self.$time.store(reading.$time.to_bits(), Relaxed);)*
            }

            fn load(&self) -> JitterBufferReading {
                JitterBufferReading {
                    refused: self.refused.load(Relaxed),
                    $($float: f32::from_bits(self.$float.load(Relaxed)),)*
                    $($counter: self.$counter.load(Relaxed),)*
                    $($time: f64::from_bits(self.$time.load(Relaxed)),)*
                }
            }
        }
    };
}

shared! {
    floats: delay_ms, target_ms, missing_share, concealed_share;
    counters: received, duplicates, reordered, late, skipped, invalid, missing, rebuilt, restarts;
    times: concealed_ms, fec_ms, dred_ms, comfort_ms, accelerated_ms, expanded_ms;
}

/// Reads what a jitter buffer tells, from any thread.
///
/// # Realtime safety
/// Safe: no lock, no allocation. Each figure is whole; two of them may be from neighbouring frames.
#[derive(Clone, Debug, Default)]
pub struct JitterBufferStatistics {
    shared: Arc<Shared>,
}

impl JitterBufferStatistics {
    /// How it stood after the last frame.
    pub fn reading(&self) -> JitterBufferReading {
        self.shared.load()
    }

    pub(super) fn publish(&self, reading: &JitterBufferReading) {
        self.shared.store(reading);
    }

    pub(super) fn refused(&self) {
        self.shared.refused.fetch_add(1, Relaxed);
    }
}
