//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Failure, Of, Result};

/// Number in the next temporary name, for all threads.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A file under a temporary name beside its final one: [`commit`] renames it, dropping it removes it.
#[derive(Debug)]
pub struct Output {
    /// As the user calls it.
    path: PathBuf,
    target: PathBuf,
    temporary: PathBuf,
}

impl Output {
    /// Opens a file that is to become `path`. Fails now rather than in the end if it could not.
    pub fn create(path: &Path) -> Result<(Self, BufWriter<File>)> {
        // A link stays a link: what it points to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if target.exists() && !target.is_file() {
            return Err("is there already, and is not a file").of(path);
        }
        target.file_name().ok_or("is not the name of a file").of(path)?;
        for _ in 0..100 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let temporary = target.with_file_name(format!(".voxframe-{}-{number}.part", std::process::id()));
            match File::options().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok((Self { path: path.to_owned(), target, temporary }, BufWriter::new(file))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).of(path),
            }
        }
        Err("no free name for a temporary file beside it").of(path)
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // After `commit` there is none.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Fails if two of these are the same file: one would overwrite the other.
pub fn all_different<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result {
    let mut seen = Vec::new();
    for path in paths {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let by_folder = || folder.canonicalize().ok().zip(path.file_name()).map(|(folder, name)| folder.join(name));
        let real = path.canonicalize().ok().or_else(by_folder).unwrap_or_else(|| path.clone());
        if seen.contains(&real) {
            return Err("is named twice, and would be overwritten").of(path);
        }
        seen.push(real);
    }
    Ok(())
}

/// Gives all files their final names; if one cannot have it, none has.
pub fn commit(outputs: Vec<Output>) -> Result {
    for (index, output) in outputs.iter().enumerate() {
        if let Err(error) = fs::rename(&output.temporary, &output.target) {
            for done in &outputs[..index] {
                let _ = fs::remove_file(&done.target);
            }
            return Err(error).of(&output.path);
        }
    }
    Ok(())
}

/// Writes to stdout. Whoever closed it early (`| head`) wanted no more.
pub fn print(text: &str) -> Result {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}
