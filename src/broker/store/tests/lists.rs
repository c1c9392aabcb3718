use shortbread_protocol::clock::FOREVER;

use super::*;

async fn a_revocation_between_check_and_record_counts(store: &Store) {
    let waiting = exchange(1, "enrich", NOW.seconds());
    assert_eq!(store.mirror().standing(&waiting.standing), Ok(()));
    revoke(store, workflow("enrich"), RevokeMode::Forever).await;
    assert_eq!(store.record_exchange(waiting).await, Err(RecordError::Revoked(SelectorKind::Workflow)));
    assert!(store.record_exchange(exchange(2, "mail-merge", NOW.seconds())).await.is_ok());
    assert_eq!(store.counts().await.unwrap().replays, 1);
}

async fn a_revocation_counts_within_its_own_group(store: &Store) {
    type Run = std::pin::Pin<Box<dyn Future<Output = bool> + Send>>;
    let record = |n| -> Run {
        let store = store.clone();
        Box::pin(async move { store.record_exchange(exchange(n, "enrich", NOW.seconds())).await.is_ok() })
    };
    let revoking: Run = {
        let store = store.clone();
        Box::pin(
            async move { !revoke(&store, workflow("enrich"), RevokeMode::Forever).await.entries.is_empty() },
        )
    };
    assert_eq!(
        group(store, vec![record(1), revoking, record(2)]).await,
        [false, true, false],
        "it goes first"
    );
}

async fn no_token_of_the_same_second_survives_a_dated_revocation(store: &Store) {
    // A mint whose clock is ahead.
    let ahead = NOW.seconds() + 30;
    store.record_exchange(exchange(1, "enrich", ahead)).await.unwrap();
    let changed = revoke(store, workflow("enrich"), RevokeMode::IssuedSoFar).await;
    assert_eq!(changed.entries[0].before, ahead + 1);
    let standing = exchange(2, "enrich", ahead).standing;
    assert_eq!(store.mirror().earliest(&standing), ahead + 1);
    let refused = store.record_exchange(exchange(2, "enrich", ahead)).await;
    assert_eq!(refused, Err(RecordError::Revoked(SelectorKind::Workflow)));
    assert!(store.record_exchange(exchange(3, "enrich", ahead + 1)).await.is_ok());
}

async fn the_record_bears_the_date_that_is_checked(store: &Store) {
    revoke(store, workflow("enrich"), RevokeMode::IssuedSoFar).await;
    let mut forged = exchange(1, "enrich", NOW.seconds());
    forged.standing.issued = NOW.seconds() + 1000;
    assert_eq!(store.record_exchange(forged).await, Err(RecordError::Revoked(SelectorKind::Workflow)));
}

async fn everything_stops_but_the_operators(store: &Store) {
    let changed = revoke(store, Target::All, RevokeMode::Forever).await;
    assert_eq!((changed.entries[0].before, store.mirror().global()), (FOREVER, FOREVER));
    let refused = store.record_exchange(exchange(1, "enrich", NOW.seconds())).await;
    assert_eq!(refused, Err(RecordError::RevokedAll));
    let mut operator = exchange(2, "enrich", NOW.seconds());
    operator.standing.exempt_global = true;
    assert!(store.record_exchange(operator).await.is_ok());
    let lifted = lift(store, Target::All, LiftMode::KeepOldDead).await.unwrap();
    assert_eq!(lifted.entries[0].before, NOW.seconds() + 1);
    assert!(store.record_exchange(exchange(3, "enrich", NOW.seconds() + 1)).await.is_ok());
    lift(store, Target::All, LiftMode::Revive).await.unwrap();
    assert_eq!(store.mirror().global_entry(), None);
    let again = lift(store, Target::All, LiftMode::Revive).await;
    assert_eq!(again, Err(ChangeError::NotRevoked("everything".into())));
}

async fn lifting_keeps_old_tokens_dead_or_revives_them(store: &Store) {
    let (old, new) = (NOW.seconds(), NOW.seconds() + 5);
    let alive = |issued| store.mirror().standing(&exchange(0, "enrich", issued).standing).is_ok();
    revoke(store, workflow("enrich"), RevokeMode::Forever).await;
    assert!(!alive(old) && !alive(new));
    lift(store, workflow("enrich"), LiftMode::KeepOldDead).await.unwrap();
    assert!(!alive(old) && alive(new));
    // Tokens that a dated revocation let live outlive its lift.
    store.record_exchange(exchange(1, "enrich", new)).await.unwrap();
    let lifted = lift(store, workflow("enrich"), LiftMode::KeepOldDead).await.unwrap();
    assert_eq!(lifted.entries[0].was, lifted.entries[0].before);
    assert!(!alive(old) && alive(new));
    lift(store, workflow("enrich"), LiftMode::Revive).await.unwrap();
    assert!(alive(old) && store.mirror().entries().count() == 0);
}

