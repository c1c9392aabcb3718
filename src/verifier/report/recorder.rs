//! Takes note of decisions while calls wait, and keeps them until they are uploaded.

mod config;
mod shared;

pub use config::{Backpressure, RecorderConfig, RecorderError, RecorderStatus};

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use shortbread_protocol::verifiers::{CallRecord, MAX_BATCH};

use super::record;
use super::spool::{Portion, Spool};
use crate::decision::{Call, Decision};
use crate::verifier::{Sink, Unrecorded};
use shared::{Shared, lock};

/// The most kinds of refusal that are told apart.
const MAX_KINDS: usize = 16;

/// A [`Sink`] that keeps decisions for the [`Reporter`](super::Reporter) to upload.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
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
        let shared = Arc::new(Shared::new(config, spool));
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
                // By their ids: they may have been put back and taken again together with others.
                for record in &taken.records {
                    if queue.records.front().is_some_and(|first| first.id == record.id) {
                        queue.records.pop_front();
                        queue.taken = queue.taken.saturating_sub(1);
                    }
                }
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

    /// Keeps a record until it is uploaded; one that finds no room is counted as lost.
    pub(super) fn keep(&self, record: CallRecord) -> Result<(), Unrecorded> {
        let shared = &*self.shared;
        let kept = if shared.required { shared.spool_now(&record) } else { shared.enqueue(record) };
        if kept.is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        kept
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
        let recorded = match record::of(decision, call) {
            Some(record) => self.keep(record),
            None => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                Err(Unrecorded)
            }
        };
        if self.shared.required { recorded } else { Ok(()) }
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

/// What is wrong with a record, in the broker's word, as far as it is one.
fn kind(wrong: &str) -> String {
    wrong.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(32).collect()
}
