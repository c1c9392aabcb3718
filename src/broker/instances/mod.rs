//! Running instances of registered verifiers: who has a lease, what each said last, who fell silent.
//!
//! All of it is in memory, so that a report costs little more than its signature; the store follows (see
//! [`Instances::due`]). Silence is measured on the monotonic clock: a jump of the wall clock silences nobody.

mod ages;
mod changes;
mod instance;
mod roster;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use shortbread_protocol::admin::InstanceState;
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::{ToolName, VerifierName};
use shortbread_protocol::verifiers::Report;
use thiserror::Error;
use tokio::sync::watch;

pub use self::ages::{Ages, EVERY as AGES_EVERY, KnownAges};
pub use self::changes::{Changes, Lag};
pub use self::instance::Instance;
pub use self::roster::{Roster, fingerprint};
use crate::policy::Policy;
use crate::store::{Lease, Progress};

/// The most instances that are known at a time.
pub const MOST: usize = 10_000;
/// The most of them of one verifier.
pub const MOST_OF_ONE: usize = 1000;

/// How long an instance that said goodbye is still shown.
const GONE_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long an instance that fell silent is waited for.
const SILENT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often an instance that says nothing new is written down.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Why an instance gets no lease.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LeaseError {
    /// The same key belongs to an instance of another verifier.
    #[error("this key belongs to an instance of another verifier; make a new key for each start")]
    OthersKey,
    /// As many run as may be.
    #[error(
        "{MOST_OF_ONE} instances of one verifier, or {MOST} in all, have a lease already and none of them is silent or gone"
    )]
    Full,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HearError {
    /// The instance has no lease any more.
    #[error("no lease is known for this instance")]
    Unknown,
    /// The message, or a later one, was taken before.
    #[error("a message of this instance with the same number, or a later one, was taken before")]
    Replayed,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// The monotonic clock.
    pub monotonic: Duration,
}

impl Now {
    /// By this clock.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }
}

/// Who may have sent a message: the key says whether they did.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The instance.
    pub instance: Arc<str>,
    /// Its key.
    pub key: PublicKey,
    /// The verifier.
    pub verifier: VerifierName,
    /// The tools whose calls it decides, by the policy in force.
    pub tools: Arc<[ToolName]>,
}

/// What an instance says.
#[derive(Clone, Debug)]
pub enum Said {
    /// How far it is.
    Report(Report),
    /// That it stops.
    Goodbye,
}

/// What a message changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The instance was silent, and operators know: the sequence that it has applied.
    pub back: Option<u64>,
    /// A change reached it, so long after it was published.
    pub propagation: Option<Duration>,
}

/// What is to be done about instances now.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// How far those are that must be written down.
    pub progress: Vec<(String, Progress)>,
    /// Those that fell silent since the last time.
    pub silent: Vec<(Lease, Progress)>,
    /// Those that are forgotten.
    pub forgotten: Vec<String>,
}

/// Every instance that has a lease.
pub struct Instances {
    known: Mutex<Known>,
    roster: ArcSwap<Roster>,
    moved: watch::Sender<u64>,
}

struct Known {
    by_id: HashMap<Arc<str>, Instance>,
    // Leases that are being recorded, so that no crowd at the door gets past the limits.
    reserved: HashMap<VerifierName, usize>,
    changes: Changes,
}

/// Room for one more instance, while its lease is recorded.
pub struct Room<'i> {
    instances: &'i Instances,
    verifier: VerifierName,
    /// Instances that are forgotten for it.
    pub evicted: Vec<String>,
    /// How far the instance is: it had a lease before, or all is zero.
    pub progress: Progress,
    // The same as they were: they come back when no lease is recorded.
    dead: Vec<Instance>,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut known = self.instances.lock();
        for dead in self.dead.drain(..) {
            known.by_id.entry(Arc::from(dead.lease.instance.as_str())).or_insert(dead);
        }
        if let Some(count) = known.reserved.get_mut(&self.verifier) {
            *count -= 1;
            if *count == 0 {
                known.reserved.remove(&self.verifier);
            }
        }
    }
}

