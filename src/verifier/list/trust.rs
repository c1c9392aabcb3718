//! What a verifier believes, and the rules by which it comes to believe more. Nothing here goes back.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::Guard;
use shortbread_protocol::clock::Clock;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::revocations::{self, DeltaRef, FileRef};
use shortbread_protocol::verifiers::Step as Source;

use super::dir::Dir;
use super::disk::{Arrival, Body, Disk};
use super::floor::FloorError;
#[cfg(feature = "feed")]
use super::head;
use super::ratchet::{Ratchet, Status};
use super::refused::Refused;
use super::restore;
use super::state::{Age, Seen, State};
use super::watched::Watched;

// How long the end of a trust waits for the disk.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// The one thing that a verifier is told: whose lists it follows, and the offline root key behind them.
#[derive(Clone, Debug)]
pub struct Pin {
    /// The broker's public URL, exactly as it stands in tokens.
    pub issuer: String,
    /// The public half of the offline root key.
    pub root: PublicKey,
}

/// What to fetch after a head was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: what the head says is in force.
    Nothing,
    /// This key document; then offer the head again.
    Keys {
        /// Its version.
        version: u64,
        /// SHA-256 of its bytes. Only a hint when no key document is known yet.
        sha256: [u8; 32],
    },
    /// This snapshot.
    Snapshot(FileRef),
    /// This delta, which builds on what is there.
    Delta(DeltaRef),
}

/// All that a verifier has learned. Checks read it without a lock; offers take turns.
pub struct Trust {
    pub(super) pin: Pin,
    pub(super) origin: String,
    clock: Arc<dyn Clock>,
    disk: Option<Arc<Disk>>,
    pub(super) state: Watched,
    ratchet: Mutex<Ratchet>,
}

impl Trust {
    /// Begins with what the state directory holds; without a directory, or with an empty one, with nothing, and then
    /// everything is denied until a list is there. With `None` a restart forgets how far the list had come.
    ///
    /// # Errors
    /// When the directory cannot be used or its floor cannot be believed; the message says what to do.
    pub fn new(pin: Pin, clock: Arc<dyn Clock>, state_dir: Option<&Path>) -> Result<Self, FloorError> {
        let origin = revocations::origin(&pin.issuer);
        let (state, ratchet, disk) = match state_dir {
            None => (State::empty(&pin.issuer), Ratchet::default(), None),
            Some(path) => {
                let dir = Dir::open(path)?;
                let floor = dir.floor(&pin.issuer)?;
                let (fresh, list) = (floor.is_none(), floor.as_ref().and_then(|floor| floor.list.clone()));
                let (state, ratchet) = restore::restore(&dir, floor, &pin, &origin, &*clock);
                let disk = Disk::new(dir, &origin, fresh, list, state.list.is_some());
                (state, ratchet, Some(disk))
            }
        };
        let (state, ratchet) = (Watched::from_pointee(state), Mutex::new(ratchet));
        Ok(Self { pin, origin, clock, disk, state, ratchet })
    }

