//! What is known, on its way to the disk. A thread of its own writes it and ends: a disk that is slow or full holds no
//! revocation back. What is posted while it writes is written next, and only the latest of it.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use shortbread_protocol::revocations::{Delta, SnapshotView};

use super::dir::{Dir, Incoming, delta_name, snapshot_name};
use super::floor::{Floor, List, Part};

/// The longest chain of deltas before it is folded into a snapshot.
const MAX_DELTAS: usize = 64;
const MAX_CHAIN: usize = 1024;
/// Shorter chains than this are not folded for their bytes, however short the snapshot is.
const SHORT: u64 = 64 * 1024;
/// How many bytes may wait in memory for a disk that does not take them, beside the snapshot; more are given up.
const MAX_WAITING: u64 = 16 * 1024 * 1024;
const MAX_WAITING_FILES: usize = 1024;
/// Larger files are handed to the system at once instead of being copied for the thread.
const LARGE: usize = 1024 * 1024;

/// The state directory and the thread that writes it.
#[derive(Debug)]
pub(super) struct Disk {
    dir: Dir,
    origin: String,
    waiting: Mutex<Waiting>,
    idle: Condvar,
    saved: Mutex<Saved>,
}

/// What is known now: a floor without a list, and the head in force with the moment when its contents were applied.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) floor: Floor,
    pub(super) head: Option<(String, u64)>,
}

/// A file that the list in force was made of.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Whether it is a whole list, or a step from the one before it.
    pub(super) whole: bool,
    pub(super) part: Part,
    pub(super) body: Body,
}

/// Where the bytes of a file are.
#[derive(Debug)]
pub(super) enum Body {
    Here(Box<[u8]>),
    Incoming(Incoming),
    /// On the disk, under its name.
    Kept,
    /// Nowhere: the disk had taken them and lost them.
    Lost,
}

#[derive(Debug, Default)]
struct Waiting {
    picture: Option<Picture>,
    arrivals: Vec<Arrival>,
    error: Option<String>,
    running: bool,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Saved {
    /// The list that the floor on disk names.
    list: Option<List>,
    /// The files on disk do not lead to the list in force; the next snapshot ends that.
    behind: bool,
    /// There is no floor yet.
    fresh: bool,
}

impl Disk {
    /// `list` is what the floor on disk names, and `used` whether it is in force.
    pub(super) fn new(dir: Dir, origin: &str, fresh: bool, list: Option<List>, used: bool) -> Arc<Self> {
        let saved = Mutex::new(Saved { list, behind: !used, fresh });
        let (waiting, idle) = (Mutex::default(), Condvar::new());
        Arc::new(Self { dir, origin: origin.to_owned(), waiting, idle, saved })
    }

    /// Takes bytes over that will be needed once they are in force.
    pub(super) fn receive(&self, bytes: &[u8]) -> Body {
        let incoming = if bytes.len() > LARGE { self.dir.receive(bytes).ok() } else { None };
        incoming.map_or_else(|| Body::Here(bytes.into()), Body::Incoming)
    }

    /// Has this written, soon. Files come in the order in which the list was made of them.
    pub(super) fn post(self: &Arc<Self>, picture: Picture, arrivals: Vec<Arrival>) {
        let mut waiting = lock(&self.waiting);
        waiting.picture = Some(picture);
        waiting.add(arrivals);
        if waiting.running {
            return;
        }
        waiting.running = true;
        if let Some(ended) = waiting.writer.take() {
            let _ = ended.join();
        }
        let disk = Arc::clone(self);
        match Builder::new().name("shortbread-list".to_owned()).spawn(move || disk.run()) {
            Ok(writer) => waiting.writer = Some(writer),
            Err(_) => {
                drop(waiting);
                self.run();
            }
        }
    }

    /// Why the last write failed; `None` when it did not.
    pub(super) fn error(&self) -> Option<String> {
        lock(&self.waiting).error.clone()
    }

    /// Waits until nothing is left to write, or for so long. Whether nothing is left.
    pub(super) fn settle(&self, limit: Duration) -> bool {
        let waiting = lock(&self.waiting);
        let waited = self.idle.wait_timeout_while(waiting, limit, |waiting| waiting.running);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.running {
            return false;
        }
        // With the thread goes its hold on the directory.
        let writer = waiting.writer.take();
        drop(waiting);
        writer.is_none_or(|writer| writer.join().is_ok())
    }

    fn run(&self) {
        loop {
            let mut waiting = lock(&self.waiting);
            let Some(picture) = waiting.picture.take() else {
                waiting.running = false;
                self.idle.notify_all();
                return;
            };
            let mut arrivals = mem::take(&mut waiting.arrivals);
            drop(waiting);
            let result = self.write(picture, &mut arrivals);
            let mut waiting = lock(&self.waiting);
            waiting.error = result.err().map(|e| format!("the state directory cannot be written: {e}"));
            let later = mem::replace(&mut waiting.arrivals, arrivals);
            waiting.add(later);
        }
    }

