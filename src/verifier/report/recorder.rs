//! Takes note of decisions while calls wait, and keeps them until they are uploaded.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use shortbread_protocol::verifiers::{CallRecord, MAX_BATCH};
use thiserror::Error;
use tokio::sync::Notify;

use super::record;
use super::spool::{self, Portion, Spool, SpoolError, Unspooled};
use crate::decision::{Call, Decision};
use crate::verifier::{Sink, Unrecorded};

/// How long records are gathered before they are written through to the disk, unless there are [`GROUP`] before.
const GATHER: Duration = Duration::from_millis(100);
const GROUP: usize = 64;
/// The most records that a power cut may lose where every decision has to be on record.
const MAX_UNSYNCED: usize = 1024;
/// How often a call that must be recorded asks for its turn at a disk that does not answer, and how long it waits
/// between: 50 ms in all, after a moment in which the next turn comes as a rule.
const TURNS: u32 = 1000;
const TURN: Duration = Duration::from_micros(50);
/// The most kinds of refusal that are told apart.
const MAX_KINDS: usize = 16;

/// What happens to a decision for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backpressure {
    /// The call goes on, and the record is dropped and counted as lost. The end of the process, or a power cut, can lose
    /// the records of the last 100 ms.
    #[default]
    BestEffort,
    /// The call is denied. An allowed call has its record in the system's hands before it goes on: the end of the process
    /// loses none, and a power cut can lose those of the last 100 ms, 1,024 at most. Needs a directory.
    Required,
}

/// Where decisions are kept until they are uploaded, and how many.
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// What happens when there is no room.
    pub backpressure: Backpressure,
    /// A directory of its own, for this instance alone; without one everything is kept in memory.
    pub dir: Option<PathBuf>,
    /// The most bytes in it. A decision takes about 400.
    pub max_bytes: u64,
    /// The most records in memory: those that are not in the directory yet, or all where there is none.
    pub queue: usize,
}

impl Default for RecorderConfig {
    /// Best effort, in memory: 8,192 decisions. With a directory 64 MiB, which is about 160,000.
    fn default() -> Self {
        Self { backpressure: Backpressure::BestEffort, dir: None, max_bytes: 64 << 20, queue: 8192 }
    }
}

/// Why decisions cannot be recorded as configured.
#[derive(Debug, Error)]
pub enum RecorderError {
    /// Every decision is to be recorded, and there is no place that outlives the process.
    #[error(
        "decisions that are required to be recorded need a directory; name one, or record with best effort"
    )]
    NoDirectory,
    /// The directory cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The system gave no thread.
    #[error("cannot start the thread that writes decisions: {0}")]
    Thread(io::Error),
}

/// What there is to know about recorded decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// How many wait to be uploaded.
    pub waiting: u64,
    /// How many were not recorded, for want of room or disk.
    pub lost: u64,
    /// How many were on disk and could not be read again.
    pub damaged: u64,
    /// How many bytes are on disk.
    pub bytes: u64,
    /// How many the broker has.
    pub uploaded: u64,
    /// How many the broker refused for good, by what is wrong with them.
    pub refused: BTreeMap<String, u64>,
    /// What is wrong with the disk, while something is.
    pub disk: Option<String>,
}

/// A [`Sink`] that keeps decisions for the [`Reporter`](super::Reporter) to upload.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    required: bool,
    capacity: usize,
    dir: Option<PathBuf>,
    /// Held for moments only, never during input or output.
    queue: Mutex<Queue>,
    work: Condvar,
    /// Held while a record is handed to the system; never while the disk is written.
    spool: Option<Mutex<Spool>>,
    clearing: Mutex<()>,
    /// The disk failed, and was not found to work again since.
    failing: AtomicBool,
    lost: AtomicU64,
    uploaded: AtomicU64,
    told: Mutex<Told>,
    uploads: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<CallRecord>,
    /// So many at its front are on their way to the broker.
    taken: usize,
    /// The writer has some at its front in hand.
    moving: bool,
    /// Records that the disk does not have yet.
    fresh: usize,
    /// The disk took nothing last time.
    stuck: bool,
    stop: bool,
}

#[derive(Debug, Default)]
struct Told {
    refused: BTreeMap<String, u64>,
    disk: Option<String>,
}

/// Records on their way to the broker.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) records: Vec<CallRecord>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Queue,
    Spool(Portion),
}

