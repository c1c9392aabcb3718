//! What a restart begins with.

use super::*;

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
        let _ = fs::remove_file(tmp.path().join(dir::snapshot_name(&broker.head(1, NOW).snapshot.sha256)));
    }
}

#[test]
fn a_list_on_disk_that_is_damaged_is_fetched_again() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    drop(following(&broker, &clock, Some(tmp.path())));
    let head = broker.head(10, NOW);
    fs::write(tmp.path().join(dir::snapshot_name(&head.snapshot.sha256)), b"{}").unwrap();
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
    assert_eq!(open(&clock, Some(tmp.path())).unwrap().age(), Age::Expired);
}

#[test]
fn an_equivocation_outlasts_a_list_that_is_lost_with_it() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    assert_eq!(code(trust.offer_head(&broker.signed(10, NOW + 1))), "equivocation");
    drop(trust);
    fs::remove_file(tmp.path().join(dir::snapshot_name(&broker.head(1, NOW).snapshot.sha256))).unwrap();
    for _ in 0..2 {
        let trust = open(&clock, Some(tmp.path())).unwrap();
        // Written once more, with no list in force.
        trust.offer_keys(&broker.keys()).unwrap();
        assert!(matches!(trust.offer_head(&broker.signed(10, NOW)), Ok(Next::Nothing)));
        assert_eq!(trust.age(), Age::None, "neither of the two counts");
    }
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
    assert!(trust.settle(LONG) && trust.status().floor_error.is_none());
    // A directory in the way of the temporary file fails for every user, root too.
    fs::create_dir(tmp.path().join("floor.json.new")).unwrap();
    broker.revoke(11, "payroll");
    trust.offer_head(&broker.signed(11, NOW)).unwrap();
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!(trust.state().seq(), 11);
    trust.settle(LONG);
    assert!(trust.status().floor_error.unwrap().contains("cannot be written"));
    fs::remove_dir(tmp.path().join("floor.json.new")).unwrap();
    trust.offer_head(&broker.signed(12, NOW)).unwrap();
    trust.settle(LONG);
    assert_eq!(trust.status().floor_error, None);
    // The files that came while the floor was not written are in it now.
    let before = answers(&trust);
    drop(trust);
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!((answers(&trust), trust.status().last_error), (before, None));
}

#[test]
fn a_delta_that_came_while_the_floor_could_not_be_written_is_there_after_a_restart() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    assert!(trust.settle(LONG));
    fs::create_dir(tmp.path().join("floor.json.new")).unwrap();
    revoke_by_delta(&trust, &mut broker, 0);
    trust.settle(LONG);
    assert!(trust.status().floor_error.is_some());
    fs::remove_dir(tmp.path().join("floor.json.new")).unwrap();
    revoke_by_delta(&trust, &mut broker, 1);
    let before = answers(&trust);
    drop(trust);
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!((answers(&trust), trust.status().last_error), (before, None));
}

/// What a verifier answers, in words that can be compared.
fn answers(trust: &Trust) -> String {
    let state = trust.state();
    let set = state.set().unwrap();
    let workflows = (0..90).map(|n| set.before(SelectorKind::Workflow, &format!("w{n}")));
    let status = trust.status();
    format!("{:?}", (status.seq, status.contents, status.applied_at, set, workflows.collect::<Vec<_>>()))
}

/// Revokes one more workflow and lets the trust know by a delta.
fn revoke_by_delta(trust: &Trust, broker: &mut Broker, n: u64) {
    let old = broker.snapshot.clone();
    broker.revoke(old.seq.max(10) + 1, &format!("w{n}"));
    broker.snapshot.entries.sort_by(|a, b| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
    let (head, delta) = broker.after(&old, broker.snapshot.seq);
    assert!(matches!(trust.offer_head(&sign(&head)), Ok(Next::Delta(_))));
    trust.offer_delta(&delta).unwrap();
}

fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains('-')).collect();
    names.sort();
    names
}

#[test]
fn a_list_that_came_by_deltas_is_there_after_a_restart() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let mut trust = following(&broker, &clock, Some(tmp.path()));
    for n in 0..9 {
        clock.advance(Duration::from_millis(10));
        revoke_by_delta(&trust, &mut broker, n);
        let before = answers(&trust);
        drop(trust);
        clock.advance(Duration::from_secs(1));
        trust = open(&clock, Some(tmp.path())).unwrap();
        assert_eq!((answers(&trust), trust.status().last_error), (before, None));
    }
    assert_eq!(files(tmp.path()).len(), 10);
}

#[test]
fn a_long_chain_is_folded_into_the_snapshot_that_the_broker_serves() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    for n in 0..64 {
        revoke_by_delta(&trust, &mut broker, n);
        assert!(trust.settle(LONG) && trust.status().floor_error.is_none());
    }
    assert_eq!(files(tmp.path()).len(), 65);
    revoke_by_delta(&trust, &mut broker, 64);
    let before = answers(&trust);
    assert!(trust.settle(LONG));
    let whole = dir::snapshot_name(&ratchet::sha256(&broker.snapshot()));
    assert_eq!(files(tmp.path()), [whole.as_str()]);
    assert_eq!(fs::read(tmp.path().join(&whole)).unwrap(), broker.snapshot());
    revoke_by_delta(&trust, &mut broker, 65);
    drop(trust);
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert!(answers(&trust) != before && trust.state().contents() == broker.snapshot.seq);
}