    /// Files first, then the floor that names them, then what no floor names any more goes. When a file cannot be
    /// written, the floor goes on naming the list before it.
    fn write(&self, picture: Picture, arrivals: &mut Vec<Arrival>) -> io::Result<()> {
        let mut saved = lock(&self.saved);
        let Picture { mut floor, head } = picture;
        if saved.fresh {
            // No crash leaves parts of a list without a floor.
            self.dir.put_floor(&floor)?;
            saved.fresh = false;
        }
        let put = arrivals.iter_mut().try_for_each(|arrival| arrival.put(&self.dir));
        if arrivals.iter().any(|arrival| matches!(arrival.body, Body::Lost)) {
            arrivals.clear();
            saved.behind = true;
        }
        if put.is_ok() {
            let in_force = head.is_some();
            floor.list = saved.list_after(head, arrivals);
            // Until a floor names them they are what leads to the list in force: the next write needs them.
            self.dir.put_floor(&floor)?;
            arrivals.clear();
            saved.list.clone_from(&floor.list);
            self.prune(&saved)?;
            if saved.behind && in_force {
                return Err(io::Error::other(
                    "the files of an earlier list stay until a whole one is fetched",
                ));
            }
            return self.fold(floor, &mut saved);
        }
        floor.list.clone_from(&saved.list);
        self.dir.put_floor(&floor)?;
        put
    }

    /// Makes one snapshot of a long chain: the bytes that a broker serves for the same list.
    fn fold(&self, mut floor: Floor, saved: &mut Saved) -> io::Result<()> {
        let Some(list) = saved.list.as_ref().filter(|list| list.is_long()) else { return Ok(()) };
        let damaged = |e| io::Error::new(io::ErrorKind::InvalidData, e);
        let mut deltas = Vec::with_capacity(list.deltas.len());
        for part in &list.deltas {
            let bytes = self.dir.part(&delta_name(&part.sha256), part)?;
            deltas.push(Delta::decode(&bytes, &self.origin).map_err(damaged)?);
        }
        let base = self.dir.part(&snapshot_name(&list.base.sha256), &list.base)?;
        let view = SnapshotView::open(&base, &self.origin).map_err(damaged)?;
        let whole = view.after(&deltas, &self.origin).map_err(damaged)?;
        drop(base);
        let part = Part { sha256: Sha256::digest(&whole).into(), bytes: whole.len() as u64 };
        self.dir.put(&snapshot_name(&part.sha256), &whole)?;
        floor.list = Some(List { base: part, deltas: Vec::new(), ..list.clone() });
        self.dir.put_floor(&floor)?;
        saved.list = floor.list;
        self.prune(saved)
    }

    fn prune(&self, saved: &Saved) -> io::Result<()> {
        let list = saved.list.as_ref();
        let base = list.map(|list| snapshot_name(&list.base.sha256));
        let deltas = list.into_iter().flat_map(|list| &list.deltas).map(|part| delta_name(&part.sha256));
        self.dir.prune(&base.into_iter().chain(deltas).collect::<BTreeSet<_>>())
    }
}

impl Dir {
    /// A file of the list, whose hash is the one that the floor names.
    pub(super) fn part(&self, name: &str, part: &Part) -> io::Result<Vec<u8>> {
        let bytes = self.read(name, part.bytes)?;
        let bytes =
            bytes.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} is missing")))?;
        if <[u8; 32]>::from(Sha256::digest(&bytes)) == part.sha256 {
            Ok(bytes)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is damaged")))
        }
    }
}

impl Waiting {
    /// A whole list ends the wait of whatever came before it.
    fn add(&mut self, later: Vec<Arrival>) {
        self.arrivals.extend(later);
        if let Some(whole) = self.arrivals.iter().rposition(|arrival| arrival.whole) {
            self.arrivals.drain(..whole);
        }
        let deltas = self.arrivals.iter().filter(|arrival| !arrival.whole);
        let bytes: u64 = deltas.map(|arrival| arrival.part.bytes).sum();
        if bytes > MAX_WAITING || self.arrivals.len() > MAX_WAITING_FILES {
            if let Some(first) = self.arrivals.first_mut() {
                first.body = Body::Lost;
            }
            self.arrivals.truncate(1);
        }
    }
}

impl Arrival {
    fn put(&mut self, dir: &Dir) -> io::Result<()> {
        let name = if self.whole { snapshot_name } else { delta_name }(&self.part.sha256);
        match &self.body {
            Body::Here(bytes) => dir.put(&name, bytes)?,
            Body::Incoming(incoming) => {
                if let Err(cause) = dir.keep(incoming, &name) {
                    self.body = Body::Lost;
                    return Err(cause);
                }
            }
            Body::Kept => {}
            Body::Lost => return Err(io::Error::other("a file of the list was lost before it was written")),
        }
        self.body = Body::Kept;
        Ok(())
    }
}

impl Saved {
    /// What the floor is to name, once these files are there.
    fn list_after(&mut self, head: Option<(String, u64)>, arrivals: &[Arrival]) -> Option<List> {
        let mut chain = self.list.as_ref().map(|list| (list.base, list.deltas.clone()));
        for arrival in arrivals {
            if arrival.whole {
                chain = Some((arrival.part, Vec::new()));
                self.behind = false;
            } else if let Some((_, deltas)) = chain.as_mut().filter(|_| !self.behind) {
                deltas.push(arrival.part);
                // It could not be folded for so long that the floor would grow too large to be read.
                self.behind = deltas.len() > MAX_CHAIN;
            }
        }
        match (head, chain) {
            (Some((head, applied_at)), Some((base, deltas))) if !self.behind => {
                Some(List { head, applied_at, base, deltas })
            }
            _ => self.list.clone(),
        }
    }
}

impl List {
    fn is_long(&self) -> bool {
        let bytes: u64 = self.deltas.iter().map(|part| part.bytes).sum();
        self.deltas.len() > MAX_DELTAS || bytes > (self.base.bytes / 4).max(SHORT)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
