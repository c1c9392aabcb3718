//! What leads from one list to the next.

use super::*;

fn found(trust: &Trust, workflow: &str) -> bool {
    trust.state().set().unwrap().before(SelectorKind::Workflow, workflow).is_some()
}

/// A trust at contents 5 that was offered a head for contents 11, and the delta that it asks for.
fn asked() -> (Broker, Trust, Vec<u8>) {
    let (mut broker, clock) = (Broker::new(), clock());
    broker.revoke(5, "old");
    let trust = following(&broker, &clock, None);
    let old = broker.snapshot.clone();
    broker.lift(11, "old");
    broker.revoke(11, "payroll");
    let (head, delta) = broker.after(&old, 11);
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Delta(DeltaRef { from: 5, .. }))));
    (broker, trust, delta)
}

#[test]
fn a_delta_is_put_on_what_is_there() {
    let (_, trust, delta) = asked();
    assert!(found(&trust, "old") && trust.state().seq() == 10);
    assert!(matches!(trust.offer_delta(&delta), Ok(Next::Nothing)));
    assert!(found(&trust, "payroll") && !found(&trust, "old"));
    let status = trust.status();
    assert_eq!((status.seq, status.contents), (11, 11));
    assert_eq!((status.snapshots_applied, status.deltas_applied), (1, 1));
    assert_eq!(trust.offer_delta(&delta).unwrap_err().code(), "unexpected", "twice");
}

#[test]
fn who_begins_takes_the_snapshot_and_then_the_delta() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = open(&clock, None).unwrap();
    trust.offer_keys(&broker.keys()).unwrap();
    let (first, old) = (broker.head(10, NOW), broker.snapshot.clone());
    broker.revoke(11, "payroll");
    let head = |broker: &Broker, seq| {
        let (head, delta) = broker.after(&old, seq);
        (sign(&Head { snapshot: first.snapshot, ..head }), delta)
    };
    let (early, early_delta) = head(&broker, 11);
    assert!(matches!(trust.offer_head(&early), Ok(Next::Snapshot(_))));
    assert_eq!(trust.offer_delta(&early_delta).unwrap_err().code(), "unexpected", "before the snapshot");
    assert!(matches!(trust.offer_snapshot(&old.encode(&origin(ISSUER))), Ok(Next::Delta(_))));
    assert_eq!(trust.age(), Age::None, "half a list is none");
    // A later head comes before the delta does: the snapshot is not fetched again.
    broker.revoke(12, "mail");
    let (late, late_delta) = head(&broker, 12);
    assert!(matches!(trust.offer_head(&late), Ok(Next::Delta(_))));
    assert!(
        ["size_mismatch", "hash_mismatch"].contains(&trust.offer_delta(&early_delta).unwrap_err().code())
    );
    trust.offer_delta(&late_delta).unwrap();
    assert!(found(&trust, "payroll") && found(&trust, "mail") && trust.state().contents() == 12);
}

#[test]
fn a_delta_from_elsewhere_sends_for_the_snapshot() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    broker.revoke(11, "payroll");
    let elsewhere = Snapshot { seq: 7, ..Snapshot::default() };
    let (head, delta) = broker.after(&elsewhere, 11);
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Snapshot(_))));
    assert_eq!(trust.offer_delta(&delta).unwrap_err().code(), "unexpected");
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert!(found(&trust, "payroll"));
}

#[test]
fn the_same_contents_under_another_hash_are_not_fetched_again() {
    let (mut broker, clock) = (Broker::new(), clock());
    broker.revoke(5, "a");
    broker.revoke(5, "b");
    let trust = following(&broker, &clock, None);
    let at = trust.status().applied_at;
    broker.snapshot.entries.reverse();
    clock.advance(Duration::from_secs(5));
    assert!(matches!(trust.offer_head(&broker.signed(11, NOW + 5)), Ok(Next::Nothing)));
    assert_eq!((trust.age(), trust.status().applied_at), (Age::Seconds(0), at));
}