async fn lifts_are_done_together_or_not_at_all(store: &Store) {
    revoke(store, workflow("enrich"), RevokeMode::Forever).await;
    let before = (store.mirror(), store.audit_size());
    let both = |again: &str| {
        let lift = |name: &str| Lift { target: workflow(name), mode: LiftMode::Revive, until: None };
        vec![lift("enrich"), lift(again)]
    };
    let refused = store.lift(both("other"), NOW, |_| audit("l")).await;
    assert_eq!(refused, Err(ChangeError::NotRevoked("workflow other".into())));
    assert_eq!((store.mirror(), store.audit_size()), before);
    let twice = store.lift(both("enrich"), NOW, |_| audit("l")).await.unwrap();
    assert_eq!(twice.entries.len(), 1);
    assert_eq!(store.lift(Vec::new(), NOW, |_| audit("l")).await, Err(ChangeError::Nothing));
}

async fn revoking_again_never_weakens(store: &Store) {
    let first = revoke(store, workflow("enrich"), RevokeMode::Forever).await;
    let mut weaker = revocation(workflow("enrich"), RevokeMode::IssuedSoFar);
    weaker.until = Some(NOW.seconds() + 7200);
    let twice = vec![weaker.clone(), weaker];
    let second = store.revoke(twice, "bob".into(), NOW, |_| audit("again")).await.unwrap();
    assert!(second.seq > first.seq && second.entries.len() == 1);
    let mirror = store.mirror();
    let entry = mirror.entry(SelectorKind::Workflow, "enrich").unwrap();
    assert_eq!((entry.before, entry.until, entry.seq), (FOREVER, None, second.seq));
    assert_eq!((&*entry.operator, mirror.changed_seq()), ("bob", second.seq));
    assert_eq!(store.audit_size(), 2);
    let nothing = store.revoke(Vec::new(), "bob".into(), NOW, |_| audit("none")).await;
    assert_eq!(nothing, Err(ChangeError::Nothing));
}

async fn a_key_is_revoked_for_good(store: &Store) {
    let key = target(SelectorKind::Key, "token-2026-11");
    let dated = vec![
        revocation(workflow("enrich"), RevokeMode::Forever),
        revocation(key.clone(), RevokeMode::IssuedSoFar),
    ];
    let refused = store.revoke(dated, "alice".into(), NOW, |_| audit("x")).await.unwrap_err();
    assert!(matches!(refused, ChangeError::KeyNotDated(_)));
    // All or nothing.
    assert_eq!((store.mirror().entries().count(), store.audit_size()), (0, 0));
    revoke(store, key.clone(), RevokeMode::Forever).await;
    assert!(matches!(
        lift(store, key.clone(), LiftMode::KeepOldDead).await,
        Err(ChangeError::KeyNotDated(_))
    ));
    assert!(lift(store, key, LiftMode::Revive).await.is_ok());
}

async fn too_many_copies_given_back_end_the_token(store: &Store) {
    let give_back = |n: u8| RevokeBlock {
        hash: [n; 16],
        token: "tok_1".into(),
        until: NOW.seconds() + 700,
        reason: "returned".into(),
        by: "workflow:enrich".into(),
    };
    for n in (0..8).chain(0..8) {
        let changed = store.revoke_block(give_back(n), NOW, |_| audit("block")).await.unwrap();
        assert!(!changed.whole_token);
    }
    let mut shown = exchange(1, "enrich", NOW.seconds());
    shown.standing.blocks = vec![[3; 16]];
    assert_eq!(store.record_exchange(shown).await, Err(RecordError::RevokedBlock));
    assert!(store.revoke_block(give_back(8), NOW, |_| audit("block")).await.unwrap().whole_token);
    let mirror = store.mirror();
    let entry = mirror.entry(SelectorKind::Token, "tok_1").unwrap();
    assert_eq!((entry.before, entry.until, mirror.blocks().count()), (FOREVER, Some(NOW.seconds() + 700), 8));
}