    /// What is known now. One check takes one state.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// As [`state`](Self::state), without touching the counter that all threads share. For the length of one check.
    pub(crate) fn glance(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    /// How old the list is now.
    #[must_use]
    pub fn age(&self) -> Age {
        self.state.load().age(&*self.clock)
    }

    /// The clock that ages are counted with.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// What to report: sequence, age, refusals.
    #[must_use]
    pub fn status(&self) -> Status {
        let ratchet = self.lock();
        let state = self.state();
        Status {
            seq: state.seq(),
            contents: state.contents(),
            keys_version: state.document().map_or(0, |document| document.version),
            break_glass: state.break_glass().map_or(0, |known| known.seq),
            age: state.age(&*self.clock),
            source: state.source,
            applied_at: state.list.as_ref().map(|list| list.at),
            snapshots_applied: ratchet.snapshots_applied,
            deltas_applied: ratchet.deltas_applied,
            heads_refused: ratchet.heads_refused.clone(),
            files_refused: ratchet.files_refused.clone(),
            last_error: ratchet.last_error.clone(),
            floor_error: self.disk.as_ref().and_then(|disk| disk.error()),
        }
    }

    /// Has one watcher called after each change of what is known; `false` when there is one already.
    #[cfg(feature = "report")]
    pub(crate) fn watch(&self, watcher: super::watched::Watcher) -> bool {
        self.state.watch(watcher)
    }

    /// Takes a key document that the pinned root key signed, unless it is older than the one known. When it no longer
    /// names the key that signed the head in force, the age of the list is unknown until a head by one of its keys is
    /// applied; when it says that the break-glass head in force is over, that ends.
    ///
    /// # Errors
    /// When it is not taken; nothing changes then.
    pub fn offer_keys(&self, bytes: &[u8]) -> Result<(), Refused> {
        let mut ratchet = self.lock();
        let result = self.take_keys(&mut ratchet, bytes, self.clock.now());
        result.inspect_err(|refused| ratchet.count_file(refused))
    }

    /// Judges a head and says what to fetch before it counts.
    ///
    /// # Errors
    /// When it is refused. Nothing changes then, but that two different heads with one sequence, under one version of the
    /// key document, make the age of the list unknown until a higher one is applied.
    pub fn offer_head(&self, bytes: &[u8]) -> Result<Next, Refused> {
        let seen = Seen::now(&*self.clock);
        let mut ratchet = self.lock();
        let result = self.judge(&mut ratchet, bytes, seen);
        result.inspect_err(|refused| ratchet.count_head(refused))
    }

    /// Takes the snapshot that the last head asked for and puts the list in force, unless a delta is needed too.
    ///
    /// # Errors
    /// When no head asks for it, or it is not the one asked for; nothing changes then.
    pub fn offer_snapshot(&self, bytes: &[u8]) -> Result<Next, Refused> {
        let mut ratchet = self.lock();
        let result = self.take_snapshot(&mut ratchet, bytes, self.clock.now());
        result.inspect_err(|refused| ratchet.count_file(refused))
    }

    /// Takes a delta that the last head names and that builds on the list that is here, and puts the list in force.
    ///
    /// # Errors
    /// When no head names it, or it builds on another list; nothing changes then.
    pub fn offer_delta(&self, bytes: &[u8]) -> Result<Next, Refused> {
        let mut ratchet = self.lock();
        let result = self.take_delta(&mut ratchet, bytes, self.clock.now());
        result.inspect_err(|refused| ratchet.count_file(refused))
    }

    /// The whole list that the pending head names, for when a delta that it asked for is not to be had; `None` where
    /// that list leads nowhere without the same delta.
    #[cfg(feature = "feed")]
    pub(crate) fn instead_of(&self, delta: &DeltaRef) -> Option<FileRef> {
        let ratchet = self.lock();
        let head = &ratchet.pending.as_ref()?.head;
        let whole = head.snapshot;
        let leads = whole.seq == head.contents() || head::delta_from(head, whole.seq)? != *delta;
        leads.then_some(whole)
    }

    /// Takes a break-glass head that the pinned root key signed, unless a later one is known or the key document says
    /// that it is over. It counts at once, with or without a list, and no head of the broker undoes it.
    ///
    /// # Errors
    /// When it is not taken; nothing changes then, but that of two different ones with one sequence the one that stops
    /// more counts.
    pub fn offer_break_glass(&self, bytes: &[u8]) -> Result<(), Refused> {
        let mut ratchet = self.lock();
        let result = self.take_break_glass(&mut ratchet, bytes);
        result.inspect_err(|refused| ratchet.count_head(refused))
    }

    /// Notes where heads come from now; for the ladder in decisions, metrics and reports.
    pub fn follow(&self, source: Source) {
        let _turn = self.lock();
        if self.state.load().source != source {
            self.state.store(Arc::new(self.state.load().with_source(source)));
        }
    }

    /// Waits until what was learned is on the disk, or so long; as before the end of a program. Offers do not wait for
    /// the disk, so that it never holds a revocation back.
    ///
    /// What a crash can cost is what was learned since the last write: the next start goes on with the list before it,
    /// whose age is counted from when its head was issued. Whether all is written or failed; `false` when it takes longer.
    pub fn settle(&self, limit: Duration) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.settle(limit))
    }

    /// Takes over the bytes of a file, when they will have to be written.
    pub(super) fn receive(&self, bytes: &[u8]) -> Option<Body> {
        self.disk.as_ref().map(|disk| disk.receive(bytes))
    }

    /// Has all that is known written. A disk that does not take it takes nothing away from what this process enforces:
    /// that is reported until a later write succeeds.
    pub(super) fn save(&self, ratchet: &Ratchet, arrivals: Vec<Arrival>) {
        if let Some(disk) = &self.disk {
            disk.post(ratchet.picture(&self.pin.issuer, &self.state.load()), arrivals);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ratchet> {
        self.ratchet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        self.settle(LAST_WRITE);
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("pin", &self.pin)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
