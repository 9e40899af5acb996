//! Command-line scaffolding of the examples: files in and out, and how a failure is told. None of it is needed to use
//! the crate.
//!
//! It stands here and not in the test kit, because Ogg files and encoders need features of the crate, and a dependency
//! of the tests cannot follow those they are built with.

#![allow(dead_code, reason = "each example uses its part")]

pub mod canvas;
pub mod chart;
#[cfg(feature = "opus")]
pub mod codec;
mod compressed;
pub mod input;
#[cfg(all(feature = "opus", feature = "ogg"))]
pub mod job;
pub mod json;
#[cfg(feature = "ogg")]
pub mod ogg_opus;
pub mod output;
#[cfg(feature = "ogg")]
pub mod report;
pub mod wav;

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

/// What went wrong, with which file, for one line on stderr.
#[derive(Clone, Debug)]
pub struct Failure(pub String);

impl Failure {
    pub fn tell(&self) {
        tell("error", &self.0);
    }
}

pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl From<voxframe::Error> for Failure {
    fn from(error: voxframe::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<voxframe::error::FormatError> for Failure {
    fn from(error: voxframe::error::FormatError) -> Self {
        Self(error.to_string())
    }
}

/// Names the file that an error is about.
pub trait Of<T> {
    fn of(self, path: &Path) -> Result<T>;
}

impl<T, E: Display> Of<T> for Result<T, E> {
    fn of(self, path: &Path) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", path.display())))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Turns what an example returned into its exit code: 1 for a failure, told in one line.
pub fn exit(result: Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::FAILURE
        }
    }
}

/// Tells something that is no failure, but may be news.
pub fn note(path: &Path, what: impl Display) {
    tell("note", &format!("{}: {what}", path.display()));
}

/// One line on stderr; file names may hold anything, line ends too.
fn tell(kind: &str, text: &str) {
    let line: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    eprintln!("{kind}: {line}");
}

/// Samples at one rate as the nearest number at another.
pub fn rescale(samples: u64, from_hz: u32, to_hz: u32) -> u64 {
    let from_hz = u64::from(from_hz);
    (samples * u64::from(to_hz) + from_hz / 2) / from_hz
}
