//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::identity::{folder_of, follow_links};
use super::temporary::{Temporary, Unfinished, remove_on_signals, sweep};
use super::{Failure, Of, Result};

/// A file under a temporary name beside its final one: [`commit`] renames it, dropping it removes it.
#[derive(Debug)]
pub struct Output {
    /// As the user calls it.
    path: PathBuf,
    target: PathBuf,
    temporary: Temporary,
}

impl Output {
    /// Opens a file that is to become `path`. Fails now rather than in the end if it could not.
    pub fn create(path: &Path) -> Result<(Self, BufWriter<File>)> {
        if path == Path::new("-") {
            return Err("stdout is not written to, since a file is completed at its beginning (./- is a file)")
                .of(path);
        }
        // This, too, follows links, and those of /dev/stdout lead to no name.
        let there = fs::metadata(path);
        if there.as_ref().is_ok_and(|there| !there.is_file()) {
            return Err("is there already, and is not a file").of(path);
        }
        let target = follow_links(path).of(path)?;
        if !is_name_of_file(&target) {
            return Err("is not the name of a file").of(path);
        }
        if let Ok(there) = &there {
            // To replace a file takes no right to write to it. But who protects it does not want that.
            if there.permissions().readonly() {
                return Err("is there already, and read-only").of(path);
            }
            File::options().write(true).open(&target).of(path)?;
        }
        remove_on_signals()?;
        sweep(folder_of(&target));
        let temporary = Temporary::beside(&target).of(path)?;
        if let Ok(there) = there {
            temporary.file().set_permissions(there.permissions()).of(path)?;
        }
        let file = temporary.file().try_clone().of(path)?;
        Ok((Self { path: path.to_owned(), target, temporary }, BufWriter::new(file)))
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Not `folder/`, and not `folder/.`.
fn is_name_of_file(path: &Path) -> bool {
    let whole = path.as_os_str().as_encoded_bytes();
    path.file_name().is_some_and(|name| whole.ends_with(name.as_encoded_bytes()))
}

/// Gives all files their final names; if one cannot have it, none has, and all is as before.
pub fn commit(mut outputs: Vec<Output>) -> Result {
    for output in &outputs {
        // That a disk is full is here and there told only now; and what is renamed must not be empty after a power cut.
        output.temporary.file().sync_all().of(&output.path)?;
    }
    let mut unfinished = Unfinished::lock();
    let mut before = Vec::new();
    let last = outputs.len().saturating_sub(1);
    let result = outputs.iter_mut().enumerate().try_for_each(|(index, output)| {
        // Behind the last one there is none that could fail.
        let old = if index < last { Before::keep(&output.target, &mut unfinished) } else { Before::Gone };
        output.temporary.rename(&output.target, &mut unfinished).of(&output.path)?;
        before.push(old);
        Ok(())
    });
    for (output, old) in outputs.iter().zip(before) {
        if result.is_err() {
            old.restore(&output.target);
        }
        if let Before::Named(name) = old {
            unfinished.remove(&name);
        }
    }
    drop(unfinished);
    result
}

/// What had the name of an output before.
enum Before {
    Nothing,
    /// A file, which has this second name.
    Named(PathBuf),
    /// A file, where no file has two names.
    Gone,
}

impl Before {
    fn keep(target: &Path, unfinished: &mut Unfinished) -> Self {
        match target.exists() {
            true => unfinished.second_name(target).map_or(Self::Gone, Self::Named),
            false => Self::Nothing,
        }
    }

    fn restore(&self, target: &Path) {
        let _ = match self {
            Self::Nothing => fs::remove_file(target),
            Self::Named(name) => fs::rename(name, target),
            Self::Gone => Ok(()),
        };
    }
}

/// Writes to stdout. Whoever closed it early (`| head`) wanted no more.
pub fn print(text: &str) -> Result {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}
