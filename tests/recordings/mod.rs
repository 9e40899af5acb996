//! Real recordings, which are not part of the repository: `$VOXFRAME_AUDIO`, or `../shared/audio`.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::{Path, PathBuf};

/// One channel of sound.
pub struct Recording {
    pub name: String,
    pub rate_hz: u32,
    pub samples: Vec<f32>,
}

/// All WAV files in a folder of the recordings; none, and a note, where they are not there.
pub fn recordings(folder: &str) -> Vec<Recording> {
    let base = std::env::var_os("VOXFRAME_AUDIO").map_or_else(|| root().join("../shared/audio"), PathBuf::from);
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(base.join(folder)) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(error) => {
            println!("{}: {error}: skipped", base.join(folder).display());
            Vec::new()
        }
    };
    paths.sort();
    paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "wav")).map(|path| read(path)).collect()
}

/// A bundled recording; of a stereo one the left channel.
pub fn fixture(name: &str) -> Recording {
    read(&root().join("fixtures").join(name))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Recording {
    let mut wav = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let channels = usize::from(wav.spec().channels);
    let samples = wav.samples::<i16>().step_by(channels).map(|s| f32::from(s.unwrap()) / 32_768.0).collect();
    Recording {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        rate_hz: wav.spec().sample_rate,
        samples,
    }
}
