//! What only goes up, what is on its way in, and what went wrong: the part of the trust behind its lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::key_document::KeyDocument;
use shortbread_protocol::revocations::Head;
use shortbread_protocol::verifiers::Step as Source;

use super::disk::{Body, Picture};
use super::floor::{Floor, Part, Reached, Step, Stop};
use super::refused::Refused;
use super::set::RevocationSet;
use super::state::{Age, Mark, Seen, State};

/// What a verifier reports about its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The sequence of the head in force; 0 for none.
    pub seq: u64,
    /// The sequence of the last change that the entries in force hold; 0 for none.
    pub contents: u64,
    /// The version of the key document in force; 0 for none.
    pub keys_version: u64,
    /// The sequence of the break-glass head in force; 0 for none.
    pub break_glass: u64,
    /// How old the list is.
    pub age: Age,
    /// Where heads come from.
    pub source: Source,
    /// When the entries in force were applied; a heartbeat, which changes none of them, does not move it.
    pub applied_at: Option<Timestamp>,
    /// How many snapshots were put in force since the start.
    pub snapshots_applied: u64,
    /// How many deltas were put in force since the start.
    pub deltas_applied: u64,
    /// How many heads were refused, by [`Refused::code`].
    pub heads_refused: BTreeMap<&'static str, u64>,
    /// How many key documents, snapshots and deltas were refused, by [`Refused::code`].
    pub files_refused: BTreeMap<&'static str, u64>,
    /// The last refusal since a head was applied, or what was not taken from disk at the start.
    pub last_error: Option<String>,
    /// Why the state directory could not be written, when that failed last time.
    pub floor_error: Option<String>,
}

/// The mutable half of the trust.
#[derive(Debug, Default)]
pub(super) struct Ratchet {
    /// The highest key document: version, and hash of the signed text.
    pub(super) keys: Option<Step>,
    pub(super) document: Option<Known>,
    /// The key document that a verified head waits for: version, and hash of all bytes.
    pub(super) wanted: Option<(u64, [u8; 32])>,
    /// The highest valid head.
    pub(super) head: Option<Highest>,
    /// There were two different heads with that sequence: neither counts.
    pub(super) contested: bool,
    /// A valid head whose entries are not applied yet.
    pub(super) pending: Option<Pending>,
    /// A snapshot that a head asked for, until the delta that leads on from it is there, too.
    pub(super) staged: Option<Staged>,
    /// The break-glass head in force.
    pub(super) stop: Option<Stop>,
    /// The last head offered, believed or not.
    glimpse: Option<([u8; 32], Seen)>,
    pub(super) heads_refused: BTreeMap<&'static str, u64>,
    pub(super) files_refused: BTreeMap<&'static str, u64>,
    pub(super) snapshots_applied: u64,
    pub(super) deltas_applied: u64,
    pub(super) last_error: Option<String>,
}

/// The key document in force, as it was served, and the hash of that.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) document: Arc<KeyDocument>,
    pub(super) note: Arc<str>,
    pub(super) sha256: [u8; 32],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Highest {
    pub(super) reached: Reached,
    pub(super) seen: Seen,
}

#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) note: Arc<str>,
    pub(super) mark: Mark,
}

/// The list of a snapshot that is not in force, and its file.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) set: RevocationSet,
    pub(super) part: Part,
    pub(super) body: Option<Body>,
}

impl Ratchet {
    /// When a head was first seen. Offering it again, after its key document came, does not make it younger.
    pub(super) fn first_seen(&mut self, text: [u8; 32], now: Seen) -> Seen {
        if let Some(highest) = self.head.filter(|highest| highest.reached.sha256 == text) {
            return highest.seen;
        }
        match self.glimpse {
            Some((last, seen)) if last == text => seen,
            _ => {
                self.glimpse = Some((text, now));
                now
            }
        }
    }

    pub(super) fn count_head(&mut self, refused: &Refused) {
        *self.heads_refused.entry(refused.code()).or_default() += 1;
        self.last_error = Some(refused.to_string());
    }

    pub(super) fn count_file(&mut self, refused: &Refused) {
        *self.files_refused.entry(refused.code()).or_default() += 1;
        self.last_error = Some(refused.to_string());
    }

    /// What is to be found after a restart.
    pub(super) fn picture(&self, issuer: &str, state: &State) -> Picture {
        let floor = Floor {
            v: 2,
            issuer: issuer.to_owned(),
            keys: self.keys,
            head: self.head.map(|highest| highest.reached),
            break_glass: self.stop.clone(),
            equivocation: state.distrusted || self.contested,
            document: self.document.as_ref().map(|known| known.note.to_string()),
            list: None,
        };
        let head = state.list.as_ref().map(|list| (list.note.to_string(), list.at.millis()));
        Picture { floor, head }
    }
}

/// The text of a note, without its signatures. They are not compared: anyone on the way can add a line by an unknown
/// key, and that is no second head.
pub(super) fn text(note: &[u8]) -> Option<&[u8]> {
    let end = note.windows(2).rposition(|pair| pair == b"\n\n")?;
    note.get(..=end)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
