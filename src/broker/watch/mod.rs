//! Watches a policy version that came in, and says when it must be taken back.

mod count;

pub use crate::interval::wilson;
pub use count::{Breach, Fate, Key, Seen};

use std::sync::{Mutex, MutexGuard, PoisonError};

use shortbread_protocol::clock::Timestamp;
use tokio::sync::mpsc;

use self::count::{Counts, Watch};
use crate::activation::OnTrial;
use crate::policy::Policy;
use crate::policy::model::Rollback;

/// How many breaches may wait: the first of a trial ends it.
const QUEUE: usize = 4;

/// A trial that must be taken back.
#[derive(Clone, Debug)]
pub struct Breached {
    /// The trial's number.
    pub trial: u64,
    /// Why.
    pub breach: Breach,
}

/// Counts what becomes of requests, always; judges it while a version is watched. In memory: a broker that starts goes on
/// watching, and begins to count anew.
pub struct Outcomes {
    counting: Mutex<Counting>,
    breaches: mpsc::Sender<Breached>,
}

#[derive(Default)]
struct Counting {
    usual: Counts,
    watch: Option<Watch>,
}

impl Outcomes {
    /// Watching nothing, and what was breached, for whoever takes it back.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Breached>) {
        let (breaches, breached) = mpsc::channel(QUEUE);
        (Self { counting: Mutex::default(), breaches }, breached)
    }

    /// Takes note of which policy is in force and what is on trial. `limits` are those of the policy that was in force
    /// before: a version does not loosen what it is judged by.
    pub fn follow(&self, in_force: &Policy, on_trial: Option<&OnTrial>, limits: Option<&Rollback>) {
        let mut counting = self.counting();
        if let Some(over) =
            counting.watch.take_if(|watch| on_trial.is_none_or(|trial| trial.trial.n != watch.n))
        {
            counting.usual.merge(over.into_counts());
        }
        counting.usual.follow(in_force);
        let Some((trial, until)) = on_trial.and_then(|trial| Some((trial, trial.trial.until?))) else {
            return;
        };
        if counting.watch.is_none() {
            let limits = limits.cloned().unwrap_or_default();
            let before = counting.usual.clone();
            let (workflows, span) = (trial.trial.workflows.clone(), (trial.trial.at, until));
            counting.watch = Some(Watch::new(trial.trial.n, span, workflows, limits, before, &trial.policy));
        }
    }

    /// Counts what became of one verb of a request. Never waits.
    pub fn note(&self, seen: &Seen, now: Timestamp) {
        let mut counting = self.counting();
        let Some(watch) =
            counting.watch.as_mut().filter(|watch| now < watch.until && watch.concerns(&seen.workflow))
        else {
            counting.usual.add(seen);
            return;
        };
        if let Some(breach) = watch.note(seen) {
            // When none can wait, the trial is being ended already.
            let _ = self.breaches.try_send(Breached { trial: watch.n, breach });
        }
    }

    /// Since when a version is watched, where one is: what was issued before is not its doing.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.counting().watch.as_ref().map(|watch| watch.since)
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
