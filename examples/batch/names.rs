//! Which recordings there are, and what their outputs are called.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead};
use std::iter;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::common::{Failure, Of, Result};

/// Extensions of the files that are taken of a folder, in either case.
const EXTENSIONS: [&str; 10] = ["wav", "aif", "aiff", "flac", "mp3", "m4a", "aac", "ogg", "oga", "opus"];

/// Names that are read from stdin before they are wanted.
const AHEAD: usize = 64;

/// How long a stop is not seen while no name comes.
const WAIT: Duration = Duration::from_millis(100);

/// A recording.
#[derive(Debug, PartialEq)]
pub struct Recording {
    pub path: PathBuf,
    /// Its path below the folder that was named.
    pub below: PathBuf,
}

impl Recording {
    fn alone(path: PathBuf) -> Self {
        let below = path.file_name().map(PathBuf::from).unwrap_or_default();
        Self { path, below }
    }

    /// Its output in `out`, with this extension. Fails for a recording outside of `root`.
    pub fn output(&self, out: &Path, root: Option<&Path>, extension: &str) -> Result<PathBuf> {
        let below = match root {
            Some(root) => self.path.strip_prefix(root).map_err(|_| format!("is not in {}", root.display())),
            None => Ok(self.below.as_path()),
        };
        let below = below.of(&self.path)?;
        if below.file_name().is_none() || below.components().any(|part| part == Component::ParentDir) {
            return Err("is not the name of a file").of(&self.path);
        }
        // The name stays whole where it is no sound file's, so that `a.b` and `a.c` are two.
        let name = if is_sound(below) { below.with_extension("") } else { below.to_owned() };
        let mut name = name.into_os_string();
        name.push(".");
        name.push(extension);
        Ok(out.join(name))
    }
}

fn is_sound(path: &Path) -> bool {
    let is = |known: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(known));
    EXTENSIONS.iter().any(|known| is(known))
}

/// Files as they are named, and the sound files in folders, in the order of their names. What is in `out` is left out: it was
/// made by an earlier run.
pub fn find(inputs: &[PathBuf], out: &Path) -> Result<Vec<Recording>> {
    let out = out.canonicalize().of(out)?;
    let mut found = Vec::new();
    for input in inputs {
        if input.is_dir() {
            walk(input, input, &out, &mut found)?;
        } else {
            found.push(Recording::alone(input.clone()));
        }
    }
    Ok(found)
}

fn walk(top: &Path, folder: &Path, out: &Path, found: &mut Vec<Recording>) -> Result {
    if folder.canonicalize().of(folder)? == out {
        return Ok(());
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.of(folder)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a folder may lead round in a circle.
        if entry.file_type().of(&path)?.is_dir() {
            walk(top, &path, out, found)?;
        } else if is_sound(&path) && path.is_file() {
            let below = path.strip_prefix(top).map_or_else(|_| path.clone(), Path::to_owned);
            found.push(Recording { path, below });
        }
    }
    Ok(())
}

/// Recordings whose names come from stdin, one a line, until its end or a stop.
pub fn from_stdin(stopped: Arc<AtomicBool>) -> impl Iterator<Item = Recording> + Send {
    // Reading cannot be interrupted, so a thread does it that nobody waits for.
    let (sender, names) = mpsc::sync_channel(AHEAD);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            match line {
                Ok(line) if line.is_empty() => {}
                Ok(line) => {
                    if sender.send(Recording::alone(name(line))).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    Failure(format!("stdin: {error}")).tell();
                    break;
                }
            }
        }
    });
    iter::from_fn(move || {
        while !stopped.load(Ordering::Relaxed) {
            match names.recv_timeout(WAIT) {
                Ok(recording) => return Some(recording),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        None
    })
}

#[cfg(unix)]
fn name(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn name(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from(String::from_utf8_lossy(&bytes).trim_end_matches('\r')))
}
