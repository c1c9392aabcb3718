//! The rules by which a list is believed, one test each.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use shortbread_protocol::clock::{FOREVER, ManualClock, Timestamp};
use shortbread_protocol::revocations::{DeltaRef, FileRef, SelectorKind, origin};

use super::testing::*;
use super::*;

/// A trust that follows the broker at sequence 10.
fn following(broker: &Broker, clock: &Arc<ManualClock>, dir: Option<&Path>) -> Trust {
    let trust = open(clock, dir).unwrap();
    let head = broker.signed(10, NOW);
    assert!(matches!(trust.offer_head(&head), Ok(Next::Keys { version: 1, .. })));
    trust.offer_keys(&broker.keys()).unwrap();
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    assert_eq!(trust.age(), Age::None);
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(0), 10));
    trust
}

fn code(result: Result<Next, Refused>) -> &'static str {
    result.map_or_else(|refused| refused.code(), |_| "taken")
}

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
fn a_revocation_key_signs_only_while_it_is_valid() {
    let (mut broker, clock) = (Broker::new(), clock());
    broker.document.keys[1].not_after = NOW + 5;
    let trust = following(&broker, &clock, None);
    clock.advance(Duration::from_secs(5));
    assert_eq!(code(trust.offer_head(&broker.signed(11, NOW + 5))), "signature");
}

#[test]
fn two_heads_with_one_sequence_end_the_trust_until_a_higher_one() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    assert_eq!(code(trust.offer_head(&broker.signed(10, NOW + 1))), "equivocation");
    assert_eq!(trust.age(), Age::Unsure);
    assert!(matches!(trust.offer_head(&broker.signed(10, NOW)), Ok(Next::Nothing)));
    assert_eq!(trust.age(), Age::Unsure);
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
fn age_is_counted_from_issued_and_from_first_seen() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    clock.advance(Duration::from_millis(20_500));
    assert_eq!(trust.age(), Age::Seconds(21));
    // The same head again is not fresher, a heartbeat is as fresh as it was issued.
    assert!(matches!(trust.offer_head(&broker.signed(10, NOW)), Ok(Next::Nothing)));
    assert_eq!(trust.age(), Age::Seconds(21));
    assert!(matches!(trust.offer_head(&broker.signed(11, NOW + 8)), Ok(Next::Nothing)));
    assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(12), 11));
    // A head from a clock that is ahead of ours ages by our own.
    assert!(matches!(trust.offer_head(&broker.signed(12, NOW + 50)), Ok(Next::Nothing)));
    clock.advance(Duration::from_secs(7));
    assert_eq!(trust.age(), Age::Seconds(7));
}

#[test]
fn a_head_does_not_get_younger_while_its_snapshot_is_fetched() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    broker.revoke(11, "payroll");
    let head = broker.signed(11, NOW + 25);
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    clock.advance(Duration::from_secs(40));
    assert_eq!(trust.age(), Age::Seconds(40));
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!(trust.age(), Age::Seconds(40));
}

#[test]
fn a_jump_of_the_clock_makes_the_age_unknown_until_the_next_head() {
    for jump in [NOW - 60, NOW + 60] {
        let (broker, clock) = (Broker::new(), clock());
        let trust = following(&broker, &clock, None);
        clock.jump_to(Timestamp::from_seconds(NOW + 5));
        assert_eq!(trust.age(), Age::Seconds(5));
        clock.jump_to(Timestamp::from_seconds(jump));
        assert_eq!(trust.age(), Age::Unsure);
        assert!(matches!(trust.offer_head(&broker.signed(11, jump)), Ok(Next::Nothing)));
        assert_eq!(trust.age(), Age::Seconds(0));
    }
}

#[test]
fn an_expired_head_has_no_age() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    clock.advance(Duration::from_secs(899));
    assert_eq!(trust.age(), Age::Seconds(899));
    clock.advance(Duration::from_secs(1));
    assert_eq!(trust.age(), Age::Unsure);
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
fn a_heartbeat_carries_the_global_stop() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let mut head = broker.head(11, NOW);
    head.global = NOW;
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Nothing)));
    assert_eq!(trust.state().set().unwrap().global(), NOW);
}

