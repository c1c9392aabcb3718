//! The floor on disk: how far a verifier has come, so that a restart cannot be served an older list; and beside it
//! the last key document, head and snapshot, so that a restart begins with a list.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shortbread_protocol::json;
use thiserror::Error;

const FLOOR: &str = "floor.json";
const LOCK: &str = "lock";
const MAX_FLOOR: u64 = 16 * 1024;

pub(super) const KEYS: &str = "keys.note";
pub(super) const HEAD: &str = "head.note";
const SNAPSHOT: &str = "snapshot-";

/// Why a verifier cannot start with its state directory.
#[derive(Debug, Error)]
pub enum FloorError {
    /// The directory or a file in it cannot be opened, read or made.
    #[error("cannot use {} to remember how far the revocation list has come: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The floor is there but cannot be read.
    #[error(
        "{} is damaged ({cause}). It keeps this service from being served an old revocation list, so it is never \
         reset by itself. Put it back from a backup; or, once you are sure that the broker is the right one, remove \
         the whole directory {} and start again: the service denies everything until it has a new list",
        path.display(), path.parent().unwrap_or(Path::new(".")).display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A list is there without the floor.
    #[error(
        "{} is missing although there is a list beside it. Put it back from a backup; or, once you are sure that the \
         broker is the right one, remove the whole directory {} and start again",
        path.display(), path.parent().unwrap_or(Path::new(".")).display()
    )]
    Missing {
        /// The file that should be there.
        path: PathBuf,
    },
    /// The floor of another broker.
    #[error("{} belongs to the broker {found:?}, not to {expected:?}; give each broker a directory of its own", dir.display())]
    OtherBroker {
        /// The directory.
        dir: PathBuf,
        /// The issuer in the file.
        found: String,
        /// The pinned issuer.
        expected: String,
    },
    /// Another process has it.
    #[error("{} is in use by another process; give each instance a directory of its own", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
}

/// What must never go down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Floor {
    pub(super) v: u32,
    pub(super) issuer: String,
    /// The highest key document: version, and hash of the signed text.
    pub(super) keys: Option<Step>,
    /// The highest valid head: sequence, and hash of the signed text.
    pub(super) head: Option<Step>,
    /// The sequence of the break-glass head; 0 for none.
    pub(super) break_glass: u64,
    /// Two different heads were signed with the sequence above.
    pub(super) equivocation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) number: u64,
    #[serde(with = "digest")]
    pub(super) sha256: [u8; 32],
}

mod digest {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut digest).map_err(D::Error::custom)?;
        Ok(digest)
    }
}

/// A directory that this process alone uses, as long as the value lives.
#[derive(Debug)]
pub(super) struct Dir {
    dir: PathBuf,
    _lock: File,
}

impl Dir {
    /// Makes the directory where needed and takes it.
    pub(super) fn open(dir: &Path) -> Result<Self, FloorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| FloorError::Io { path, cause }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let path = dir.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FloorError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(cause)) => Err(FloorError::Io { path, cause }),
        }
    }

    /// The floor; `None` in a fresh directory.
    pub(super) fn floor(&self, issuer: &str) -> Result<Option<Floor>, FloorError> {
        let path = self.dir.join(FLOOR);
        let corrupt = |cause: String| FloorError::Corrupt { path: path.clone(), cause };
        let bytes = match self.read(FLOOR, MAX_FLOOR) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if self.holds_a_list() => return Err(FloorError::Missing { path }),
            Ok(None) => return Ok(None),
            Err(cause) if cause.kind() == io::ErrorKind::FileTooLarge => {
                return Err(corrupt(cause.to_string()));
            }
            Err(cause) => return Err(FloorError::Io { path, cause }),
        };
        let floor: Floor = json::read_as(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if floor.v != 1 {
            return Err(corrupt(format!("version {} is not known", floor.v)));
        }
        if floor.issuer != issuer {
            let (dir, expected) = (self.dir.clone(), issuer.to_owned());
            return Err(FloorError::OtherBroker { dir, found: floor.issuer, expected });
        }
        Ok(Some(floor))
    }

    /// Replaces the floor, durably.
    pub(super) fn put_floor(&self, floor: &Floor) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(floor)?;
        bytes.push(b'\n');
        self.put(FLOOR, &bytes)
    }

    /// Replaces a file durably: all of the old bytes or all of the new ones are there, whenever the power fails.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.dir.join(format!("{name}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.dir.join(name))?;
        // The rename itself is durable once the directory is; only Unix lets a directory be opened for that.
        #[cfg(unix)]
        File::open(&self.dir)?.sync_all()?;
        Ok(())
    }

    /// Reads a file of at most `limit` bytes; `None` when it is not there.
    pub(super) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.dir.join(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if read as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {limit} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    /// Removes every snapshot but one.
    pub(super) fn prune(&self, keep: &[u8; 32]) -> io::Result<()> {
        let keep = snapshot_name(keep);
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(SNAPSHOT) && name != keep) {
                fs::remove_file(self.dir.join(name))?;
            }
        }
        Ok(())
    }

    fn holds_a_list(&self) -> bool {
        [KEYS, HEAD].iter().any(|name| self.dir.join(name).exists())
    }
}

