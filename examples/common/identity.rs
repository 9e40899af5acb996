//! Which names are of the same file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Of, Result};

/// Links that lead to one another are followed so often.
const MOST_LINKS: usize = 40;

/// Fails if two of these are the same file, by whatever names: one would overwrite the other.
pub fn all_different<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result {
    let mut seen = Identities::default();
    for path in paths {
        let identity = Identity::of(path);
        if seen.has(&identity) {
            return Err("is named twice, and would be overwritten").of(path);
        }
        seen.insert(identity);
    }
    Ok(())
}

/// What tells a file from others: one that is there has a number, one that is not has a name.
struct Identity {
    real: PathBuf,
    /// Number of the file, and of the file system.
    number: Option<(u64, u64)>,
}

impl Identity {
    fn of(path: &Path) -> Self {
        let target = follow_links(path).unwrap_or_else(|_| path.to_owned());
        let by_folder =
            folder_of(&target).canonicalize().ok().zip(target.file_name()).map(|(folder, name)| folder.join(name));
        Self { real: by_folder.unwrap_or(target), number: fs::metadata(path).ok().and_then(|there| number(&there)) }
    }
}

/// Many files, to be looked up.
#[derive(Default)]
pub struct Identities {
    names: HashSet<PathBuf>,
    numbers: HashSet<(u64, u64)>,
}

impl Identities {
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut all = Self::default();
        paths.into_iter().for_each(|path| all.insert(Identity::of(path)));
        all
    }

    pub fn contains(&self, path: &Path) -> bool {
        self.has(&Identity::of(path))
    }

    fn has(&self, one: &Identity) -> bool {
        self.names.contains(&one.real) || one.number.is_some_and(|number| self.numbers.contains(&number))
    }

    fn insert(&mut self, one: Identity) {
        self.names.insert(one.real);
        self.numbers.extend(one.number);
    }
}

#[cfg(unix)]
fn number(there: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn number(_there: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// What a link points to, be it there or not: that is what is replaced, and the link stays one.
pub fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match target.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(&target) {
                Ok(link) => target = target.parent().unwrap_or(Path::new("")).join(link),
                Err(_) => return Ok(target),
            },
            real => return real,
        }
    }
    Err(io::Error::other("too many links"))
}

/// The folder that a file is in, or would be.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
