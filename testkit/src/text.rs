//! Text files of bounded length.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::Path;

/// More is no trace and no table, and reading what never ends would take all memory.
const MOST_BYTES: u64 = 64 << 20;

/// Reads a text file, or a pipe.
///
/// # Errors
/// Those of reading; what is longer than 64 MiB, or no UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Error::other("longer than 64 MiB"));
    }
    Ok(text)
}
