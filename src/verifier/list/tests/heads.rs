//! Which heads and files are taken.

use super::*;

#[test]
fn what_is_learned_can_be_looked_up() {
    let (mut broker, clock) = (Broker::new(), clock());
    broker.revoke(7, "payroll");
    let state = following(&broker, &clock, None).state();
    assert_eq!(state.set().unwrap().before(SelectorKind::Workflow, "payroll"), Some(FOREVER));
    assert_eq!(state.token_key("k2026-11a").unwrap().key, key(2).public());
    assert!(state.token_key("r2026-11a").is_none());
    assert_eq!((state.issuer(), state.set().unwrap().seq()), (ISSUER, 7));
}

#[test]
fn refused_heads_change_nothing() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let mut other_version = broker.head(11, NOW);
    other_version.keys = (0, [0; 32]);
    let mut ahead_of_itself = broker.head(11, NOW);
    ahead_of_itself.snapshot.seq = 12;
    let mut large = broker.head(11, NOW);
    large.snapshot.bytes = u64::MAX;
    let mut back = broker.head(11, NOW);
    back.snapshot.seq = 4;
    let mut delta = broker.head(11, NOW);
    delta.deltas = vec![DeltaRef { from: 6, to: FileRef { seq: 11, sha256: [1; 32], bytes: 9 } }];
    let foreign = broker.head(11, NOW).sign(&origin("https://other.example"), &key(3)).into_bytes();
    let forged = broker.head(11, NOW).sign(&origin(ISSUER), &key(9)).into_bytes();
    let changed = String::from_utf8(broker.signed(11, NOW)).unwrap().replace("seq 11", "seq 12").into_bytes();
    let cases = [
        ("older", broker.signed(9, NOW)),
        ("expired", broker.signed(11, NOW - 900)),
        ("future", broker.signed(11, NOW + 31)),
        ("signature", forged),
        ("signature", changed),
        ("origin", foreign),
        ("malformed", b"no note".to_vec()),
        ("malformed", sign(&ahead_of_itself)),
        ("too_large", vec![b'x'; 5000]),
        ("too_large", sign(&large)),
        ("keys_older", sign(&other_version)),
        ("snapshot_older", sign(&back)),
        ("delta_missing", sign(&delta)),
    ];
    for (expected, head) in &cases {
        assert_eq!(code(trust.offer_head(head)), *expected);
        assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(0), 10), "{expected}");
    }
    let refused = trust.status().heads_refused;
    assert_eq!((refused["signature"], refused["origin"]), (2, 1));
    assert_eq!(code(trust.offer_head(&broker.signed(11, NOW + 30))), "taken");
}

#[test]
fn two_heads_with_one_sequence_end_the_trust_until_a_higher_one() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    assert_eq!(code(trust.offer_head(&broker.signed(10, NOW + 1))), "equivocation");
    assert_eq!(trust.age(), Age::Expired);
    assert!(matches!(trust.offer_head(&broker.signed(10, NOW)), Ok(Next::Nothing)));
    assert_eq!(trust.age(), Age::Expired);
    assert!(matches!(trust.offer_head(&broker.signed(11, NOW)), Ok(Next::Nothing)));
    assert_eq!(trust.age(), Age::Seconds(0));
}

#[test]
fn a_line_by_a_stranger_under_a_head_is_no_second_head() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let stranger = broker.head(10, NOW).sign(&origin(ISSUER), &key(9));
    let line = stranger.lines().last().unwrap();
    let more = [broker.signed(10, NOW), format!("{line}\n").into_bytes()].concat();
    assert!(matches!(trust.offer_head(&more), Ok(Next::Nothing)));
    assert_eq!(trust.age(), Age::Seconds(0));
}

#[test]
fn only_the_named_snapshot_is_taken() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let old = broker.snapshot();
    assert_eq!(trust.offer_snapshot(&old).unwrap_err().code(), "unexpected");
    broker.revoke(11, "payroll");
    trust.offer_head(&broker.signed(11, NOW)).unwrap();
    assert_eq!(trust.offer_snapshot(&old).unwrap_err().code(), "size_mismatch");
    let mut changed = broker.snapshot();
    let last = changed.len() - 2;
    changed[last] ^= 1;
    assert_eq!(trust.offer_snapshot(&changed).unwrap_err().code(), "hash_mismatch");
    assert_eq!(trust.state().seq(), 10);
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!(trust.state().seq(), 11);
    assert_eq!(trust.status().files_refused["size_mismatch"], 1);
}

#[test]
fn a_snapshot_whose_contents_are_not_what_the_head_says_is_refused() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    broker.revoke(11, "payroll");
    let mut head = broker.head(12, NOW);
    head.snapshot.seq = 12;
    trust.offer_head(&sign(&head)).unwrap();
    assert_eq!(trust.offer_snapshot(&broker.snapshot()).unwrap_err().code(), "hash_mismatch");
}

#[test]
fn a_state_that_was_replaced_is_not_taken_apart_by_the_check_that_still_reads_it() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let before = Arc::downgrade(&trust.state());
    let check = trust.glance();
    trust.offer_head(&broker.signed(11, NOW)).unwrap();
    drop(check);
    assert!(before.upgrade().is_some());
    trust.offer_head(&broker.signed(12, NOW)).unwrap();
    assert!(before.upgrade().is_none(), "and not kept for longer");
}

#[test]
fn a_heartbeat_carries_the_global_stop() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let mut head = broker.head(11, NOW);
    head.global = NOW;
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Nothing)));
    assert_eq!(trust.state().set().unwrap().global(), NOW);
}
