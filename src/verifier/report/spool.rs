//! Decisions on disk until the broker has them: append-only files of JSON lines, read oldest first and removed whole.
//!
//! A record that [`Spool::append`] took is in the system's hands: the end of this process loses nothing of it. A power
//! cut can lose what was appended since the last [`Plan`] that ran. A file that a process left behind is never written
//! again, and what its last line lacks is left out. How far the broker has everything stands in a file beside them;
//! should that be lost, records are sent again, and the broker knows them by their ids.

mod steps;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::held_dir::{Untaken, append_new, take};
use steps::Extent;
pub(super) use steps::{Cleared, Home, Plan, Portion};

const LOCK: &str = "lock";
const CURSOR: &str = "uploaded";
const PREFIX: &str = "calls-";
const SUFFIX: &str = ".jsonl";
// A sixteenth of all room, so that room comes back in small parts, and never more than this.
const MAX_SEGMENT: u64 = 1024 * 1024;

/// Why the directory for decisions cannot be used.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The directory or a file in it cannot be opened, read or made.
    #[error("cannot use {} to keep decisions until they are uploaded: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another process; give each instance a directory of its own", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
}

/// Why a record was not appended.
#[derive(Debug)]
pub(super) enum Unspooled {
    /// There is as much as there may be.
    Full,
    /// The disk failed.
    Failed(io::Error),
}

/// A directory that this process alone uses, as long as the value lives.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    limit: u64,
    /// Oldest first; the last one is being written while there is an `active` file.
    segments: VecDeque<Segment>,
    active: Option<Arc<File>>,
    /// Files that are full and not on disk yet.
    sealed: Vec<Arc<File>>,
    unsynced: usize,
    next: u64,
    /// Names below this number are on disk.
    named: u64,
    bytes: u64,
    damaged: u64,
    home: Home,
    _lock: File,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    /// Up to here whole lines were written.
    len: u64,
    /// Up to here the broker has them.
    from: u64,
    /// Lines in between.
    waiting: u64,
}

