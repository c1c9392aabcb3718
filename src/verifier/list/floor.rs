//! The floor on disk: how far a verifier has come, so that a restart cannot be served an older list; and in the same
//! file what a restart begins with: the key document, the break-glass head, the head in force, and by their hashes the
//! files that lead to its list. One file is replaced at once, so a crash leaves the state before or the state after.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use shortbread_protocol::json;
use shortbread_protocol::key_document::MAX_KEY_DOCUMENT;
use shortbread_protocol::revocations::MAX_HEAD;
use thiserror::Error;

use super::dir::{Dir, OLD_HEAD, OLD_KEYS};

const FLOOR: &str = "floor.json";
const MAX_FLOOR: u64 = 512 * 1024;

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

/// What must never go down, and what leads back to where the verifier stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Floor {
    pub(super) v: u32,
    pub(super) issuer: String,
    /// The highest key document: version, and hash of the signed text.
    pub(super) keys: Option<Step>,
    /// The highest valid head.
    pub(super) head: Option<Reached>,
    /// The break-glass head in force.
    pub(super) break_glass: Option<Stop>,
    /// The list was not to be relied on, as when two different heads were signed with the sequence above. Then no head
    /// with that sequence counts any more.
    pub(super) equivocation: bool,
    /// The key document, as it was served.
    pub(super) document: Option<String>,
    /// The list in force.
    pub(super) list: Option<List>,
}

/// A number, and the hash of the signed text that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) number: u64,
    #[serde(with = "digest")]
    pub(super) sha256: [u8; 32],
}

/// How far heads have come: the version of the key document that the head names counts before its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reached {
    pub(super) version: u64,
    pub(super) number: u64,
    #[serde(with = "digest")]
    pub(super) sha256: [u8; 32],
}

/// A break-glass head. Its `global` stands beside the note: it counts even when the note is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    pub(super) number: u64,
    pub(super) global: u64,
    pub(super) issued: u64,
    #[serde(with = "digest")]
    pub(super) sha256: [u8; 32],
    pub(super) note: String,
}

/// The head in force, as it was served, and the files that lead to its list: a snapshot, and deltas in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub(super) head: String,
    /// When its contents were applied, in milliseconds since the epoch.
    pub(super) applied_at: u64,
    pub(super) base: Part,
    pub(super) deltas: Vec<Part>,
}

/// A file of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    #[serde(with = "digest")]
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
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

/// The floor before it held versions of heads, and what stood beside it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstFloor {
    #[serde(rename = "v")]
    _v: u32,
    issuer: String,
    keys: Option<Step>,
    head: Option<Step>,
    #[serde(rename = "break_glass")]
    _break_glass: u64,
    equivocation: bool,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl Dir {
    /// The floor; `None` in a fresh directory.
    pub(super) fn floor(&self, issuer: &str) -> Result<Option<Floor>, FloorError> {
        let path = self.path().join(FLOOR);
        let corrupt = |cause: String| FloorError::Corrupt { path: path.clone(), cause };
        let failed = |cause| FloorError::Io { path: path.clone(), cause };
        let bytes = match self.read(FLOOR, MAX_FLOOR) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if self.holds_a_list().map_err(failed)? => return Err(FloorError::Missing { path }),
            Ok(None) => return Ok(None),
            Err(cause) if cause.kind() == io::ErrorKind::FileTooLarge => {
                return Err(corrupt(cause.to_string()));
            }
            Err(cause) => return Err(failed(cause)),
        };
        let version: Version = json::read_as(&bytes).map_err(|e| corrupt(e.to_string()))?;
        let floor = match version.v {
            1 => json::read_as(&bytes).map(|first| self.floor_of(first)),
            2 => json::read_as(&bytes),
            v => return Err(corrupt(format!("version {v} is not known"))),
        };
        let floor: Floor = floor.map_err(|e| corrupt(e.to_string()))?;
        if floor.issuer != issuer {
            let (dir, expected) = (self.path().to_owned(), issuer.to_owned());
            return Err(FloorError::OtherBroker { dir, found: floor.issuer, expected });
        }
        Ok(Some(floor))
    }

    /// Replaces the floor, durably, and with it makes durable what was put before.
    pub(super) fn put_floor(&self, floor: &Floor) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(floor)?;
        bytes.push(b'\n');
        self.sync()?;
        self.put(FLOOR, &bytes)?;
        self.sync()
    }

    /// Which version the highest head named was not written down: that of the highest key document is as far as it can
    /// have come without being waited for. A note beside it that cannot be read is as one that is missing.
    fn floor_of(&self, first: FirstFloor) -> Floor {
        let text = |name, limit: usize| String::from_utf8(self.read(name, limit as u64).ok()??).ok();
        let version = first.keys.map_or(0, |keys| keys.number);
        let list = text(OLD_HEAD, MAX_HEAD).and_then(|head| {
            let base = snapshot_of(&head)?;
            Some(List { head, applied_at: 0, base, deltas: Vec::new() })
        });
        Floor {
            v: 2,
            issuer: first.issuer,
            keys: first.keys,
            head: first.head.map(|Step { number, sha256 }| Reached { version, number, sha256 }),
            break_glass: None,
            equivocation: first.equivocation,
            document: text(OLD_KEYS, MAX_KEY_DOCUMENT),
            list,
        }
    }
}

