use super::*;

type Run = std::pin::Pin<Box<dyn Future<Output = Result<u64, RecordError>> + Send>>;

async fn an_assertion_is_used_once(store: &Store) {
    let tasks = (0..100).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut exchange = exchange(n, "release-notes", NOW.seconds());
            exchange.replay = Some(Replay {
                hash: [9; 32],
                keep_until: NOW.seconds() + 60,
                made: NOW.seconds(),
                holder: None,
            });
            store.record_exchange(exchange).await
        })
    });
    let results = futures_util::future::join_all(tasks).await;
    let won = results.iter().filter(|result| result.as_ref().unwrap().is_ok()).count();
    let replayed =
        results.iter().filter(|result| *result.as_ref().unwrap() == Err(RecordError::Replayed)).count();
    assert_eq!((won, replayed), (1, 99));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.tokens, counts.audit, counts.replays), (1, 1, 1));
}

async fn a_conflict_leaves_its_neighbours_alone(store: &Store) {
    let issued = NOW.seconds();
    let mut taken = exchange(1, "enrich", issued);
    taken.token.task = Some("task-1".into());
    store.record_exchange(taken).await.unwrap();
    let mut replayed = exchange(3, "enrich", issued);
    replayed.replay = exchange(1, "enrich", issued).replay;
    let mut thief = exchange(4, "mail-merge", issued);
    thief.token.task = Some("task-1".into());
    let twice = exchange(1, "enrich", issued);
    let twice = Exchange { replay: None, ..twice };
    let mut own = exchange(6, "enrich", issued);
    own.token.task = Some("task-1".into());
    let operations =
        [exchange(2, "enrich", issued), replayed, thief, twice, own, exchange(7, "enrich", issued)];
    let operations = operations.into_iter().map(|exchange| -> Run {
        let store = store.clone();
        Box::pin(async move { store.record_exchange(exchange).await })
    });
    let results = group(store, operations.collect()).await;
    let exists = StoreError::TokenExists(format!("tok_{:032x}", 1));
    let expected: [Result<u64, RecordError>; 6] =
        [Ok(1), Err(RecordError::Replayed), Err(RecordError::TaskTaken), Err(exists.into()), Ok(2), Ok(3)];
    assert_eq!(results, expected);
    // What was refused left nothing: neither its assertion nor its audit entry.
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.audit, counts.tokens, counts.replays, counts.tasks), (4, 4, 4, 1));
    assert_eq!(store.record_exchange(exchange(4, "mail-merge", issued)).await, Ok(4));
}

