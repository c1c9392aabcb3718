//! What a verifier believes, and the rules by which it comes to believe more. Nothing here goes back.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::Guard;
use shortbread_protocol::clock::Clock;
use shortbread_protocol::key_document::KeyDocument;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::note::NoteError;
use shortbread_protocol::revocations::{
    self, BreakGlass, Delta, DeltaRef, FileRef, Head, HeadError, Snapshot,
};
use shortbread_protocol::verifiers::Step as Source;

use super::floor::{Dir, FloorError, HEAD, KEYS, Step, snapshot_name};
use super::head;
use super::ratchet::{Highest, Known, Pending, Ratchet, Status, sha256, text};
use super::refused::Refused;
use super::restore;
use super::set::RevocationSet;
use super::state::{Age, Applied, Mark, Seen, State};
use super::watched::Watched;

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
    pin: Pin,
    origin: String,
    clock: Arc<dyn Clock>,
    dir: Option<Dir>,
    state: Watched,
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
        let dir = state_dir.map(Dir::open).transpose()?;
        let (state, ratchet) = match &dir {
            Some(dir) => restore::restore(dir, &pin, &origin, &*clock)?,
            None => (State::empty(&pin.issuer), Ratchet::default()),
        };
        let (state, ratchet) = (Watched::from_pointee(state), Mutex::new(ratchet));
        Ok(Self { pin, origin, clock, dir, state, ratchet })
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
            keys_version: state.document().map_or(0, |document| document.version),
            age: state.age(&*self.clock),
            applied_at: state.list.as_ref().map(|list| list.at),
            heads_refused: ratchet.heads_refused.clone(),
            files_refused: ratchet.files_refused.clone(),
            last_error: ratchet.last_error.clone(),
            floor_error: ratchet.floor_error.clone(),
        }
    }

    /// Has one watcher called after each change of what is known; `false` when there is one already.
    #[cfg(feature = "report")]
    pub(crate) fn watch(&self, watcher: super::watched::Watcher) -> bool {
        self.state.watch(watcher)
    }

    /// Takes a key document that the pinned root key signed, unless it is older than the one known.
    ///
    /// # Errors
    /// When it is not taken; nothing changes then.
    pub fn offer_keys(&self, bytes: &[u8]) -> Result<(), Refused> {
        let mut ratchet = self.lock();
        let result = self.take_keys(&mut ratchet, bytes);
        result.inspect_err(|refused| ratchet.count_file(refused))
    }

    /// Judges a head and says what to fetch before it counts.
    ///
    /// # Errors
    /// When it is refused. Nothing changes then, but that two different heads with one sequence make the age of the
    /// list unknown until a higher one is applied.
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
        let result = self.take_snapshot(&mut ratchet, bytes);
        result.inspect_err(|refused| ratchet.count_file(refused))
    }

    /// Takes a delta that the last head names and that builds on the list that is here, and puts the list in force.
    ///
    /// # Errors
    /// When no head names it, or it builds on another list; nothing changes then.
    pub fn offer_delta(&self, bytes: &[u8]) -> Result<Next, Refused> {
        let mut ratchet = self.lock();
        let result = self.take_delta(&mut ratchet, bytes);
        result.inspect_err(|refused| ratchet.count_file(refused))
    }

    /// Takes a break-glass head that the pinned root key signed, unless a later one is known or the key document says
    /// that it is over. It counts at once, with or without a list, and no head of the broker undoes it.
    ///
    /// # Errors
    /// When it is not taken; nothing changes then.
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

    fn take_keys(&self, ratchet: &mut Ratchet, bytes: &[u8]) -> Result<(), Refused> {
        let document = KeyDocument::open(bytes, &self.pin.issuer, &self.pin.root)?;
        let (version, hash) = (document.version, KeyDocument::hash(bytes));
        let step = Step { number: version, sha256: sha256(text(bytes).unwrap_or(bytes)) };
        match ratchet.keys {
            Some(known) if version < known.number => {
                return Err(Refused::KeysOlder { offered: version, seen: known.number });
            }
            Some(known) if version == known.number && step != known => {
                return Err(Refused::KeysEquivocation(version));
            }
            _ => {}
        }
        match ratchet.wanted {
            Some((wanted, _)) if version < wanted => {
                return Err(Refused::KeysOlder { offered: version, seen: wanted });
            }
            Some((wanted, named)) if version == wanted && hash != named => {
                return Err(Refused::HashMismatch("key document"));
            }
            _ => {}
        }
        if ratchet.keys != Some(step) {
            // Its signer may be one whom this document no longer names: it counts once it is offered again.
            ratchet.pending = None;
        }
        let document = Arc::new(document);
        ratchet.keys = Some(step);
        ratchet.document = Some(Known { document: Arc::clone(&document), sha256: hash });
        ratchet.wanted = None;
        self.state.store(Arc::new(self.state.load().with_document(document)));
        self.write(ratchet, |dir| dir.put(KEYS, bytes));
        Ok(())
    }

    fn judge(&self, ratchet: &mut Ratchet, bytes: &[u8], now: Seen) -> Result<Next, Refused> {
        let hash = head::check_origin(bytes, &self.origin)?;
        let seen = ratchet.first_seen(hash, now);
        let Some(known) = ratchet.document.clone() else {
            return head::peek_keys(bytes, 0).ok_or(Refused::Malformed("keys"));
        };
        let head = match Head::open(bytes, &self.origin, &head::signers(&known.document, now.wall)) {
            Ok(head) => head,
            // Perhaps by a key that a newer document names. The root key signs that one too: asking costs nothing.
            Err(HeadError::Note(NoteError::Unsigned)) => {
                return head::peek_keys(bytes, known.document.version).ok_or(Refused::Signature);
            }
            Err(error) => return Err(head::refusal(error)),
        };
        let step = Step { number: head.seq, sha256: hash };
        if self.is_known(ratchet, step)? {
            return Ok(Next::Nothing);
        }
        head::check_times(&head, now.wall.seconds())?;
        head::check_contents(&head, self.state.load().list.as_ref())?;
        if head.keys.0 < known.document.version {
            return Err(Refused::KeysOlder { offered: head.keys.0, seen: known.document.version });
        }
        let mark = Mark { issued: head.issued, expires: head.expires, seen };
        ratchet.head = Some(Highest { step, seen });
        ratchet.pending = Some(Pending { head, bytes: bytes.to_vec(), mark, staged: None });
        Ok(self.advance(ratchet, &known))
    }

    /// Whether a signed head is already in force; refuses what is older and raises the alarm when it is a second one.
    fn is_known(&self, ratchet: &mut Ratchet, step: Step) -> Result<bool, Refused> {
        let Some(highest) = ratchet.head else { return Ok(false) };
        if step.number < highest.step.number {
            return Err(Refused::Older { offered: step.number, seen: highest.step.number });
        }
        if step.number > highest.step.number {
            return Ok(false);
        }
        let state = self.state.load();
        if step == highest.step {
            return Ok(state.distrusted || state.seq() == step.number);
        }
        ratchet.pending = None;
        self.state.store(Arc::new(state.with_distrust()));
        self.write(ratchet, |_| Ok(()));
        Err(Refused::Equivocation(step.number))
    }

    /// What the pending head still needs; when that is nothing, it is put in force.
    fn advance(&self, ratchet: &mut Ratchet, known: &Known) -> Next {
        let Some(pending) = ratchet.pending.clone() else { return Next::Nothing };
        let (version, sha256) = pending.head.keys;
        if (version, sha256) != (known.document.version, known.sha256) {
            ratchet.wanted = Some((version, sha256));
            self.write(ratchet, |_| Ok(()));
            return Next::Keys { version, sha256 };
        }
        ratchet.wanted = None;
        let contents = pending.head.contents();
        let state = self.state.load();
        let here = pending.staged.as_ref().or(state.list.as_ref().map(|list| &list.set));
        match here {
            Some(set) if set.seq() == contents => {
                let set = set.clone();
                self.apply(ratchet, &pending, set, None);
                return Next::Nothing;
            }
            Some(set) => {
                if let Some(delta) = delta_from(&pending.head, set.seq()) {
                    return Next::Delta(delta);
                }
            }
            None => {}
        }
        self.write(ratchet, |_| Ok(()));
        Next::Snapshot(pending.head.snapshot)
    }

    fn take_snapshot(&self, ratchet: &mut Ratchet, bytes: &[u8]) -> Result<Next, Refused> {
        let pending = ready(ratchet)?;
        let named = pending.head.snapshot;
        fits(bytes, &named, "snapshot")?;
        let snapshot = Snapshot::decode(bytes, &self.origin)?;
        if snapshot.seq != named.seq {
            return Err(Refused::HashMismatch("snapshot's sequence"));
        }
        let set = RevocationSet::new(snapshot, pending.head.global);
        if named.seq == pending.head.contents() {
            self.apply(ratchet, &pending, set, Some(bytes));
            return Ok(Next::Nothing);
        }
        let delta = delta_from(&pending.head, named.seq).ok_or(Refused::DeltaMissing)?;
        ratchet.pending = Some(Pending { staged: Some(set), ..pending });
        Ok(Next::Delta(delta))
    }

    fn take_delta(&self, ratchet: &mut Ratchet, bytes: &[u8]) -> Result<Next, Refused> {
        let pending = ready(ratchet)?;
        let state = self.state.load();
        let here = pending.staged.as_ref().or(state.list.as_ref().map(|list| &list.set));
        let here = here.ok_or(Refused::Unexpected)?;
        let named = delta_from(&pending.head, here.seq()).ok_or(Refused::Unexpected)?;
        fits(bytes, &named.to, "delta")?;
        let delta = Delta::decode(bytes, &self.origin)?;
        if (delta.from, delta.seq) != (named.from, named.to.seq) {
            return Err(Refused::HashMismatch("delta's sequence"));
        }
        let set = here.with_delta(&delta);
        self.apply(ratchet, &pending, set, None);
        Ok(Next::Nothing)
    }

    fn take_break_glass(&self, ratchet: &mut Ratchet, bytes: &[u8]) -> Result<(), Refused> {
        let offered = BreakGlass::open(bytes, &self.origin, &self.pin.root).map_err(head::refusal)?;
        let least = ratchet.document.as_ref().map_or(0, |known| known.document.break_glass);
        let state = self.state.load();
        let seen = state.break_glass().map_or(0, |known| known.seq);
        if offered.seq < least.max(seen) {
            return Err(Refused::Older { offered: offered.seq, seen: least.max(seen) });
        }
        self.state.store(Arc::new(state.with_break_glass(offered)));
        self.write(ratchet, |_| Ok(()));
        Ok(())
    }

    /// The swap: set, head and age change together. Memory goes first and the disk follows, because a slow or broken
    /// disk must not hold a revocation back. What a crash in between can cost is that the next start accepts the head
    /// before this one, and the age of that one is counted from when it was issued.
    fn apply(&self, ratchet: &mut Ratchet, pending: &Pending, set: RevocationSet, snapshot: Option<&[u8]>) {
        let (at, file) = (self.clock.now(), pending.head.snapshot);
        let list = Applied {
            contents: set.seq(),
            set,
            seq: pending.head.seq,
            global: pending.head.global,
            mark: pending.mark,
            at,
        };
        self.state.store(Arc::new(self.state.load().with_list(list)));
        ratchet.pending = None;
        ratchet.last_error = None;
        self.write(ratchet, |dir| {
            if let Some(bytes) = snapshot {
                dir.put(&snapshot_name(&file.sha256), bytes)?;
            }
            dir.put(HEAD, &pending.bytes)?;
            if snapshot.is_some() { dir.prune(&file.sha256) } else { Ok(()) }
        });
    }

    /// Writes the floor, then what stands beside it. A floor that cannot be written takes nothing away from what this
    /// process enforces: the head stays applied, and the failure is reported until a later write succeeds.
    fn write(&self, ratchet: &mut Ratchet, beside: impl FnOnce(&Dir) -> std::io::Result<()>) {
        if let Some(dir) = &self.dir {
            let floor = ratchet.floor(&self.pin.issuer, self.state.load().distrusted);
            ratchet.wrote(dir.put_floor(&floor).and_then(|()| beside(dir)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ratchet> {
        self.ratchet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pending head, once its key document is there.
fn ready(ratchet: &Ratchet) -> Result<Pending, Refused> {
    ratchet.pending.clone().filter(|_| ratchet.wanted.is_none()).ok_or(Refused::Unexpected)
}

/// The delta of a head that builds on the contents at `from` and leads to its own.
fn delta_from(head: &Head, from: u64) -> Option<DeltaRef> {
    let contents = head.contents();
    head.deltas.iter().find(|delta| delta.from == from && delta.to.seq == contents).copied()
}

/// Whether these bytes are the file that the head names.
fn fits(bytes: &[u8], named: &FileRef, what: &'static str) -> Result<(), Refused> {
    let offered = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if offered != named.bytes {
        return Err(Refused::SizeMismatch { what, offered, named: named.bytes });
    }
    if sha256(bytes) == named.sha256 { Ok(()) } else { Err(Refused::HashMismatch(what)) }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("pin", &self.pin)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