impl Recorder {
    /// Begins to record. What an earlier process left in the directory is uploaded first.
    ///
    /// # Errors
    /// When the directory cannot be used, or is missing where there must be one.
    pub fn new(config: &RecorderConfig) -> Result<Self, RecorderError> {
        let required = config.backpressure == Backpressure::Required;
        if required && config.dir.is_none() {
            return Err(RecorderError::NoDirectory);
        }
        let spool = config.dir.as_deref().map(|dir| Spool::open(dir, config.max_bytes)).transpose()?;
        let shared = Arc::new(Shared {
            required,
            capacity: config.queue,
            dir: config.dir.clone(),
            queue: Mutex::default(),
            work: Condvar::new(),
            spool: spool.map(Mutex::new),
            clearing: Mutex::default(),
            failing: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            uploaded: AtomicU64::new(0),
            told: Mutex::default(),
            uploads: Notify::new(),
        });
        let writer = shared.spool.is_some().then(|| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("shortbread-spool".to_owned()).spawn(move || shared.write())
        });
        Ok(Self { shared, writer: writer.transpose().map_err(RecorderError::Thread)? })
    }

    /// What there is to know, for metrics.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        let shared = &*self.shared;
        let mut status = RecorderStatus {
            waiting: lock(&shared.queue).records.len() as u64,
            lost: shared.lost.load(Ordering::Relaxed),
            uploaded: shared.uploaded.load(Ordering::Relaxed),
            ..RecorderStatus::default()
        };
        if let Some(spool) = &shared.spool {
            let spool = lock(spool);
            status.waiting += spool.waiting();
            (status.damaged, status.bytes) = (spool.damaged(), spool.bytes());
        }
        let told = lock(&shared.told);
        (status.refused, status.disk) = (told.refused.clone(), told.disk.clone());
        status
    }

    /// The oldest records that are not uploaded: at most a batch, of at most so many bytes as JSON. Reads from the disk;
    /// one caller at a time, who answers with [`done`](Self::done) or [`put_back`](Self::put_back).
    pub(super) fn take(&self, most: usize, bytes: usize) -> io::Result<Option<Taken>> {
        if let Some(spool) = &self.shared.spool {
            loop {
                let Some(extent) = lock(spool).oldest() else { break };
                let portion = extent.read(most.min(MAX_BATCH), bytes)?;
                if !portion.records.is_empty() {
                    return Ok(Some(Taken {
                        records: portion.records.clone(),
                        place: Place::Spool(portion),
                    }));
                }
                // Nothing but damage.
                self.shared.clear(spool, &portion)?;
            }
            // What is in memory is on its way there, unless the disk fails.
            if !self.shared.failing.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        let mut queue = lock(&self.shared.queue);
        if queue.moving || queue.records.is_empty() {
            return Ok(None);
        }
        let mut room = bytes;
        let fits = |record: &&CallRecord| {
            let size = serde_json::to_vec(record).map_or(0, |json| json.len() + 1);
            room.checked_sub(size).map(|left| room = left).is_some()
        };
        let records: Vec<_> =
            queue.records.iter().take(most.min(MAX_BATCH)).take_while(fits).cloned().collect();
        queue.taken = records.len();
        if self.shared.spool.is_none() {
            queue.fresh = 0;
        }
        Ok((!records.is_empty()).then_some(Taken { records, place: Place::Queue }))
    }

    /// The broker has these, or refused them for good. Writes to the disk.
    pub(super) fn done(&self, taken: &Taken, refused: &[&str]) -> io::Result<()> {
        let had = taken.records.len().saturating_sub(refused.len());
        self.shared.uploaded.fetch_add(had as u64, Ordering::Relaxed);
        self.count(refused);
        match (&taken.place, &self.shared.spool) {
            (Place::Spool(portion), Some(spool)) => self.shared.clear(spool, portion),
            _ => {
                let mut queue = lock(&self.shared.queue);
                let taken = std::mem::take(&mut queue.taken);
                queue.records.drain(..taken);
                Ok(())
            }
        }
    }

    /// What was taken and not done comes again with the next [`take`](Self::take).
    pub(super) fn put_back(&self) {
        lock(&self.shared.queue).taken = 0;
    }

    /// Ready when there is something new to upload.
    pub(super) async fn news(&self) {
        self.shared.uploads.notified().await;
    }

    fn count(&self, refused: &[&str]) {
        let mut told = lock(&self.shared.told);
        for wrong in refused {
            let kind = kind(wrong);
            let full = told.refused.len() >= MAX_KINDS && !told.refused.contains_key(&kind);
            let count = told.refused.entry(if full { "other".to_owned() } else { kind }).or_default();
            *count += 1;
            if *count == 1 {
                tracing::warn!(wrong = %wrong.escape_debug(), "the broker refuses decisions for good; they are not sent again");
            }
        }
    }
}

impl Sink for Recorder {
    fn record(&self, decision: &Decision, call: &Call<'_>) -> Result<(), Unrecorded> {
        let shared = &*self.shared;
        let recorded = match record::of(decision, call) {
            Some(record) if shared.required => shared.spool_now(&record),
            Some(record) => shared.enqueue(record),
            None => Err(Unrecorded),
        };
        if recorded.is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        if shared.required { recorded } else { Ok(()) }
    }
}

impl Drop for Recorder {
    /// Writes down what is in memory.
    fn drop(&mut self) {
        lock(&self.shared.queue).stop = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            // Its panic, if there was one, has been reported where it happened.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn enqueue(&self, record: CallRecord) -> Result<(), Unrecorded> {
        let mut queue = lock(&self.queue);
        if queue.records.len() >= self.capacity {
            return Err(Unrecorded);
        }
        queue.records.push_back(record);
        let fresh = queue.fresh + 1;
        self.arrived(queue, fresh);
        Ok(())
    }

