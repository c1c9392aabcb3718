//! Tripwires: so many refusals of one access within so long by one task, and the task is revoked.
//!
//! They only ever narrow: what a tripwire can do is to revoke a task that belongs to the workflow that was refused. They
//! are counted in memory, so that a broker that starts begins anew, and off unless the policy has some.

mod act;
mod count;

pub use act::Switch;
pub use count::{Refused, Trip, counts};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use shortbread_protocol::clock::Clock;
use tokio::sync::mpsc;

use self::count::Counts;
use crate::policy::Policy;

/// How many tasks may wait to be revoked.
const QUEUE: usize = 256;

/// Counts refusals and says when it is enough.
pub struct Tripwires {
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
    trips: mpsc::Sender<Trip>,
}

impl Tripwires {
    /// Without any tripwires, and what has tripped, for [`Switch::run`].
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> (Self, mpsc::Receiver<Trip>) {
        let (trips, tripped) = mpsc::channel(QUEUE);
        (Self { clock, counts: Mutex::default(), trips }, tripped)
    }

    /// Takes the tripwires of the policy in force. Those that stay as they are go on counting.
    pub fn follow(&self, policy: &Policy) {
        self.counts().follow(policy);
    }

    /// Notes a refusal of a proved workflow. Never waits. What says nothing about the caller's doing does not count
    /// ([`counts`]), nor do refusals of workflows that the policy does not know, those older than an hour, and a second one
    /// of the same decision.
    pub fn note(&self, refused: &Refused) {
        let tripped = self.counts().note(refused, self.clock.now());
        for trip in tripped {
            let name = trip.tripwire.name.clone();
            if self.trips.try_send(trip).is_err() {
                // The next refusals trip it again.
                counter!("shortbread_tripwire_held_total", "tripwire" => name.clone()).increment(1);
                tracing::error!(
                    tripwire = name,
                    "too many tasks wait to be revoked; one is left for its next refusals"
                );
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
