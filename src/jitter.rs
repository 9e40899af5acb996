//! The jitter buffer: packets in any order and time, a frame whenever one is wanted.

mod decoder_output;
mod delay_manager;
mod input;
mod output;
mod redundancy;
mod reorder_buffer;
mod settings;
mod stats;
mod stretch_control;
mod sync_buffer;
mod time_stretch;

pub use input::JitterBufferInput;
pub use output::JitterBufferOutput;
pub use settings::JitterBuffer;
pub use stats::{JitterBufferReading, JitterBufferStatistics};

/// Ticks in a millisecond: positions and delays are counted in ticks of 48 kHz here, whatever the rate of the sound.
const TICKS_PER_MS: i64 = crate::core::Packet::CLOCK_HZ as i64 / 1000;

/// Sound is decoded in chunks of 10 ms: the least length of a frame.
const CHUNK_TICKS: i64 = 10 * TICKS_PER_MS;

/// A time in ms as ticks.
fn ticks(ms: f32) -> i64 {
    (f64::from(ms) * TICKS_PER_MS as f64).round() as i64
}