    fn spool_now(&self, record: &CallRecord) -> Result<(), Unrecorded> {
        let line = line(record).ok_or(Unrecorded)?;
        if self.failing.load(Ordering::Relaxed) {
            return Err(Unrecorded);
        }
        let mut spool = self.spool.as_ref().and_then(turn).ok_or(Unrecorded)?;
        if spool.unsynced() >= MAX_UNSYNCED {
            return Err(Unrecorded);
        }
        let appended = spool.append(&line);
        let fresh = spool.unsynced();
        drop(spool);
        self.arrived(lock(&self.queue), fresh);
        appended.map_err(|unspooled| {
            if let Unspooled::Failed(cause) = unspooled {
                self.fails(&cause);
            }
            Unrecorded
        })
    }

    /// Tells the writer, when there is one, of the first record and of a whole group; else the reporter.
    fn arrived(&self, mut queue: MutexGuard<'_, Queue>, fresh: usize) {
        let before = std::mem::replace(&mut queue.fresh, fresh);
        drop(queue);
        if before == 0 || (before < GROUP && fresh >= GROUP) {
            match self.spool {
                Some(_) => self.work.notify_one(),
                None => self.uploads.notify_one(),
            }
        }
    }

    /// Moves what is queued to the disk, and writes through what is there, until it is told to stop.
    fn write(&self) {
        loop {
            let stop = self.wait();
            self.drain();
            self.sync();
            self.uploads.notify_one();
            if stop {
                return;
            }
        }
    }

    /// Waits until there is something to do, and then for more of it.
    fn wait(&self) -> bool {
        let queue = lock(&self.queue);
        let idle = |queue: &mut Queue| {
            !queue.stop && queue.fresh == 0 && !queue.stuck && !self.failing.load(Ordering::Relaxed)
        };
        let queue = self.work.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        let few = |queue: &mut Queue| !queue.stop && (queue.stuck || queue.fresh < GROUP);
        let waited = self.work.wait_timeout_while(queue, GATHER, few).unwrap_or_else(PoisonError::into_inner);
        waited.0.stop
    }

    fn drain(&self) {
        let Some(spool) = &self.spool else { return };
        let mut queue = lock(&self.queue);
        // Counted again from here: what comes meanwhile wakes the writer once more.
        queue.fresh = 0;
        if queue.taken > 0 {
            queue.stuck = true;
            return;
        }
        queue.moving = true;
        let mut records = std::mem::take(&mut queue.records);
        drop(queue);
        let mut failed = None;
        while let Some(record) = records.front() {
            // A record that does not serialise could not be uploaded either.
            let appended = line(record).map_or(Ok(()), |line| lock(spool).append(&line));
            if let Err(unspooled) = appended {
                failed = Some(unspooled);
                break;
            }
            records.pop_front();
        }
        let mut queue = lock(&self.queue);
        queue.stuck = failed.is_some();
        records.append(&mut queue.records);
        queue.records = records;
        queue.moving = false;
        drop(queue);
        if let Some(Unspooled::Failed(cause)) = failed {
            self.fails(&cause);
        }
    }

    fn sync(&self) {
        let Some(spool) = &self.spool else { return };
        let plan = lock(spool).plan();
        let synced = match &plan {
            Some(plan) => plan.run(),
            None if self.failing.load(Ordering::Relaxed) => self.dir.as_deref().map_or(Ok(()), spool::probe),
            None => return,
        };
        match (synced, &plan) {
            (Ok(()), plan) => {
                if let Some(plan) = plan {
                    lock(spool).synced(plan);
                }
                self.works();
            }
            (Err(cause), _) => {
                lock(spool).unsure();
                self.fails(&cause);
            }
        }
    }

    fn clear(&self, spool: &Mutex<Spool>, portion: &Portion) -> io::Result<()> {
        // One after the other, so that what is written down does not go back.
        let _turn = lock(&self.clearing);
        let cleared = lock(spool).uploaded(portion);
        cleared.map_or(Ok(()), |cleared| cleared.run())
    }

    fn fails(&self, cause: &io::Error) {
        lock(&self.told).disk = Some(cause.to_string());
        // With the queue in hand, so that the writer sees it before it goes to sleep.
        let queue = lock(&self.queue);
        let before = self.failing.swap(true, Ordering::Relaxed);
        drop(queue);
        if !before {
            tracing::error!(error = %cause, required = self.required, "decisions cannot be written to disk");
            self.work.notify_one();
        }
    }

    fn works(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            lock(&self.told).disk = None;
            tracing::info!("decisions are written to disk again");
        }
    }
}

/// The spool, unless its disk keeps somebody else for longer than a call may wait.
fn turn(spool: &Mutex<Spool>) -> Option<MutexGuard<'_, Spool>> {
    for _ in 0..TURNS {
        for _ in 0..20 {
            match spool.try_lock() {
                Ok(spool) => return Some(spool),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        thread::sleep(TURN);
    }
    None
}

fn line(record: &CallRecord) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(record).ok()?;
    line.push(b'\n');
    Some(line)
}

/// What is wrong with a record, in the broker's word, as far as it is one.
fn kind(wrong: &str) -> String {
    wrong.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(32).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
