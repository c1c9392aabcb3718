//! Files of a mirror: put in place whole, read by everyone, and taken away when nobody can need them any more.

use std::fs::{self, File, FileTimes};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shortbread_protocol::clock::Timestamp;

use crate::failure::Failure;

/// How long a file stays after the last head that named it: as long as a head may be relied on.
const KEPT: Duration = Duration::from_secs(900);

/// The file's bytes, if it is there.
///
/// # Errors
/// When it is there and cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

/// How many bytes the file has, if it is there.
pub(super) fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|meta| meta.len())
}

/// Puts a file in place of whatever is there, all at once, with the folders above it. It is on the disk before it has
/// its name.
///
/// # Errors
/// When it cannot be written.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let new = beside(path);
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        // The leftover is of no use to anyone; the error that matters is the first one.
        let _ = fs::remove_file(&new);
        failed(path, &error)
    })
}

/// Notes that the file is not named any more as of now.
pub(super) fn touch(path: &Path, now: Timestamp) {
    // One that is gone has been removed; one that cannot be touched is removed a little earlier.
    let _ = File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_times(FileTimes::new().set_modified(moment(now))));
}

/// Removes files of lists that no head has named for a while, and leftovers; gives how many went. Anything that is not
/// called as a mirror's files are is left alone.
pub(super) fn prune(folder: &Path, named: &[String], now: Timestamp) -> u64 {
    let mut removed = 0;
    for kind in ["snapshot", "delta"] {
        let Ok(entries) = fs::read_dir(folder.join(kind)) else { continue };
        for entry in entries.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let is_ours = is_file(kind, &name) || is_leftover(kind, &name);
            let is_old = || {
                let modified = entry.metadata().and_then(|meta| meta.modified());
                modified.is_ok_and(|at| moment(now).duration_since(at).is_ok_and(|age| age > KEPT))
            };
            let is_named = named
                .iter()
                .any(|path| path.strip_prefix(kind).is_some_and(|rest| rest.get(1..) == Some(&name)));
            if is_ours && !is_named && is_old() && fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
    }
    removed
}

fn is_file(kind: &str, name: &str) -> bool {
    let mut parts: Vec<&str> = name.split('-').collect();
    let hash = parts.pop().unwrap_or_default();
    let numbers = if kind == "delta" { 2 } else { 1 };
    parts.len() == numbers
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        && hash.len() == 64
        && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_leftover(kind: &str, name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".new"));
    inner.and_then(|rest| rest.rsplit_once('.')).is_some_and(|(name, _)| is_file(kind, name))
}

// Hidden, so that no web server shows it and no copying tool that leaves such files out takes it along.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

fn moment(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.millis())
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let what = format!("{} cannot be read or written: {error}", path.display());
    Failure::new(what, "Check the path, its permissions and the room on its disk.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_head_has_named_for_a_while_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
        let names = [
            format!("snapshot/3-{a}"),
            format!("snapshot/7-{b}"),
            format!("delta/3-7-{c}"),
            format!("delta/.3-7-{c}.99.new"),
            "delta/notes.txt".to_owned(),
            format!("delta/3-{c}"),
        ];
        let now = Timestamp::from_seconds(1_795_176_000);
        let later = |seconds| Timestamp::from_seconds(now.seconds() + seconds);
        for name in &names {
            put(&folder.path().join(name), b"x").unwrap();
            touch(&folder.path().join(name), now);
        }
        let named = [names[1].clone()];
        assert_eq!(prune(folder.path(), &named, later(900)), 0);
        assert_eq!(prune(folder.path(), &named, later(901)), 3);
        let left = |name: &&String| folder.path().join(name).exists();
        assert_eq!(names.iter().filter(left).collect::<Vec<_>>(), [&names[1], &names[4], &names[5]]);
        assert_eq!(read(&folder.path().join("none")).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_replaced_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/head");
        for text in ["one", "two"] {
            put(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
        assert!(put(&path.join("below"), b"x").is_err(), "a file is no folder");
    }
}