async fn leaving_the_list_never_ends_the_refusal(store: &Store) {
    let mut timed = revocation(workflow("enrich"), RevokeMode::Forever);
    timed.until = Some(NOW.seconds() + 10);
    let set = store.revoke(vec![timed], "alice".into(), NOW, |_| audit("x")).await.unwrap();
    assert_eq!(store.mirror().listed_entries().count(), 1);
    let pruned = store.prune(Timestamp::from_seconds(NOW.seconds() + 10)).await.unwrap();
    assert_eq!(pruned.delisted, 1);
    let mirror = store.mirror();
    assert_eq!((mirror.listed_entries().count(), mirror.entries().count()), (0, 1));
    assert!(mirror.changed_seq() > set.seq, "other contents need another number");
    let refused = store.record_exchange(exchange(1, "enrich", NOW.seconds() + 11)).await;
    assert_eq!(refused, Err(RecordError::Revoked(SelectorKind::Workflow)));
    // The clock had gone too far: the entry stands in the list again.
    assert_eq!(store.prune(NOW).await.unwrap().delisted, 1);
    assert_eq!(store.mirror().listed_entries().count(), 1);
}

async fn a_dated_revocation_is_listed_until_the_last_token_before_it_has_ended(store: &Store) {
    // Minted while the clock was two hours ahead.
    let ahead = NOW.seconds() + 7200;
    store.record_exchange(exchange(1, "enrich", ahead)).await.unwrap();
    let mut dated = revocation(workflow("enrich"), RevokeMode::IssuedSoFar);
    dated.until = Some(NOW.seconds() + 3720);
    store.revoke(vec![dated], "alice".into(), NOW, |_| audit("x")).await.unwrap();
    let until = |store: &Store| store.mirror().entry(SelectorKind::Workflow, "enrich").unwrap().until;
    assert!(until(store) > Some(ahead + 3600));
    let late =
        Lift { target: workflow("enrich"), mode: LiftMode::KeepOldDead, until: Some(NOW.seconds() + 3660) };
    store.lift(vec![late], NOW, |_| audit("y")).await.unwrap();
    assert!(until(store) > Some(ahead + 3600));
}

async fn a_declined_head_changes_nothing(store: &Store) {
    let first = head(store).await;
    assert_eq!(store.next_head(NOW, |_| None).await, Err(HeadError::Declined));
    assert_eq!(store.head().as_deref(), Some(&*first));
    let changed = revoke(store, workflow("enrich"), RevokeMode::Forever).await;
    let contents = store.next_head(NOW, |facts| Some(facts.revocations.changed_seq().to_be_bytes().into()));
    let second = contents.await.unwrap();
    assert!(second.seq > changed.seq && changed.seq > first.seq);
    assert_eq!(second.bytes, changed.seq.to_be_bytes());
}

async fn a_dry_run_counts_what_lives(store: &Store) {
    let issued = NOW.seconds();
    for n in 0..3 {
        store.record_exchange(exchange(n, "enrich", issued)).await.unwrap();
    }
    store.record_exchange(exchange(3, "mail-merge", issued)).await.unwrap();
    store.record_exchange(exchange(4, "mail-merge", issued - 600)).await.unwrap();
    let touched = store.touched(target(SelectorKind::Access, "github/write"), NOW).await.unwrap();
    assert_eq!((touched.living, touched.revoked), (4, 0));
    assert_eq!((touched.workflows.len(), touched.tools.len()), (2, 1));
    revoke(store, workflow("enrich"), RevokeMode::IssuedSoFar).await;
    let touched = store.touched(Target::All, NOW).await.unwrap();
    assert_eq!((touched.living, touched.revoked), (1, 3));
    let touched = store.touched(workflow("nobody"), NOW).await.unwrap();
    assert_eq!(touched, Touched::default());
}

on_sqlite! {
    a_revocation_between_check_and_record_counts
    a_revocation_counts_within_its_own_group
    no_token_of_the_same_second_survives_a_dated_revocation
    the_record_bears_the_date_that_is_checked
    everything_stops_but_the_operators
    lifting_keeps_old_tokens_dead_or_revives_them
    lifts_are_done_together_or_not_at_all
    revoking_again_never_weakens
    a_key_is_revoked_for_good
    too_many_copies_given_back_end_the_token
    leaving_the_list_never_ends_the_refusal
    a_dated_revocation_is_listed_until_the_last_token_before_it_has_ended
    a_declined_head_changes_nothing
    a_dry_run_counts_what_lives
}
