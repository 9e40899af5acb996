//! What was found out about a run, as a JSON file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use super::output::Output;
use super::{Of, Result};

/// A JSON file being written.
pub struct JsonOutput {
    output: Output,
    file: BufWriter<File>,
}

impl JsonOutput {
    pub fn create(path: &Path) -> Result<Self> {
        let (output, file) = Output::create(path)?;
        Ok(Self { output, file })
    }

    /// Completes the file, but for its name.
    pub fn finish(mut self, value: &Value) -> Result<Output> {
        writeln!(self.file, "{value:#}").and_then(|()| self.file.flush()).of(self.output.path())?;
        Ok(self.output)
    }
}
