//! What everything else is built of: frames and packets, the two traits, and how stages are put together.

pub mod error;
pub mod format;
pub mod frame;
pub mod packet;
pub mod pipeline;
pub mod processor;
pub mod source;
pub mod stage;
#[cfg(not(all(feature = "resample", feature = "denoise", feature = "opus")))]
pub mod unavailable;

pub use error::{Error, Result};
pub use format::{Format, FormatError};
pub use frame::Frame;
pub use packet::Packet;
pub use pipeline::{FrameProcessor, Pipeline};
pub use processor::Processor;
pub use source::{Source, SourceChain};
pub use stage::{Chain, FnProcessor, Optional, ProcessFn, Stage, Then, process_fn};
