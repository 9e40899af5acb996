//! The examples, run as programs.
#![cfg(all(feature = "resample", feature = "denoise", feature = "opus", feature = "ogg"))]

#[cfg(feature = "hush")]
mod adapt;
mod batch;
mod call_sim;
mod custom_stage;
mod decode;
mod duplex;
mod every_example;
#[path = "../ogg/files.rs"]
#[allow(dead_code, reason = "the tests of Ogg take more of it")]
mod ogg_files;
mod outputs;
#[cfg(all(feature = "loudness", feature = "spectrum"))]
mod plot;
mod process;
#[cfg(unix)]
mod stops;
mod wav_collection;
mod wav_input;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use voxframe_testkit::wav;

const PROFILES: [&str; 3] = ["low-latency", "balanced", "high-quality"];

/// Whether an example is built with these features.
fn is_built(example: &str) -> bool {
    match example {
        "adapt" => cfg!(feature = "hush"),
        "plot" => cfg!(all(feature = "loudness", feature = "spectrum")),
        "soak" => cfg!(all(feature = "hush", feature = "rtp")),
        _ => true,
    }
}

/// A folder to work in, and names of files in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        files_in(self.0.path())
    }
}

/// The names of all files in a folder.
fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Samples per channel of a WAV file.
#[track_caller]
fn samples_in(path: &Path) -> u64 {
    wav::read(path).header.samples
}

/// A number of samples at one rate as the nearest at another.
fn rescale(samples: u64, from_hz: u32, to_hz: u32) -> u64 {
    (samples as f64 * f64::from(to_hz) / f64::from(from_hz)).round() as u64
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
