//! Temporary files beside those they are to become. None is left behind: a signal removes them, and what was killed leaves
//! them to the next program that writes there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Failure, Result, stop};

const PREFIX: &str = ".voxframe-";
const SUFFIX: &str = ".part";

/// Age from which on one that nobody holds is swept. A file is not locked in the moment it appears, and not everywhere
/// can be.
const STALE: Duration = Duration::from_secs(3600);

/// Those of this program.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A temporary file; dropping it removes it.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    // Open, and so locked, as long as this lives.
    file: File,
    is_renamed: bool,
}

impl Temporary {
    /// A new one beside `target`.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let mut unfinished = Unfinished::lock();
        let (path, file) =
            free_name(target, |path| File::options().read(true).write(true).create_new(true).open(path))?;
        lock(&file);
        unfinished.0.insert(path.clone());
        Ok(Self { path, file, is_renamed: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its final name.
    pub fn rename(&mut self, target: &Path, unfinished: &mut Unfinished) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        unfinished.0.remove(&self.path);
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The name of a renamed one may by now be that of another machine's program.
        if !self.is_renamed {
            Unfinished::lock().remove(&self.path);
        }
    }
}

/// The temporary files of this program. While it is held, no signal ends it.
pub struct Unfinished(MutexGuard<'static, BTreeSet<PathBuf>>);

impl Unfinished {
    pub fn lock() -> Self {
        Self(UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another name for a file, beside it, where the file system knows such a thing.
    pub fn second_name(&mut self, target: &Path) -> Option<PathBuf> {
        let (path, ()) = free_name(target, |path| fs::hard_link(target, path)).ok()?;
        self.0.insert(path.clone());
        Some(path)
    }

    pub fn remove(&mut self, path: &Path) {
        let _ = fs::remove_file(path);
        self.0.remove(path);
    }
}

/// Makes something of a name beside `target` that is nobody's.
fn free_name<T>(target: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..100 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = target.with_file_name(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()));
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no free name for a temporary file beside it"))
}

/// Has a signal remove the temporary files before it ends the program.
pub fn remove_on_signals() -> Result<(), Failure> {
    stop::before_end(|| {
        // Held until the end, so that no file appears behind it.
        let unfinished = std::mem::ManuallyDrop::new(Unfinished::lock());
        unfinished.0.iter().for_each(|path| _ = fs::remove_file(path));
    })
}

/// Removes from a folder what programs left that were killed: old, and held by nobody. Looks once.
pub fn sweep(folder: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_temporary) && is_stale(&entry.path()).unwrap_or(false) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn is_temporary(name: &str) -> bool {
    let middle = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    middle.and_then(|middle| middle.split_once('-')).is_some_and(|(id, number)| is_number(id) && is_number(number))
}

fn is_stale(path: &Path) -> io::Result<bool> {
    let metadata = path.symlink_metadata()?;
    let is_old = metadata.modified()?.elapsed().is_ok_and(|age| age > STALE);
    Ok(metadata.is_file() && is_old && lock(&File::open(path)?))
}

/// Locks a file, until it is closed, against the lock of any other program; whether that could be done.
#[cfg(unix)]
fn lock(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(not(unix))]
fn lock(_file: &File) -> bool {
    false
}
