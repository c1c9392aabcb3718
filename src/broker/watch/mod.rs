//! Watches a policy version that came in, and says when it must be taken back.
//!
//! What was refused under it counts only where the change is why. A request is decided again by the version before; of a call
//! the arguments are not known here, so it counts where the version takes something of that verb away, and its segment must
//! have had calls enough before.

mod calls;
mod count;
mod once;
mod usual;

pub use calls::Called;
pub use count::{Breach, Fate, Key, Seen};
pub use usual::Usual;

use std::sync::{Mutex, MutexGuard, PoisonError};

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::WorkflowName;
use tokio::sync::mpsc;

use self::count::Watch;
use crate::activation::OnTrial;
use crate::policy::Policy;

/// How many breaches may wait; a segment that found no room says so again with its next request.
const QUEUE: usize = 4;

/// A trial that must be taken back.
#[derive(Clone, Debug)]
pub struct Breached {
    /// The trial's number.
    pub trial: u64,
    /// Why.
    pub breach: Breach,
}

/// A version that is watched, and the one that it is held against.
#[derive(Clone, Debug)]
pub struct Change {
    /// The one before.
    pub before: Policy,
    /// The one that is watched.
    pub now: Policy,
}

/// Counts what becomes of requests while a version is watched. In memory: a broker that starts goes on watching, and begins
/// to count anew.
pub struct Outcomes {
    watch: Mutex<Option<Watch>>,
    breaches: mpsc::Sender<Breached>,
}

impl Outcomes {
    /// Watching nothing, and what was breached, for whoever takes it back.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Breached>) {
        let (breaches, breached) = mpsc::channel(QUEUE);
        (Self { watch: Mutex::default(), breaches }, breached)
    }

    /// Takes note of what is on trial. It is judged by the limits of the version before: a version does not loosen what it is
    /// judged by. Where that one cannot be used nothing is watched, for there is nothing to hold it against.
    pub fn follow(&self, on_trial: Option<&OnTrial>) {
        let mut watch = self.watch();
        if watch.as_ref().map(|watch| watch.n) != on_trial.map(|open| open.trial.n) {
            *watch = on_trial.and_then(Watch::of);
        }
    }

    /// Whether this trial is watched, and it is not known yet what calls usually come to.
    #[must_use]
    pub fn wants_usual(&self, n: u64) -> bool {
        self.watch().as_ref().is_some_and(|watch| watch.n == n && watch.usual.is_none())
    }

    /// What calls usually come to; until it is known calls are counted and not judged.
    pub fn take_usual(&self, n: u64, usual: Usual) {
        if let Some(watch) = self.watch().as_mut().filter(|watch| watch.n == n) {
            watch.usual = Some(usual.counts);
        }
    }

    /// The change that this workflow's requests are held against, while they are watched.
    #[must_use]
    pub fn change_for(&self, workflow: &WorkflowName, now: Timestamp) -> Option<Change> {
        self.watch().as_ref().filter(|watch| now < watch.until && watch.concerns(workflow)).map(Watch::change)
    }

    /// The change, while everyone's requests are watched.
    #[must_use]
    pub fn change_for_all(&self, now: Timestamp) -> Option<Change> {
        self.watch().as_ref().filter(|watch| now < watch.until && watch.is_whole()).map(Watch::change)
    }

    /// Whether what is shown for a request, an assertion or a proof, was not shown before for one that was refused while this
    /// version is watched. It is good `until` then.
    pub fn first(&self, hash: [u8; 32], until: Timestamp, now: Timestamp) -> bool {
        self.watch().as_mut().is_some_and(|watch| watch.once.first(hash, until, now))
    }

    /// Says no more that this segment passed a limit: it was told, and the trial is not taken back by itself.
    pub fn leave(&self, n: u64, segment: &Key) {
        if let Some(watch) = self.watch().as_mut().filter(|watch| watch.n == n) {
            watch.left.insert(segment.clone());
        }
    }

    /// Whether that was said of this segment.
    #[must_use]
    pub fn is_left(&self, n: u64, segment: &Key) -> bool {
        self.watch().as_ref().is_some_and(|watch| watch.n == n && watch.left.contains(segment))
    }

    /// Counts what became of one request at one tool. Never waits.
    pub fn note(&self, seen: &Seen, now: Timestamp) {
        let mut watch = self.watch();
        let Some(watch) = watch.as_mut().filter(|watch| now < watch.until) else { return };
        let breach = watch.note(seen);
        if let Some(breach) = breach.filter(|breach| !watch.left.contains(&breach.segment)) {
            let _ = self.breaches.try_send(Breached { trial: watch.n, breach });
        }
    }

    /// Counts calls that came in, those with tokens that were made since: what was issued before is not the version's doing.
    pub fn note_calls<C: Into<Called>>(&self, calls: impl Iterator<Item = C>, now: Timestamp) {
        let (since, change) = match self.watch().as_ref().filter(|watch| now < watch.until) {
            Some(watch) => (watch.since, watch.change()),
            None => return,
        };
        for call in calls.map(Into::into) {
            if call.made().is_some_and(|made| made >= since)
                && let Some(seen) = call.seen(&change.before, &change.now)
            {
                self.note(&seen, now);
            }
        }
    }

    fn watch(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