impl Spool {
    /// Makes the directory where needed, takes it, and finds what an earlier process left there.
    pub(super) fn open(dir: &Path, limit: u64) -> Result<Self, SpoolError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| SpoolError::Io { path, cause }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let lock = take(dir, LOCK)?;
        let home = Home::of(dir, &lock).map_err(failed(dir))?;
        let cursor = cursor(dir);
        let mut spool = Self {
            dir: dir.to_owned(),
            limit,
            segments: VecDeque::new(),
            active: None,
            sealed: Vec::new(),
            unsynced: 0,
            next: cursor.0 + 1,
            named: 0,
            bytes: 0,
            damaged: 0,
            home,
            _lock: lock,
        };
        for number in numbers(dir).map_err(failed(dir))? {
            let path = spool.path(number);
            spool.find(number, cursor).map_err(failed(&path))?;
        }
        Ok(spool)
    }

    /// How many records wait to be uploaded.
    pub(super) fn waiting(&self) -> u64 {
        self.segments.iter().map(|segment| segment.waiting).sum()
    }

    /// How many bytes there are on disk.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many records were found that could not be read.
    pub(super) const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// How many records a power cut could lose.
    pub(super) const fn unsynced(&self) -> usize {
        self.unsynced
    }

    /// Appends a line that ends in a newline. One write to the system's memory; the disk follows with the next plan.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), Unspooled> {
        let more = line.len() as u64;
        if self.bytes.saturating_add(more) > self.limit {
            return Err(Unspooled::Full);
        }
        let file = self.file(more).map_err(Unspooled::Failed)?;
        if let Err(cause) = (&*file).write_all(line) {
            self.give_up(&file);
            return Err(Unspooled::Failed(cause));
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.len += more;
            segment.waiting += 1;
        }
        self.bytes += more;
        self.unsynced += 1;
        Ok(())
    }

    /// The next part to upload; `None` when the broker has everything.
    pub(super) fn oldest(&self) -> Option<Extent> {
        let segment = self.segments.iter().find(|segment| segment.from < segment.len)?;
        let path = self.path(segment.number);
        Some(Extent { path, number: segment.number, from: segment.from, to: segment.len })
    }

    /// Notes that the broker has a portion, and all before it. `None` when that is no news.
    pub(super) fn uploaded(&mut self, portion: &Portion) -> Option<Cleared> {
        let place = |segment: &&mut Segment| (segment.number, segment.from) == (portion.number, portion.from);
        let segment = self.segments.iter_mut().find(place)?;
        segment.from = portion.upto;
        segment.waiting = segment.waiting.saturating_sub(portion.lines);
        // What is left of a file that was cut or removed under us is not there to be read.
        let gone = if segment.from >= segment.len { std::mem::take(&mut segment.waiting) } else { 0 };
        self.damaged += portion.damaged.max(gone);
        let mut remove = Vec::new();
        while let Some(first) = self.segments.front().copied()
            && first.from >= first.len
            && (self.segments.len() > 1 || self.active.is_none())
        {
            self.segments.pop_front();
            self.bytes = self.bytes.saturating_sub(first.len);
            remove.push(self.path(first.number));
        }
        Some(Cleared { dir: self.dir.clone(), number: portion.number, upto: portion.upto, remove })
    }

    /// What a power cut could lose now; `None` when that is nothing.
    pub(super) fn plan(&self) -> Option<Plan> {
        if self.unsynced == 0 {
            return None;
        }
        let files = self.sealed.iter().chain(&self.active).cloned().collect();
        let dir = (self.named < self.next).then(|| self.dir.clone());
        let (sealed, records, named) = (self.sealed.len(), self.unsynced, self.next);
        Some(Plan { files, dir, home: self.home.clone(), sealed, records, named })
    }

    /// Notes that a plan was carried out.
    pub(super) fn synced(&mut self, plan: &Plan) {
        self.sealed.drain(..plan.sealed.min(self.sealed.len()));
        self.unsynced = self.unsynced.saturating_sub(plan.records);
        self.named = self.named.max(plan.named);
    }

    /// Notes that the disk failed at a plan. What it was about can still be uploaded, as a rule; but the system may have
    /// forgotten that it is not on disk, so that asking again says nothing. What comes now goes into another file.
    pub(super) fn unsure(&mut self) {
        self.active = None;
        self.sealed.clear();
        self.unsynced = 0;
    }

    /// The directory, to ask whether it is still there.
    pub(super) fn home(&self) -> Home {
        self.home.clone()
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{number:020}{SUFFIX}"))
    }

    /// The file to append to, which is another one when the last has no room for so many bytes.
    fn file(&mut self, more: u64) -> io::Result<Arc<File>> {
        let room = (self.limit / 16).clamp(1, MAX_SEGMENT);
        let last = self.segments.back().map_or(0, |segment| segment.len);
        if let Some(file) = self.active.as_ref().filter(|_| last == 0 || last + more <= room) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(append_new(&self.path(self.next))?);
        self.sealed.extend(self.active.replace(Arc::clone(&file)));
        self.segments.push_back(Segment { number: self.next, len: 0, from: 0, waiting: 0 });
        self.next += 1;
        Ok(file)
    }

    /// After a write that failed half-way: its file ends where the last whole line does.
    fn give_up(&mut self, file: &Arc<File>) {
        let Some(last) = self.segments.back().copied() else { return };
        // Should this fail too, the half line is left out when it is read again.
        let _ = file.set_len(last.len);
        self.active = None;
        if last.len == 0 {
            self.segments.pop_back();
            let _ = fs::remove_file(self.path(last.number));
        } else {
            self.sealed.push(Arc::clone(file));
        }
    }

    fn find(&mut self, number: u64, (done, upto): (u64, u64)) -> io::Result<()> {
        let path = self.path(number);
        self.next = self.next.max(number + 1);
        if number < done {
            return fs::remove_file(path);
        }
        let bytes = fs::read(&path)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let from = match usize::try_from(upto) {
            _ if number > done => 0,
            Ok(upto) if upto > whole => whole,
            Ok(upto) if upto == 0 || bytes.get(upto - 1) == Some(&b'\n') => upto,
            _ => 0,
        };
        self.damaged += u64::from(whole < bytes.len());
        let left = bytes.get(from..whole).unwrap_or_default();
        if left.is_empty() {
            return fs::remove_file(path);
        }
        let waiting = left.iter().filter(|b| **b == b'\n').count() as u64;
        let (len, from) = (whole as u64, from as u64);
        self.bytes += len;
        self.segments.push_back(Segment { number, len, from, waiting });
        Ok(())
    }
}

impl From<Untaken> for SpoolError {
    fn from(untaken: Untaken) -> Self {
        match untaken {
            Untaken::Io { path, cause } => Self::Io { path, cause },
            Untaken::InUse { dir } => Self::InUse { dir },
        }
    }
}

/// Up to where the broker has everything: file and place in it. Unreadable is nothing: it is sent again then.
fn cursor(dir: &Path) -> (u64, u64) {
    let text = fs::read_to_string(dir.join(CURSOR)).unwrap_or_default();
    let read = || {
        let (number, upto) = text.strip_suffix('\n')?.split_once(' ')?;
        number.parse().ok().zip(upto.parse().ok())
    };
    read().unwrap_or_default()
}

fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        numbers
            .extend(digits.filter(|digits| digits.len() == 20).and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