async fn what_others_decided_is_recorded_once_and_each_for_itself(store: &Store) {
    let of = |body: &'static [u8]| move |found: &[u8]| found == body;
    let entry = |id: &str, body: &[u8]| AuditEntry { body: body.to_vec(), ..audit(id) };
    let batch = vec![entry("dec_a", b"mine"), entry("dec_b", b"mine"), entry("dec_a", b"mine")];
    assert_eq!(store.record_calls(batch.clone(), of(b"mine")).await, Ok(vec![true, true, false]));
    assert_eq!(store.record_calls(batch, of(b"mine")).await, Ok(vec![false; 3]));
    let theirs = vec![entry("dec_a", b"theirs")];
    assert_eq!(store.record_calls(theirs, of(b"theirs")).await, Ok(vec![true]));
    let large = vec![entry("dec_c", b"mine"), entry("dec_d", &[b'x'; AUDIT_LIMIT + 1])];
    assert!(matches!(store.record_calls(large, of(b"mine")).await, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.counts().await.unwrap().audit, 3, "all or nothing");
}

async fn a_denial_is_recorded_and_uses_the_assertion(store: &Store) {
    let issued = NOW.seconds();
    let replay = exchange(1, "enrich", issued).replay;
    let denial = |place, anew| Ok(Denial { place, anew });
    assert_eq!(store.record_denial(replay.clone(), audit("dec_a")).await, denial(0, true));
    assert_eq!(store.record_denial(replay, audit("dec_b")).await, denial(1, false));
    assert_eq!(store.record_denial(None, audit("dec_c")).await, denial(2, true));
    assert_eq!(store.record_exchange(exchange(1, "enrich", issued)).await, Err(RecordError::Replayed));
}

async fn a_pinned_assertion_is_good_for_its_key_alone(store: &Store) {
    let by = |n: u64, holder: Option<&str>| {
        let replay = Replay {
            hash: [9; 32],
            keep_until: NOW.seconds() + 60,
            made: NOW.seconds(),
            holder: holder.map(Into::into),
        };
        Exchange { replay: Some(replay), ..exchange(n, "release-notes", NOW.seconds()) }
    };
    assert_eq!(store.record_exchange(by(1, Some("one"))).await, Ok(0));
    assert_eq!(store.record_exchange(by(2, Some("two"))).await, Err(RecordError::Pinned));
    assert_eq!(store.record_exchange(by(3, None)).await, Err(RecordError::Pinned));
    // Whoever else was refused neither took it over nor used it up.
    assert_eq!(
        store.record_denial(by(4, None).replay, audit("dec_a")).await.map(|denial| denial.place),
        Ok(1)
    );
    assert_eq!(
        store.record_denial(by(4, Some("two")).replay, audit("dec_b")).await.map(|denial| denial.place),
        Ok(2)
    );
    assert_eq!(store.record_exchange(by(5, Some("one"))).await, Ok(3));
    assert_eq!(store.counts().await.unwrap().replays, 1);
    // What was used up is not pinned later.
    store.record_exchange(exchange(6, "enrich", NOW.seconds())).await.unwrap();
    let replay =
        exchange(6, "enrich", NOW.seconds()).replay.map(|r| Replay { holder: Some("one".into()), ..r });
    let again = Exchange { replay, ..exchange(7, "enrich", NOW.seconds()) };
    assert_eq!(store.record_exchange(again).await, Err(RecordError::Replayed));
}

async fn what_is_forgotten_does_not_pass_for_unused(store: &Store) {
    let issued = NOW.seconds();
    store.record_exchange(exchange(1, "enrich", issued)).await.unwrap();
    let later = Timestamp::from_seconds(issued + 121);
    assert_eq!(store.prune(Timestamp::from_seconds(issued + 120)).await.unwrap().replays, 0);
    assert_eq!(store.prune(later).await.unwrap(), Pruned { replays: 1, delisted: 0, more: false });
    let mut again = exchange(2, "enrich", issued);
    again.replay = exchange(1, "enrich", issued).replay;
    let refused = store.record_exchange(again).await.unwrap_err();
    assert!(matches!(refused, RecordError::Store(StoreError::Forgotten { .. })), "{refused}");
    assert!(store.record_exchange(exchange(3, "enrich", issued + 1)).await.is_ok());
}

async fn pruning_is_bounded(store: &Store) {
    for n in 0..1003 {
        let replay = exchange(n, "enrich", NOW.seconds()).replay;
        store.record_denial(replay, audit("dec")).await.unwrap();
    }
    let later = Timestamp::from_seconds(NOW.seconds() + 121);
    let first = store.prune(later).await.unwrap();
    assert_eq!((first.replays, first.more), (1000, true));
    let second = store.prune(later).await.unwrap();
    assert_eq!((second.replays, second.more), (3, false));
}

async fn the_audit_log_has_no_gaps_and_is_found_by_its_keys(store: &Store) {
    for n in 0..5 {
        let entry = AuditEntry { trace: Some([n % 2; 16]), ..audit(&format!("dec_{n}")) };
        store.record_denial(None, entry).await.unwrap();
    }
    let tail = store.audit_tail(2, 2).await.unwrap();
    assert_eq!(tail.iter().map(|entry| entry.idx).collect::<Vec<_>>(), [2, 3]);
    let found = store.audit_by_decision("dec_3").await.unwrap();
    assert_eq!(found, tail[1..]);
    // printf '\0{"id":"dec_3"}' | sha256sum
    let leaf = "ccb27a051f5d66501ec9aad43de8d5e2aa9eb0af27d009df3474bdc248b6b72a";
    assert_eq!(hex::encode(found[0].leaf), leaf);
    let traced = store.audit_by_trace([0; 16]).await.unwrap();
    assert_eq!(traced.iter().map(|entry| entry.idx).collect::<Vec<_>>(), [0, 2, 4]);
    let large = AuditEntry { body: vec![b' '; AUDIT_LIMIT + 1], ..audit("dec_large") };
    assert!(matches!(store.record_denial(None, large).await, Err(StoreError::TooLarge { .. })));
    assert_eq!((store.audit_size(), store.healthy()), (5, Ok(())));
}

async fn policies_are_numbered_and_known_by_digest(store: &Store) {
    let policy = |n: u8| NewPolicy { bundle: vec![n; 3], digest: [n; 32], author: "alice".into(), at: NOW };
    assert_eq!(store.active_policy().await, Ok(None));
    let first = store.add_policy(policy(1), audit("p1")).await.unwrap();
    let second = store.add_policy(policy(2), audit("p2")).await.unwrap();
    assert_eq!((first.n, second.n), (1, 2));
    assert_eq!(store.add_policy(policy(1), audit("p1")).await.unwrap(), first);
    assert_eq!(store.audit_size(), 2);
    let activate = |version, action| Activate {
        version,
        workflows: None,
        until: None,
        back_to: None,
        operator: "alice".into(),
        action,
        at: NOW,
        ended: None,
    };
    let unknown = store.activate_policy(activate(3, PolicyAction::Activate), audit("a")).await;
    assert_eq!(unknown, Err(ActivateError::UnknownVersion(3)));
    store.activate_policy(activate(2, PolicyAction::Activate), audit("a")).await.unwrap();
    store.activate_policy(activate(1, PolicyAction::Rollback), audit("b")).await.unwrap();
    let active = store.active_policy().await.unwrap().unwrap();
    assert_eq!((active.version, active.bundle), (first.clone(), vec![1; 3]));
    assert_eq!(active.activation.action, PolicyAction::Rollback);
    assert_eq!(store.policy_versions().await.unwrap(), [first, second]);
    assert_eq!(store.policy_history().await.unwrap().len(), 2);
    assert_eq!(store.policy_bundle(2).await.unwrap(), Some(vec![2; 3]));
}

on_sqlite! {
    an_assertion_is_used_once
    a_conflict_leaves_its_neighbours_alone
    a_denial_is_recorded_and_uses_the_assertion
    what_others_decided_is_recorded_once_and_each_for_itself
    a_pinned_assertion_is_good_for_its_key_alone
    what_is_forgotten_does_not_pass_for_unused
    pruning_is_bounded
    the_audit_log_has_no_gaps_and_is_found_by_its_keys
    policies_are_numbered_and_known_by_digest
}

#[tokio::test]
async fn long_entries_of_one_trace_are_read_within_bounds() {
    let place = Place::new();
    let store = place.create();
    let long = |n: u64| AuditEntry {
        trace: Some([7; 16]),
        body: vec![b' '; AUDIT_LIMIT],
        ..audit(&format!("dec_{n}"))
    };
    let many = KEYED_BYTES / AUDIT_LIMIT + 20;
    let entries = (0..many as u64).map(|n| store.record_denial(None, long(n)));
    futures_util::future::try_join_all(entries).await.unwrap();
    let found = store.audit_by_trace([7; 16]).await.unwrap();
    assert_eq!((found.len(), found[0].idx), (KEYED_BYTES / AUDIT_LIMIT, 0));
}