#[test]
fn every_file_that_is_cut_lost_or_changed_leaves_no_list_and_no_older_one() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    (0..3).for_each(|n| revoke_by_delta(&trust, &mut broker, n));
    let before = answers(&trust);
    drop(trust);
    let names = files(tmp.path());
    assert_eq!(names.len(), 4);
    for name in names {
        let path = tmp.path().join(&name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        let longer = [&whole[..], b" "].concat();
        for damage in [None, Some(&whole[..whole.len() / 2]), Some(&[]), Some(&changed), Some(&longer)] {
            match damage {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let trust = open(&clock, Some(tmp.path())).unwrap();
            assert!(trust.age() == Age::None && trust.status().last_error.is_some(), "{name}");
            assert_eq!(code(trust.offer_head(&broker.signed(12, NOW))), "older");
            drop(trust);
            fs::write(&path, &whole).unwrap();
        }
    }
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!(answers(&trust), before);
    drop(trust);
    let path = tmp.path().join("floor.json");
    let whole = fs::read(&path).unwrap();
    for end in (0..whole.len() - 1).step_by(7) {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(matches!(open(&clock, Some(tmp.path())), Err(FloorError::Corrupt { .. })), "{end}");
    }
}

#[test]
fn a_crash_before_the_floor_is_written_leaves_the_list_before() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    revoke_by_delta(&trust, &mut broker, 0);
    let before = answers(&trust);
    trust.settle(LONG);
    let floor = fs::read(tmp.path().join("floor.json")).unwrap();
    revoke_by_delta(&trust, &mut broker, 1);
    drop(trust);
    // The files of the next list are there, and what a writer did not finish.
    for name in ["floor.json.new", "incoming-3", &format!("{}.new", dir::snapshot_name(&[1; 32]))] {
        fs::write(tmp.path().join(name), b"cut").unwrap();
    }
    fs::write(tmp.path().join("floor.json"), floor).unwrap();
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!((answers(&trust), trust.status().last_error), (before, None));
    trust.offer_head(&broker.signed(40, NOW)).unwrap();
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    drop(trust);
    assert_eq!(files(tmp.path()).len(), 1);
}

#[test]
fn a_first_start_that_crashed_is_no_missing_floor() {
    let (broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    // No file of a list can be written: a directory stands in the way.
    let name = format!("{}.new", dir::snapshot_name(&broker.head(1, NOW).snapshot.sha256));
    fs::create_dir(tmp.path().join(&name)).unwrap();
    let trust = open(&clock, Some(tmp.path()));
    assert!(matches!(trust, Err(FloorError::Missing { .. })), "a part of a list and no floor");
    fs::remove_dir(tmp.path().join(&name)).unwrap();
    let trust = open(&clock, Some(tmp.path())).unwrap();
    trust.offer_keys(&broker.keys()).unwrap();
    trust.settle(LONG);
    fs::create_dir(tmp.path().join(&name)).unwrap();
    trust.offer_head(&broker.signed(10, NOW)).unwrap();
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    drop(trust);
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!((trust.age(), trust.status().keys_version), (Age::None, 1));
    assert_eq!(code(trust.offer_head(&broker.signed(9, NOW))), "older");
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_list_before_until_it_can() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    let old = broker.snapshot.clone();
    broker.revoke(11, "w1");
    let (head, delta) = broker.after(&old, 11);
    let in_the_way = tmp.path().join(format!("{}.new", dir::delta_name(&head.deltas[0].to.sha256)));
    trust.settle(LONG);
    fs::create_dir(&in_the_way).unwrap();
    trust.offer_head(&sign(&head)).unwrap();
    trust.offer_delta(&delta).unwrap();
    revoke_by_delta(&trust, &mut broker, 2);
    trust.settle(LONG);
    assert!(trust.status().floor_error.is_some() && trust.state().contents() == 12);
    let floor = fs::read_to_string(tmp.path().join("floor.json")).unwrap();
    assert!(floor.contains(r#""number":12"#) && floor.contains("seq 10\\n") && !floor.contains("seq 12\\n"));
    fs::remove_dir(&in_the_way).unwrap();
    trust.offer_head(&broker.signed(13, NOW)).unwrap();
    assert!(trust.settle(LONG) && trust.status().floor_error.is_none());
    let before = answers(&trust);
    drop(trust);
    assert_eq!(answers(&open(&clock, Some(tmp.path())).unwrap()), before);
}

#[test]
fn a_directory_of_the_first_form_is_gone_on_with() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    broker.revoke(7, "payroll");
    let hash = |bytes: &[u8]| hex::encode(ratchet::sha256(ratchet::text(bytes).unwrap()));
    let (head, keys) = (broker.signed(10, NOW), broker.keys());
    let floor = format!(
        r#"{{"v":1,"issuer":"{ISSUER}","keys":{{"number":1,"sha256":"{}"}},"head":{{"number":10,"sha256":"{}"}},"break_glass":0,"equivocation":false}}"#,
        hash(&keys),
        hash(&head),
    );
    let snapshot = dir::snapshot_name(&ratchet::sha256(&broker.snapshot()));
    let whole = broker.snapshot();
    let files_then =
        [("floor.json", floor.as_bytes()), ("keys.note", &keys), ("head.note", &head), (&snapshot, &whole)];
    for (name, bytes) in files_then {
        fs::write(tmp.path().join(name), bytes).unwrap();
    }
    for seq in [11, 12] {
        let trust = open(&clock, Some(tmp.path())).unwrap();
        assert_eq!((trust.state().seq(), trust.status().last_error), (seq - 1, None));
        assert!(trust.state().set().unwrap().before(SelectorKind::Workflow, "payroll").is_some());
        assert_eq!(code(trust.offer_head(&broker.signed(9, NOW))), "older");
        assert!(matches!(trust.offer_head(&broker.signed(seq, NOW)), Ok(Next::Nothing)));
    }
    assert!(!tmp.path().join("head.note").exists() && !tmp.path().join("keys.note").exists());
    assert_eq!(files(tmp.path()), [snapshot]);
}
