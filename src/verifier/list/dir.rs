//! The state directory: files that are replaced whole or not at all, for one process at a time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::floor::FloorError;
use crate::held_dir::{Untaken, take};

const LOCK: &str = "lock";
const INCOMING: &str = "incoming-";
const SNAPSHOT: &str = "snapshot-";
const DELTA: &str = "delta-";

/// Where the key document stood before the floor held it.
pub(super) const OLD_KEYS: &str = "keys.note";
/// Where the head stood before the floor held it.
pub(super) const OLD_HEAD: &str = "head.note";

/// A directory that this process alone uses, as long as the value lives.
#[derive(Debug)]
pub(super) struct Dir {
    path: PathBuf,
    count: AtomicU64,
    _lock: File,
}

impl From<Untaken> for FloorError {
    fn from(untaken: Untaken) -> Self {
        match untaken {
            Untaken::Io { path, cause } => Self::Io { path, cause },
            Untaken::InUse { dir } => Self::InUse { dir },
        }
    }
}

/// A file whose bytes are written, but that has no name yet. It is gone when it is dropped before it gets one.
#[derive(Debug)]
pub(super) struct Incoming {
    path: PathBuf,
    file: File,
}

impl Dir {
    /// Makes the directory where needed, takes it, and clears away what a process before this one did not finish.
    pub(super) fn open(path: &Path) -> Result<Self, FloorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| FloorError::Io { path, cause }
        };
        fs::create_dir_all(path).map_err(failed(path))?;
        let lock = take(path, LOCK)?;
        let dir = Self { path: path.to_owned(), count: AtomicU64::new(0), _lock: lock };
        dir.remove(|name| name.starts_with(INCOMING)).map_err(failed(path))?;
        Ok(dir)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces a file: all of the old bytes or all of the new ones are there, whenever the power fails. Which of them
    /// is settled by [`sync`](Self::sync).
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path.join(name))
    }

    /// Makes every file that was put, or left, stay so. Only Unix lets a directory be opened for that.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        File::open(&self.path)?.sync_all()?;
        Ok(())
    }

    /// Writes bytes that get their name later. They are handed to the system, which takes little time; that they are
    /// durable is waited for when they are [kept](Self::keep).
    pub(super) fn receive(&self, bytes: &[u8]) -> io::Result<Incoming> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("{INCOMING}{number}"));
        let mut incoming = Incoming { file: File::create(&path)?, path };
        incoming.file.write_all(bytes)?;
        Ok(incoming)
    }

    pub(super) fn keep(&self, incoming: &Incoming, name: &str) -> io::Result<()> {
        incoming.file.sync_all()?;
        fs::rename(&incoming.path, self.path.join(name))
    }

    /// Reads a file of at most `limit` bytes; `None` when it is not there.
    pub(super) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let size = file.metadata()?.len().min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if read as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {limit} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    /// Removes every part of a list but these.
    pub(super) fn prune(&self, keep: &BTreeSet<String>) -> io::Result<()> {
        self.remove(|name| is_part(name) && !keep.contains(name))
    }

    pub(super) fn holds_a_list(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            if entry?.file_name().to_str().is_some_and(is_part) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn remove(&self, goes: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(&goes) {
                fs::remove_file(self.path.join(name))?;
            }
        }
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Once it has its name nothing is there any more; what cannot be removed now is at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// The name of a snapshot's file: by its hash, so that one list never meets another one's parts.
pub(super) fn snapshot_name(sha256: &[u8; 32]) -> String {
    format!("{SNAPSHOT}{}", hex::encode(sha256))
}

/// The name of a delta's file.
pub(super) fn delta_name(sha256: &[u8; 32]) -> String {
    format!("{DELTA}{}", hex::encode(sha256))
}

fn is_part(name: &str) -> bool {
    let name = name.strip_suffix(".new").unwrap_or(name);
    name.starts_with(SNAPSHOT) || name.starts_with(DELTA) || [OLD_KEYS, OLD_HEAD].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_serves_one_process() {
        let tmp = tempfile::tempdir().unwrap();
        let first = Dir::open(tmp.path()).unwrap();
        assert!(matches!(Dir::open(tmp.path()), Err(FloorError::InUse { .. })));
        drop(first);
        assert!(Dir::open(tmp.path()).is_ok());
    }

    #[test]
    fn parts_that_no_list_names_go() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let names = [snapshot_name(&[1; 32]), snapshot_name(&[2; 32]), delta_name(&[1; 32])];
        names.iter().for_each(|name| dir.put(name, b"x").unwrap());
        dir.put("notes.txt", b"not ours").unwrap();
        fs::write(tmp.path().join(format!("{}.new", names[1])), b"cut").unwrap();
        dir.prune(&BTreeSet::from([names[1].clone()])).unwrap();
        let left = |name: &str| dir.read(name, 99).unwrap().is_some();
        assert!(left(&names[1]) && left("notes.txt") && dir.holds_a_list().unwrap());
        assert!(!left(&names[0]) && !left(&names[2]) && !left(&format!("{}.new", names[1])));
    }

    #[test]
    fn bytes_without_a_name_are_gone_unless_they_get_one() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let (kept, dropped) = (dir.receive(b"kept").unwrap(), dir.receive(b"dropped").unwrap());
        dir.keep(&kept, "name").unwrap();
        drop((kept, dropped));
        assert_eq!(dir.read("name", 9).unwrap().as_deref(), Some(b"kept".as_slice()));
        fs::write(tmp.path().join("incoming-7"), b"cut").unwrap();
        drop(dir);
        let dir = Dir::open(tmp.path()).unwrap();
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 2, "the lock and the one with a name");
    }
}