/// The name of a snapshot's file: by its hash, so that a head on disk never meets another head's snapshot.
pub(super) fn snapshot_name(sha256: &[u8; 32]) -> String {
    format!("{SNAPSHOT}{}", hex::encode(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://broker.acme.example";

    fn floor() -> Floor {
        let head = Some(Step { number: 7, sha256: [1; 32] });
        Floor { v: 1, issuer: ISSUER.to_owned(), keys: None, head, break_glass: 0, equivocation: false }
    }

    #[test]
    fn the_floor_is_read_again() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(&tmp.path().join("a/b")).unwrap();
        assert_eq!(dir.floor(ISSUER).unwrap(), None);
        dir.put_floor(&floor()).unwrap();
        assert_eq!(dir.floor(ISSUER).unwrap(), Some(floor()));
        let other = dir.floor("https://other.example").unwrap_err();
        assert!(matches!(other, FloorError::OtherBroker { .. }), "{other}");
    }

    #[test]
    fn a_damaged_floor_says_what_to_do() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let whole = serde_json::to_string(&floor()).unwrap();
        let future = whole.replace(r#""v":1"#, r#""v":2"#);
        let more = whole.replace(r#""v":1"#, r#""v":1,"x":1"#);
        let long = " ".repeat(20_000);
        for damaged in ["", "{}", whole.trim_end_matches('}'), &future, &more, &long] {
            fs::write(tmp.path().join(FLOOR), damaged).unwrap();
            let error = dir.floor(ISSUER).unwrap_err();
            assert!(matches!(error, FloorError::Corrupt { .. }), "{damaged}: {error}");
            assert!(error.to_string().contains("remove the whole directory"), "{error}");
        }
    }

    #[test]
    fn a_list_without_its_floor_is_not_believed() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        dir.put(HEAD, b"x").unwrap();
        assert!(matches!(dir.floor(ISSUER), Err(FloorError::Missing { .. })));
    }

    #[test]
    fn a_directory_serves_one_process() {
        let tmp = tempfile::tempdir().unwrap();
        let first = Dir::open(tmp.path()).unwrap();
        assert!(matches!(Dir::open(tmp.path()), Err(FloorError::InUse { .. })));
        drop(first);
        assert!(Dir::open(tmp.path()).is_ok());
    }

    #[test]
    fn old_snapshots_go() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        dir.put(&snapshot_name(&[1; 32]), b"old").unwrap();
        dir.put(&snapshot_name(&[2; 32]), b"new").unwrap();
        dir.prune(&[2; 32]).unwrap();
        assert_eq!(dir.read(&snapshot_name(&[1; 32]), 9).unwrap(), None);
        assert_eq!(dir.read(&snapshot_name(&[2; 32]), 9).unwrap().as_deref(), Some(b"new".as_slice()));
    }
}
