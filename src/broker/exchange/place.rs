//! A request's place among those in flight. One that waits for a person leaves it, so that waiting takes no room from
//! others, and asks for another when there is something to do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How much longer than others a request may take.
#[derive(Clone, Debug, Default)]
pub struct Patience(Arc<AtomicU64>);

impl Patience {
    /// Gives a request more time.
    pub fn grant(&self, more: Duration) {
        let millis = u64::try_from(more.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// What was given since this was last asked.
    #[must_use]
    pub fn take(&self) -> Duration {
        Duration::from_millis(self.0.swap(0, Ordering::Relaxed))
    }
}

/// A request's place among those in flight.
#[derive(Debug)]
pub struct Place {
    all: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
    patience: Patience,
    stopping: Option<watch::Receiver<bool>>,
    left: AtomicBool,
}

impl Place {
    /// A place that is held.
    #[must_use]
    pub fn held(all: Arc<Semaphore>, permit: OwnedSemaphorePermit, patience: Patience) -> Self {
        Self { all, held: Mutex::new(Some(permit)), patience, stopping: None, left: AtomicBool::new(false) }
    }

    /// The same, for a client that waits no longer once this says that the broker stops.
    #[must_use]
    pub fn until(self, stopping: Option<watch::Receiver<bool>>) -> Self {
        Self { stopping, ..self }
    }

    /// Ends when the broker stops.
    pub(super) async fn stops(&self) {
        let Some(mut stopping) = self.stopping.clone() else { return std::future::pending().await };
        // Whoever told it is gone: so is the broker.
        let _ = stopping.wait_for(|stops| *stops).await;
    }

    /// Leaves it for so long at most.
    pub(super) fn leave(&self, span: Duration) {
        // However often it is left: what it waits in all is bounded by whoever leaves it.
        if !self.left.swap(true, Ordering::Relaxed) {
            self.patience.grant(span);
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Takes one again; `false` when there is none.
    #[must_use]
    pub(super) fn take_again(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Arc::clone(&self.all).try_acquire_owned().ok();
        }
        held.is_some()
    }
}
