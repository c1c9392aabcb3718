//! What a tripwire does: it revokes one task, if that is the refused workflow's own, and no more than it may in an hour.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock, FOREVER};
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::random::Random;
use shortbread_protocol::revocations::{Selector, SelectorKind};
use tokio::sync::mpsc;

use super::count::{Refused, Trip};
use crate::audit::{Scribe, begin};
use crate::notices::{Notice, Notices};
use crate::policy::model::{Principal, Tripwire};
use crate::publish::Publisher;
use crate::store::{Changed, Revoke, RevokeMode, Store, Target};

const HOUR: Duration = Duration::from_secs(3600);

/// How long a revoked task stays on the list: the longest life of a token, and what clocks differ by. The broker itself
/// refuses it until it is lifted.
const LISTED: u64 = 3600 + 120;

/// How often a store that fails is tried, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// The public reason code.
const INCIDENT: &str = "incident";

/// Revokes tasks whose tripwires tripped.
pub struct Switch {
    /// The record.
    pub store: Store,
    /// Publishes the head that carries a revocation.
    pub publisher: Arc<Publisher>,
    /// Writes audit entries.
    pub scribe: Scribe,
    /// Tells operators.
    pub notices: Arc<Notices>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// How much one tripwire has done within an hour.
#[derive(Default)]
struct Cap {
    revoked: VecDeque<Duration>,
    told: bool,
}

impl Cap {
    fn is_full(&mut self, now: Duration, most: u32) -> bool {
        while self.revoked.front().is_some_and(|at| now.saturating_sub(*at) >= HOUR) {
            self.revoked.pop_front();
        }
        self.revoked.len() >= usize::try_from(most).unwrap_or(usize::MAX)
    }
}

impl Switch {
    /// Revokes what trips, until the other end is dropped.
    pub async fn run(self, mut tripped: mpsc::Receiver<Trip>) {
        let mut caps: HashMap<String, Cap> = HashMap::new();
        while let Some(trip) = tripped.recv().await {
            if !self.is_own(&trip).await || self.is_revoked(&trip) {
                continue;
            }
            let cap = caps.entry(trip.tripwire.name.clone()).or_default();
            if cap.is_full(self.clock.monotonic(), trip.tripwire.max_per_hour) {
                self.hold(&trip.tripwire, cap);
            } else if self.revoke(&trip).await {
                cap.revoked.push_back(self.clock.monotonic());
                cap.told = false;
            }
            let now = self.clock.monotonic();
            caps.retain(|_, cap| cap.is_full(now, 1));
        }
    }

    // A task id is the caller's word: it counts only where the store has it as this workflow's. What no token was ever
    // given for has nothing to revoke.
    async fn is_own(&self, trip: &Trip) -> bool {
        match self.store.task_owner(trip.task.as_str()).await {
            Ok(owner) => {
                owner.is_some_and(|owner| owner == Principal::Workflow(trip.workflow.clone()).to_string())
            }
            Err(error) => {
                tracing::error!(tripwire = trip.tripwire.name, task = %trip.task, error = %error, "a tripwire tripped and the task's owner could not be read");
                false
            }
        }
    }

    fn is_revoked(&self, trip: &Trip) -> bool {
        let list = self.store.mirror();
        list.entry(SelectorKind::Task, trip.task.as_str()).is_some_and(|entry| entry.before == FOREVER)
    }

    fn hold(&self, tripwire: &Tripwire, cap: &mut Cap) {
        counter!("shortbread_tripwire_held_total", "tripwire" => tripwire.name.clone()).increment(1);
        if !std::mem::replace(&mut cap.told, true) {
            let (name, max_per_hour) = (tripwire.name.clone(), tripwire.max_per_hour);
            self.notices.tell(&Notice::Capped { tripwire: name, max_per_hour });
        }
    }

    async fn revoke(&self, trip: &Trip) -> bool {
        for left in (0..TRIES).rev() {
            match self.try_revoke(trip).await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::error!(tripwire = trip.tripwire.name, task = %trip.task, error, tries.left = left, "a tripwire tripped and its task could not be revoked");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    async fn try_revoke(&self, trip: &Trip) -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let decision = begin(&*self.clock, &*self.random, None).map_err(|error| said(&error))?;
        let selector = Selector::new(SelectorKind::Task, trip.task.as_str()).map_err(|error| said(&error))?;
        let name = &trip.tripwire.name;
        let by = format!("tripwire/{name}");
        let (count, within) = (trip.refusals.len(), trip.tripwire.within.as_secs());
        let revoke = Revoke {
            target: Target::Selector(selector),
            mode: RevokeMode::Forever,
            reason: INCIDENT.to_owned(),
            note: format!("{count} refusals of {} access within {within} s", trip.tripwire.access),
            until: Some(decision.at.seconds() + LISTED),
        };
        let audit = self.explained(trip, &decision, &by);
        let changed = self.store.revoke(vec![revoke], by, decision.at, audit).await;
        let changed = changed.map_err(|error| said(&error))?;
        counter!("shortbread_tripwire_trips_total", "tripwire" => name.clone()).increment(1);
        if let Err(error) = self.publisher.publish().await {
            tracing::error!(tripwire = name, error = %error, "a tripped task is revoked but its head is not published yet");
        }
        self.notices.tell(&Notice::Tripped {
            tripwire: name.clone(),
            task: trip.task.clone(),
            access: trip.tripwire.access,
            refusals: count,
            seq: changed.seq,
            decision: decision.id,
        });
        Ok(())
    }

    fn explained(
        &self,
        trip: &Trip,
        decision: &Decision,
        by: &str,
    ) -> impl FnMut(&Changed) -> crate::store::AuditEntry + Send + 'static {
        let (scribe, decision, by, trip) =
            (self.scribe.clone(), decision.clone(), by.to_owned(), trip.clone());
        move |changed: &Changed| {
            let data = json!({
                "outcome": "done", "by": by, "tripwire": rule(&trip.tripwire), "workflow": trip.workflow,
                "task": trip.task, "count": trip.refusals.len(),
                "refusals": trip.refusals.iter().map(refusal).collect::<Vec<_>>(),
                "revocation_seq": changed.seq, "entries": changed.entries.len(), "stage": "record", "error_class": null,
            });
            scribe.entry(EventType::RevocationSet, &decision, by.clone(), data)
        }
    }
}

fn rule(tripwire: &Tripwire) -> Value {
    json!({
        "name": tripwire.name, "access": tripwire.access, "refusals": tripwire.refusals,
        "within": tripwire.within.as_secs(), "tool": tripwire.tool, "workflow": tripwire.workflow,
        "max_per_hour": tripwire.max_per_hour,
    })
}

fn refusal(refused: &Refused) -> Value {
    json!({
        "decision": refused.decision, "reason": refused.reason.code(), "tool": refused.tool, "access": refused.access,
        "at": refused.at.to_string(),
    })
}