#[test]
fn key_documents_do_not_go_back() {
    let (mut broker, clock) = (Broker::new(), clock());
    let first = broker.keys();
    let trust = following(&broker, &clock, None);
    broker.document.version = 2;
    broker.document.keys[1].key = key(4).public();
    // A head by the new key, which only the new document names.
    let head = broker.head(11, NOW).sign(&origin(ISSUER), &key(4)).into_bytes();
    assert!(matches!(trust.offer_head(&head), Ok(Next::Keys { version: 2, .. })));
    trust.offer_keys(&broker.keys()).unwrap();
    assert!(matches!(trust.offer_head(&head), Ok(Next::Nothing)));
    assert_eq!((trust.state().seq(), trust.status().keys_version), (11, 2));
    assert_eq!(trust.offer_keys(&first).unwrap_err().code(), "keys_older");
    assert_eq!(code(trust.offer_head(&broker.signed(12, NOW))), "signature");
    broker.document.keys[0].not_after = FOREVER - 1;
    assert_eq!(trust.offer_keys(&broker.keys()).unwrap_err().code(), "keys_equivocation");
    let forged = broker.document.sign(&key(9)).into_bytes();
    assert_eq!(trust.offer_keys(&forged).unwrap_err().code(), "keys_refused");
}

#[test]
fn a_head_whose_signer_is_gone_by_the_time_its_snapshot_comes_does_not_count() {
    for named in [false, true] {
        let (mut broker, clock) = (Broker::new(), clock());
        broker.revoke(7, "payroll");
        let trust = following(&broker, &clock, None);
        // Whoever took the old key signs an empty list, before a new document leaves that key out.
        let mut theirs = Broker::new();
        theirs.snapshot.seq = 8;
        broker.document.version = 2;
        broker.document.keys[1].key = key(4).public();
        if named {
            theirs.document = broker.document.clone();
        }
        let head = theirs.signed(11, NOW);
        assert!(trust.offer_head(&head).is_ok());
        trust.offer_keys(&broker.keys()).unwrap();
        assert_eq!(trust.offer_snapshot(&theirs.snapshot()).unwrap_err().code(), "unexpected", "{named}");
        assert_eq!(code(trust.offer_head(&head)), "signature");
        assert_eq!(trust.offer_snapshot(&theirs.snapshot()).unwrap_err().code(), "unexpected", "{named}");
        assert_eq!(trust.state().seq(), 10);
        assert!(trust.state().set().unwrap().before(SelectorKind::Workflow, "payroll").is_some());
    }
}

#[test]
fn the_key_document_must_be_the_one_that_the_head_names() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = open(&clock, None).unwrap();
    let stranger = broker.document.sign(&key(9));
    let line = stranger.lines().last().unwrap();
    // A mirror adds a line by a stranger: the document is the same, its bytes are not.
    trust.offer_keys(&[broker.keys(), format!("{line}\n").into_bytes()].concat()).unwrap();
    let head = broker.signed(10, NOW);
    assert!(matches!(trust.offer_head(&head), Ok(Next::Keys { version: 1, .. })));
    assert_eq!(trust.offer_snapshot(&broker.snapshot()).unwrap_err().code(), "unexpected");
    trust.offer_keys(&broker.keys()).unwrap();
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));

    let mut head = broker.head(11, NOW);
    head.keys.1 = [0; 32];
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Keys { version: 1, .. })));
    assert_eq!(trust.offer_keys(&broker.keys()).unwrap_err().code(), "hash_mismatch");
    // A later head that names the document in force goes on as usual.
    assert!(matches!(trust.offer_head(&broker.signed(12, NOW)), Ok(Next::Snapshot(_))));
    trust.offer_snapshot(&broker.snapshot()).unwrap();
}

#[test]
fn a_restart_begins_with_the_list_on_disk() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    broker.revoke(7, "payroll");
    drop(following(&broker, &clock, Some(tmp.path())));
    clock.advance(Duration::from_secs(70));
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(70), 10));
    let state = trust.state();
    assert_eq!(state.set().unwrap().before(SelectorKind::Workflow, "payroll"), Some(FOREVER));
    assert!(state.token_key("k2026-11a").is_some());
    assert_eq!(trust.status().last_error, None);
    // What is in force is not fetched again.
    assert!(matches!(trust.offer_head(&broker.signed(11, NOW + 70)), Ok(Next::Nothing)));
}

#[test]
fn the_floor_forbids_going_back_after_a_restart() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    drop(following(&broker, &clock, Some(tmp.path())));
    for list_is_there in [true, false] {
        let trust = open(&clock, Some(tmp.path())).unwrap();
        assert_eq!(trust.state().seq(), if list_is_there { 10 } else { 0 });
        if !list_is_there {
            trust.offer_keys(&broker.keys()).unwrap();
        }
        assert_eq!(code(trust.offer_head(&broker.signed(9, NOW))), "older");
        assert_eq!(code(trust.offer_head(&broker.signed(10, NOW + 1))), "equivocation");
        drop(trust);
        for name in ["keys.note", "head.note"] {
            let _ = fs::remove_file(tmp.path().join(name));
        }
    }
}

