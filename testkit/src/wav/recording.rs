//! Recordings: the bundled ones in `fixtures/`, and real ones, which are not part of the repository.

use std::path::{Path, PathBuf};

use super::read;

/// One channel of sound.
pub struct Recording {
    pub name: String,
    pub rate_hz: u32,
    pub samples: Vec<f32>,
}

impl Recording {
    /// Reads a WAV file; of several channels the first.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let wav = read(path);
        let samples = wav.samples.iter().step_by(wav.header.channels).copied().collect();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Self { name, rate_hz: wav.header.sample_rate_hz, samples }
    }

    /// A bundled recording; of a stereo one the left channel.
    #[track_caller]
    pub fn fixture(name: &str) -> Self {
        Self::read(&fixture_path(name))
    }
}

/// A bundled recording (`fixtures/README.md`), 48 kHz mono unless its name says otherwise: its channels.
#[track_caller]
pub fn fixture(name: &str) -> Vec<Vec<f32>> {
    read(&fixture_path(name)).planar()
}

/// Where a bundled recording is.
pub fn fixture_path(name: &str) -> PathBuf {
    root().join("fixtures").join(name)
}

/// All WAV files in a folder of the real recordings; none, and a note, where they are not there.
pub fn recordings(folder: &str) -> Vec<Recording> {
    let Some(folder) = recordings_folder(folder) else { return Vec::new() };
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "wav"))
        .map(|path| Recording::read(path))
        .collect()
}

/// A folder of the real recordings: below `$VOXFRAME_AUDIO`, or below `../shared/audio`. `None`, and a note, where it is
/// not there.
pub fn recordings_folder(folder: &str) -> Option<PathBuf> {
    let base = std::env::var_os("VOXFRAME_AUDIO").map_or_else(|| root().join("../shared/audio"), PathBuf::from);
    let path = base.join(folder);
    if !path.is_dir() {
        eprintln!("skipped: no recordings in {} (VOXFRAME_AUDIO says where they are)", path.display());
        return None;
    }
    Some(path)
}

/// The folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
