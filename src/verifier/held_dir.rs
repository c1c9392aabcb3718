//! A directory that one process alone uses, and files of its owner alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a directory could not be taken.
#[derive(Debug)]
pub(crate) enum Untaken {
    /// The lock cannot be opened or made.
    Io { path: PathBuf, cause: io::Error },
    /// Another process has it.
    InUse { dir: PathBuf },
}

/// Takes a directory for as long as the file is open. `lock` is the file's name, made where needed.
pub(crate) fn take(dir: &Path, lock: &str) -> Result<File, Untaken> {
    let path = dir.join(lock);
    let file = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
        Ok(file) => file,
        Err(cause) => return Err(Untaken::Io { path, cause }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Untaken::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(Untaken::Io { path, cause }),
    }
}

/// Makes a file to append to that nobody but its owner reads; it is an error when it exists.
pub(crate) fn append_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
