//! Opus packets in Ogg files (RFC 7845, RFC 3533). Needs no codec.

mod error;
mod head;
mod page;
mod reader;
mod stream;
mod writer;

pub use error::OggError;
pub use head::OggHead;
pub use reader::{OggDamage, OggReader};
pub use writer::OggWriter;
