//! What is done beside the spool, without holding it: reading, clearing away, writing through to the disk.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shortbread_protocol::verifiers::CallRecord;

use super::{CURSOR, LOCK};

/// A part of the oldest file that is to be uploaded.
#[derive(Clone, Debug)]
pub(in crate::report) struct Extent {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Some records of an extent.
#[derive(Debug)]
pub(in crate::report) struct Portion {
    pub(in crate::report) records: Vec<CallRecord>,
    /// Lines that are no records: somebody else wrote them, or the disk did.
    pub(super) damaged: u64,
    pub(super) number: u64,
    pub(super) from: u64,
    pub(super) upto: u64,
    pub(super) lines: u64,
}

/// What to do once the broker has everything up to a place. Run it without holding the spool.
#[derive(Debug)]
pub(in crate::report) struct Cleared {
    pub(super) dir: PathBuf,
    pub(super) number: u64,
    pub(super) upto: u64,
    pub(super) remove: Vec<PathBuf>,
}

/// What to write through to the disk. Run it without holding the spool.
#[derive(Debug)]
pub(in crate::report) struct Plan {
    pub(super) files: Vec<Arc<File>>,
    pub(super) dir: Option<PathBuf>,
    pub(super) home: Home,
    pub(super) sealed: usize,
    pub(super) records: usize,
    pub(super) named: u64,
}

/// The directory that was taken. Files that were open when somebody removed it go on taking what nobody will find.
#[derive(Clone, Debug)]
pub(in crate::report) struct Home {
    dir: PathBuf,
    inode: u64,
}

impl Home {
    pub(super) fn of(dir: &Path, lock: &File) -> io::Result<Self> {
        Ok(Self { dir: dir.to_owned(), inode: inode(&lock.metadata()?) })
    }

    /// Whether the lock that was taken is still there, and so what lies beside it.
    fn check(&self) -> io::Result<()> {
        if inode(&fs::metadata(self.dir.join(LOCK))?) == self.inode {
            return Ok(());
        }
        let what = "the directory was replaced by another one; start the service again";
        Err(io::Error::new(io::ErrorKind::NotFound, what))
    }

    /// Whether the disk takes another file.
    pub(in crate::report) fn probe(&self) -> io::Result<()> {
        self.check()?;
        let path = self.dir.join("probe");
        let mut file = File::create(&path)?;
        file.write_all(&[b'\n'; 4096])?;
        file.sync_all()?;
        fs::remove_file(path)
    }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

// That it is there has to do.
#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

impl Extent {
    /// Its first records: at most so many, of at most so many bytes, but at least one line.
    pub(in crate::report) fn read(&self, most: usize, limit: usize) -> io::Result<Portion> {
        let size = (self.to - self.from).min(limit as u64);
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.from))?;
                file.take(size).read_to_end(&mut bytes)?;
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
        let (number, from) = (self.number, self.from);
        let mut portion = Portion { records: Vec::new(), damaged: 0, number, from, upto: from, lines: 0 };
        for line in bytes.split_inclusive(|b| *b == b'\n').take(most) {
            let whole = line.ends_with(b"\n");
            if !whole && portion.lines > 0 {
                break;
            }
            portion.lines += u64::from(whole);
            portion.upto += line.len() as u64;
            match serde_json::from_slice(line) {
                Ok(record) if whole => portion.records.push(record),
                _ => portion.damaged += 1,
            }
        }
        if bytes.is_empty() {
            // Somebody cut or removed the file under us: there is nothing to wait for.
            (portion.upto, portion.damaged) = (self.to, 1);
        }
        Ok(portion)
    }
}

impl Cleared {
    /// Writes down how far the broker has everything, and removes what is done with.
    pub(in crate::report) fn run(&self) -> io::Result<()> {
        let temporary = self.dir.join(format!("{CURSOR}.new"));
        let wrote = fs::write(&temporary, format!("{} {}\n", self.number, self.upto))
            .and_then(|()| fs::rename(&temporary, self.dir.join(CURSOR)));
        // Room comes back even on a full disk.
        let removed = self.remove.iter().try_for_each(|path| match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        });
        wrote.and(removed)
    }
}

impl Plan {
    pub(in crate::report) fn run(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync_data())?;
        self.home.check()?;
        // Only Unix lets a directory be opened for that.
        #[cfg(unix)]
        if let Some(dir) = &self.dir {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }
}
