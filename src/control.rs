//! Control of a running stage from other threads: settings in, readings out.
//!
//! A [`Handle`] belongs to the application and outlives the processors it controls. The audio side is wait-free; the
//! control side may wait for another control thread, never for the audio thread.

mod handle;
mod port;

pub use handle::{ControlPort, Handle, Live, LiveStage, WithHandle};
pub use port::Port;
