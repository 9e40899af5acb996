//! Progress on stderr, where that is a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

pub struct Progress(ProgressBar);

impl Progress {
    /// Of so many files, if that is known.
    pub fn new(files: Option<usize>) -> Self {
        let template = match files {
            Some(_) => "{wide_bar} {pos} of {len}, {eta} left",
            None => "{spinner} {pos} files, {per_sec}",
        };
        let bar = match (std::io::stderr().is_terminal(), files) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(files)) => ProgressBar::new(files as u64),
            (true, None) => ProgressBar::new_spinner(),
        };
        Self(bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// One file more.
    pub fn next(&self) {
        self.0.inc(1);
    }

    /// Writes something above the bar.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
