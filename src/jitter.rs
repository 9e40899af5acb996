//! Jitter buffer (NetEQ's design): packets in any order and time in, one frame out whenever one is wanted.

mod decision;
mod decoder_output;
mod delay_manager;
mod execution;
mod input;
mod open;
mod output;
mod playout_state;
mod probation;
mod reading;
mod redundancy_wait;
mod reorder_buffer;
mod settings;
mod stretch_control;
mod sync_buffer;
mod ticks;
mod time_stretch;

pub use input::JitterBufferInput;
pub use output::JitterBufferOutput;
pub use reading::JitterBufferReading;
pub use settings::JitterBuffer;
