//! The questions that a head is asked before it counts.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::note::NoteError;
use shortbread_protocol::revocations::{DeltaRef, Head, HeadError, MAX_DELTA, MAX_HEAD, MAX_SNAPSHOT};

use super::ratchet::{sha256, text};
use super::refused::Refused;
use super::state::Applied;
use super::trust::Next;

/// How far ahead of this machine's clock a head may be issued, in seconds.
pub(super) const MAX_AHEAD: u64 = 30;

/// The hash of the signed text, when the head says that it is of this origin.
pub(super) fn check_origin(bytes: &[u8], origin: &str) -> Result<[u8; 32], Refused> {
    if bytes.len() > MAX_HEAD {
        return Err(Refused::TooLarge);
    }
    let text = text(bytes).ok_or(Refused::Malformed("form"))?;
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    if line == origin.as_bytes() { Ok(sha256(text)) } else { Err(Refused::Origin(origin.to_owned())) }
}

/// A head, if a key of the document that is valid now signed it, and until when that key is valid.
pub(super) fn open(
    bytes: &[u8],
    origin: &str,
    document: &KeyDocument,
    now: Timestamp,
) -> Result<(Head, u64), HeadError> {
    let now = now.seconds();
    let valid = |key: &&DocumentKey| (key.not_before..key.not_after).contains(&now);
    let keys: Vec<&DocumentKey> = document.of(KeyPurpose::Revocation).filter(valid).collect();
    let all: Vec<PublicKey> = keys.iter().map(|key| key.key).collect();
    let head = Head::open(bytes, origin, &all)?;
    let signed = |key: &&&DocumentKey| Head::open(bytes, origin, &[key.key]).is_ok();
    let until = keys.iter().filter(signed).map(|key| key.not_after).max();
    Ok((head, until.unwrap_or(0)))
}

/// Whether the files lead to the list that the head stands for, are of a size that is taken, and not older than what
/// is in force by a head that names the same key document.
pub(super) fn check_contents(head: &Head, applied: Option<&Applied>) -> Result<(), Refused> {
    let contents = head.contents();
    if contents > head.seq {
        return Err(Refused::Malformed("snapshot"));
    }
    let mut froms = BTreeSet::new();
    let leads_on = |delta: &DeltaRef| delta.from < delta.to.seq && froms.insert(delta.from);
    if !head.deltas.iter().all(leads_on) {
        return Err(Refused::Malformed("delta"));
    }
    if head.snapshot.bytes > MAX_SNAPSHOT || head.deltas.iter().any(|delta| delta.to.bytes > MAX_DELTA) {
        return Err(Refused::TooLarge);
    }
    if head.snapshot.seq < contents && delta_from(head, head.snapshot.seq).is_none() {
        return Err(Refused::DeltaMissing);
    }
    match applied.filter(|list| list.version == head.keys.0) {
        Some(list) if contents < list.contents() => {
            Err(Refused::SnapshotOlder { offered: contents, applied: list.contents() })
        }
        _ => Ok(()),
    }
}

/// The delta of a head that builds on the contents at `from` and leads to its own.
pub(super) fn delta_from(head: &Head, from: u64) -> Option<DeltaRef> {
    let contents = head.contents();
    head.deltas.iter().find(|delta| delta.from == from && delta.to.seq == contents).copied()
}

pub(super) fn check_times(head: &Head, now: u64) -> Result<(), Refused> {
    if head.issued > now.saturating_add(MAX_AHEAD) {
        return Err(Refused::Future(head.issued));
    }
    if head.expires <= now { Err(Refused::Expired(head.expires)) } else { Ok(()) }
}

pub(super) fn refusal(error: HeadError) -> Refused {
    match error {
        HeadError::Note(NoteError::TooLarge) => Refused::TooLarge,
        HeadError::Note(NoteError::Malformed) => Refused::Malformed("form"),
        HeadError::Note(NoteError::Unsigned | NoteError::BadSignature) => Refused::Signature,
        HeadError::Line(line) => Refused::Malformed(line),
    }
}

/// The `keys` line of a head that nobody vouched for, when it names a version above `known`. It only says what to ask
/// for: the document is believed for the root key's signature, and the head after that.
pub(super) fn peek_keys(bytes: &[u8], known: u64) -> Option<Next> {
    let text = std::str::from_utf8(text(bytes)?).ok()?;
    let (version, encoded) = text.lines().last()?.strip_prefix("keys ")?.split_once(' ')?;
    let version = version.parse().ok().filter(|version| *version > known)?;
    let sha256 = STANDARD.decode(encoded).ok()?.try_into().ok()?;
    Some(Next::Keys { version, sha256 })
}
