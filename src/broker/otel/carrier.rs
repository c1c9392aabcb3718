//! The one who carries spans to the collector, beside everything else: whoever logs never waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use opentelemetry_sdk::trace::SpanData;
use tokio::task::JoinHandle;

use super::collector::{Collector, Refused};
use super::queue::{BATCH, Queue, dropped};
use super::span::span;
use crate::store::{Logged, Sink};

/// The first pause after a failure; it doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long the end waits for what is under way.
const LAST: Duration = Duration::from_secs(2);

/// A task that carries until it is told to finish, or this is dropped.
#[derive(Debug)]
pub(super) struct Carrier {
    queue: Arc<Queue>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Carrier {
    pub(super) fn start(collector: Collector) -> Self {
        let queue = Arc::new(Queue::default());
        let round = Round { queue: Arc::clone(&queue), collector, failing: false, pause: FIRST_PAUSE };
        Self { queue, task: Mutex::new(Some(tokio::spawn(round.run()))) }
    }

    /// Who hears of entries for it.
    pub(super) fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.queue) as Arc<dyn Sink>
    }

    /// Sends what waits, and ends in time with whatever is left.
    pub(super) async fn finish(&self) {
        self.queue.end();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        if tokio::time::timeout(LAST, &mut task).await.is_err() {
            task.abort();
            // Of the batch that was under way nobody knows whether it came through.
            dropped(self.queue.clear());
            tracing::warn!("the collector did not take all spans before the end");
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.queue.end();
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        task.iter().for_each(JoinHandle::abort);
    }
}

struct Round {
    queue: Arc<Queue>,
    collector: Collector,
    failing: bool,
    pause: Duration,
}

impl Round {
    async fn run(mut self) {
        while let Some(batch) = self.queue.batch().await {
            let spans = self.spans(&batch);
            if !spans.is_empty() {
                self.carry(spans).await;
            }
        }
    }

    fn spans(&self, batch: &[Logged]) -> Vec<SpanData> {
        let spans: Vec<_> = batch.iter().filter_map(|logged| span(logged, &self.collector.scope)).collect();
        dropped(batch.len() - spans.len());
        spans
    }

    // The same batch until it is taken, or never will be; what comes meanwhile waits, as far as there is room.
    async fn carry(&mut self, spans: Vec<SpanData>) {
        debug_assert!(spans.len() <= BATCH);
        loop {
            let refused = match self.collector.send(spans.clone()).await {
                Ok(()) => return self.taken(spans.len()),
                Err(refused) => refused,
            };
            self.tell(refused);
            if !refused.may_pass() || self.queue.is_ending() {
                dropped(spans.len());
                return self.rest().await;
            }
            self.rest().await;
        }
    }

    fn taken(&mut self, count: usize) {
        counter!("shortbread_otel_exported_total").increment(count as u64);
        self.pause = FIRST_PAUSE;
        if std::mem::take(&mut self.failing) {
            tracing::info!(collector = self.collector.host(), "spans are exported again");
        }
    }

    // Once, and not with each attempt.
    fn tell(&mut self, refused: Refused) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                collector = self.collector.host(),
                cause = %refused,
                "spans were not taken; decisions go on, and what the collector misses is in the audit log"
            );
        }
    }

    async fn rest(&mut self) {
        self.queue.pause(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