#[test]
fn heads_with_deltas_that_cannot_be_are_refused() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let old = broker.snapshot.clone();
    broker.revoke(11, "payroll");
    let (good, _) = broker.after(&old, 12);
    let delta = good.deltas[0];
    let with = |deltas: &[DeltaRef]| sign(&Head { deltas: deltas.to_vec(), ..good.clone() });
    let to = |seq| FileRef { seq, ..delta.to };
    let cases = [
        ("malformed", with(&[DeltaRef { from: 11, ..delta }])),
        ("malformed", with(&[DeltaRef { from: 99, ..delta }])),
        ("malformed", with(&[delta, DeltaRef { from: 11, to: to(5) }])),
        ("malformed", with(&[delta, delta])),
        ("malformed", with(&[delta, DeltaRef { to: FileRef { sha256: [1; 32], ..delta.to }, ..delta }])),
        ("malformed", with(&[DeltaRef { from: 5, to: to(13) }])),
        ("delta_missing", with(&[DeltaRef { from: 5, to: to(12) }])),
        ("too_large", with(&[DeltaRef { to: FileRef { bytes: u64::MAX, ..delta.to }, ..delta }])),
        ("malformed", with(&[delta; 9])),
    ];
    for (at, (expected, head)) in cases.iter().enumerate() {
        assert_eq!(code(trust.offer_head(head)), *expected, "{at}");
        assert_eq!((trust.state().seq(), trust.age()), (10, Age::Seconds(0)), "{at}");
    }
    assert!(matches!(trust.offer_head(&sign(&good)), Ok(Next::Delta(_))));
}

#[test]
fn only_the_named_delta_is_taken() {
    let (broker, trust, delta) = asked();
    let mut changed = delta.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(trust.offer_delta(&changed).unwrap_err().code(), "hash_mismatch");
    assert_eq!(trust.offer_delta(&delta[1..]).unwrap_err().code(), "size_mismatch");
    assert_eq!(trust.offer_delta(&broker.snapshot()).unwrap_err().code(), "size_mismatch");
    assert_eq!((trust.state().seq(), trust.status().files_refused["hash_mismatch"]), (10, 1));
    trust.offer_delta(&delta).unwrap();
}

#[test]
fn a_delta_whose_file_says_otherwise_than_its_head_is_refused() {
    let other_delta = |change: fn(&mut Delta)| {
        let (mut broker, clock) = (Broker::new(), clock());
        let trust = following(&broker, &clock, None);
        let old = broker.snapshot.clone();
        broker.revoke(11, "payroll");
        let mut delta = Delta { from: old.seq, seq: 11, ..Delta::default() };
        change(&mut delta);
        let (mut named, bytes) = named(&delta);
        (named.from, named.to.seq) = (5, 11);
        let head = Head { deltas: vec![named], ..broker.head(11, NOW) };
        assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Delta(_))));
        let refused = trust.offer_delta(&bytes).unwrap_err().code();
        // The snapshot is still good.
        assert_eq!(trust.state().seq(), 10);
        trust.offer_snapshot(&broker.snapshot()).unwrap();
        refused
    };
    assert_eq!(other_delta(|delta| delta.from = 4), "hash_mismatch");
    assert_eq!(other_delta(|delta| delta.seq = 12), "hash_mismatch");
    assert_eq!(other_delta(|delta| delta.from = 11), "snapshot_damaged");
    let both = |delta: &mut Delta| {
        delta.ids = vec![RevokedId { id: [1; 16], until: 1 }];
        delta.ids_removed = vec![[1; 16]];
    };
    assert_eq!(other_delta(both), "snapshot_damaged");
}

#[test]
fn after_two_heads_with_one_sequence_a_delta_needs_the_very_file() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let old = broker.snapshot.clone();
    broker.revoke(11, "payroll");
    let (head, delta) = broker.after(&old, 11);
    trust.offer_head(&sign(&head)).unwrap();
    trust.offer_delta(&delta).unwrap();
    assert_eq!(code(trust.offer_head(&broker.signed(11, NOW + 1))), "equivocation");
    let old = broker.snapshot.clone();
    broker.revoke(12, "mail");
    let (head, _) = broker.after(&old, 12);
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Snapshot(_))));
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert!(trust.age() == Age::Seconds(0) && found(&trust, "mail"));
}

#[test]
fn many_deltas_come_to_one_piece_that_answers_the_same() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    for round in 1..5_u32 {
        let old = broker.snapshot.clone();
        let id = |n: u32| RevokedId { id: RevokedId::hash(&(round * 1000 + n).to_be_bytes()), until: 1 };
        broker.snapshot.ids.extend((0..500).map(id));
        broker.snapshot.ids.sort_unstable();
        broker.snapshot.seq = 10 + u64::from(round);
        let (head, delta) = broker.after(&old, 20 + u64::from(round));
        trust.offer_head(&sign(&head)).unwrap();
        trust.offer_delta(&delta).unwrap();
        let state = trust.state();
        let set = state.set().unwrap();
        assert!(!set.is_heavy() && broker.snapshot.ids.iter().all(|record| set.has_id(&record.id)));
    }
}
