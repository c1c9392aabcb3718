use std::time::Duration;

use super::*;

// A token with this id makes the COMMIT itself fail, as a full or failing disk does.
pub(super) const TRAP: &str = "CREATE TABLE trap_door (id INTEGER PRIMARY KEY);
    CREATE TABLE trap (id INTEGER REFERENCES trap_door (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER trap AFTER INSERT ON token WHEN NEW.workflow = 'trap'
    BEGIN INSERT INTO trap VALUES (1); END;";

type Run = std::pin::Pin<Box<dyn Future<Output = Result<u64, StoreError>> + Send>>;

fn record(store: &Store, n: u64, workflow: &'static str) -> Run {
    let store = store.clone();
    Box::pin(async move {
        store.record_exchange(exchange(n, workflow, NOW.seconds())).await.map_err(|error| match error {
            RecordError::Store(error) => error,
            other => panic!("{other}"),
        })
    })
}

#[tokio::test]
async fn a_failed_commit_fails_its_whole_group_and_leaves_nothing() {
    let place = Place::new();
    let store = place.create();
    place.raw().execute_batch(TRAP).unwrap();
    revoke(&store, workflow("mail-merge"), RevokeMode::Forever).await;
    let before = store.mirror();
    let denied: Run = {
        let store = store.clone();
        Box::pin(async move { store.record_denial(None, audit("denied")).await.map(|denial| denial.place) })
    };
    let results = group(&store, vec![record(&store, 1, "enrich"), record(&store, 2, "trap"), denied]).await;
    assert!(
        results.iter().all(|result| matches!(result, Err(StoreError::Unavailable { .. }))),
        "{results:?}"
    );
    assert!(store.healthy().is_err());
    assert_eq!(store.mirror(), before);
    let head = head(&store).await;
    assert!(head.seq > before.changed_seq());
    assert_eq!(store.healthy(), Ok(()));
    assert!(store.record_exchange(exchange(1, "enrich", NOW.seconds())).await.is_ok());
    assert_eq!(store.counts().await.unwrap().audit, 2);
}

#[derive(Debug, Default)]
struct Ear(std::sync::Mutex<Vec<Logged>>);

impl Sink for Ear {
    fn logged(&self, entries: Vec<Logged>) {
        self.0.lock().unwrap().extend(entries);
    }
}

#[tokio::test]
async fn only_what_holds_is_told_and_all_of_it() {
    let place = Place::new();
    let store = place.create();
    place.raw().execute_batch(TRAP).unwrap();
    store.record_denial(None, audit("before")).await.unwrap();
    let (ear, other) = (Arc::new(Ear::default()), Arc::new(Ear::default()));
    store.tell(ear.clone());
    store.tell(other.clone());
    // A commit that fails, then an operation that is refused beside others that hold.
    let failed = group(&store, vec![record(&store, 1, "enrich"), record(&store, 2, "trap")]).await;
    assert!(failed.iter().all(Result::is_err));
    let taken: Run = {
        let (store, taken) =
            (store.clone(), Exchange { replay: None, ..exchange(3, "enrich", NOW.seconds()) });
        Box::pin(async move {
            let refused = store.record_exchange(taken).await.unwrap_err();
            assert!(matches!(refused, RecordError::Store(StoreError::TokenExists(_))), "{refused}");
            Err(StoreError::TokenExists("tok".to_owned()))
        })
    };
    let mixed = vec![record(&store, 3, "enrich"), taken, record(&store, 4, "enrich")];
    assert_eq!(group(&store, mixed).await.iter().filter(|result| result.is_ok()).count(), 2);
    revoke(&store, workflow("mail-merge"), RevokeMode::Forever).await;
    let log = store.audit_tail(1, 100).await.unwrap();
    let logged: Vec<Vec<u8>> = log.into_iter().map(|entry| entry.body).collect();
    let told: Vec<Vec<u8>> = ear.0.lock().unwrap().iter().map(|told| told.body.clone()).collect();
    assert_eq!((told.len(), &told), (3, &logged));
    assert!(other.0.lock().unwrap().is_empty(), "the first who asked hears of it, and nobody else");
}

#[tokio::test]
async fn numbers_rise_over_restarts_and_failures() {
    let place = Place::new();
    let mut store = place.create();
    place.raw().execute_batch(TRAP).unwrap();
    let mut last = 0;
    for round in 0..5 {
        let seq = head(&store).await.seq;
        assert!(seq > last);
        let changed = revoke(&store, workflow("mail-merge"), RevokeMode::Forever).await.seq;
        assert!(changed > seq);
        last = changed;
        if round % 2 == 0 {
            drop(store);
            store = place.open();
            assert_eq!((store.seq(), store.head().unwrap().seq), (changed, seq));
        } else {
            assert!(record(&store, round, "trap").await.is_err());
        }
    }
}

#[tokio::test]
async fn every_answered_record_is_found_after_a_restart() {
    let place = Place::new();
    let store = place.create();
    let tasks = (0..200).map(|n| tokio::spawn(record(&store, n, "enrich")));
    let answered: Vec<u64> = futures_util::future::join_all(tasks)
        .await
        .into_iter()
        .map(|result| result.unwrap().unwrap())
        .collect();
    // What lies on the disk at this moment, as a killed process leaves it.
    let killed = Place::new();
    for suffix in ["", "-wal"] {
        let name = |place: &Place| format!("{}{suffix}", place.path().display());
        std::fs::copy(name(&place), name(&killed)).unwrap();
    }
    drop(store);
    for place in [place, killed] {
        let store = place.open();
        let stored = store.audit_tail(0, 1000).await.unwrap();
        assert_eq!(stored.len(), 200);
        assert!(answered.iter().all(|idx| stored.iter().any(|entry| entry.idx == *idx)));
        for n in 0..200 {
            let id = format!("tok_{n:032x}");
            assert_eq!(store.token(&id).await.unwrap(), Some(exchange(n, "enrich", NOW.seconds()).token));
        }
    }
}

#[tokio::test]
async fn dropping_the_store_writes_what_is_queued() {
    let place = Place::new();
    let store = place.create();
    let release = hold(&store).await;
    let mut queued = record(&store, 1, "enrich");
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(queued.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    drop(release);
    // The caller goes away; its record stays.
    drop(queued);
    drop(store);
    // The holding task has the last clone until it is polled to its end.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(place.open().counts().await.unwrap().tokens, 1);
}

#[tokio::test]
async fn another_programs_lock_is_named_and_waited_out() {
    let place = Place::new();
    let store = place.create();
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = record(&store, 1, "enrich").await;
    assert!(matches!(refused, Err(StoreError::Locked { .. })), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(record(&store, 1, "enrich").await, Ok(0));
}

#[tokio::test]
async fn a_full_disk_is_named_and_closed() {
    let place = Place::new();
    drop(place.create());
    let pages: u32 = place.raw().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let options = Options { max_pages: Some(pages + 8), ..Options::default() };
    let store = Store::open(&place.path(), &options).unwrap();
    let mut recorded = 0;
    let error = loop {
        match record(&store, recorded, "enrich").await {
            Ok(_) => recorded += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(matches!(store.healthy(), Err(StoreError::Full { .. })));
    drop(store);
    let store = place.open();
    assert_eq!(store.counts().await.unwrap().tokens, recorded);
    assert_eq!(store.audit_size(), recorded);
    assert_eq!(record(&store, recorded, "enrich").await, Ok(recorded));
}

#[tokio::test]
async fn an_operation_that_panics_takes_nobody_along_for_good() {
    let place = Place::new();
    let store = place.create();
    let broken = store.next_head(NOW, |_| panic!("the signer broke")).await;
    assert!(matches!(broken, Err(HeadError::Store(StoreError::Unavailable { .. }))), "{broken:?}");
    assert_eq!(record(&store, 1, "enrich").await, Ok(0));
}
