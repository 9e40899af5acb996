//! Frames and packets, the traits `Processor`, `Stage` and `Source`, and the composition of stages.

pub mod error;
pub mod format;
pub mod frame;
mod measurements;
pub mod optional;
pub mod packet;
pub mod pipeline;
pub mod process_fn;
pub mod processor;
pub mod restamp;
pub mod source;
pub mod stage;
#[cfg(not(all(feature = "resample", feature = "denoise", feature = "opus")))]
pub mod unavailable;

pub use error::{Error, Result};
pub use format::{Format, FormatError};
pub use frame::Frame;
pub use optional::Optional;
pub use packet::Packet;
pub use pipeline::{FrameProcessor, Pipeline};
pub use process_fn::{ProcessFn, ProcessFnProcessor, process_fn};
pub use processor::Processor;
pub use source::{Source, SourceChain};
pub use stage::{Chain, Stage, Then};
