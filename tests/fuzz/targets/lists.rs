//! What a verifier is handed by whoever carries it: heads, key documents, snapshots.

use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::key_document::{self, DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::note;
use shortbread_protocol::revocations::{
    Cause, DeltaRef, Entry, FileRef, Head, RevokedId, SelectorKind, Snapshot, origin,
};
use shortbread_verifier::list::RevocationSet;

use super::{AS_IT_CAME, ISSUER, NOW, SIGNED, prefixed};

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

/// The text of a note, and whether our key signed the very bytes that came.
fn note_of(data: &[u8], origin: &str) -> Option<(Vec<u8>, bool)> {
    match data.split_first()? {
        (&SIGNED, text) => {
            let text = std::str::from_utf8(text).ok()?;
            Some((note::sign(text, origin, &key(1)).into_bytes(), true))
        }
        (_, note) => Some((note.to_vec(), false)),
    }
}

pub(super) fn head(data: &[u8]) {
    let origin = origin(ISSUER);
    let Some((note, signed)) = note_of(data, &origin) else { return };
    if let Ok(head) = Head::open(&note, &origin, &[key(1).public()]) {
        assert!(head.issued <= head.next && head.next <= head.expires && head.deltas.len() <= 8);
        let text = head.text(&origin);
        assert!(note.starts_with(format!("{text}\n").as_bytes()), "a head has one spelling");
        assert!(signed || text == honest_head().text(&origin), "a head that nobody signed is believed");
    }
}

pub(super) fn keys(data: &[u8]) {
    let Some((note, signed)) = note_of(data, &key_document::origin(ISSUER)) else { return };
    if let Ok(document) = KeyDocument::open(&note, ISSUER, &key(1).public()) {
        assert!((1..=128).contains(&document.keys.len()));
        let text = document.text();
        assert!(note.starts_with(format!("{text}\n").as_bytes()), "a key document has one spelling");
        assert!(signed || document == honest_document(), "a document that nobody signed is believed");
    }
}

pub(super) fn snapshot(data: &[u8]) {
    let origin = origin(ISSUER);
    let Ok(snapshot) = Snapshot::decode(data, &origin) else { return };
    assert!(snapshot.ids.len() * 20 <= data.len() && snapshot.entries.len() * 20 <= data.len());
    let again = Snapshot::decode(&snapshot.encode(&origin), &origin).expect("what is written is read");
    assert_eq!(again, snapshot);
    let (first, last) = (snapshot.ids.first().map(|id| id.id), snapshot.ids.last().map(|id| id.id));
    let set = RevocationSet::new(snapshot, 0);
    assert!(first.is_none_or(|id| set.has_id(&id)) && last.is_none_or(|id| set.has_id(&id)));
}

fn honest_head() -> Head {
    let file = |seq| FileRef { seq, sha256: [7; 32], bytes: 312 };
    Head {
        seq: 18_342,
        issued: NOW,
        next: NOW + 5,
        expires: NOW + 900,
        global: 0,
        snapshot: file(18_300),
        deltas: vec![DeltaRef { from: 18_300, to: file(18_342) }],
        keys: (4, [9; 32]),
    }
}

fn honest_document() -> KeyDocument {
    let named = |purpose, name: &str, seed| DocumentKey {
        purpose,
        name: name.parse().expect("a name"),
        key: key(seed).public(),
        not_before: 1,
        not_after: FOREVER,
    };
    let keys = vec![named(KeyPurpose::Token, "k1", 2), named(KeyPurpose::Revocation, "r1", 3)];
    KeyDocument { version: 4, issuer: ISSUER.to_owned(), break_glass: 0, keys }
}

pub(super) fn heads() -> Vec<Vec<u8>> {
    let (head, origin) = (honest_head(), origin(ISSUER));
    vec![prefixed(AS_IT_CAME, head.sign(&origin, &key(1))), prefixed(SIGNED, head.text(&origin))]
}

pub(super) fn documents() -> Vec<Vec<u8>> {
    let document = honest_document();
    vec![prefixed(AS_IT_CAME, document.sign(&key(1))), prefixed(SIGNED, document.text())]
}

pub(super) fn snapshots() -> Vec<Vec<u8>> {
    let entry = |kind, value: &str, until| Entry {
        kind,
        value: value.to_owned(),
        before: FOREVER,
        until,
        seq: 9,
        cause: Cause::Incident,
    };
    let entries = vec![
        entry(SelectorKind::Access, "payments/write", None),
        entry(SelectorKind::Workflow, "release-notes", Some(NOW + 60)),
    ];
    let ids: Vec<RevokedId> =
        (0u32..5).map(|n| RevokedId { id: RevokedId::hash(&n.to_be_bytes()), until: n }).collect();
    let whole = Snapshot { seq: 9, entries, ids };
    vec![Snapshot::default().encode(&origin(ISSUER)), whole.encode(&origin(ISSUER))]
}
