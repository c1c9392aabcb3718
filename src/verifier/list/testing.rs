//! A broker that signs whatever a test asks for.

use std::path::Path;
use std::sync::Arc;

use shortbread_protocol::clock::{Clock, FOREVER, ManualClock, Timestamp};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::revocations::{
    BreakGlass, Cause, Delta, DeltaRef, Entry, FileRef, Head, Removed, SelectorKind, Snapshot, origin,
};

use super::*;

pub(crate) const ISSUER: &str = "https://broker.acme.example";
pub(crate) const NOW: u64 = 1_795_348_800;

pub(crate) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

pub(crate) struct Broker {
    pub(crate) document: KeyDocument,
    pub(crate) snapshot: Snapshot,
}

impl Broker {
    pub(crate) fn new() -> Self {
        let named = |purpose, name: &str, seed| DocumentKey {
            purpose,
            name: name.parse().unwrap(),
            key: key(seed).public(),
            not_before: 1,
            not_after: FOREVER,
        };
        let keys =
            vec![named(KeyPurpose::Token, "k2026-11a", 2), named(KeyPurpose::Revocation, "r2026-11a", 3)];
        let document = KeyDocument { version: 1, issuer: ISSUER.to_owned(), break_glass: 0, keys };
        Self { document, snapshot: Snapshot { seq: 5, ..Snapshot::default() } }
    }

    pub(crate) fn keys(&self) -> Vec<u8> {
        self.document.sign(&key(1)).into_bytes()
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.snapshot.encode(&origin(ISSUER))
    }

    pub(crate) fn revoke(&mut self, seq: u64, workflow: &str) {
        let (kind, value) = (SelectorKind::Workflow, workflow.to_owned());
        let entry = Entry { kind, value, before: FOREVER, until: None, seq, cause: Cause::Incident };
        self.snapshot.entries.push(entry);
        self.snapshot.seq = seq;
    }

    pub(crate) fn lift(&mut self, seq: u64, workflow: &str) {
        self.snapshot.entries.retain(|entry| entry.value != workflow);
        self.snapshot.seq = seq;
    }

    /// What leads from an earlier list of this broker to its present one.
    pub(crate) fn delta(&self, old: &Snapshot) -> (DeltaRef, Vec<u8>) {
        let new = &self.snapshot;
        let gone = |entry: &&Entry| !new.entries.iter().any(|kept| kept.value == entry.value);
        let removed = old.entries.iter().filter(gone);
        let delta = Delta {
            from: old.seq,
            seq: new.seq,
            entries: new.entries.iter().filter(|entry| !old.entries.contains(entry)).cloned().collect(),
            removed: removed.map(|entry| Removed { kind: entry.kind, value: entry.value.clone() }).collect(),
            ids: new.ids.iter().filter(|record| !old.ids.contains(record)).copied().collect(),
            ids_removed: Vec::new(),
        };
        named(&delta)
    }

    /// A head with a delta from an earlier list, and that delta.
    pub(crate) fn after(&self, old: &Snapshot, seq: u64) -> (Head, Vec<u8>) {
        let (delta, bytes) = self.delta(old);
        (Head { deltas: vec![delta], ..self.head(seq, NOW) }, bytes)
    }

    pub(crate) fn head(&self, seq: u64, issued: u64) -> Head {
        let snapshot = self.snapshot();
        let sha256 = ratchet::sha256(&snapshot);
        Head {
            seq,
            issued,
            next: issued + 5,
            expires: issued + 900,
            global: 0,
            snapshot: FileRef { seq: self.snapshot.seq, sha256, bytes: snapshot.len() as u64 },
            deltas: Vec::new(),
            keys: (self.document.version, KeyDocument::hash(&self.keys())),
        }
    }

    pub(crate) fn signed(&self, seq: u64, issued: u64) -> Vec<u8> {
        sign(&self.head(seq, issued))
    }
}

pub(crate) fn named(delta: &Delta) -> (DeltaRef, Vec<u8>) {
    let bytes = delta.encode(&origin(ISSUER));
    let to = FileRef { seq: delta.seq, sha256: ratchet::sha256(&bytes), bytes: bytes.len() as u64 };
    (DeltaRef { from: delta.from, to }, bytes)
}

pub(crate) fn stop(seq: u64, global: u64) -> Vec<u8> {
    BreakGlass { seq, issued: NOW, global }.sign(&origin(ISSUER), &key(1)).into_bytes()
}

pub(crate) fn sign(head: &Head) -> Vec<u8> {
    head.sign(&origin(ISSUER), &key(3)).into_bytes()
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)))
}

pub(crate) fn open(clock: &Arc<ManualClock>, dir: Option<&Path>) -> Result<Trust, FloorError> {
    let pin = Pin { issuer: ISSUER.to_owned(), root: key(1).public() };
    Trust::new(pin, Arc::clone(clock) as Arc<dyn Clock>, dir)
}
