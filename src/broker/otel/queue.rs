//! What waits for the collector: bounded in entries and bytes. What does not fit is dropped and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::store::{Logged, Sink};

/// How many entries wait at most: seconds of the most that a broker decides.
pub(super) const MAX_WAITING: usize = 16_384;

/// How many bytes they have at most.
const MAX_BYTES: usize = 32 << 20;

/// How many entries go to the collector together.
pub(super) const BATCH: usize = 512;

/// How long the first of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);

/// Between those who log and the one who carries. Telling it neither waits nor fails.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
    ending: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Logged>,
    bytes: usize,
}

impl Sink for Queue {
    fn logged(&self, entries: Vec<Logged>) {
        dropped(self.push(entries));
    }
}

/// Counts entries that are not exported.
pub(super) fn dropped(count: usize) {
    if count > 0 {
        counter!("shortbread_otel_dropped_total").increment(count as u64);
    }
}

impl Queue {
    /// Takes entries in as far as there is room. Gives how many there was none for.
    fn push(&self, entries: Vec<Logged>) -> usize {
        let mut waiting = self.waiting();
        let (before, came) = (waiting.entries.len(), entries.len());
        if !self.is_ending() {
            entries.into_iter().for_each(|entry| waiting.push(entry));
        }
        let taken = waiting.entries.len() - before;
        drop(waiting);
        self.news.notify_one();
        came - taken
    }

    /// Waits for the next batch: a full one, one whose first has waited for a second, or what is left at the end. None
    /// when it has ended and nothing is left.
    pub(super) async fn batch(&self) -> Option<Vec<Logged>> {
        while self.len() == 0 {
            if self.is_ending() {
                return None;
            }
            self.news.notified().await;
        }
        let full = async {
            while self.len() < BATCH && !self.is_ending() {
                self.news.notified().await;
            }
        };
        let _ = timeout(LINGER, full).await;
        Some(self.waiting().take())
    }

    /// Waits so long, or until it has ended.
    pub(super) async fn pause(&self, span: Duration) {
        let ended = async {
            while !self.is_ending() {
                self.news.notified().await;
            }
        };
        let _ = timeout(span, ended).await;
    }

    /// Nothing more is taken in.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.news.notify_one();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting().entries.len()
    }

    /// Forgets what waits, and gives how many there were.
    pub(super) fn clear(&self) -> usize {
        let mut waiting = self.waiting();
        waiting.bytes = 0;
        waiting.entries.drain(..).count()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, entry: Logged) {
        let bytes = self.bytes + entry.body.len();
        if self.entries.len() < MAX_WAITING && bytes <= MAX_BYTES {
            self.bytes = bytes;
            self.entries.push_back(entry);
        }
    }

    fn take(&mut self) -> Vec<Logged> {
        let count = self.entries.len().min(BATCH);
        let batch: Vec<Logged> = self.entries.drain(..count).collect();
        self.bytes -= batch.iter().map(|entry| entry.body.len()).sum::<usize>();
        batch
    }
}

#[cfg(test)]
mod tests {
    use shortbread_protocol::clock::Timestamp;

    use super::*;

    fn entries(count: usize, bytes: usize) -> Vec<Logged> {
        let entry = Logged { at: Timestamp::from_seconds(1), parent: None, body: vec![b' '; bytes] };
        vec![entry; count]
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let queue = Queue::default();
        assert_eq!(queue.push(entries(MAX_WAITING + 3, 1)), 3);
        assert_eq!((queue.push(entries(2, 1)), queue.len()), (2, MAX_WAITING));
        let taken = queue.waiting().take();
        assert_eq!((taken.len(), queue.push(entries(BATCH + 1, 1))), (BATCH, 1));
        assert_eq!((queue.clear(), queue.len(), queue.waiting().bytes), (MAX_WAITING, 0, 0));
        let size = 4096;
        assert_eq!(queue.push(entries(MAX_BYTES / size + 1, size)), 1, "bytes are bounded too");
        while queue.len() > 0 {
            queue.waiting().take();
        }
        assert_eq!(queue.waiting().bytes, 0);
        queue.end();
        assert_eq!((queue.push(entries(2, 1)), queue.len()), (2, 0));
    }

    #[tokio::test]
    async fn a_batch_is_full_or_has_waited_a_second_or_is_the_last() {
        let queue = Queue::default();
        queue.push(entries(BATCH + 1, 1));
        let begun = tokio::time::Instant::now();
        assert_eq!(queue.batch().await.unwrap().len(), BATCH);
        assert!(begun.elapsed() < LINGER, "a full one waits for nothing");
        let begun = tokio::time::Instant::now();
        assert_eq!(queue.batch().await.unwrap().len(), 1);
        assert!(begun.elapsed() >= LINGER);
        queue.push(entries(1, 1));
        queue.end();
        let begun = tokio::time::Instant::now();
        assert_eq!(queue.batch().await.unwrap().len(), 1);
        assert!(queue.batch().await.is_none() && begun.elapsed() < LINGER);
    }
}
