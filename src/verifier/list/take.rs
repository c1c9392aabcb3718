//! What heads ask for, and what the root key says: taken or refused.

use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::key_document::KeyDocument;
use shortbread_protocol::revocations::{BreakGlass, Delta, DeltaRef, FileRef, SnapshotView};

use super::disk::Arrival;
use super::floor::{Part, Step, Stop};
use super::head::{self, delta_from};
use super::ratchet::{Known, Pending, Ratchet, Staged, sha256, text};
use super::refused::Refused;
use super::set::RevocationSet;
use super::state::{Applied, State};
use super::trust::{Next, Trust};

impl Trust {
    pub(super) fn take_keys(
        &self,
        ratchet: &mut Ratchet,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), Refused> {
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
            // The same document in other bytes, and not in those that the head names.
            Some(_) if ratchet.document.is_some() => match ratchet.wanted {
                Some((wanted, named)) if ratchet.keys == Some(step) && version == wanted && hash != named => {
                    return Err(Refused::HashMismatch("key document"));
                }
                _ => {}
            },
            _ => {}
        }
        let document = Arc::new(document);
        let mut state = self.state.load().with_document(Arc::clone(&document));
        if ratchet.keys != Some(step) {
            // Its signer may be one whom this document no longer names: it counts once it is offered again.
            ratchet.pending = None;
            state = self.still_vouched(&state, &document, now);
        }
        if state.break_glass().is_some_and(|known| known.seq < document.break_glass) {
            state = state.with_break_glass(None);
            ratchet.stop = None;
        }
        let note = String::from_utf8_lossy(bytes).into();
        ratchet.keys = Some(step);
        ratchet.document = Some(Known { document, note, sha256: hash });
        ratchet.wanted = None;
        self.state.store(Arc::new(state));
        self.save(ratchet, Vec::new());
        Ok(())
    }

    /// Whoever took a key that is dropped may have signed the list in force: it is not relied on any more.
    fn still_vouched(&self, state: &State, document: &KeyDocument, now: Timestamp) -> State {
        let Some(list) = &state.list else { return state.clone() };
        match head::open(list.note.as_bytes(), &self.origin, document, now) {
            Ok((head, until)) => state.with_expiry(head.expires.min(until)),
            Err(_) => state.with_distrust(),
        }
    }

    pub(super) fn take_snapshot(
        &self,
        ratchet: &mut Ratchet,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Next, Refused> {
        let pending = ready(ratchet)?;
        let named = pending.head.snapshot;
        fits(bytes, &named, "snapshot")?;
        let view = SnapshotView::open(bytes, &self.origin)?;
        if view.seq != named.seq {
            return Err(Refused::HashMismatch("snapshot's sequence"));
        }
        let set = RevocationSet::read(view, pending.head.global);
        let staged = Staged { set, part: part(&named), body: None };
        if named.seq == pending.head.contents() {
            // The swap first: the disk may take its time.
            let file = Some(named.sha256);
            self.put_in_force(ratchet, &pending, (staged.set, file), now);
            let arrival = self.receive(bytes).map(|body| Arrival { whole: true, part: staged.part, body });
            ratchet.snapshots_applied += 1;
            self.after(ratchet, arrival.into_iter().collect());
            return Ok(Next::Nothing);
        }
        let delta = delta_from(&pending.head, named.seq).ok_or(Refused::DeltaMissing)?;
        ratchet.staged = Some(Staged { body: self.receive(bytes), ..staged });
        Ok(Next::Delta(delta))
    }

    pub(super) fn take_delta(
        &self,
        ratchet: &mut Ratchet,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Next, Refused> {
        let pending = ready(ratchet)?;
        let state = self.state.load();
        let here = state.list.as_ref().filter(|list| state.is_base_of(list, &pending.head));
        let here =
            here.and_then(|list| Some((list.set.clone(), delta_from(&pending.head, list.contents())?)));
        let is_staged = |staged: &&Staged| staged.part.sha256 == pending.head.snapshot.sha256;
        let staged = ratchet.staged.as_ref().filter(is_staged);
        let staged = staged
            .and_then(|staged| Some((staged.set.clone(), delta_from(&pending.head, staged.set.seq())?)));
        let (base, named, from_staged) = match (here, staged) {
            (Some((set, named)), None) => (set, named, false),
            (None, Some((set, named))) => (set, named, true),
            // Either way leads there; the bytes say which one it is.
            (Some((set, named)), Some(_)) if fits(bytes, &named.to, "delta").is_ok() => (set, named, false),
            (Some(_), Some((set, named))) => (set, named, true),
            (None, None) => return Err(Refused::Unexpected),
        };
        fits(bytes, &named.to, "delta")?;
        let delta = self.read_delta(bytes, &named)?;
        self.put_in_force(ratchet, &pending, (base.with_delta(&delta), None), now);
        let staged = ratchet.staged.take().filter(|_| from_staged);
        ratchet.snapshots_applied += u64::from(from_staged);
        ratchet.deltas_applied += 1;
        let whole =
            staged.and_then(|staged| Some(Arrival { whole: true, part: staged.part, body: staged.body? }));
        let step = self.receive(bytes).map(|body| Arrival { whole: false, part: part(&named.to), body });
        self.after(ratchet, whole.into_iter().chain(step).collect());
        Ok(Next::Nothing)
    }

    fn read_delta(&self, bytes: &[u8], named: &DeltaRef) -> Result<Delta, Refused> {
        let delta = Delta::decode(bytes, &self.origin)?;
        if (delta.from, delta.seq) == (named.from, named.to.seq) {
            Ok(delta)
        } else {
            Err(Refused::HashMismatch("delta's sequence"))
        }
    }

    pub(super) fn take_break_glass(&self, ratchet: &mut Ratchet, bytes: &[u8]) -> Result<(), Refused> {
        let offered = BreakGlass::open(bytes, &self.origin, &self.pin.root).map_err(head::refusal)?;
        let sha256 = sha256(text(bytes).unwrap_or(bytes));
        let least = ratchet.document.as_ref().map_or(0, |known| known.document.break_glass);
        let seen = ratchet.stop.as_ref().map_or(0, |stop| stop.number);
        if offered.seq < least.max(seen) {
            return Err(Refused::Older { offered: offered.seq, seen: least.max(seen) });
        }
        let known = ratchet.stop.as_ref().filter(|stop| stop.number == offered.seq);
        if known.is_some_and(|stop| stop.sha256 == sha256) {
            return Ok(());
        }
        let (second, more) = (known.is_some(), known.is_none_or(|stop| stop.global < offered.global));
        if more {
            let BreakGlass { seq: number, issued, global } = offered;
            let note = String::from_utf8_lossy(bytes).into_owned();
            ratchet.stop = Some(Stop { number, global, issued, sha256, note });
            self.state.store(Arc::new(self.state.load().with_break_glass(Some(offered))));
            self.save(ratchet, Vec::new());
        }
        if second { Err(Refused::BreakGlassEquivocation(offered.seq)) } else { Ok(()) }
    }

    /// Puts a list in force, with the hash of the snapshot that it is, and has it written.
    pub(super) fn apply(
        &self,
        ratchet: &mut Ratchet,
        pending: &Pending,
        list: (RevocationSet, Option<[u8; 32]>),
        arrivals: Vec<Arrival>,
        now: Timestamp,
    ) {
        self.put_in_force(ratchet, pending, list, now);
        self.after(ratchet, arrivals);
    }

    /// The swap: set, head and age change together.
    fn put_in_force(
        &self,
        ratchet: &mut Ratchet,
        pending: &Pending,
        (set, file): (RevocationSet, Option<[u8; 32]>),
        now: Timestamp,
    ) {
        let state = self.state.load();
        let version = pending.head.keys.0;
        let before = state.list.as_ref();
        let same = before.filter(|list| (list.version, list.contents()) == (version, set.seq()));
        let list = Applied {
            at: same.map_or(now, |list| list.at),
            set,
            seq: pending.head.seq,
            version,
            file,
            note: Arc::clone(&pending.note),
            global: pending.head.global,
            mark: pending.mark,
        };
        self.state.store(Arc::new(state.with_list(list)));
        ratchet.pending = None;
        ratchet.last_error = None;
    }

    /// What may take longer and changes no answer: the disk, and one piece out of many changes.
    fn after(&self, ratchet: &mut Ratchet, arrivals: Vec<Arrival>) {
        ratchet.staged = None;
        self.save(ratchet, arrivals);
        let state = self.state.load();
        if state.set().is_some_and(RevocationSet::is_heavy) {
            self.state.store(Arc::new(state.merged()));
        }
    }
}

/// The pending head, once its key document is there.
fn ready(ratchet: &Ratchet) -> Result<Pending, Refused> {
    ratchet.pending.clone().filter(|_| ratchet.wanted.is_none()).ok_or(Refused::Unexpected)
}

/// Whether these bytes are the file that the head names.
fn fits(bytes: &[u8], named: &FileRef, what: &'static str) -> Result<(), Refused> {
    let offered = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if offered != named.bytes {
        return Err(Refused::SizeMismatch { what, offered, named: named.bytes });
    }
    if sha256(bytes) == named.sha256 { Ok(()) } else { Err(Refused::HashMismatch(what)) }
}

const fn part(file: &FileRef) -> Part {
    Part { sha256: file.sha256, bytes: file.bytes }
}
