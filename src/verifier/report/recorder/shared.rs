//! What calls, the thread that writes and the reporter share.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use shortbread_protocol::verifiers::CallRecord;
use tokio::sync::Notify;

use super::{Backpressure, RecorderConfig};
use crate::report::spool::{Portion, Spool, Unspooled};
use crate::verifier::Unrecorded;

/// How long records are gathered before they are written through to the disk, unless there are [`GROUP`] before.
const GATHER: Duration = Duration::from_millis(100);
const GROUP: usize = 64;
/// The most records that a power cut may lose where every decision has to be on record.
const MAX_UNSYNCED: usize = 1024;
/// How often a call that must be recorded asks for its turn at a disk that does not answer, and how long it waits
/// between: 50 ms in all, after a moment in which the next turn comes as a rule.
const TURNS: u32 = 1000;
const TURN: Duration = Duration::from_micros(50);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) required: bool,
    pub(super) capacity: usize,
    /// Held for moments only, never during input or output.
    pub(super) queue: Mutex<Queue>,
    pub(super) work: Condvar,
    /// Held while a record is handed to the system; never while the disk is written.
    pub(super) spool: Option<Mutex<Spool>>,
    pub(super) clearing: Mutex<()>,
    /// The disk failed, and was not found to work again since.
    pub(super) failing: AtomicBool,
    pub(super) lost: AtomicU64,
    pub(super) uploaded: AtomicU64,
    pub(super) told: Mutex<Told>,
    pub(super) uploads: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) records: VecDeque<CallRecord>,
    /// So many at its front are on their way to the broker.
    pub(super) taken: usize,
    /// The writer has some at its front in hand.
    pub(super) moving: bool,
    /// Records that the disk does not have yet.
    pub(super) fresh: usize,
    /// The disk took nothing last time.
    pub(super) stuck: bool,
    pub(super) stop: bool,
}

#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) disk: Option<String>,
}

impl Shared {
    pub(super) fn new(config: &RecorderConfig, spool: Option<Spool>) -> Self {
        Self {
            required: config.backpressure == Backpressure::Required,
            capacity: config.queue,
            queue: Mutex::default(),
            work: Condvar::new(),
            spool: spool.map(Mutex::new),
            clearing: Mutex::default(),
            failing: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            uploaded: AtomicU64::new(0),
            told: Mutex::default(),
            uploads: Notify::new(),
        }
    }

    pub(super) fn enqueue(&self, record: CallRecord) -> Result<(), Unrecorded> {
        let mut queue = lock(&self.queue);
        if queue.records.len() >= self.capacity {
            return Err(Unrecorded);
        }
        queue.records.push_back(record);
        let fresh = queue.fresh + 1;
        self.arrived(queue, fresh);
        Ok(())
    }

    pub(super) fn spool_now(&self, record: &CallRecord) -> Result<(), Unrecorded> {
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
    pub(super) fn write(&self) {
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
        let (plan, home) = {
            let spool = lock(spool);
            (spool.plan(), spool.home())
        };
        let synced = match &plan {
            Some(plan) => plan.run(),
            None if self.failing.load(Ordering::Relaxed) => home.probe(),
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

    pub(super) fn clear(&self, spool: &Mutex<Spool>, portion: &Portion) -> io::Result<()> {
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
