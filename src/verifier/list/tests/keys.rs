//! What key documents change.

use super::*;

#[test]
fn a_revocation_key_signs_only_while_it_is_valid() {
    let (mut broker, clock) = (Broker::new(), clock());
    broker.document.keys[1].not_after = NOW + 5;
    let trust = following(&broker, &clock, None);
    clock.advance(Duration::from_secs(5));
    assert_eq!(code(trust.offer_head(&broker.signed(11, NOW + 5))), "signature");
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

/// A broker whose second key document has another revocation key, and what that key signs.
fn rotated(broker: &Broker) -> Broker {
    let mut document = broker.document.clone();
    document.version = 2;
    document.keys[1].key = key(4).public();
    Broker { document, snapshot: broker.snapshot.clone() }
}

fn by_new_key(head: &Head) -> Vec<u8> {
    head.sign(&origin(ISSUER), &key(4)).into_bytes()
}

#[test]
fn a_stolen_key_that_a_newer_document_drops_leaves_no_mark() {
    let (mut broker, clock) = (Broker::new(), clock());
    broker.revoke(7, "payroll");
    let trust = following(&broker, &clock, None);
    // The thief signs an empty list, far ahead.
    let mut thief = Broker::new();
    thief.snapshot.seq = u64::MAX / 2;
    assert!(matches!(trust.offer_head(&thief.signed(u64::MAX / 2, NOW)), Ok(Next::Snapshot(_))));
    trust.offer_snapshot(&thief.snapshot()).unwrap();
    assert!(trust.state().set().unwrap().is_empty());
    let broker = rotated(&broker);
    trust.offer_keys(&broker.keys()).unwrap();
    assert_eq!(trust.age(), Age::Expired);
    let head = by_new_key(&broker.head(11, NOW));
    // It is not swallowed while its list is on its way.
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!((trust.age(), trust.state().seq(), trust.state().contents()), (Age::Seconds(0), 11, 7));
    assert!(trust.state().set().unwrap().before(SelectorKind::Workflow, "payroll").is_some());
    assert_eq!(code(trust.offer_head(&thief.signed(u64::MAX, NOW))), "signature");
    assert_eq!(code(trust.offer_head(&by_new_key(&broker.head(10, NOW)))), "older");
}

#[test]
fn what_a_head_says_of_key_documents_to_come_stops_none() {
    for (version, sha256) in [(2, [0; 32]), (1000, [0; 32])] {
        let (broker, clock) = (Broker::new(), clock());
        let tmp = tempfile::tempdir().unwrap();
        let trust = following(&broker, &clock, Some(tmp.path()));
        let mut theirs = broker.head(u64::MAX, NOW);
        theirs.keys = (version, sha256);
        assert!(matches!(trust.offer_head(&sign(&theirs)), Ok(Next::Keys { .. })));
        drop(trust);
        let trust = open(&clock, Some(tmp.path())).unwrap();
        assert!(matches!(trust.offer_head(&sign(&theirs)), Ok(Next::Keys { .. })));
        // The broker's own heads go on, and so does its next document.
        assert!(matches!(trust.offer_head(&broker.signed(11, NOW)), Ok(Next::Nothing)));
        let _ = trust.offer_head(&sign(&theirs));
        let next = rotated(&broker);
        let head = by_new_key(&next.head(12, NOW));
        assert!(matches!(trust.offer_head(&head), Ok(Next::Keys { version: 2, .. })));
        trust.offer_keys(&next.keys()).unwrap();
        assert!(matches!(trust.offer_head(&head), Ok(Next::Nothing)));
        assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(0), 12));
    }
}

#[test]
fn under_a_new_document_a_delta_is_put_on_the_very_file_alone() {
    for by_delta in [false, true] {
        let (mut broker, clock) = (Broker::new(), clock());
        let trust = following(&broker, &clock, None);
        let old = broker.snapshot.clone();
        broker.revoke(11, "payroll");
        let (head, delta) = broker.after(&old, 11);
        if by_delta {
            trust.offer_head(&sign(&head)).unwrap();
            trust.offer_delta(&delta).unwrap();
        } else {
            trust.offer_head(&broker.signed(11, NOW)).unwrap();
            trust.offer_snapshot(&broker.snapshot()).unwrap();
        }
        let mut broker = rotated(&broker);
        trust.offer_keys(&broker.keys()).unwrap();
        let old = broker.snapshot.clone();
        let snapshot = broker.head(11, NOW).snapshot;
        broker.revoke(12, "mail");
        let (head, delta) = broker.after(&old, 12);
        // The snapshot that the head names is the one before the change.
        let head = Head { snapshot, ..head };
        let next = trust.offer_head(&by_new_key(&head)).unwrap();
        assert_eq!(matches!(next, Next::Snapshot(_)), by_delta);
        assert_eq!(matches!(next, Next::Delta(_)), !by_delta);
        if by_delta {
            assert_eq!(trust.offer_delta(&delta).unwrap_err().code(), "unexpected");
            assert!(matches!(trust.offer_snapshot(&old.encode(&origin(ISSUER))), Ok(Next::Delta(_))));
        }
        trust.offer_delta(&delta).unwrap();
        let state = trust.state();
        let found = |name| state.set().unwrap().before(SelectorKind::Workflow, name);
        assert_eq!((found("payroll"), found("mail"), state.seq()), (Some(FOREVER), Some(FOREVER), 12));
    }
}

#[test]
fn a_new_document_with_the_same_revocation_key_takes_nothing_away() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let old = broker.signed(12, NOW);
    broker.document.version = 2;
    trust.offer_keys(&broker.keys()).unwrap();
    assert_eq!(trust.age(), Age::Seconds(0));
    assert_eq!(code(trust.offer_head(&old)), "keys_older");
    // Sequences begin anew, and the list is the very file.
    assert!(matches!(trust.offer_head(&broker.signed(6, NOW)), Ok(Next::Nothing)));
    assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(0), 6));
}

#[test]
fn a_list_is_relied_on_no_longer_than_the_key_that_signed_its_head() {
    let (mut broker, clock) = (Broker::new(), clock());
    broker.document.keys[1].not_after = NOW + 50;
    let trust = following(&broker, &clock, None);
    clock.advance(Duration::from_secs(49));
    assert_eq!(trust.age(), Age::Seconds(49));
    clock.advance(Duration::from_secs(1));
    assert_eq!(trust.age(), Age::Expired);
    // A new document may end it earlier, or later.
    for (not_after, age) in [(NOW + 10, Age::Expired), (NOW + 900, Age::Seconds(50))] {
        let trust = open(&clock, None).unwrap();
        let mut broker = Broker::new();
        trust.offer_keys(&broker.keys()).unwrap();
        trust.offer_head(&broker.signed(10, NOW)).unwrap();
        trust.offer_snapshot(&broker.snapshot()).unwrap();
        broker.document.version = 2;
        broker.document.keys[1].not_after = not_after;
        trust.offer_keys(&broker.keys()).unwrap();
        assert_eq!(trust.age(), age);
    }
}

#[test]
fn a_list_whose_key_was_dropped_is_not_there_after_a_restart() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    trust.offer_keys(&rotated(&broker).keys()).unwrap();
    drop(trust);
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!((trust.age(), trust.status().keys_version), (Age::None, 2));
    let head = by_new_key(&rotated(&broker).head(3, NOW));
    assert_eq!(code(trust.offer_head(&head)), "malformed", "contents above its own sequence");
    let head = by_new_key(&rotated(&broker).head(6, NOW));
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
}
