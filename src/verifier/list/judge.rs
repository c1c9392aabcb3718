//! From a head that is offered to one that is in force: what it must be, and what it still needs.

use std::sync::Arc;

use shortbread_protocol::note::NoteError;
use shortbread_protocol::revocations::HeadError;

use super::floor::Reached;
use super::head::{self, delta_from};
use super::ratchet::{Highest, Known, Pending, Ratchet};
use super::refused::Refused;
use super::state::{Mark, Seen};
use super::trust::{Next, Trust};

impl Trust {
    pub(super) fn judge(&self, ratchet: &mut Ratchet, bytes: &[u8], now: Seen) -> Result<Next, Refused> {
        let sha256 = head::check_origin(bytes, &self.origin)?;
        let seen = ratchet.first_seen(sha256, now);
        let Some(known) = ratchet.document.clone() else {
            return head::peek_keys(bytes, 0).ok_or(Refused::Malformed("keys"));
        };
        let (head, until) = match head::open(bytes, &self.origin, &known.document, now.wall) {
            Ok(opened) => opened,
            // Perhaps by a key that a newer document names. The root key signs that one too: asking costs nothing.
            Err(HeadError::Note(NoteError::Unsigned)) => {
                return head::peek_keys(bytes, known.document.version).ok_or(Refused::Signature);
            }
            Err(error) => return Err(head::refusal(error)),
        };
        let reached = Reached { version: head.keys.0, number: head.seq, sha256 };
        if self.is_known(ratchet, reached)? {
            return Ok(Next::Nothing);
        }
        head::check_times(&head, now.wall.seconds())?;
        head::check_contents(&head, self.state.load().list.as_ref())?;
        let newest = known.document.version;
        if reached.version < newest {
            return Err(Refused::KeysOlder { offered: reached.version, seen: newest });
        }
        if reached.version == newest {
            // Not before that document is here and names the signer: a key that it drops must not set a mark in it.
            ratchet.head = Some(Highest { reached, seen });
            ratchet.contested = false;
        }
        let mark = Mark { issued: head.issued, expires: head.expires.min(until), seen };
        // A note that a signature was found in is a text.
        let note = std::str::from_utf8(bytes).map_err(|_| Refused::Malformed("form"))?;
        let pending = Pending { head, note: Arc::from(note), mark };
        ratchet.pending = Some(pending.clone());
        Ok(self.advance(ratchet, &known, &pending, now))
    }

    /// Whether a signed head is already in force; refuses what is older and raises the alarm when it is a second one.
    fn is_known(&self, ratchet: &mut Ratchet, offered: Reached) -> Result<bool, Refused> {
        let Some(Highest { reached: highest, .. }) = ratchet.head else { return Ok(false) };
        if offered.version < highest.version {
            return Err(Refused::KeysOlder { offered: offered.version, seen: highest.version });
        }
        let (offered_at, highest_at) = ((offered.version, offered.number), (highest.version, highest.number));
        if offered_at > highest_at {
            return Ok(false);
        }
        if offered_at < highest_at {
            return Err(Refused::Older { offered: offered.number, seen: highest.number });
        }
        let state = self.state.load();
        if offered == highest {
            let list = state.list.as_ref();
            let in_force = list.is_some_and(|list| (list.version, list.seq) == offered_at);
            return Ok(ratchet.contested || in_force);
        }
        ratchet.pending = None;
        ratchet.contested = true;
        self.state.store(Arc::new(state.with_distrust()));
        self.save(ratchet, Vec::new());
        Err(Refused::Equivocation(offered.number))
    }

    /// What the pending head still needs; when that is nothing, it is put in force.
    fn advance(&self, ratchet: &mut Ratchet, known: &Known, pending: &Pending, now: Seen) -> Next {
        let head = &pending.head;
        let (version, sha256) = head.keys;
        if (version, sha256) != (known.document.version, known.sha256) {
            ratchet.wanted = Some((version, sha256));
            self.save(ratchet, Vec::new());
            return Next::Keys { version, sha256 };
        }
        ratchet.wanted = None;
        let state = self.state.load();
        let here = state.list.as_ref().filter(|list| state.is_base_of(list, head));
        if let Some(list) = here {
            if list.contents() == head.contents() {
                self.apply(ratchet, pending, (list.set.clone(), list.file), Vec::new(), now.wall);
                return Next::Nothing;
            }
            if let Some(delta) = delta_from(head, list.contents()) {
                self.save(ratchet, Vec::new());
                return Next::Delta(delta);
            }
        }
        self.save(ratchet, Vec::new());
        let staged = ratchet.staged.as_ref().filter(|staged| staged.part.sha256 == head.snapshot.sha256);
        let delta = staged.and_then(|staged| delta_from(head, staged.set.seq()));
        delta.map_or(Next::Snapshot(head.snapshot), Next::Delta)
    }
}
