//! With the store at its limit exchanges end first; the switch goes on in what is kept for it.

use shortbread_protocol::clock::FOREVER;

use super::*;

const RESERVE: u64 = 64 * 4096;

fn limited(place: &Place, more: u32) -> Store {
    let pages: u32 = place.raw().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let options = Options { max_pages: Some(pages + more), reserve: Some(RESERVE), ..Options::default() };
    Store::open(&place.path(), &options).unwrap()
}

/// Records exchanges until one is refused; gives how many were recorded, and why no more.
async fn fill(store: &Store) -> (u64, RecordError) {
    let mut recorded = 0;
    loop {
        match store.record_exchange(exchange(recorded, "enrich", NOW.seconds())).await {
            Ok(_) => recorded += 1,
            Err(error) => return (recorded, error),
        }
    }
}

fn operators(n: u64) -> Exchange {
    let mut exchange = exchange(n, "enrich", NOW.seconds());
    exchange.token.principal = "operator:alice".into();
    exchange
}

#[tokio::test]
async fn the_switch_goes_on_where_exchanges_end() {
    let place = Place::new();
    drop(place.create());
    let store = limited(&place, 64 + 16);
    let (recorded, error) = fill(&store).await;
    assert!(recorded > 0 && matches!(error, RecordError::Store(StoreError::Full { .. })), "{error}");
    let refused = store.record_exchange(exchange(10_000, "enrich", NOW.seconds())).await.unwrap_err();
    assert!(matches!(refused, RecordError::Store(StoreError::AtReserve { .. })), "{refused}");
    let denied = store.record_denial(None, audit("denied")).await.unwrap_err();
    assert!(matches!(denied, StoreError::AtReserve { .. }), "strangers take nothing of it: {denied}");
    for n in 0..20 {
        revoke(&store, workflow(&format!("workflow-{n}")), RevokeMode::Forever).await;
        store.record_exchange(operators(20_000 + n)).await.unwrap();
        let used = Use { replay: None, token: None, operator: true, audit: audit("again") };
        store.record_use(used).await.unwrap();
        head(&store).await;
    }
    assert!(matches!(store.healthy(), Err(StoreError::AtReserve { .. })), "and it says so all the while");
    lift(&store, workflow("workflow-0"), LiftMode::Revive).await.unwrap();
    assert_eq!(store.audit_size(), recorded + 61);
    drop(store);
    assert_eq!(place.open().audit_size(), recorded + 61);
}

#[tokio::test]
async fn the_root_key_is_obeyed_where_exchanges_end() {
    let place = Place::new();
    drop(place.create());
    let store = limited(&place, 64 + 16);
    fill(&store).await;
    let refused = store.record_exchange(exchange(10_000, "enrich", NOW.seconds())).await.unwrap_err();
    assert!(matches!(refused, RecordError::Store(StoreError::AtReserve { .. })), "{refused}");
    let head = BreakGlassRecord { seq: 7, global: FOREVER, signed: vec![1, 2, 3], at: NOW };
    assert!(store.keep_break_glass(head, audit("stop")).await.unwrap());
    assert_eq!(store.mirror().stopped(), FOREVER);
    let record = KeyRecord { version: 2, signed: vec![4], by: "alice".to_owned(), at: NOW };
    store.publish_keys(record, audit("a key that leaked is taken out of the document")).await.unwrap();
}

#[tokio::test]
async fn exchanges_come_back_with_room_and_some_more() {
    let place = Place::new();
    drop(place.create());
    let store = limited(&place, 64 + 16);
    let (recorded, _) = fill(&store).await;
    // Room that is not enough changes nothing; then a good part of the log goes.
    for _ in 0..40 {
        head(&store).await;
    }
    assert!(store.record_exchange(exchange(10_000, "enrich", NOW.seconds())).await.is_err());
    place
        .raw()
        .execute_batch("DELETE FROM audit_key; DELETE FROM audit_entry WHERE idx % 4 != 0; DELETE FROM token")
        .unwrap();
    for _ in 0..40 {
        head(&store).await;
    }
    assert_eq!(store.healthy(), Ok(()));
    store.record_exchange(exchange(10_001, "enrich", NOW.seconds())).await.unwrap();
    assert!(recorded > 0);
}

#[tokio::test]
async fn what_is_full_for_good_is_refused_without_end() {
    let place = Place::new();
    drop(place.create());
    let store = limited(&place, 64 + 2);
    fill(&store).await;
    let error = loop {
        let audit = |changed: &Changed| {
            let body = vec![b'x'; 20_000];
            AuditEntry {
                at: NOW,
                decision: format!("rev_{}", changed.seq),
                trace: None,
                parent: None,
                about: None,
                body,
                input: None,
            }
        };
        let again = vec![revocation(workflow("enrich"), RevokeMode::Forever)];
        if let Err(error) = store.revoke(again, "alice".into(), NOW, audit).await {
            break error;
        }
    };
    assert!(matches!(error, ChangeError::Store(StoreError::Full { .. })), "{error}");
    assert!(store.healthy().is_err());
}