#[test]
fn a_list_on_disk_that_is_damaged_is_fetched_again() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    drop(following(&broker, &clock, Some(tmp.path())));
    let head = broker.head(10, NOW);
    fs::write(tmp.path().join(floor::snapshot_name(&head.snapshot.sha256)), b"{}").unwrap();
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!(trust.age(), Age::None);
    assert!(trust.status().last_error.unwrap().contains("is damaged"));
    // The head at the floor itself is good again, since nothing of it is in force.
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Snapshot(_))));
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!(trust.age(), Age::Seconds(0));
}

#[test]
fn an_equivocation_and_a_clock_that_went_back_outlast_a_restart() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    clock.jump_to(Timestamp::from_seconds(NOW - 31));
    drop(trust);
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!(trust.age(), Age::Unsure);
    clock.jump_to(Timestamp::from_seconds(NOW));
    assert_eq!(code(trust.offer_head(&broker.signed(10, NOW + 1))), "equivocation");
    drop(trust);
    assert_eq!(open(&clock, Some(tmp.path())).unwrap().age(), Age::Unsure);
}

#[test]
fn a_damaged_floor_stops_the_start() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    drop(following(&broker, &clock, Some(tmp.path())));
    fs::write(tmp.path().join("floor.json"), "{").unwrap();
    assert!(matches!(open(&clock, Some(tmp.path())), Err(FloorError::Corrupt { .. })));
    fs::remove_file(tmp.path().join("floor.json")).unwrap();
    assert!(matches!(open(&clock, Some(tmp.path())), Err(FloorError::Missing { .. })));
}

#[test]
fn a_floor_that_cannot_be_written_is_reported_and_the_head_applied() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    assert_eq!(trust.status().floor_error, None);
    // A directory in the way of the temporary file fails for every user, root too.
    fs::create_dir(tmp.path().join("floor.json.new")).unwrap();
    broker.revoke(11, "payroll");
    trust.offer_head(&broker.signed(11, NOW)).unwrap();
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!(trust.state().seq(), 11);
    assert!(trust.status().floor_error.unwrap().contains("cannot be written"));
    fs::remove_dir(tmp.path().join("floor.json.new")).unwrap();
    trust.offer_head(&broker.signed(12, NOW)).unwrap();
    assert_eq!(trust.status().floor_error, None);
}

#[derive(Clone, Debug)]
enum Step {
    Head { seq: u64, issued: u64, signer: u8, broken: Option<usize> },
    Snapshot,
    Keys,
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let signer = prop_oneof![4 => Just(3_u8), 1 => Just(9)];
    let broken = prop_oneof![4 => Just(None), 1 => (0_usize..400).prop_map(Some)];
    let head = (1_u64..30, NOW - 1000..NOW + 100, signer, broken)
        .prop_map(|(seq, issued, signer, broken)| Step::Head { seq, issued, signer, broken });
    prop_oneof![
        8 => head,
        4 => Just(Step::Snapshot),
        1 => Just(Step::Keys),
        1 => (0_u64..20).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn in_any_order_of_offers_the_applied_sequence_never_goes_down(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let (mut broker, clock) = (Broker::new(), clock());
        let tmp = tempfile::tempdir().unwrap();
        let mut trust = open(&clock, Some(tmp.path())).unwrap();
        trust.offer_keys(&broker.keys()).unwrap();
        let mut highest = (0, 0);
        for step in steps {
            match step {
                Step::Head { seq, issued, signer, broken } => {
                    broker.snapshot.seq = seq / 4;
                    let mut head =
                        broker.head(seq, issued).sign(&origin(ISSUER), &key(signer)).into_bytes();
                    if let Some(byte) = broken.and_then(|at| head.get_mut(at)) {
                        *byte ^= 1;
                    }
                    let _ = trust.offer_head(&head);
                }
                Step::Snapshot => drop(trust.offer_snapshot(&broker.snapshot())),
                Step::Keys => drop(trust.offer_keys(&broker.keys())),
                Step::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
                Step::Restart => {
                    drop(trust);
                    trust = open(&clock, Some(tmp.path())).unwrap();
                }
            }
            let state = trust.state();
            let now = (state.seq(), state.set().map_or(0, RevocationSet::seq));
            prop_assert!(now.0 >= highest.0 && now.1 >= highest.1, "{now:?} after {highest:?}");
            highest = now;
        }
    }
}