impl Instances {
    /// Those that the store knows, in a process that starts now: each may be as long without a word as if it had just
    /// spoken. `contents` is the last change of the list.
    #[must_use]
    pub fn load(stored: Vec<(Lease, Progress)>, contents: u64, now: Now) -> Self {
        let known = stored.into_iter().filter_map(|(lease, progress)| {
            let instance = Instance::restored(lease, progress, now.monotonic)?;
            Some((Arc::from(instance.lease.instance.as_str()), instance))
        });
        let mut changes = Changes::default();
        changes.note(contents, now.wall);
        let known = Known { by_id: known.collect(), reserved: HashMap::new(), changes };
        Self {
            known: Mutex::new(known),
            roster: ArcSwap::from_pointee(Roster::default()),
            moved: watch::Sender::new(0),
        }
    }

    /// Whoever would have to have signed a message of this instance, if the policy still has its verifier.
    #[must_use]
    pub fn speaker(&self, instance: &str, policy: &Policy) -> Option<Speaker> {
        let roster = self.roster(policy);
        let known = self.lock();
        let (instance, found) = known.by_id.get_key_value(instance)?;
        let tools = roster.tools(&found.lease)?;
        let (key, verifier) = (found.key, found.lease.verifier.clone());
        Some(Speaker { instance: Arc::clone(instance), key, verifier, tools })
    }

