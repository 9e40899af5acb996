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
pub mod identity;
pub mod input;
#[cfg(all(feature = "opus", feature = "ogg"))]
pub mod job;
pub mod json;
#[cfg(feature = "ogg")]
pub mod ogg_opus;
#[cfg(all(feature = "opus", feature = "ogg"))]
pub mod opus_sound;
pub mod output;
#[cfg(feature = "ogg")]
pub mod report;
pub mod stop;
pub mod temporary;
pub mod wav;

use std::fmt::Display;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use voxframe::Frame;

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

/// The same on one line: file names may hold anything, line ends too.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// One line on stderr.
pub fn tell(kind: &str, text: &str) {
    let line = one_line(text);
    // Where stderr cannot be written to, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{kind}: {line}");
}

/// Samples at one rate as the nearest number at another.
pub fn rescale(samples: u64, from_hz: u32, to_hz: u32) -> u64 {
    let from_hz = u64::from(from_hz);
    (samples * u64::from(to_hz) + from_hz / 2) / from_hz
}

/// The samples per channel of a frame whose positions are 0 or more, and less than `end`.
pub fn sound_within(frame: &Frame, end: i64) -> Range<usize> {
    let length = frame.format().samples_per_channel();
    let within = |position: i64| usize::try_from(position.saturating_sub(frame.position())).unwrap_or(0).min(length);
    within(0)..within(end.max(0))
}
