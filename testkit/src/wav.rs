//! WAV files: the reader of the tests and the examples, the bundled and the other recordings, and files as tests want
//! them.

mod header;
mod raw;
mod reader;
mod recording;
mod write;
mod writer;

pub use header::{Encoding, Header, check_readable};
pub use raw::RawWav;
pub use reader::{Wav, WavReader, read};
pub use recording::{Recording, fixture, fixture_path, recordings, recordings_folder};
pub use write::write;
pub use writer::{WavFormat, WavWriter};