    /// Makes room for one more instance. Where there is none, the one that is gone or silent for longest is forgotten
    /// for it.
    ///
    /// # Errors
    /// When all that have a lease are alive, or the key belongs to another verifier's instance.
    pub fn room(&self, lease: &Lease, now: Now) -> Result<Room<'_>, LeaseError> {
        let mut known = self.lock();
        let before = known.by_id.get(lease.instance.as_str());
        if before.is_some_and(|before| before.lease.verifier != lease.verifier) {
            return Err(LeaseError::OthersKey);
        }
        let progress = before.map_or_else(Progress::default, |before| before.progress);
        let new = usize::from(before.is_none());
        let mut dead: Vec<Instance> = Vec::new();
        if known.count(Some(&lease.verifier)) + new > MOST_OF_ONE {
            dead.push(known.evict(Some(&lease.verifier), now).ok_or(LeaseError::Full)?);
        }
        // Whoever gave way above gives way here too.
        if known.count(None) + new > MOST {
            dead.push(known.evict(None, now).ok_or(LeaseError::Full)?);
        }
        let evicted = dead.iter().map(|dead| dead.lease.instance.clone()).collect();
        *known.reserved.entry(lease.verifier.clone()).or_default() += 1;
        let progress = Progress { seen: now.wall, silent: None, gone: None, ..progress };
        Ok(Room { instances: self, verifier: lease.verifier.clone(), evicted, progress, dead })
    }

    /// Lets an instance in whose lease is recorded.
    pub fn admit(&self, lease: Lease, key: PublicKey, mut room: Room<'_>, now: Now) {
        room.dead.clear();
        let instance = Instance::leased(lease, key, room.progress, now.monotonic);
        self.lock().by_id.insert(Arc::from(instance.lease.instance.as_str()), instance);
        drop(room);
        self.touch();
    }

    /// Takes what an instance says, whose signature was checked.
    ///
    /// # Errors
    /// When the instance is not known, or its message is no new one.
    pub fn hear(&self, instance: &str, n: u64, said: Said, now: Now) -> Result<Heard, HearError> {
        let mut known = self.lock();
        let Known { by_id, changes, .. } = &mut *known;
        let found = by_id.get_mut(instance).ok_or(HearError::Unknown)?;
        if n <= found.progress.n {
            return Err(HearError::Replayed);
        }
        let (before, was) = (found.progress, found.silence(now.monotonic));
        let published = match &said {
            Said::Report(report) if report.contents > before.contents => changes.published(report.contents),
            _ => None,
        };
        let propagation = found.hear(n, said, published, now);
        let moved = before.contents != found.progress.contents || before.gone != found.progress.gone;
        let seq = found.progress.seq;
        drop(known);
        if moved || was.is_some() {
            self.touch();
        }
        // Only those whose silence was told are told to be back.
        Ok(Heard { back: before.silent.map(|_| seq), propagation })
    }

    /// Notes that the published list has other contents since then.
    pub fn changed(&self, contents: u64, at: Timestamp) {
        if self.lock().changes.note(contents, at) {
            self.touch();
        }
    }

    /// How many of those that report have an older key document than this version. Looks at all of them: whoever
    /// asks with every token keeps the count for a while, as the keyring does.
    #[must_use]
    pub fn with_older_keys(&self, version: u64, policy: &Policy, now: Duration) -> usize {
        self.look(policy, |instances, changes| {
            let reports = |instance: &Instance| {
                let state = instance.state(changes.last(), now);
                instance.progress.n > 0 && !matches!(state, InstanceState::Silent | InstanceState::Gone)
            };
            instances
                .filter(|(instance, _)| reports(instance) && instance.progress.keys_version < version)
                .count()
        })
    }

    /// What must be written down, told and forgotten. What is forgotten is so at once; what is written down counts as
    /// written when [`Instances::written`] says so. Without a policy nobody is forgotten for having no place in it.
    #[must_use]
    pub fn due(&self, policy: Option<&Policy>, now: Now) -> Due {
        let roster = policy.map(|policy| self.roster(policy));
        let mut due = Due::default();
        let mut known = self.lock();
        known.by_id.retain(|_, instance| {
            let stranger = roster.as_ref().is_some_and(|roster| roster.tools(&instance.lease).is_none());
            if stranger || instance.is_over(now, GONE_FOR, SILENT_FOR) {
                due.forgotten.push(instance.lease.instance.clone());
                return false;
            }
            if instance.falls_silent(now.monotonic) {
                due.silent.push((instance.lease.clone(), instance.progress));
            }
            if instance.must_be_written(now.monotonic, WRITE_EVERY) {
                due.progress.push((instance.lease.instance.clone(), instance.progress));
            }
            true
        });
        drop(known);
        if !due.silent.is_empty() || !due.forgotten.is_empty() {
            self.touch();
        }
        due
    }

    /// Notes what the store has now.
    pub fn written(&self, progress: &[(String, Progress)], now: Now) {
        let mut known = self.lock();
        for (instance, progress) in progress {
            if let Some(found) = known.by_id.get_mut(instance.as_str()) {
                found.written(*progress, now.monotonic);
            }
        }
    }

    /// An instance as it is now, with its state at the last change.
    #[must_use]
    pub fn find(&self, instance: &str, now: Now) -> Option<(Lease, InstanceState)> {
        let known = self.lock();
        let found = known.by_id.get(instance)?;
        Some((found.lease.clone(), found.state(known.changes.last(), now.monotonic)))
    }

    /// Forgets one; false where there was none.
    pub fn forget(&self, instance: &str) -> bool {
        let forgotten = self.lock().by_id.remove(instance).is_some();
        if forgotten {
            self.touch();
        }
        forgotten
    }

    /// Looks at all instances that the policy still has, and at the last changes. Nothing else happens meanwhile: it
    /// must be quick.
    pub fn look<T>(
        &self,
        policy: &Policy,
        look: impl FnOnce(&mut dyn Iterator<Item = (&Instance, Arc<[ToolName]>)>, &Changes) -> T,
    ) -> T {
        let roster = self.roster(policy);
        let known = self.lock();
        let mut listed = known
            .by_id
            .values()
            .filter_map(|instance| roster.tools(&instance.lease).map(|tools| (instance, tools)));
        look(&mut listed, &known.changes)
    }

    /// The verifiers of the policy and their tools.
    #[must_use]
    pub fn roster(&self, policy: &Policy) -> Arc<Roster> {
        let current = self.roster.load();
        if current.is_of(policy) {
            return Arc::clone(&current);
        }
        let fresh = Arc::new(Roster::of(policy));
        self.roster.store(Arc::clone(&fresh));
        fresh
    }

    /// Tells when an instance came, went, fell silent or took up a change.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    fn touch(&self) {
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn count(&self, verifier: Option<&VerifierName>) -> usize {
        match verifier {
            None => self.by_id.len() + self.reserved.values().sum::<usize>(),
            Some(verifier) => {
                let known = self.by_id.values().filter(|known| known.lease.verifier == *verifier).count();
                known + self.reserved.get(verifier).copied().unwrap_or_default()
            }
        }
    }

    fn evict(&mut self, verifier: Option<&VerifierName>, now: Now) -> Option<Instance> {
        let of_it = |instance: &&Instance| verifier.is_none_or(|name| instance.lease.verifier == *name);
        let dead =
            self.by_id.values().filter(of_it).filter(|instance| {
                instance.progress.gone.is_some() || instance.silence(now.monotonic).is_some()
            });
        // Those that are gone before those that are silent, the oldest first.
        let oldest =
            dead.min_by_key(|instance| (instance.progress.gone.is_none(), instance.progress.seen))?;
        let instance = oldest.lease.instance.clone();
        self.by_id.remove(instance.as_str())
    }
}
