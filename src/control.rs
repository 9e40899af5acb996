//! Settings in, readings out, between threads.

mod handle;

pub(crate) use handle::record;
pub use handle::{ControlPort, Handle, Live, MAX_FIELDS, Record, WithHandle, Word};