/// The snapshot that the text of a head names; whether anyone signed it is asked later.
fn snapshot_of(head: &str) -> Option<Part> {
    let line = head.lines().find_map(|line| line.strip_prefix("snapshot "))?;
    let mut fields = line.split(' ').skip(1);
    let sha256 = STANDARD.decode(fields.next()?).ok()?.try_into().ok()?;
    Some(Part { sha256, bytes: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ISSUER: &str = "https://broker.acme.example";

    fn floor() -> Floor {
        let part = Part { sha256: [3; 32], bytes: 9 };
        let list = List { head: "note\n".to_owned(), applied_at: 5, base: part, deltas: vec![part] };
        let note = "note\n".to_owned();
        Floor {
            v: 2,
            issuer: ISSUER.to_owned(),
            keys: Some(Step { number: 4, sha256: [2; 32] }),
            head: Some(Reached { version: 4, number: 7, sha256: [1; 32] }),
            break_glass: Some(Stop { number: 3, global: 9, issued: 8, sha256: [5; 32], note }),
            equivocation: false,
            document: Some("note\n".to_owned()),
            list: Some(list),
        }
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
    fn the_first_floor_is_read_with_what_stood_beside_it() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let hash = "01".repeat(32);
        let first = format!(
            r#"{{"v":1,"issuer":"{ISSUER}","keys":{{"number":4,"sha256":"{hash}"}},"head":{{"number":7,"sha256":"{hash}"}},"break_glass":0,"equivocation":true}}"#
        );
        fs::write(tmp.path().join(FLOOR), &first).unwrap();
        let head = format!("o\nsnapshot 5 {} 9\n", STANDARD.encode([3; 32]));
        fs::write(tmp.path().join(OLD_HEAD), &head).unwrap();
        fs::write(tmp.path().join(OLD_KEYS), "keys").unwrap();
        let read = dir.floor(ISSUER).unwrap().unwrap();
        assert_eq!(read.head, Some(Reached { version: 4, number: 7, sha256: [1; 32] }));
        assert!(read.equivocation && read.document.as_deref() == Some("keys"));
        let base = Part { sha256: [3; 32], bytes: 9 };
        assert_eq!(read.list, Some(List { head, applied_at: 0, base, deltas: Vec::new() }));
        fs::write(tmp.path().join(OLD_HEAD), "snapshot").unwrap();
        assert_eq!(dir.floor(ISSUER).unwrap().unwrap().list, None);
    }

    #[test]
    fn a_damaged_floor_says_what_to_do() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let whole = serde_json::to_string(&floor()).unwrap();
        let future = whole.replace(r#""v":2"#, r#""v":3"#);
        let more = whole.replace(r#""v":2"#, r#""v":2,"x":1"#);
        let first = whole.replace(r#""v":2"#, r#""v":1"#);
        let long = " ".repeat(600_000);
        for damaged in ["", "{}", whole.trim_end_matches('}'), &future, &more, &first, &long] {
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
        dir.put(OLD_HEAD, b"x").unwrap();
        assert!(matches!(dir.floor(ISSUER), Err(FloorError::Missing { .. })));
    }
}
