//! Key documents and break-glass heads: neither goes back, whatever else happens.

use super::*;

on_sqlite! {
    documents_rise_and_are_kept_with_their_audit_entry
    a_break_glass_head_counts_in_every_check_and_only_a_newer_one_replaces_it
}

fn document(version: u64) -> KeyRecord {
    KeyRecord { version, signed: vec![u8::try_from(version).unwrap(); 3], by: "alice".to_owned(), at: NOW }
}

async fn documents_rise_and_are_kept_with_their_audit_entry(store: &Store) {
    assert!(store.key_documents().await.unwrap().is_empty());
    store.publish_keys(document(1), audit("dec_1")).await.unwrap();
    store.publish_keys(document(5), audit("dec_2")).await.unwrap();
    for version in [1, 4, 5] {
        let refused = store.publish_keys(document(version), audit("dec_3")).await;
        assert_eq!(refused, Err(KeyError::NotNext { offered: version, highest: 5 }));
    }
    assert_eq!(store.key_documents().await.unwrap(), [document(1), document(5)]);
    assert_eq!(store.audit_size(), 2, "what was refused left no trace");
}

fn head(seq: u64, global: u64) -> BreakGlassRecord {
    BreakGlassRecord { seq, global, signed: vec![1, 2, 3], at: NOW }
}

async fn a_break_glass_head_counts_in_every_check_and_only_a_newer_one_replaces_it(store: &Store) {
    let issued = NOW.seconds();
    assert_eq!(store.break_glass().await.unwrap(), None);
    assert!(store.keep_break_glass(head(7, issued + 1), audit("dec_1")).await.unwrap());
    let refused = store.record_exchange(exchange(1, "demo", issued)).await;
    assert_eq!(refused, Err(RecordError::RevokedAll));
    store.record_exchange(exchange(2, "demo", issued + 1)).await.unwrap();
    for seq in [6, 7] {
        assert!(!store.keep_break_glass(head(seq, 0), audit("dec_2")).await.unwrap(), "{seq}");
    }
    let mirror = store.mirror();
    assert_eq!((mirror.stopped(), mirror.everything(), mirror.global()), (issued + 1, issued + 1, 0));
    let kept = store.break_glass().await.unwrap().unwrap();
    assert_eq!((kept.seq, kept.global), (7, issued + 1));
    assert!(store.keep_break_glass(head(8, 0), audit("dec_3")).await.unwrap());
    store.record_exchange(exchange(3, "demo", issued)).await.unwrap();
}

#[tokio::test]
async fn a_break_glass_head_outlives_the_process() {
    let place = Place::new();
    let store = place.create();
    store.keep_break_glass(head(7, 100), audit("dec_1")).await.unwrap();
    let before = store.mirror();
    drop(store);
    let again = place.open();
    assert_eq!(again.mirror().stopped(), 100);
    assert_eq!(*again.mirror(), *before);
}
