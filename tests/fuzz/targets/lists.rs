//! What a verifier is handed by whoever carries it: heads, key documents, snapshots, deltas, break-glass heads.

use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::key_document::{self, DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::note;
use shortbread_protocol::revocations::{
    BreakGlass, Cause, Delta, DeltaRef, Entry, FileRef, Head, Removed, RevokedId, SelectorKind, Snapshot,
    SnapshotView, origin,
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

pub(super) fn delta(data: &[u8]) {
    let origin = origin(ISSUER);
    let Ok(delta) = Delta::decode(data, &origin) else { return };
    assert!(delta.from < delta.seq && Snapshot::decode(data, &origin).is_err());
    let again = Delta::decode(&delta.encode(&origin), &origin).expect("what is written is read");
    assert_eq!(again, delta);
    let base = Snapshot { seq: delta.from, ..whole() };
    let mut after = base.clone();
    after.apply(&delta).expect("it builds on this list");
    let bytes = base.encode(&origin);
    let view = SnapshotView::open(&bytes, &origin).expect("what is written is read");
    let folded = view.after(std::slice::from_ref(&delta), &origin).expect("it builds on this list");
    assert_eq!(folded, after.encode(&origin), "two ways to one list");
    let (beside, anew) = (RevocationSet::new(base, 0).with_delta(&delta), RevocationSet::new(after, 0));
    for set in [&beside, &beside.merged()] {
        assert_eq!(format!("{set:?}"), format!("{anew:?}"));
        for entry in &delta.entries {
            assert_eq!(set.before(entry.kind, &entry.value), anew.before(entry.kind, &entry.value));
        }
        assert!(delta.removed.iter().all(|gone| set.before(gone.kind, &gone.value).is_none()));
        assert!(delta.ids.iter().all(|record| set.has_id(&record.id)));
        assert!(delta.ids_removed.iter().all(|id| set.has_id(id) == anew.has_id(id)));
    }
}

pub(super) fn break_glass(data: &[u8]) {
    let origin = origin(ISSUER);
    let Some((note, signed)) = note_of(data, &origin) else { return };
    if let Ok(stop) = BreakGlass::open(&note, &origin, &key(1).public()) {
        assert!(stop.seq > 0 && Head::open(&note, &origin, &[key(1).public()]).is_err());
        let text = stop.text(&origin);
        assert!(note.starts_with(format!("{text}\n").as_bytes()), "a break-glass head has one spelling");
        assert!(signed || stop == honest_stop(), "a break-glass head that nobody signed is believed");
    }
}

fn honest_stop() -> BreakGlass {
    BreakGlass { seq: NOW, issued: NOW, global: FOREVER }
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
    vec![Snapshot::default().encode(&origin(ISSUER)), whole().encode(&origin(ISSUER))]
}

pub(super) fn deltas() -> Vec<Vec<u8>> {
    let whole = whole();
    let removed = vec![Removed { kind: SelectorKind::Workflow, value: "release-notes".to_owned() }];
    let entries = vec![entry(SelectorKind::Token, "tok_1", None)];
    let (came, gone) = whole.ids.split_at(2);
    let ids = came.iter().map(|record| RevokedId { until: 99, ..*record }).collect();
    let ids_removed = gone.iter().map(|record| record.id).collect();
    let full = Delta { from: 9, seq: 12, entries, removed, ids, ids_removed };
    let short = Delta { from: 9, seq: 10, ..Delta::default() };
    vec![full.encode(&origin(ISSUER)), short.encode(&origin(ISSUER))]
}

pub(super) fn stops() -> Vec<Vec<u8>> {
    let (stop, origin) = (honest_stop(), origin(ISSUER));
    vec![prefixed(AS_IT_CAME, stop.sign(&origin, &key(1))), prefixed(SIGNED, stop.text(&origin))]
}

fn entry(kind: SelectorKind, value: &str, until: Option<u64>) -> Entry {
    Entry { kind, value: value.to_owned(), before: FOREVER, until, seq: 9, cause: Cause::Incident }
}

fn whole() -> Snapshot {
    let entries = vec![
        entry(SelectorKind::Access, "payments/write", None),
        entry(SelectorKind::Workflow, "release-notes", Some(NOW + 60)),
    ];
    let mut ids: Vec<RevokedId> =
        (0u32..5).map(|n| RevokedId { id: RevokedId::hash(&n.to_be_bytes()), until: n }).collect();
    ids.sort_unstable();
    Snapshot { seq: 9, entries, ids }
}
