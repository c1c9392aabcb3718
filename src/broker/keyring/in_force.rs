//! A key document with the private halves that this broker has of it, at one moment. Immutable: a flow takes one.

use std::collections::BTreeMap;
use std::sync::Arc;

use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::names::KeyName;

use super::gate::{Candidate, LATEST, Since, Turn, choose, turns};
use super::halves::Halves;
use crate::signer::{LocalSigner, Signer};

/// A key that this broker can sign with.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) listed: DocumentKey,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) since: Option<Since>,
}

/// A key document and what this broker can do with it.
pub struct InForce {
    /// What the root key signed, read.
    pub document: KeyDocument,
    /// The same in its exact bytes.
    pub signed: Arc<[u8]>,
    /// SHA-256 of the bytes.
    pub hash: [u8; 32],
    pub(super) held: Vec<Held>,
    /// The documents that led here, oldest first, with the second of each activation.
    pub(super) history: Vec<(KeyDocument, u64)>,
    /// The bytes of every document that was published, this one included.
    pub(super) published: BTreeMap<u64, Arc<[u8]>>,
}

/// What an operator is told of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// As it stands in the document.
    pub listed: DocumentKey,
    /// What it does; `None` where this broker does not have its private half.
    pub turn: Option<Turn>,
}

/// Asks how many verifiers that report do not report this document version yet.
pub(super) type Behind<'a> = &'a dyn Fn(u64) -> usize;

impl InForce {
    /// The key that signs for a purpose now.
    pub(super) fn signs(
        &self,
        purpose: KeyPurpose,
        revoked: &dyn Fn(&KeyName) -> bool,
        behind: Behind<'_>,
        now: u64,
    ) -> Option<&Held> {
        let held: Vec<&Held> = self.of(purpose).collect();
        let candidates: Vec<Candidate> = held.iter().map(|held| held.candidate(revoked)).collect();
        choose(&candidates, behind, now).and_then(|at| held.get(at).copied())
    }

    /// Every key of the document and what it does.
    pub(super) fn states(
        &self,
        revoked: &dyn Fn(&KeyName) -> bool,
        behind: Behind<'_>,
        now: u64,
    ) -> Vec<KeyState> {
        let mut known = Vec::new();
        for purpose in KeyPurpose::BROKER {
            let none = |_: &KeyName| false;
            let revoked = if purpose == KeyPurpose::Token { revoked } else { &none };
            let held: Vec<&Held> = self.of(purpose).collect();
            let candidates: Vec<Candidate> = held.iter().map(|held| held.candidate(revoked)).collect();
            known.extend(held.into_iter().zip(turns(&candidates, behind, now)));
        }
        let turn = |listed: &DocumentKey| {
            known.iter().find(|(held, _)| held.listed == *listed).map(|(_, turn)| *turn)
        };
        self.document
            .keys
            .iter()
            .map(|listed| KeyState { turn: turn(listed), listed: listed.clone() })
            .collect()
    }

    pub(super) fn of(&self, purpose: KeyPurpose) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(move |held| held.listed.purpose == purpose)
    }
}

impl Held {
    fn candidate(&self, revoked: &dyn Fn(&KeyName) -> bool) -> Candidate {
        Candidate {
            not_before: self.listed.not_before,
            not_after: self.listed.not_after,
            since: self.since,
            revoked: revoked(&self.listed.name),
        }
    }
}

/// The keys of a document that this broker has, each with the document that named it first.
pub(super) fn held(
    document: &KeyDocument,
    halves: &Halves,
    known: &[Held],
    since: &dyn Fn(&DocumentKey) -> Option<Since>,
) -> Vec<Held> {
    let ours = document.keys.iter().filter(|listed| KeyPurpose::BROKER.contains(&listed.purpose));
    let held = |listed: &DocumentKey| {
        // A key that is in memory stays good when its file has been taken away.
        let kept = known.iter().find(|held| held.listed.key == listed.key && held.listed.name == listed.name);
        let signer: Arc<dyn Signer> = match kept {
            Some(kept) => Arc::clone(&kept.signer),
            None => Arc::new(LocalSigner::new(listed.name.clone(), halves.of(listed)?.clone())),
        };
        Some(Held { listed: listed.clone(), signer, since: since(listed) })
    };
    ours.filter_map(held).collect()
}

/// Since which document verifiers can know a key of the last one. `history` is in order, with the time of each activation.
pub(super) fn since(history: &[(KeyDocument, u64)], key: &DocumentKey) -> Option<Since> {
    let names = |document: &KeyDocument| {
        document.keys.iter().any(|one| (one.purpose, &one.name, one.key) == (key.purpose, &key.name, key.key))
    };
    let without = history.iter().rposition(|(document, _)| !names(document))?;
    history.get(without + 1).map(|(document, at)| Since { version: document.version, at: *at })
}

/// How long a key that is about to be replaced has to be good still, in seconds: it signs until verifiers know the
/// document, and what it signs then lives up to an hour, by clocks that differ by up to a minute.
pub const LEAST_OVERLAP: u64 = LATEST + 3600 + 60;
